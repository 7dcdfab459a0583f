"""The law of a target after the knobs: p(y | what is shown), exact, by sums over what is lost.

A fickle column that is lost takes part as the sum over its values, weighed by its law given the
columns that are always there and by how likely each value was to get lost; every other corruption
can be undone by who knows it, and so leaves the posterior as it is. Sums are loops, so that the
bits of the law, and of labels drawn from it, are the same on every build.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets import scm
from tasks.datasets.columns import GROSS, LEVELS, SHOWN, UPPER, Leaf, Levels, Rows, World
from tasks.datasets.tabular import Function, softmax
from tasks.instance import Categorical, Floats, Gaussian, Ints, draw_classes, on_grid

Law = Categorical | Gaussian
Tilt = Callable[[Rows], Floats]
"""How likely a row is kept in test, (n,) in [0, 1]."""


class Model(Protocol):
    """The law of a target, in train and in test."""

    def draw(self, rows: Rows, rng: Generator, *, test: bool) -> NDArray[Any]:
        """Draw the target of rows, given all that acts on it, lost or not."""

    def law(self, rows: Rows, *, test: bool) -> Law:
        """Return the law of the target given what is shown."""

    def of_law(self, law: Law, rng: Generator) -> NDArray[Any]:
        """Draw targets from a law."""

    def proxy(self, target: NDArray[Any], rng: Generator) -> NDArray[Any]:
        """Return a column that tells of the target."""

    def told(self, law: Law, proxy: NDArray[Any]) -> Law:
        """Return the law of who also believes the proxy."""

    @property
    def tilt(self) -> Tilt | None:
        """Which rows are met in test more often than in train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """K functions of everything that acts on the target."""

    functions: tuple[Function, ...]
    offsets: tuple[float, ...]
    """Subtracted from the functions."""
    words: tuple[Floats, ...]
    """(K, L) effects of each column of words."""
    fickle: Floats
    """(q, K) effects of the fickle columns per unit."""

    def always(self, rows: Rows) -> Floats:
        """Return the part of the scores that is never lost, (K, n)."""
        found = np.empty((len(self.functions), rows.n))
        for k, function in enumerate(self.functions):
            found[k] = scm.evaluate(function, rows.x) - self.offsets[k]
            for column, effects in enumerate(self.words):
                found[k] += effects[k][rows.codes[column]]
        return found

    def full(self, rows: Rows) -> Floats:
        """Return the scores, (K, n)."""
        found = self.always(rows)
        for q, effects in enumerate(self.fickle):
            found += effects[:, None] * rows.fickle[q]
        return found

    def mixed(self, other: "Scores", share: float) -> "Scores":
        """Return (1 - share) times these scores plus share times the others."""

        def blend(mine: Floats, theirs: Floats) -> Floats:
            return (1 - share) * mine + share * theirs

        both = zip(self.functions, other.functions, strict=True)
        mine, theirs = np.array(self.offsets), np.array(other.offsets)
        return Scores(
            functions=tuple(_scaled(a, 1 - share) + _scaled(b, share) for a, b in both),
            offsets=tuple(blend(mine, theirs).tolist()),
            words=tuple(blend(a, b) for a, b in zip(self.words, other.words, strict=True)),
            fickle=blend(self.fickle, other.fickle),
        )


def _scaled(function: Function, factor: float) -> Function:
    return tuple(replace(term, weight=term.weight * factor) for term in function)


# --- label noise --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNoise:
    """How true classes become labels."""

    rate: float = 0.0
    """Share of labels replaced by any other class, each as likely."""
    by_margin: bool = False
    """Whether rows err in proportion to p(second class) / p(first class), `rate` being the
    factor."""
    matrix: Floats | None = None
    """(K, K) p(label | true class), in place of the rate."""

    def __call__(self, joint: Floats, clean: Floats) -> Floats:
        """Return (K, n) measures of labels from those of true classes.

        Args:
            joint: (K, n), of any total.
            clean: (K, n) p(true class | all columns) in train; says where the boundaries are.
        """
        if self.matrix is not None:
            return _through(joint, self.matrix)
        if not self.rate:
            return joint
        n_classes = len(joint)
        rate = self.chance(clean)
        each = rate / (n_classes - 1)
        noisy: Floats = joint * (1 - rate - each) + _total(joint) * each
        return noisy

    def chance(self, clean: Floats) -> Floats | float:
        """Return how likely the label of each row is wrong."""
        if not self.by_margin:
            return self.rate
        return np.minimum(self.rate * ambiguity(clean), 1 - 1 / len(clean))


def ambiguity(clean: Floats) -> Floats:
    """Return p(second class) / p(first class), (n,)."""
    first, second = np.maximum(clean[0], clean[1]), np.minimum(clean[0], clean[1])
    for p in clean[2:]:
        second = np.maximum(second, np.minimum(first, p))
        first = np.maximum(first, p)
    ratio: Floats = second / first
    return ratio


def _through(joint: Floats, matrix: Floats) -> Floats:
    noisy = np.zeros_like(joint)
    for true, label in zip(*np.nonzero(matrix), strict=True):
        noisy[label] += matrix[true, label] * joint[true]
    return noisy


