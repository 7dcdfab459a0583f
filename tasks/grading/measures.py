"""The arithmetic of the measures, in NumPy: one function serves realised labels and their law.

A realised label is a law without spread (one-hot probabilities, or a standard deviation of 0), so
the score on labels and the score on the posterior are the same function of another target
(Rao-Blackwell: the posterior score is the expectation of the label score given the features).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks.grading.confusion import BLOCK_ROWS as BLOCK_ROWS
from tasks.grading.confusion import (
    OF_CONFUSION,
    Costs,
    OfConfusion,
    by_column,
    confusion,
    expected_cost,
)
from tasks.grading.normal import absolute_error, pinball_loss
from tasks.grading.prediction import Prediction
from tasks.instance import Categorical, Floats, Gaussian, Ints, Mixture

Numbers = Gaussian | Mixture
Target = Categorical | Numbers

EXPECTED_COST = "expected_cost"

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to this in log loss, as scikit-learn does."""

FEW_CLASSES = 16

FEW_GROUPS = 8
"""Fewer groups of dependent rows are taken for stationary series, not for draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measure's value, and how each row moves it."""

    value: float
    influence: Floats
    """(n,) first-order influence of each row; they sum to about 0."""

    def standard_error(self, groups: Ints | None = None) -> float:
        """Return the standard error over test rows; rows of one group count as one draw.

        So few groups tell nothing by how they differ: there the rows of a group, in their order,
        are taken for a stationary series, and the error is that of the score on these very groups.
        """
        moved: Floats = self.influence
        largest = float(np.abs(moved).max(initial=0.0)) or 1.0  # squares may overflow
        if groups is not None:
            series = [moved[groups == group] / largest for group in np.unique(groups)]
            if len(series) < FEW_GROUPS:
                return largest * _long_run_error(series)
            moved = np.bincount(groups, weights=moved).astype(np.float64)
            largest = float(np.abs(moved).max(initial=0.0)) or 1.0
        return largest * float(np.sqrt(np.sum((moved / largest) ** 2)))


def _long_run_error(series: Sequence[Floats]) -> float:
    """Return the standard error of the sum of some series of dependent terms.

    The variance of a sum is that of the slowest cosines of the series, whose equal-weighted mean
    estimates it; as these are few, the error is widened so that ± 1.96 of it hold 95 %.

    Source: the EWC estimator of Lazarus, Lewis, Stock & Watson (2018), JBES 36(4), with its
    0.4 T^(2/3) terms and Student's t (by Cornish & Fisher's expansion).
    """
    variance, freedom = 0.0, 0
    for terms in series:
        n = len(terms)
        n_waves = min(n - 1, max(3, int(0.4 * n ** (2 / 3))))
        if n_waves > 0:
            angle = np.pi * (np.arange(n) + 0.5) / n
            waves = np.cos(np.arange(1, n_waves + 1)[:, None] * angle)
            variance += 2 * float(np.mean((waves @ terms) ** 2))
            freedom += n_waves
    return float(np.sqrt(variance)) * _student(freedom) if freedom else 0.0


def _student(freedom: int) -> float:
    """Return the ratio of Student's 97.5 % quantile to the normal one; 4 % low at 3 degrees."""
    z = 1.96
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t / z


def one_hot(codes: Ints, n_classes: int) -> Floats:
    """Return (n, K) of 0 and 1; a code outside 0 … K-1 gives a row of 0."""
    found = np.zeros((len(codes), n_classes))
    known = (codes >= 0) & (codes < n_classes)
    if known.all():
        found[np.arange(len(codes)), codes] = 1.0
    else:
        found[np.flatnonzero(known), codes[known]] = 1.0
    return found


def labels_of(prediction: Prediction) -> Ints:
    """Return predicted class codes; without them the most probable class."""
    return prediction.codes if prediction.codes is not None else top(_probabilities(prediction))


