"""The Bayes-optimal decision for each measure, given the law: what the ceilings are made of."""

from collections.abc import Sequence

import numpy as np

from tasks.grading import durations, label_sets
from tasks.grading.confusion import OF_CONFUSION, Costs, OfConfusion, confusion, cost_matrix
from tasks.grading.measures import EXPECTED_COST, top
from tasks.grading.normal import quantiles
from tasks.grading.prediction import Prediction
from tasks.instance import Bernoulli, Durations, Floats, Gaussian, Ints, Law, Mixture

APPROXIMATE = frozenset(
    {
        "f1",
        "precision",
        "mcc",
        "kappa",
        "quadratic_kappa",
        "average_precision",
        "adjusted_rand",
    }
)
"""Measures whose best decision is found by iteration or taken from a neighbouring one."""

STEPS = 20
_BY_SQUARES = {"r2", "rmse", "mse"}
_BY_ROW = {"accuracy", "balanced_accuracy", "recall"}


def decide(name: str, law: Law, levels: Sequence[float] = (), costs: Costs = ()) -> Prediction:
    """Return the prediction that the measure `name` expects most of under `law`.

    Args:
        name: A canonical measure.
        law: The law of each hidden row.
        levels: Quantile levels, for pinball loss.
        costs: (K, K) cost of saying a column's class where a row's is true, for expected cost.
    """
    if isinstance(law, Durations):
        return durations.decide(law)
    if isinstance(law, Bernoulli):
        return label_sets.decide(name, law)
    if isinstance(law, Gaussian | Mixture):
        middle = law.mean if name in _BY_SQUARES else quantiles(0.5, law)
        return Prediction(
            values=middle, quantiles={level: quantiles(level, law) for level in levels}
        )
    if name == EXPECTED_COST:
        return Prediction(codes=top(-(law.p @ cost_matrix(costs, law.p.shape[1]))), p=law.p)
    if name in OF_CONFUSION:
        return Prediction(codes=_best_codes(name, law.p), p=law.p)
    return Prediction(codes=top(law.p), p=law.p)


def _best_codes(name: str, p: Floats) -> Ints:
    likeliest = top(p)
    if name == "accuracy":
        return likeliest
    balanced = top(p / np.maximum(p.sum(axis=0), 1e-300))
    if name in _BY_ROW:
        return balanced
    starts = (likeliest, balanced)
    return max(
        (_climbed(OF_CONFUSION[name], p, start) for start in starts), key=lambda found: found[0]
    )[1]


def _climbed(function: OfConfusion, p: Floats, codes: Ints) -> tuple[float, Ints]:
    """Follow the linearised measure (Narasimhan et al. 2015) until it gains no more."""
    best, best_codes = function(confusion(p, codes))[0], codes
    for _ in range(STEPS):
        gradient = function(confusion(p, best_codes))[1]
        codes = top(p @ gradient)
        value = function(confusion(p, codes))[0]
        if value <= best:
            break
        best, best_codes = value, codes
    return best, best_codes
