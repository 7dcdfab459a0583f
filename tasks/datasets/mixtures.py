"""Gaussian mixtures: tables with missing cells, and points to be clustered (tier B).

A component is a factor analyser: covariance A Aᵀ + diag(sd²) with A of two columns. Its density
on any set of observed cells needs no more than a 2 x 2 matrix per row, so missing cells are
marginalised in closed form, whatever the pattern.

Source: Ghahramani & Hinton (1996), mixtures of factor analyzers; Rubin (1976), for why a
mechanism that looks at observed cells alone (MCAR, MAR) drops out of the posterior.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from tasks.datasets import given_class
from tasks.datasets.given_class import Columns, Conditional, Part
from tasks.datasets.one_thread import on_one_thread
from tasks.families import Clustering, Sampled, TabularMissing
from tasks.instance import (
    Answers,
    Categorical,
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    Table,
    draw_classes,
    on_grid,
)

PER_CLASS = 3
"""Components of a class: enough that no class is one ellipse."""
CANDIDATES = 20
"""Random places of which a mean takes the one farthest from the means before it."""
SMALLEST, LARGEST = 0.01, 100.0
"""Separations searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """C components in d dimensions; component c belongs to class `owner[c]`."""

    means: Floats
    """(C, d), before they are multiplied by `separation`."""
    loadings: Floats
    """(C, d, 2)."""
    sd: Floats
    """(C, d)."""
    owner: Ints
    """(C,) ascending."""
    weights: Floats
    """(C,) p(component | class)."""
    prior: Floats
    """(K,) p(class)."""
    separation: float = 1.0

    def sample(self, part: Part, codes: Ints) -> Floats:
        """Draw a point of each class asked for, (n, d), as stored."""
        components, rng = self._components(part, codes), part.stream("features")
        factors = rng.standard_normal((len(components), 2))
        noise = rng.standard_normal((len(components), self.means.shape[1]))
        x = self.means[components] * self.separation + self.sd[components] * noise
        for q in range(2):
            x += self.loadings[components, :, q] * factors[:, q : q + 1]
        return on_grid(x)

    def _components(self, part: Part, codes: Ints) -> Ints:
        uniform = part.stream("components").random(len(codes))
        chosen = np.zeros(len(codes), dtype=np.int64)
        for k in range(len(self.prior)):
            own = np.flatnonzero(self.owner == k)
            mine = codes == k
            share = np.broadcast_to(self.weights[own], (int(mine.sum()), len(own)))
            chosen[mine] = own[draw_classes(share, uniform[mine])]
        return chosen

    def log_density(self, x: Floats) -> Floats:
        """Return log p(observed cells | component), (n, C); `x` (n, d) has NaN for missing.

        The grid that cells are rounded to is thousands of times finer than any sd here, so
        density stands for probability. No stored value depends on these sums.
        """
        there = ~np.isnan(x)
        seen, cells = there.astype(np.float64), np.where(there, x, 0.0)
        precision = 1.0 / (self.sd * self.sd)
        means = self.means * self.separation
        first, second = self.loadings[:, :, 0] * precision, self.loadings[:, :, 1] * precision
        # Every sum over cells is a matrix product, (n, d) by (d, C).
        b0 = cells @ first.T - seen @ (means * first).T
        b1 = cells @ second.T - seen @ (means * second).T
        m00 = 1.0 + seen @ (first * self.loadings[:, :, 0]).T
        m01 = seen @ (first * self.loadings[:, :, 1]).T
        m11 = 1.0 + seen @ (second * self.loadings[:, :, 1]).T
        determinant = m00 * m11 - m01 * m01
        explained = (m11 * b0 * b0 - 2.0 * m01 * b0 * b1 + m00 * b1 * b1) / determinant
        distance = (cells * cells) @ precision.T - 2.0 * cells @ (means * precision).T
        distance += seen @ (means * means * precision).T
        volume = np.log(determinant) + seen @ np.log(2.0 * np.pi / precision).T
        density: Floats = -0.5 * (distance - explained + volume)
        return density

    def posterior(self, x: Floats) -> Floats:
        """Return p(class | observed cells), (n, K)."""
        joint = given_class.softmax(
            self.log_density(x) + np.log(self.weights * self.prior[self.owner])
        )
        starts = np.searchsorted(self.owner, np.arange(len(self.prior)))
        p: Floats = np.add.reduceat(joint, starts, axis=1)
        return p