def top(p: Floats) -> Ints:
    """Return the position of the largest entry of each row; the first of equal ones.

    Column by column: over few classes that is ten times as fast as `argmax(axis=1)`.
    """
    if p.strides[0] == 0 and len(p):  # one row, said of all
        return np.full(len(p), int(p[0].argmax()), dtype=np.int64)
    if p.shape[1] > FEW_CLASSES:
        found: Ints = p.argmax(axis=1)
        return found
    codes = np.zeros(len(p), dtype=np.int64)
    for rows, columns in by_column(p):
        largest = columns[0]
        for k, column in enumerate(columns[1:], start=1):
            np.copyto(codes[rows], k, where=column > largest)
            largest = np.maximum(largest, column)
    return codes


def estimate(
    name: str,
    prediction: Prediction,
    target: Target,
    scale: Floats | None = None,
    costs: Costs = (),
) -> Estimate:
    """Score a prediction by the canonical measure `name`.

    Args:
        name: A key of `tasks.measures.MEASURES`.
        prediction: n rows.
        target: Realised labels or their law, n rows.
        scale: (n,) seasonal-naive errors, for MASE.
        costs: (K, K) what it costs to say the class of the column where that of the row is true,
            for the expected cost.
    """
    if isinstance(target, Categorical):
        if (function := of_confusion(name, costs)) is not None:
            return Crossed(target.p, labels_of(prediction)).estimate(function)
        return _CLASSES[name](prediction, target.p)
    return _VALUES[name](prediction, target, scale)


# --- classes: functions of the confusion matrix ------------------------------------------------


class Crossed:
    """Predicted classes against true ones, for all measures that their matrix determines."""

    def __init__(self, weights: Floats, codes: Ints, labels: Ints | None = None) -> None:
        """Cross them.

        Args:
            weights: (n, K) the law of the true classes.
            codes: (n,) predicted classes.
            labels: (n,) the true classes, where `weights` is sure of each.
        """
        self._weights, self._codes = weights, codes
        self._cells: Ints | None = None
        """(n,) the entry of the flat matrix that each row counts in, if it is one alone."""
        self._matrix: Floats
        if labels is None:
            self._matrix = confusion(weights, codes)
        else:
            k = weights.shape[1]
            self._cells = labels * k + codes
            counts = np.bincount(self._cells, minlength=k * k)
            self._matrix = counts.reshape(k, k).astype(np.float64)

    def estimate(self, function: OfConfusion) -> Estimate:
        """Return a function of the matrix, and how each row moves it."""
        value, gradient = function(self._matrix)
        if self._cells is not None:
            return Estimate(value=value, influence=gradient.take(self._cells))
        influence = np.zeros(len(self._codes))
        for rows, columns in by_column(self._weights):
            for column, moved in zip(columns, gradient, strict=True):
                influence[rows] += column * moved[self._codes[rows]]
        return Estimate(value=value, influence=influence)


def of_confusion(name: str, costs: Costs = ()) -> OfConfusion | None:
    """Return what a measure makes of the confusion matrix; None where it takes more, or less."""
    if name == EXPECTED_COST:
        return partial(expected_cost, costs=costs)
    return None if name == "accuracy" else OF_CONFUSION.get(name)


def _accuracy(prediction: Prediction, weights: Floats) -> Estimate:
    """Return what `accuracy` says of the confusion matrix, from its diagonal alone."""
    return mean(weights[np.arange(len(weights)), labels_of(prediction)])


def hit_rate(prediction: Prediction, labels: Ints) -> Estimate:
    """Return `accuracy` on realised labels: as of the law that is sure of each, but unwritten."""
    return mean((labels_of(prediction) == labels).astype(np.float64))


# --- classes: functions of probabilities -------------------------------------------------------


def _probabilities(prediction: Prediction) -> Floats:
    if prediction.p is None:
        raise ValueError("the prediction holds no probabilities")
    return prediction.p


def mean(losses: Floats) -> Estimate:
    """Return the mean of what each row says, (n,)."""
    value = float(losses.mean())
    return Estimate(value=value, influence=(losses - value) / len(losses))


def average(each: Sequence[Estimate]) -> Estimate:
    """Return the mean of measures of the same rows."""
    return Estimate(
        value=float(np.mean([found.value for found in each])),
        influence=np.mean([found.influence for found in each], axis=0),
    )


