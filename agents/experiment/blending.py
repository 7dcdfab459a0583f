"""Out-of-fold predictions of several models, blended greedily; decisions made on the blend."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from arrays import Floats, Ints

ROUNDS = 20
"""Picks of the greedy blend, with replacement (Caruana et al. 2004)."""
TINY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One fitted setting: its predictions on held-out train rows and on the test rows."""

    name: str
    held_out: Floats
    """(n_held_out, k) aligned with `Blend.truth`."""
    test: Floats
    """(n_test, k)."""


@dataclass(slots=True, kw_only=True)
class Blend:
    """A pool of members and the loss by which they are weighed."""

    truth: Floats
    """(n_held_out, k) one-hot classes, or values."""
    classes: bool
    members: list[Member] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)

    def loss(self, prediction: Floats) -> float:
        """Log-loss of probabilities, or mean squared error of values."""
        if self.classes:
            return float(-(self.truth * np.log(np.clip(prediction, TINY, 1))).sum(axis=1).mean())
        return float(((prediction - self.truth) ** 2).mean())

    def best(self) -> Member:
        """Weigh the members; the blend's own predictions come back as one member."""
        counts = np.zeros(len(self.members))
        total = np.zeros_like(self.truth)
        for picked in range(1, ROUNDS + 1):
            losses = [self.loss((total + m.held_out) / picked) for m in self.members]
            choice = int(np.argmin(losses))
            counts[choice] += 1
            total = total + self.members[choice].held_out
        shares = counts / counts.sum()
        self.weights = {
            m.name: round(float(w), 3) for m, w in zip(self.members, shares, strict=True) if w > 0
        }
        return Member(
            name="blend",
            held_out=self._mix(shares, [m.held_out for m in self.members]),
            test=self._mix(shares, [m.test for m in self.members]),
        )

    @staticmethod
    def _mix(shares: Floats, parts: list[Floats]) -> Floats:
        mixed = np.zeros_like(parts[0])
        for share, part in zip(shares, parts, strict=True):
            if share > 0:
                mixed += share * part
        return mixed


# --- from probabilities to classes -----------------------------------------------------------


def _recalls(confusion: Floats) -> Floats:
    shares: Floats = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
    return shares


def _precisions(confusion: Floats) -> Floats:
    shares: Floats = np.diag(confusion) / np.maximum(confusion.sum(axis=0), 1)
    return shares


def _f1(confusion: Floats) -> float:
    sums = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float((2 * np.diag(confusion) / np.maximum(sums, 1)).mean())


def _mcc(confusion: Floats) -> float:
    n, true, said = confusion.sum(), confusion.sum(axis=1), confusion.sum(axis=0)
    spread = np.sqrt(float(n**2 - said @ said)) * np.sqrt(float(n**2 - true @ true))
    return float((np.trace(confusion) * n - true @ said) / spread) if spread > 0 else 0.0


def _kappa(confusion: Floats) -> float:
    n, chance = confusion.sum(), float(confusion.sum(axis=1) @ confusion.sum(axis=0))
    return float((np.trace(confusion) * n - chance) / max(n**2 - chance, TINY))


DECISIONS: dict[str, Callable[[Floats], float]] = {
    "accuracy": lambda c: float(np.trace(c) / c.sum()),
    "balanced_accuracy": lambda c: float(_recalls(c).mean()),
    "f1": _f1,
    "f1_score": _f1,
    "f1_macro": _f1,
    "precision": lambda c: float(_precisions(c).mean()),
    "recall": lambda c: float(_recalls(c).mean()),
    "mcc": _mcc,
    "kappa": _kappa,
    "cohen_kappa": _kappa,
}
"""Measures of decided classes, from a confusion matrix (true, said)."""


def decide(p: Floats, prior: Floats, exponent: float) -> Ints:
    """Choose the class with the largest p / prior**exponent: 0 for accuracy, 1 for recall."""
    codes: Ints = (p / np.maximum(prior, TINY) ** exponent).argmax(axis=1)
    return codes


def best_exponent(p: Floats, codes: Ints, measure: str) -> tuple[float, float]:
    """Return the exponent of `decide` that does best by `measure`, and that score."""
    prior = np.bincount(codes, minlength=p.shape[1]) / len(codes)
    grid = [0.0] if measure == "accuracy" else list(np.linspace(0, 1.2, 13))
    scores = [DECISIONS[measure](_confusion(codes, decide(p, prior, e), p.shape[1])) for e in grid]
    best = int(np.argmax(scores))
    return float(grid[best]), float(scores[best])


def _confusion(true: Ints, said: Ints, k: int) -> Floats:
    counts: Floats = np.bincount(true * k + said, minlength=k * k).reshape(k, k).astype(np.float64)
    return counts


def folds(n: int, codes: Ints | None) -> list[tuple[Ints, Ints]]:
    """Split n rows into (fit, hold out) pairs: five folds, three, or one tenth held out."""
    shuffled = np.random.default_rng(0).permutation(n)
    if codes is not None:  # deal each class out evenly
        shuffled = shuffled[np.argsort(codes[shuffled], kind="stable")]
    n_folds = 5 if n <= 4000 else 3 if n <= 30_000 else 10  # noqa: PLR2004 - see the docstring
    part = np.empty(n, dtype=np.int64)
    part[shuffled] = np.arange(n) % n_folds
    used = 1 if n > 30_000 else n_folds  # noqa: PLR2004 - one split of many rows is enough
    return [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(used)]