# --- tables with missing cells ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lossy:
    """A mixture whose cells get lost."""

    mixture: Mixture
    rate: float
    lean: Floats | None
    """(d,) of ±1: whether a column's cells are lost where f0 is high or low; None for MCAR."""
    middle: float = 0.0
    """The median of f0."""

    def rows(self, part: Part, codes: Ints) -> Floats:
        """Draw rows of these classes, (n, d), NaN where a cell is missing."""
        x = self.mixture.sample(part, codes)
        lost = part.stream("missing").random(x.shape) < self._chance(x)
        return np.where(lost, np.nan, x)

    def _chance(self, x: Floats) -> Floats:
        """Return how likely each cell is lost, in a shape that broadcasts to (n, d).

        MAR: f0 is always there; the side of its median on which it lies makes the other cells
        more or less likely to be lost, by up to four fifths of the rate, which is the average.
        """
        if self.lean is None:
            return np.full((1, 1), self.rate)
        swing = 0.8 * min(self.rate, 1.0 - self.rate)
        side = np.where(x[:, :1] > self.middle, swing, -swing)
        chance: Floats = self.rate + side * self.lean
        chance[:, 0] = 0.0
        return chance


@on_one_thread
def tabular_missing(params: TabularMissing, streams: Streams) -> Instance:
    """Draw classes of several components each, then lose cells.

    `params.ceiling` is the accuracy of the Bayes-optimal predictor of what is left.

    Raises:
        InvalidTask: Too many cells are lost for that ceiling.
    """
    rng = streams.stream("structure")
    mixture = _classes(rng, params.n_classes, params.n_features)
    signs = (1 - 2 * rng.integers(0, 2, params.n_features)).astype(np.float64)
    lean = signs if params.mechanism == "MAR" else None
    pilot = given_class.pilot(streams)
    codes = pilot.codes(params.n_classes)

    def at(separation: float) -> _Lossy:
        apart = replace(mixture, separation=separation)
        middle = float(np.median(apart.sample(pilot, codes)[:, 0]))
        return _Lossy(mixture=apart, rate=params.missing_rate, lean=lean, middle=middle)

    def accuracy(separation: float) -> float:
        lossy = at(separation)
        return float(lossy.mixture.posterior(lossy.rows(pilot, codes)).max(axis=1).mean())

    lossy = at(given_class.root(accuracy, params.ceiling, SMALLEST, LARGEST))
    law = Conditional(
        n_classes=params.n_classes,
        columns=lambda part, codes: _named(lossy.rows(part, codes)),
        posterior=lambda columns: lossy.mixture.posterior(np.column_stack([*columns.values()])),
    )
    details: dict[str, Any] = {
        "separation": lossy.mixture.separation,
        "components_per_class": PER_CLASS,
    }
    if lean is not None:
        high = [f"f{j}" for j in range(1, params.n_features) if lean[j] > 0]
        details["lost_rather_where_f0_is_high"] = high
    notes = _missing_notes(params)
    return given_class.instance(params, streams, law, notes=notes, details=details)


def _classes(rng: Generator, n_classes: int, d: int) -> Mixture:
    """Draw classes that differ in means alone: covariance m is that of component m of each.

    So the accuracy falls to 1 / K when the means meet, whatever the dimension.
    """
    owner = np.repeat(np.arange(n_classes), PER_CLASS)
    again = np.tile(np.arange(PER_CLASS), n_classes)
    return Mixture(
        means=_means(rng, len(owner), d),
        loadings=on_grid(rng.uniform(-0.9, 0.9, (PER_CLASS, d, 2)), 3)[again],
        sd=on_grid(rng.uniform(0.6, 1.0, (PER_CLASS, d)), 3)[again],
        owner=owner,
        weights=_shares(rng, (n_classes, PER_CLASS)).ravel(),
        prior=np.full(n_classes, 1.0 / n_classes),
    )


def _missing_notes(params: TabularMissing) -> str:
    mechanism = {
        "MCAR": "completely at random (MCAR): whether a cell is there tells nothing",
        "MAR": "at random (MAR): `f0` is always there, and whether another cell is there depends "
        "on `f0` alone",
    }[params.mechanism]
    names = ", ".join(str(k) for k in range(params.n_classes))
    return (
        f"- `train.csv`: {params.n_samples:,} labelled rows, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, `target`.\n"
        f"- `test.csv`: {params.test_rows:,} rows, the same columns without `target`.\n\n"
        f"All features are numbers; a missing cell is empty. Cells are missing {mechanism}. "
        f"`target` is the class, one of {names}, each as likely as the others. Rows are "
        f"independent of each other and in no order; ids mean nothing."
    )


# --- clusters -----------------------------------------------------------------------------------