def _log_loss(prediction: Prediction, weights: Floats) -> Estimate:
    q = _probabilities(prediction)
    q = np.clip(q / q.sum(axis=1, keepdims=True), SMALLEST, 1.0)
    return mean(-np.sum(weights * np.log(q), axis=1))


def _brier(prediction: Prediction, weights: Floats) -> Estimate:
    q = _probabilities(prediction)
    return mean(np.sum(q**2 - 2 * q * weights + weights, axis=1))


def _map_at(k: int) -> Callable[[Prediction, Floats], Estimate]:
    """Mean over rows of 1 / rank of the right class, 0 beyond rank k; ties by class order."""

    def measure(prediction: Prediction, weights: Floats) -> Estimate:
        q = _probabilities(prediction)
        first = np.argsort(-q, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(weights, first, axis=1)
        return mean(found @ (1 / np.arange(1.0, 1 + first.shape[1])))

    return measure


def _roc_auc(prediction: Prediction, weights: Floats) -> Estimate:
    """One-vs-rest ROC AUC, macro-averaged over the classes that occur and do not fill all."""
    asked = _asked(weights)
    return mean_auc(_probabilities(prediction)[:, asked], weights[:, asked])


def _asked(weights: Floats) -> slice:
    """Return the classes that are measured one by one: of two, the second says all."""
    return slice(1, 2) if weights.shape[1] == 2 else slice(None)  # noqa: PLR2004 - see above


def mean_auc(score: Floats, positive: Floats) -> Estimate:
    """Mean ROC AUC over the columns, (n, k), that occur and do not fill all; 0.5 without any."""
    each = [auc(score[:, k], positive[:, k]) for k in range(score.shape[1])]
    known = [found for found in each if found is not None]
    return average(known) if known else Estimate(value=0.5, influence=np.zeros(len(score)))


def auc(score: Floats, positive: Floats) -> Estimate | None:
    """Weighted AUC with DeLong's (1988) placements; a row is never compared with itself."""
    negative = 1 - positive
    own = positive * negative
    pairs = positive.sum() * negative.sum() - own.sum()
    if pairs <= 0:
        return None
    order = np.argsort(score)
    first, last = _ties(score[order])
    below = np.concatenate([[0.0], np.cumsum(negative[order])])
    above = np.concatenate([[0.0], np.cumsum(positive[order])])
    lower, higher = np.empty_like(score), np.empty_like(score)
    lower[order] = (below[first] + below[last]) / 2
    higher[order] = above[-1] - (above[first] + above[last]) / 2
    value = float((positive @ lower - own.sum() / 2) / pairs)
    influence = (
        positive * (lower - value * negative.sum()) + negative * (higher - value * positive.sum())
    ) / pairs
    return Estimate(value=value, influence=influence)


def _ties(ordered: Floats) -> tuple[Ints, Ints]:
    """Return for each position the first position of its tie, and the one after the last."""
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(new)
    ends = np.concatenate([starts[1:], [len(ordered)]])
    tie = np.cumsum(new) - 1
    return starts[tie], ends[tie]


def _average_precision(prediction: Prediction, weights: Floats) -> Estimate:
    """Average precision: of class 1 where there are two classes, else macro-averaged."""
    asked = _asked(weights)
    q, own = _probabilities(prediction)[:, asked], weights[:, asked]
    return average([_ap(q[:, k], own[:, k]) for k in range(q.shape[1]) if own[:, k].sum() > 0])


def _ap(score: Floats, positive: Floats) -> Estimate:
    order = np.argsort(-score)
    first, last = _ties(score[order])
    ranked = positive[order]
    precise = np.cumsum(ranked)[last - 1] / last
    total = positive.sum()
    value = float(ranked @ precise / total)
    # A row counts by the precision at its rank, and moves the precision at all ranks from its own.
    after = np.cumsum((ranked / last)[::-1])[::-1][first]
    lost = np.cumsum((ranked * precise / last)[::-1])[::-1][first]
    influence = np.empty_like(score)
    influence[order] = (ranked * (precise - value + after) - lost) / total
    return Estimate(value=value, influence=influence)


# --- clusters ----------------------------------------------------------------------------------


def _adjusted_rand(prediction: Prediction, weights: Floats) -> Estimate:
    """Adjusted Rand index (Hubert & Arabie 1985) of expected pair counts."""
    if prediction.codes is None:
        raise ValueError("the prediction holds no clusters")
    clusters = np.unique(prediction.codes, return_inverse=True)[1]
    table = np.stack([np.bincount(clusters, weights[:, k]) for k in range(weights.shape[1])])
    squares = np.bincount(clusters, np.sum(weights**2, axis=1))
    both = (np.sum(table**2) - squares.sum()) / 2
    true = (np.sum(table.sum(axis=1) ** 2) - squares.sum()) / 2
    sizes = np.bincount(clusters).astype(np.float64)
    predicted = np.sum(sizes * (sizes - 1)) / 2
    pairs = len(clusters) * (len(clusters) - 1) / 2
    chance = true * predicted / pairs if pairs else 0.0
    span = (true + predicted) / 2 - chance
    if span <= 0:
        return Estimate(value=1.0, influence=np.zeros(len(clusters)))
    value = float((both - chance) / span)
    # Hájek projection of the pair counts: a row's pairs in the same cell, class and cluster.
    cell = np.sum(weights * (table.T[clusters] - weights), axis=1)
    column = np.sum(weights * (table.sum(axis=1) - weights), axis=1)
    row = sizes[clusters] - 1
    d_chance = (column * predicted + row * true) / pairs - 2 * chance / len(clusters)
    moved = (cell - d_chance - value * ((column + row) / 2 - d_chance)) / span
    return Estimate(value=value, influence=moved - moved.mean())


# --- values ------------------------------------------------------------------------------------


def _values(prediction: Prediction) -> Floats:
    if prediction.values is None:
        raise ValueError("the prediction holds no values")
    return prediction.values


def _squares(prediction: Prediction, target: Numbers) -> Floats:
    return (_values(prediction) - target.mean) ** 2 + target.sd**2


def _mse(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    return mean(_squares(prediction, target))


def _rmse(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    squared = mean(_squares(prediction, target))
    value = float(np.sqrt(squared.value))
    return Estimate(value=value, influence=squared.influence / (2 * value or 1.0))


def _r2(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    errors = _squares(prediction, target)
    n = len(errors)
    # The expected squared distance to the sample mean, whose own spread takes a share of 1/n.
    around = (target.mean - target.mean.mean()) ** 2 + target.sd**2 * (1 - 1 / n)
    total = float(around.sum()) or 1.0
    ratio = float(errors.sum()) / total
    return Estimate(value=1 - ratio, influence=-(errors - ratio * around) / total)


def _mae(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    return mean(absolute_error(_values(prediction), target))


def _ate_error(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    """How far the mean prediction is from the mean effect, for effects that are known exactly."""
    error = _values(prediction) - target.mean
    value = float(error.mean())
    return Estimate(value=abs(value), influence=np.sign(value) * (error - value) / len(error))


def _mase(prediction: Prediction, target: Numbers, scale: Floats | None) -> Estimate:
    """Mean absolute scaled error (Hyndman & Koehler 2006)."""
    if scale is None:
        raise ValueError("the instance holds no scale for MASE")
    return mean(absolute_error(_values(prediction), target) / scale)


def _pinball(prediction: Prediction, target: Numbers, _: Floats | None) -> Estimate:
    """Pinball loss, the mean over the quantile levels."""
    losses = [pinball_loss(q, level, target) for level, q in prediction.quantiles.items()]
    return mean(np.mean(losses, axis=0))


_CLASSES: Mapping[str, Callable[[Prediction, Floats], Estimate]] = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "brier": _brier,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    **{f"map_at_{k}": _map_at(k) for k in (3, 5, 10)},
    "adjusted_rand": _adjusted_rand,
}

_VALUES: Mapping[str, Callable[[Prediction, Numbers, Floats | None], Estimate]] = {
    "r2": _r2,
    "rmse": _rmse,
    "mse": _mse,
    "mae": _mae,
    "ate_error": _ate_error,
    "mase": _mase,
    "pinball": _pinball,
}
