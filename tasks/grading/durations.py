"""Times until an event: the order of predictions against the order of times.

The law of a row is Weibull with a shape common to all, so that of two rows the chance which comes
first is in closed form; the expected concordance of a ranking is then exact.
"""

import math

import numpy as np

from tasks.grading.measures import Estimate
from tasks.grading.prediction import Prediction
from tasks.instance import Durations, Floats

BLOCK = 256
"""Rows that are compared with all others at once."""
SMALLEST_TIME = 1e-12


def realised(times: Floats) -> Durations:
    """Return the law without spread of times that are known."""
    return Durations(scale=times, shape=math.inf)


def sooner(law: Durations, rows: slice) -> Floats:
    """Return p(T_j < T_i) for i in `rows` and every j, (rows, n); a half for equal times."""
    logs = np.log(np.maximum(law.scale, SMALLEST_TIME))
    gap = logs[rows, None] - logs
    if math.isinf(law.shape):
        known: Floats = (gap > 0) + 0.5 * (gap == 0)
        return known
    p: Floats = 1.0 / (1.0 + np.exp(np.clip(-law.shape * gap, -700.0, 700.0)))
    return p


def concordance(prediction: Prediction, law: Durations) -> Estimate:
    """Return the expected share of pairs in the right order (Harrell et al. 1982).

    Tied predictions count half. Every pair is compared, as hidden times are not censored.
    """
    if prediction.values is None:
        raise ValueError("the prediction holds no values")
    said, n = prediction.values, len(prediction.values)
    if n < 2:  # noqa: PLR2004 - no pair
        return Estimate(value=0.5, influence=np.zeros(n))
    right = np.empty(n)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        p = sooner(law, rows)
        gap = said[rows, None] - said
        agree = np.where(gap > 0, p, np.where(gap < 0, 1.0 - p, 0.5))
        own = np.arange(rows.start, rows.stop)
        agree[own - start, own] = 0.0
        right[rows] = agree.sum(axis=1) / (n - 1)
    value = float(right.mean())
    return Estimate(value=value, influence=2 * (right - value) / n)


def decide(law: Durations) -> Prediction:
    """Return the median time of each row, whose order is the best there is."""
    return Prediction(values=law.scale * math.log(2) ** (1 / law.shape))


def leak_z(prediction: Prediction, law: Durations, times: Floats) -> float | None:
    """Return z, standard normal for whoever has seen no hidden time.

    F(T) is uniform whatever the features; it must not go with how far up a row is ranked
    compared with where the law has it.
    """
    if prediction.values is None:
        return None
    surprise = 0.5 - np.exp(-((times / law.scale) ** law.shape))
    lean = _ranks(prediction.values) - _ranks(law.scale)
    spread = float(np.sum(lean**2)) / 12
    return float(np.sum(lean * surprise)) / math.sqrt(spread) if spread > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Return the share of rows below, of ties the mean one."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    ranks: Floats = middle[inverse] / len(values)
    return ranks