@on_one_thread
def clustering(params: Clustering, streams: Streams) -> Instance:
    """Draw overlapping ellipsoids of unequal size; the law is the true responsibilities.

    `params.ceiling` is the share of points that the true mixture gives to the right component.
    """
    mixture = _ellipsoids(streams.stream("structure"), params.n_clusters, params.n_features)
    pilot = given_class.pilot(streams)
    places = _places(mixture, pilot)

    def accuracy(separation: float) -> float:
        apart = replace(mixture, separation=separation)
        return float(apart.posterior(apart.sample(pilot, places)).max(axis=1).mean())

    separation = given_class.root(accuracy, params.ceiling, SMALLEST, LARGEST)
    found = replace(mixture, separation=separation)
    rows = unlabelled(params, streams, lambda part: found.sample(part, _places(found, part)))
    p = found.posterior(np.concatenate(rows.points))
    return Instance(
        public=rows.public,
        notes=_cluster_notes(params),
        contract=Contract(
            kind="clusters",
            ids=rows.ids,
            classes=tuple(str(k) for k in range(params.n_clusters)),
        ),
        answers=Answers(
            labels=np.concatenate([_places(found, part) for part in rows.test]),
            law=Categorical(p=p),
            trivial={"one cluster": np.broadcast_to(np.eye(params.n_clusters)[0], p.shape)},
        ),
        details={"separation": separation, "shares": found.prior, "means": found.means},
    )


def _ellipsoids(rng: Generator, n_clusters: int, d: int) -> Mixture:
    # The length of a loading does not grow with d, or shape alone would tell clusters apart.
    length = 1.5 / np.sqrt(d)
    return Mixture(
        means=_means(rng, n_clusters, d),
        loadings=on_grid(rng.uniform(-1.0, 1.0, (n_clusters, d, 2)) * length, 3),
        sd=np.broadcast_to(on_grid(rng.uniform(0.6, 1.0, d), 3), (n_clusters, d)),
        owner=np.arange(n_clusters),
        weights=np.ones(n_clusters),
        prior=_shares(rng, (1, n_clusters))[0],
    )


def _places(mixture: Mixture, part: Part) -> Ints:
    """Draw the component of each point, (n,)."""
    p = np.broadcast_to(mixture.prior, (part.n_rows, len(mixture.prior)))
    return draw_classes(p, part.stream("labels").random(part.n_rows))


def _cluster_notes(params: Clustering) -> str:
    return (
        f"- `train.csv`: {params.n_samples:,} points, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`.\n"
        f"- `test.csv`: {params.test_rows:,} points of the same population; their cluster is "
        f"asked for.\n\n"
        f"All features are numbers without missing cells. There are {params.n_clusters} clusters, "
        f"unequal in size and shape, which overlap. The names of clusters mean nothing: only "
        f"which points share one counts. Rows are in no order; ids mean nothing."
    )


# --- parts of both ------------------------------------------------------------------------------


def _means(rng: Generator, n: int, d: int) -> Floats:
    """Draw n places in a cube, kept apart: each is the farthest of some candidates (Mitchell)."""
    means = on_grid(rng.uniform(-1.0, 1.0, (1, d)), 3)
    for _ in range(n - 1):
        candidates = on_grid(rng.uniform(-1.0, 1.0, (CANDIDATES, d)), 3)
        square = np.zeros((CANDIDATES, len(means)))
        for j in range(d):  # a loop, because the last bits of a sum depend on the build
            gap = candidates[:, j : j + 1] - means[:, j]
            square += gap * gap
        means = np.vstack([means, candidates[square.min(axis=1).argmax()]])
    return means


def _shares(rng: Generator, shape: tuple[int, int]) -> Floats:
    """Draw shares that sum to 1 along the rows, none more than twice another."""
    tickets = rng.integers(3, 7, shape)
    shares: Floats = tickets / tickets.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlabelled:
    """Train and hidden rows of points whose origin nobody is told."""

    public: dict[str, Table]
    ids: Ints
    """Of the hidden rows."""
    test: list[Part]
    points: list[Floats]
    """The hidden rows, by part."""


def unlabelled(params: Sampled, streams: Streams, sample: Callable[[Part], Floats]) -> Unlabelled:
    """Draw the rows of both tables; the training rows are computed when they are asked for."""
    train = given_class.parts(streams, "train", params.n_samples)
    test = given_class.parts(streams, "test", params.test_rows)
    points = [sample(part) for part in test]
    return Unlabelled(
        public=given_class.both(
            train, lambda part: _named(sample(part)), test, [_named(x) for x in points]
        ),
        ids=given_class.ids_of(test, params.n_samples),
        test=test,
        points=points,
    )


def _named(x: Floats) -> Columns:
    return {f"f{j}": column for j, column in enumerate(x.T)}
