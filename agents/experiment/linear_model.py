"""Sparse linear models on a spline and product basis; numpy only, so that they start at once."""

from dataclasses import dataclass

import numpy as np
from arrays import Booleans, Floats, Ints

KNOTS = 5
MAX_CROSSED = 14
"""Columns whose pairwise products enter; beyond, the ones with the strongest main effects."""
CLIP = 4.0
STEPS = 120
"""Proximal gradient steps per penalty; the path is warm-started, so few are needed."""
PENALTIES = (0.1, 0.05, 0.025, 0.012, 0.006, 0.003)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Mean and standard deviation of columns."""

    mean: Floats
    sd: Floats

    @classmethod
    def of(cls, x: Floats) -> "Scale":
        """Measure the columns of (n, d); constant ones get a scale of 1."""
        sd = x.std(axis=0)
        return cls(mean=x.mean(axis=0), sd=np.where(sd > 1e-9, sd, 1.0))  # noqa: PLR2004 - a column that is constant but for rounding

    def __call__(self, x: Floats) -> Floats:
        """Standardise (n, d)."""
        scaled: Floats = (x - self.mean) / self.sd
        return scaled


class Basis:
    """Hinges and steps at quantiles of each column, and products of pairs of columns."""

    def __init__(self, x: Floats, y: Floats, numeric: Booleans) -> None:
        """Place the knots.

        Args:
            x: (n, d) without missing cells.
            y: (n, k) targets, to rank the columns whose products enter.
            numeric: (d,) whether a column is a number; others enter as they are.
        """
        self.scale = Scale.of(x)
        scaled = self._clipped(x)
        distinct = np.array([len(np.unique(column[:2000])) for column in scaled.T])
        self.bent = np.flatnonzero(numeric & (distinct > KNOTS))
        levels = np.linspace(0, 1, KNOTS + 2)[1:-1]
        self.knots = np.quantile(scaled[:, self.bent], levels, axis=0)
        self.crossed = np.flatnonzero(numeric)
        if len(self.crossed) > MAX_CROSSED:
            self.crossed = self._strongest(scaled, y)
        self.rescale = Scale.of(self._expand(scaled))

    def __call__(self, x: Floats) -> Floats:
        """Return the standardised basis of (n, d) as float32."""
        return self.rescale(self._expand(self._clipped(x))).astype(np.float32)

    def _clipped(self, x: Floats) -> Floats:
        clipped: Floats = np.clip(self.scale(x), -CLIP, CLIP)
        return clipped

    def _strongest(self, scaled: Floats, y: Floats) -> Ints:
        centred = y - y.mean(axis=0)
        candidates = self.crossed
        effect = np.zeros(len(candidates))
        for shape in (scaled[:, candidates], np.abs(scaled[:, candidates])):
            effect += np.abs((shape - shape.mean(axis=0)).T @ centred).sum(axis=1)
        order = np.argsort(-effect, kind="stable")
        strongest: Ints = np.sort(candidates[order[:MAX_CROSSED]])
        return strongest

    def _expand(self, scaled: Floats) -> Floats:
        parts = [scaled]
        bent = scaled[:, self.bent]
        for knot in self.knots:
            parts += [np.maximum(bent - knot, 0), (bent > knot).astype(scaled.dtype)]
        first, second = np.triu_indices(len(self.crossed), 1)
        product = scaled[:, self.crossed[first]] * scaled[:, self.crossed[second]]
        parts += [product, (product > 0).astype(scaled.dtype)]
        return np.hstack(parts)


def softmax(scores: Floats) -> Floats:
    """Return row-wise probabilities of (n, K) scores."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    p: Floats = powers / powers.sum(axis=1, keepdims=True)
    return p


def path(x: Floats, y: Floats, *, classes: bool) -> list[Floats]:
    """Fit L1-penalised softmax or least-squares models, one per penalty, largest first.

    Args:
        x: (n, d) standardised columns.
        y: (n, k): one-hot classes, or standardised targets.
        classes: Whether the loss is the softmax's.

    Returns:
        Per penalty the (d + 1, k) coefficients, the intercept last.

    Source: FISTA with adaptive restart (Beck & Teboulle 2009; O'Donoghue & Candès 2015).
    """
    x = np.hstack([x, np.ones((len(x), 1), dtype=x.dtype)])
    y = y.astype(x.dtype)
    step = 1.0 / (_largest_curvature(x) * (0.5 if classes else 1.0))
    weights = np.zeros((x.shape[1], y.shape[1]), dtype=x.dtype)
    found = []
    for penalty in PENALTIES:
        weights = _descend(x, y, weights, step=step, penalty=penalty, classes=classes)
        found.append(weights)
    return found


def predict(x: Floats, weights: Floats, *, classes: bool) -> Floats:
    """Return (n, k) probabilities or values of (n, d) standardised columns."""
    scores = x @ weights[:-1] + weights[-1]
    return softmax(scores.astype(np.float64)) if classes else scores.astype(np.float64)


def _largest_curvature(x: Floats) -> float:
    direction = np.ones(x.shape[1], dtype=x.dtype)
    size = 1.0
    for _ in range(25):
        direction = x.T @ (x @ direction) / len(x)
        size = float(np.linalg.norm(direction))
        direction /= size
    return 1.05 * size


def _descend(
    x: Floats, y: Floats, weights: Floats, *, step: float, penalty: float, classes: bool
) -> Floats:
    threshold = np.full((len(weights), 1), step * penalty, dtype=x.dtype)
    threshold[-1] = 0  # the intercept goes free
    ahead, momentum = weights, 1.0
    for _ in range(STEPS):
        scores = x @ ahead
        residual = (softmax(scores) if classes else scores) - y
        moved = ahead - x.dtype.type(step / len(x)) * (x.T @ residual)
        new = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0)
        if np.vdot(ahead - new, new - weights) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + x.dtype.type((momentum - 1) / following) * (new - weights)
        weights, momentum = new, following
    return weights
