"""Observational data with confounding, whose effect of treatment is known for each row (tier E).

Both outcomes of a row have a known mean (potential outcomes, Rubin 1974), so the conditional
average treatment effect τ(x) = E[y(1) - y(0) | x] is a function that is evaluated, not estimated.
Whoever is treated depends on what the outcome depends on, too: treated and untreated differ.
"""

from dataclasses import dataclass

import numpy as np

from tasks.datasets import given_class, scm, sinks
from tasks.datasets.given_class import Part
from tasks.families import Causal
from tasks.instance import (
    Answers,
    Contract,
    Floats,
    Gaussian,
    Instance,
    Ints,
    Streams,
    on_grid,
)

LEAST_CHANCE = 0.1
"""Every row is treated with a chance of 0.1 to 0.9: effects can be told everywhere (overlap)."""
STEEPNESS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Outcome and treatment as functions of the columns; `x` is (n_features, n)."""

    base: sinks.Score
    """Mean outcome without treatment, in units."""
    pull: sinks.Score
    """What besides the mean outcome makes treatment likely."""
    lift: sinks.Score
    """How the effect differs from row to row."""
    confounding: float
    average: float
    """Average effect, in units."""
    heterogeneity: float
    noise: float
    location: float
    unit: float

    def chance(self, x: Floats) -> Floats:
        """Return the propensity, p(treated | x)."""
        score = self.confounding * self.base(x) + (1.0 - self.confounding) * self.pull(x)
        return LEAST_CHANCE + (1.0 - 2 * LEAST_CHANCE) * sinks.logistic(STEEPNESS * score)

    def effect(self, x: Floats) -> Floats:
        """Return τ(x), on the grid that answers are given on."""
        return on_grid(self.unit * (self.average + self.heterogeneity * self.lift(x)))

    def untreated(self, x: Floats) -> Floats:
        """Return the mean outcome without treatment."""
        mean: Floats = self.location + self.unit * self.base(x)
        return mean


def draw(params: Causal, streams: Streams) -> Instance:
    """Draw an observational table; what is asked is the effect of treatment on each test row."""
    frame = sinks.frame(params.n_features, streams)
    world = _world(params, frame, streams)
    train = given_class.parts(streams, "train", params.n_samples)
    test = given_class.parts(streams, "test", params.test_rows)

    def observed(part: Part) -> tuple[Floats, Ints, Floats]:
        x = frame.sample(part)
        treated = (part.stream("treatment").random(part.n_rows) < world.chance(x)).astype(np.int64)
        shock = world.unit * world.noise * part.stream("labels").standard_normal(part.n_rows)
        return x, treated, on_grid(world.untreated(x) + treated * world.effect(x) + shock)

    def known(part: Part) -> dict[str, Floats | Ints]:
        x, treated, outcome = observed(part)
        return {**sinks.named(x), "treatment": treated, "outcome": outcome}

    hidden = [frame.sample(part) for part in test]
    effect = np.concatenate([world.effect(x) for x in hidden])
    first = observed(train[0])
    plain = _difference(first[1], first[2])
    return Instance(
        public=given_class.both(train, known, test, [sinks.named(x) for x in hidden]),
        notes=_notes(params),
        contract=Contract(kind="values", ids=given_class.ids_of(test, params.n_samples)),
        answers=Answers(
            labels=effect,
            # Nothing is random about an effect: the law has no spread, and no leak test.
            law=Gaussian(mean=effect, sd=np.zeros(len(effect))),
            trivial={
                "no effect": np.zeros(len(effect)),
                "difference in means": np.full(len(effect), plain),
                "adjusted difference": np.full(len(effect), _adjusted(*first)),
            },
        ),
        details={
            "average_effect": float(effect.mean()),
            "difference_in_means": plain,
            "noise_sd": world.unit * world.noise,
            "base": world.base.describe(),
            "pull": world.pull.describe(),
            "lift": world.lift.describe(),
        },
    )


def _world(params: Causal, frame: sinks.Frame, streams: Streams) -> World:
    rng = streams.stream("target")

    def score(n_columns: int) -> sinks.Score:
        some = [frame.relevant[int(i)] for i in rng.permutation(len(frame.relevant))[:n_columns]]
        terms = scm.random_function(rng, sorted(some), params.interactions, frame.pilot)
        return sinks.Score.of(terms, frame.pilot)

    base, pull, lift = score(4), score(3), score(2)
    place = on_grid(np.array([200 * rng.random() - 100, 1 + 20 * rng.random()]), 2)
    return World(
        base=base,
        pull=pull,
        lift=lift,
        confounding=params.confounding,
        average=scm.weight(rng, 0.5, 1.5),
        heterogeneity=params.heterogeneity,
        noise=params.noise,
        location=float(place[0]),
        unit=float(place[1]),
    )


def _difference(treated: Ints, outcome: Floats) -> float:
    """Return mean outcome of treated rows less that of the others, confounded as it is."""
    on, off = outcome[treated == 1], outcome[treated == 0]
    return float(on.mean() - off.mean()) if len(on) and len(off) else 0.0


def _adjusted(x: Floats, treated: Ints, outcome: Floats) -> float:
    """Return the coefficient of treatment in a linear regression on all columns."""
    columns = np.column_stack([treated, np.ones(len(treated)), x.T])
    return float(np.linalg.lstsq(columns, outcome, rcond=None)[0][0])


def _notes(params: Causal) -> str:
    return (
        f"- `train.csv`: {params.n_samples:,} rows of an observational study, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, `treatment` (1 where treated, else 0) and `outcome`.\n"
        f"- `test.csv`: {params.test_rows:,} rows of the same population, without `treatment` and "
        f"`outcome`.\n\n"
        f"All features are numbers without missing cells, known before treatment; some have "
        f"nothing to do with it. Treatment was not assigned at random: its chance depends on the "
        f"features, but on nothing else (no hidden confounders), and lies between "
        f"{LEAST_CHANCE:g} and {1 - LEAST_CHANCE:g} for every row. The outcome depends on the "
        f"features and on the treatment, plus noise. `target`, which is asked for, is the "
        f"conditional average treatment effect: how much larger the mean outcome of rows with "
        f"these features is with treatment than without. Rows are independent of each other and "
        f"in no order; ids mean nothing."
    )
