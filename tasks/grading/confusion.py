"""Functions of the (expected) confusion matrix, (K, K): row true class, column predicted class.

Each returns its value and the gradient by the entries of the matrix, from which the influence of
each row follows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tasks.instance import Floats, Ints

Costs = Sequence[Sequence[float]]
BLOCK_ROWS = 16_384
"""Rows of probabilities that are turned into columns at once, within a core's cache."""


def by_column(weights: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows, each as (K, rows): a strided column would be read from memory."""
    for start in range(0, len(weights), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        yield rows, np.ascontiguousarray(weights[rows].T)


def confusion(weights: Floats, codes: Ints) -> Floats:
    """Return (K, K): row true class, column predicted class, counts or expected counts."""
    n_classes = weights.shape[1]
    counts = np.zeros((n_classes, n_classes))
    for rows, columns in by_column(weights):
        for k, column in enumerate(columns):
            counts[k] += np.bincount(codes[rows], column, n_classes)
    return counts


def accuracy(c: Floats) -> tuple[float, Floats]:
    """Share of right classes, and its gradient by the entries of the confusion matrix."""
    value = float(np.trace(c) / c.sum())
    return value, (np.eye(len(c)) - value) / c.sum()


def recall(c: Floats) -> tuple[float, Floats]:
    """Mean recall over the classes that occur; the same as balanced accuracy."""
    rows = c.sum(axis=1)
    there = rows > 0
    n_there = np.count_nonzero(there)
    each, by = _divided(c.diagonal(), rows), _divided(1.0, rows)
    gradient = (np.eye(len(c)) - each[:, None]) * by[:, None] / n_there
    return float(each[there].sum() / n_there), gradient


def macro_recall(c: Floats) -> tuple[float, Floats]:
    """Mean recall over all classes seen in labels or predictions, as scikit-learn averages."""
    value, gradient = recall(c)
    share = (c.sum(axis=1) > 0).sum() / _seen(c).sum()
    return float(value * share), gradient * share


def precision(c: Floats) -> tuple[float, Floats]:
    """Mean precision; a class never predicted has precision 0."""
    columns = c.sum(axis=0)
    each, by = _divided(c.diagonal(), columns), _divided(1.0, columns)
    n_seen = _seen(c).sum()
    return float(each.sum() / n_seen), (np.eye(len(c)) - each[None, :]) * by / n_seen


def f1(c: Floats) -> tuple[float, Floats]:
    """Macro-averaged F1."""
    both = c.sum(axis=0) + c.sum(axis=1)
    each, by = _divided(2 * c.diagonal(), both), _divided(1.0, both)
    n_seen = np.count_nonzero(both > 0)
    share = each * by
    gradient = (2 * np.diag(by) - share[None, :] - share[:, None]) / n_seen
    return float(each.sum() / n_seen), gradient


def _divided(part: Floats | float, whole: Floats) -> Floats:
    """Return part / whole, and 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def mcc(c: Floats) -> tuple[float, Floats]:
    """Matthews correlation coefficient of K classes (Gorodkin 2004); 0 where undefined."""
    total, true, predicted = c.sum(), c.sum(axis=1), c.sum(axis=0)
    over = np.trace(c) * total - true @ predicted
    a, b = total**2 - predicted @ predicted, total**2 - true @ true
    if a <= 0 or b <= 0:
        return 0.0, np.zeros_like(c)
    root = np.sqrt(a * b)
    d_over = np.trace(c) + total * np.eye(len(c)) - true[None, :] - predicted[:, None]
    d_a, d_b = 2 * (total - predicted)[None, :], 2 * (total - true)[:, None]
    value = float(over / root)
    return value, d_over / root - value * (d_a / a + d_b / b) / 2


def cost_matrix(costs: Costs, n_classes: int) -> Floats:
    """Return (K, K) costs; every mistake costs 1 where none are named."""
    return np.asarray(costs, dtype=np.float64) if len(costs) else 1 - np.eye(n_classes)


def expected_cost(c: Floats, costs: Costs) -> tuple[float, Floats]:
    """Mean cost of what was said where something else was true (Elkan 2001)."""
    cost = cost_matrix(costs, len(c))
    value = float(np.sum(c * cost) / c.sum())
    return value, (cost - value) / c.sum()


def kappa(c: Floats) -> tuple[float, Floats]:
    """Cohen's kappa (1960): agreement beyond chance; 0 where undefined."""
    return _weighted_kappa(c, 1 - np.eye(len(c)))


def quadratic_kappa(c: Floats) -> tuple[float, Floats]:
    """Cohen's kappa (1968) of classes in order, a miss by d classes weighing d²."""
    positions = np.arange(len(c), dtype=np.float64)
    return _weighted_kappa(c, np.subtract.outer(positions, positions) ** 2)


def _weighted_kappa(c: Floats, cost: Floats) -> tuple[float, Floats]:
    total, true, predicted = c.sum(), c.sum(axis=1), c.sum(axis=0)
    chance = float(true @ cost @ predicted / total)
    if chance <= 0:
        return 0.0, np.zeros_like(c)
    ratio = float(np.sum(cost * c)) / chance
    d_chance = ((cost @ predicted)[:, None] + (true @ cost)[None, :] - chance) / total
    return 1 - ratio, (ratio * d_chance - cost) / chance


def _seen(c: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    seen: np.ndarray[tuple[int], np.dtype[np.bool_]] = (c.sum(axis=0) + c.sum(axis=1)) > 0
    return seen


OfConfusion = Callable[[Floats], tuple[float, Floats]]

OF_CONFUSION: Mapping[str, OfConfusion] = {
    "accuracy": accuracy,
    "balanced_accuracy": recall,
    "recall": macro_recall,
    "precision": precision,
    "f1": f1,
    "mcc": mcc,
    "kappa": kappa,
    "quadratic_kappa": quadratic_kappa,
}
"""Measures that the confusion matrix determines, with their gradients."""
