"""Anomalies among rows without labels: a known mixture of normal rows and known odd ones (tier B).

Normal rows come of a mixture of factor analysers; anomalies of another law, by `kind`. Bayes' rule
gives p(anomaly | columns); the ranking by it has the largest ROC AUC possible.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tasks.datasets import given_class
from tasks.datasets.given_class import Part
from tasks.datasets.mixtures import Mixture, unlabelled
from tasks.datasets.one_thread import on_one_thread
from tasks.families import Anomaly
from tasks.instance import (
    Answers,
    Categorical,
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    draw_classes,
    on_grid,
)

CLASSES = ("normal", "anomaly")
NORMAL_COMPONENTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Population:
    """Normal rows and anomalies; `strength` says how far the latter are off."""

    kind: str
    means: Floats
    """(NORMAL_COMPONENTS, d)."""
    loadings: Floats
    """(NORMAL_COMPONENTS, d, 2)."""
    sd: Floats
    """(d,)."""
    weights: Floats
    """(NORMAL_COMPONENTS,)."""
    contamination: float

    def mixture(self, strength: float) -> Mixture:
        """Return the mixture of both, whose classes are normal and anomaly."""
        makers = {"scattered": self._scattered, "dependence": self._dependence}
        normal, odd, spread = makers[self.kind](strength)
        return Mixture(
            means=np.vstack([self.means, self.means]),
            loadings=np.concatenate([normal, odd]),
            sd=np.vstack([np.broadcast_to(self.sd, self.means.shape), spread]),
            owner=np.repeat([0, 1], NORMAL_COMPONENTS),
            weights=np.tile(self.weights, 2),
            prior=np.array([1.0 - self.contamination, self.contamination]),
        )

    def _scattered(self, strength: float) -> tuple[Floats, Floats, Floats]:
        """Around the same centres, but a column's own spread is `1 + strength` times as wide."""
        wide = np.broadcast_to(self.sd * (1.0 + strength), self.means.shape)
        return self.loadings, self.loadings, wide

    def _dependence(self, strength: float) -> tuple[Floats, Floats, Floats]:
        """Each column as normal rows of a group have it, but independent of the others."""
        loadings = self.loadings * strength
        squares = loadings * loadings
        spread = np.sqrt(self.sd * self.sd + squares[:, :, 0] + squares[:, :, 1])
        return loadings, np.zeros_like(loadings), spread


@on_one_thread
def draw(params: Anomaly, streams: Streams) -> Instance:
    """Draw contaminated rows without labels; `params.ceiling` is the best ROC AUC possible.

    Raises:
        InvalidTask: No strength gives that ceiling.
    """
    population = _population(params, streams.stream("structure"))
    pilot = given_class.pilot(streams)
    half = np.arange(pilot.n_rows, dtype=np.int64) % 2  # the area over them errs by about 0.001

    def area(strength: float) -> float:
        mixture = population.mixture(strength)
        return _area(mixture.posterior(mixture.sample(pilot, half))[:, 1], half)

    strength = given_class.root(area, params.ceiling, 0.01, 100.0)
    mixture = population.mixture(strength)
    rows = unlabelled(params, streams, lambda part: mixture.sample(part, _codes(mixture, part)))
    p = mixture.posterior(np.concatenate(rows.points))
    return Instance(
        public=rows.public,
        notes=_notes(params),
        contract=Contract(
            kind="classes",
            ids=rows.ids,
            classes=CLASSES,
            probabilities=True,
        ),
        answers=Answers(
            labels=np.concatenate([_codes(mixture, part) for part in rows.test]),
            law=Categorical(p=p),
            trivial={"prior": np.broadcast_to(mixture.prior, p.shape)},
        ),
        details={"strength": strength, "kind": params.kind, "means": population.means},
    )


def _population(params: Anomaly, rng: Generator) -> _Population:
    d = params.n_features
    # Loadings shrink with d, or the common shape would leave nothing to the single columns.
    length = 2.0 / np.sqrt(d)
    tickets = rng.integers(3, 7, NORMAL_COMPONENTS)
    return _Population(
        kind=params.kind,
        means=on_grid(rng.uniform(-2.0, 2.0, (NORMAL_COMPONENTS, d)), 3),
        loadings=on_grid(rng.uniform(-1.0, 1.0, (NORMAL_COMPONENTS, d, 2)) * length, 3),
        sd=on_grid(rng.uniform(0.6, 1.0, d), 3),
        weights=tickets / tickets.sum(),
        contamination=params.contamination,
    )


def _codes(mixture: Mixture, part: Part) -> Ints:
    """Draw which rows are anomalies, (n,)."""
    p = np.broadcast_to(mixture.prior, (part.n_rows, 2))
    return draw_classes(p, part.stream("labels").random(part.n_rows))


def _area(score: Floats, codes: Ints) -> float:
    """Return the share of pairs that the score puts in order; ties are too rare to matter."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    n = int(codes.sum())
    return float((ranks[codes > 0].sum() - n * (n + 1) / 2) / (n * (len(codes) - n)))


KINDS = {
    "scattered": "lie around the normal rows, farther out, in no common place",
    "dependence": "look normal column by column, but their columns do not go together",
}


def _notes(params: Anomaly) -> str:
    return (
        f"- `train.csv`: {params.n_samples:,} rows, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, without labels.\n"
        f"- `test.csv`: {params.test_rows:,} rows of the same population, in the same columns.\n\n"
        f"In both tables a share of about {params.contamination:g} are anomalies; nobody says "
        f"which. Normal rows form {NORMAL_COMPONENTS} groups; anomalies {KINDS[params.kind]}. All "
        f"features are numbers without missing cells. Rows are independent of each other and in "
        f"no order; ids mean nothing."
    )