def _total(parts: Floats) -> Floats:
    total = np.zeros(parts.shape[1])
    for part in parts:
        total += part
    return total


# --- classes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way in which lost cells may be filled: the rows it is possible for."""

    rows: Ints
    weight: Floats
    """p(filling, its loss | what is always there) of each, unscaled."""
    scores: Floats
    """(K, rows)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassModel:
    """K classes; p(true class | all columns) ∝ weight · softmax(scores · temperature)."""

    world: World
    train: Scores
    test: Scores
    temperature: float
    weights: Floats
    """(K,) odds by which the prevalence asked for is met."""
    noise: LabelNoise
    odds: Floats
    """(K,) p(true class) in test over that in train, where the shift is one of labels."""
    trap: float
    kept: Tilt | None = None
    """The tilt of a covariate shift."""

    def draw(self, rows: Rows, rng: Generator, *, test: bool) -> Ints:
        """Draw labels given all that acts on them."""
        p = self._joint((self.test if test else self.train).full(rows), test=test)
        return draw_classes((p / _total(p)).T, rng.random(rows.n))

    def law(self, rows: Rows, *, test: bool) -> Categorical:
        """Return p(label | what is shown), summing over what is lost."""
        return self.of_cases(self.cases(rows, test=test), rows.n, test=test)

    def cases(self, rows: Rows, *, test: bool) -> list["Case"]:
        """Return what rows may truly be, given what is shown; the temperature is no part of it."""
        scores = self.test if test else self.train
        always, shares = scores.always(rows), self._shares(rows)
        found = []
        for levels in product(range(LEVELS), repeat=len(shares)):
            weight = np.ones(rows.n)
            for q, level in enumerate(levels):
                weight *= shares[q][level]
            possible = np.flatnonzero(weight)
            here = always[:, possible]
            for q, level in enumerate(levels):
                here += (scores.fickle[q] * level)[:, None]
            found.append(Case(rows=possible, weight=weight[possible], scores=here))
        return found

    def of_cases(self, cases: Sequence["Case"], n: int, *, test: bool) -> Categorical:
        """Return p(label), (n, K), over the cases of n rows."""
        total = np.zeros((len(self.weights), n))
        for case in cases:
            if len(case.rows):
                total[:, case.rows] += case.weight * self._joint(case.scores, test=test)
        return Categorical(p=np.ascontiguousarray((total / _total(total)).T))

    def of_law(self, law: Law, rng: Generator) -> Ints:
        """Draw labels from a law."""
        p = law.p if isinstance(law, Categorical) else np.empty((0, 0))
        return draw_classes(p, rng.random(len(p)))

    def proxy(self, target: NDArray[Any], rng: Generator) -> Ints:
        """Return the label where the proxy tells, else any class."""
        other = rng.integers(0, len(self.weights), len(target))
        told: Ints = np.where(rng.random(len(target)) < self.trap, target, other)
        return told

    def told(self, law: Law, proxy: NDArray[Any]) -> Categorical:
        """Return p(label | what is shown, proxy) as it would be in train."""
        p = law.p if isinstance(law, Categorical) else np.empty((0, 0))
        n_classes = p.shape[1]
        channel = np.where(np.arange(n_classes) == proxy[:, None], self.trap, 0.0)
        joint = p * (channel + (1 - self.trap) / n_classes)
        return Categorical(p=joint / joint.sum(axis=1, keepdims=True))

    @property
    def tilt(self) -> Tilt | None:
        """Which rows are met in test more often than in train."""
        if (self.odds == 1.0).all():
            return self.kept
        return self.by_label

    def by_label(self, rows: Rows) -> Floats:
        """Return Σ odds · p(true class | all columns), as a share of the largest it can be."""
        clean = self.clean(self.train.full(rows))
        return _total(clean * (self.odds / self.odds.max())[:, None])

    def clean(self, scores: Floats) -> Floats:
        """Return p(true class | all columns) in train, (K, n)."""
        p = softmax(list(scores), self.temperature) * self.weights[:, None]
        found: Floats = p / _total(p)
        return found

    def _joint(self, scores: Floats, *, test: bool) -> Floats:
        clean = self.clean(scores)
        return self.noise(clean * self.odds[:, None] if test else clean, clean)

    def _shares(self, rows: Rows) -> list[Floats]:
        """Return for each fickle column p(level, its state | always there), (L, n), unscaled."""
        driver, found = rows.x[self.world.driver], []
        for q, law in enumerate(self.world.fickle):
            if not isinstance(law, Levels):
                raise TypeError("classes have fickle columns of whole numbers")
            given, state = law.given(driver), rows.state[q]
            share = np.empty((LEVELS, rows.n))
            for level in range(LEVELS):
                lost = self.world.chance(driver, np.full(rows.n, level >= UPPER))
                unseen = given[level] * np.where(state == GROSS, 1 - lost, lost)
                share[level] = np.where(state == SHOWN, rows.fickle[q] == level, unseen)
            found.append(share)
        return found


def random_matrix(rng: Generator, n_classes: int, rate: float) -> Floats:
    """Draw p(label | true class): classes err more or less often, by `rate` on average.

    Each class is mistaken for one or two others, rarely for the second.
    """
    share = 0.5 + np.arange(n_classes) / max(1, n_classes - 1)
    rates = on_grid(np.minimum(rate * share[rng.permutation(n_classes)], 0.9), 6)
    order = rng.permutation(n_classes)
    matrix = np.diag(1 - rates)
    for at, true in enumerate(order):
        first, second = order[(at + 1) % n_classes], order[(at + 2) % n_classes]
        if second == true:
            second = first
        matrix[true, first] += 0.75 * rates[true]
        matrix[true, second] += 0.25 * rates[true]
    return matrix


def odds_for(clean: Callable[[Floats], Floats], wanted: Sequence[float]) -> Floats:
    """Return class weights under which the mean of `clean(weights)` (K, n) is as wanted.

    Iterative proportional fitting; every step brings the shares closer (Deming & Stephan 1940).
    """
    weights = np.ones(len(wanted))
    for _ in range(200):
        found = clean(weights).mean(axis=1)
        weights = weights * (np.array(wanted) / np.maximum(found, 1e-12))
        weights = weights / weights.max()
        if np.abs(found - wanted).max() < 1e-5:  # noqa: PLR2004 - far below what rows resolve
            break
    # On a decimal grid relative to each weight, for the mean is a sum.
    return np.array([float(f"{weight:.6g}") for weight in weights])


# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueModel:
    """y = unit · (score - shift) / spread + location + noise, normal given what is shown."""

    world: World
    train: Scores
    test: Scores
    shift: float
    spread: float
    unit: float
    location: float
    noise: float
    """Standard deviation of the noise in units of `unit`."""
    uneven: tuple[int, float] | None
    """The number whose size the noise grows with, and what makes its mean square 1."""
    trap: float
    kept: Tilt | None = None

    def draw(self, rows: Rows, rng: Generator, *, test: bool) -> Floats:
        """Draw values given all that acts on them."""
        score = (self.test if test else self.train).full(rows)[0]
        noise = self.unit * self.noise * self.size(rows)
        return on_grid(self._value(score) + noise * rng.standard_normal(rows.n))

    def law(self, rows: Rows, *, test: bool) -> Gaussian:
        """Return the normal law given what is shown: what is lost adds to the variance."""
        score, lost = self.known(rows, test=test)
        noise = self.noise * self.size(rows)
        sd = self.unit * np.sqrt(noise * noise + lost / (self.spread * self.spread))
        return Gaussian(mean=self._value(score), sd=sd)

    def known(self, rows: Rows, *, test: bool) -> tuple[Floats, Floats]:
        """Return the score's mean and variance given what is shown."""
        scores = self.test if test else self.train
        score, lost = scores.always(rows)[0], np.zeros(rows.n)
        driver = rows.x[self.world.driver]
        for q, law in enumerate(self.world.fickle):
            if not isinstance(law, Leaf):
                raise TypeError("values have fickle columns of reals")
            effect, seen = scores.fickle[q, 0], rows.state[q] == SHOWN
            score = score + effect * np.where(seen, rows.fickle[q], law.slope * driver)
            lost = lost + np.where(seen, 0.0, (effect * law.spread) ** 2)
        return score, lost

    def size(self, rows: Rows) -> Floats:
        """Return the noise of each row as a multiple of its usual size."""
        if self.uneven is None:
            return np.ones(rows.n)
        column, scale = self.uneven
        return roughness(rows.x[column]) / scale

    def of_law(self, law: Law, rng: Generator) -> Floats:
        """Draw values from a law."""
        if not isinstance(law, Gaussian):
            raise TypeError("values have normal laws")
        return on_grid(law.mean + law.sd * rng.standard_normal(len(law.mean)))

    def proxy(self, target: NDArray[Any], rng: Generator) -> Floats:
        """Return the target plus noise."""
        return on_grid(target + self._blur * rng.standard_normal(len(target)))

    def told(self, law: Law, proxy: NDArray[Any]) -> Gaussian:
        """Return the law given also target-plus-noise, as it would be in train."""
        if not isinstance(law, Gaussian):
            raise TypeError("values have normal laws")
        variance = law.sd * law.sd
        trust = variance / (variance + self._blur * self._blur)
        return Gaussian(mean=law.mean + trust * (proxy - law.mean), sd=law.sd * np.sqrt(1 - trust))

    @property
    def tilt(self) -> Tilt | None:
        """Which rows are met in test more often than in train."""
        return self.kept

    @property
    def _blur(self) -> float:
        return self.unit * float(np.sqrt(1 / self.trap - 1))

    def _value(self, score: Floats) -> Floats:
        value: Floats = (score - self.shift) * (self.unit / self.spread) + self.location
        return value


def roughness(x: Floats) -> Floats:
    """Return how uneven noise grows with the size of a column."""
    rough: Floats = 0.3 + np.minimum(np.abs(x), 3.0)
    return rough
