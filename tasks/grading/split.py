"""Two parts of the hidden rows: one that an agent may ask about, one that is graded at the end.

They share no row, and no group of rows that depend on each other; which row is in which part is
drawn from the secret seed and told nobody.
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from tasks.errors import InvalidTask
from tasks.grading.prediction import Prediction
from tasks.instance import (
    Answers,
    Bernoulli,
    Categorical,
    Contract,
    Durations,
    Floats,
    Gaussian,
    Ints,
    Law,
    Mixture,
)

Array = TypeVar("Array", Floats, Ints)

SHARE = 1 / 3
"""Of the hidden rows, or of their groups: what the feedback is about."""

FEWEST = 8
"""Independent rows, or groups of rows, that can be divided."""


def divide(answers: Answers, rng: Generator) -> tuple[Ints, Ints]:
    """Return the rows that feedback is about and those that are graded, each in order.

    Raises:
        InvalidTask: Too few of them are independent.
    """
    units = _units(answers)
    known = np.unique(units)
    if len(known) < FEWEST:
        raise InvalidTask(
            f"its hidden rows are {len(known)} groups that hang together; "
            f"a feedback split takes {FEWEST} or more"
        )
    chosen = rng.permutation(known)[: round(SHARE * len(known))]
    asked = np.isin(units, chosen)
    return np.flatnonzero(asked), np.flatnonzero(~asked)


def _units(answers: Answers) -> Ints:
    """Return for each row a number that it shares with all rows it depends on."""
    n = len(answers.labels)
    block = _block(answers.law)
    rows: Ints = np.arange(n, dtype=np.int64) if block is None else np.arange(n) // block
    if answers.groups is None:
        return rows
    if block is None:
        return answers.groups
    # The law ties rows of a block, and groups tie whole blocks.
    first = answers.groups[np.arange(n) // block * block]
    if not np.array_equal(first, answers.groups):
        raise InvalidTask("rows that depend on each other lie in several groups")
    return answers.groups


def _block(law: Law | None) -> int | None:
    """Return how many rows hang together by the law; None where each stands alone."""
    if isinstance(law, Gaussian | Mixture) and law.covariance is not None:
        return int(law.covariance.shape[1])
    return None


def contract_of(contract: Contract, rows: Ints) -> Contract:
    """Return the form of a submission for some rows."""
    return replace(contract, ids=contract.ids[rows])


def answers_of(answers: Answers, rows: Ints) -> Answers:
    """Return the hidden side of some rows; whole blocks, where the law has blocks."""
    naive = answers.naive
    return replace(
        answers,
        labels=answers.labels[rows],
        law=None if answers.law is None else _law_of(answers.law, rows),
        trivial={name: values[rows] for name, values in answers.trivial.items()},
        naive=None if naive is None else _believed(naive, rows),
        scale=_some(answers.scale, rows),
        groups=_some(answers.groups, rows),
    )


def prediction_of(prediction: Prediction, rows: Ints) -> Prediction:
    """Return what was predicted for some rows."""
    return Prediction(
        codes=_some(prediction.codes, rows),
        p=_some(prediction.p, rows),
        label_sets=_some(prediction.label_sets, rows),
        label_p=_some(prediction.label_p, rows),
        values=_some(prediction.values, rows),
        quantiles={level: values[rows] for level, values in prediction.quantiles.items()},
    )


def _law_of(law: Law, rows: Ints) -> Law:
    match law:
        case Categorical() | Gaussian():
            return _believed(law, rows)
        case Bernoulli(p=p, given=given):
            return replace(law, p=p[rows], given=_some(given, rows))
        case Durations(scale=scale):
            return replace(law, scale=scale[rows])
        case Mixture(weights=weights, means=means, sds=sds):
            return replace(
                law,
                weights=weights[rows],
                means=means[rows],
                sds=sds[rows],
                covariance=_blocks_of(law.covariance, rows),
            )


def _believed(law: Categorical | Gaussian, rows: Ints) -> Categorical | Gaussian:
    if isinstance(law, Categorical):
        return Categorical(p=law.p[rows])
    covariance = _blocks_of(law.covariance, rows)
    return Gaussian(mean=law.mean[rows], sd=law.sd[rows], covariance=covariance)


def _blocks_of(covariance: Floats | None, rows: Ints) -> Floats | None:
    if covariance is None:
        return None
    size = covariance.shape[1]
    return _some(covariance, rows[::size] // size)


def _some(values: Array | None, rows: Ints) -> Array | None:
    return None if values is None else values[rows]
