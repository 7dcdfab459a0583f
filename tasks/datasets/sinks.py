"""What families share whose hidden answers are a sink of a random causal table.

Answers depend on the columns as they are written, after rounding, so a law in closed form holds
for the data as stored (tier E). Public data and labels come of IEEE-exact operations alone.
"""

from dataclasses import dataclass

import numpy as np

from tasks.datasets import scm
from tasks.datasets.given_class import Part
from tasks.instance import Floats, Streams, on_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The law of the columns, which of them matter, and a pilot sample."""

    covariates: scm.Covariates
    relevant: tuple[int, ...]
    pilot: Floats
    """(n_features, PILOT_ROWS) as stored."""

    def sample(self, part: Part) -> Floats:
        """Draw rows as stored, (n_features, n)."""
        return on_grid(self.covariates.sample(part.stream("features"), part.n_rows))


def frame(n_features: int, streams: Streams) -> Frame:
    """Draw a causal graph; six tenths of its columns matter, of many at most twelve."""
    structure = streams.stream("structure")
    pilot = streams.stream("pilot").standard_normal((n_features, scm.PILOT_ROWS), dtype=np.float32)
    covariates = scm.random_covariates(structure, n_features, pilot)
    n_relevant = min(12, max(2, round(0.6 * n_features)))
    relevant = tuple(sorted(int(j) for j in structure.permutation(n_features)[:n_relevant]))
    return Frame(covariates=covariates, relevant=relevant, pilot=on_grid(pilot))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A function of the columns with mean 0 and variance 1 over the pilot rows."""

    terms: tuple[scm.Term, ...]
    shift: float
    scale: float

    @classmethod
    def of(cls, terms: tuple[scm.Term, ...], pilot: Floats) -> "Score":
        """Standardise a sum of terms by the pilot columns, (n_features, n)."""
        shift, scale = scm.moments(scm.evaluate(terms, pilot))
        return cls(terms=terms, shift=shift, scale=scale)

    def __call__(self, x: Floats) -> Floats:
        """Return the score of each row, (n,); `x` is (n_features, n)."""
        score: Floats = (scm.evaluate(self.terms, x) - self.shift) / self.scale
        return score

    def describe(self) -> list[dict[str, object]]:
        """Return what a manifest tells about the terms."""
        return [term.describe() for term in self.terms]


def logistic(score: Floats) -> Floats:
    """Return 1 / (1 + h(-s / 8)⁸), h(v) = v + √(v² + 1), for each score s.

    h is an algebraic stand-in for exp: the logistic function but for its tails, and the same bits
    on every machine.
    """
    v = np.abs(score) / 8
    h = 1.0 / (np.sqrt(v * v + 1.0) + v)  # h(-v), without cancellation
    h *= h
    h *= h
    h *= h
    away = h / (1.0 + h)
    return np.where(score > 0, 1.0 - away, away)


def growth(score: Floats) -> Floats:
    """Return h(s / 4)⁴, h(v) = v + √(v² + 1): a stand-in for exp, the same bits everywhere."""
    v = np.abs(score) / 4
    h = np.sqrt(v * v + 1.0) + v
    h *= h
    h *= h
    return np.where(score > 0, h, 1.0 / h)


def named(x: Floats) -> dict[str, Floats]:
    """Return the columns by name, `f0` first."""
    return {f"f{j}": column for j, column in enumerate(x)}
