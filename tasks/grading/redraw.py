"""Fresh labels from the law: how the leak test behaves where nobody can have seen them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tasks.grading import label_sets
from tasks.grading.leak import leak_z
from tasks.grading.measures import labels_of
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
    draw_classes,
)

BOUND = 4.0
"""How many standard errors mean and deviation of z may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean and standard deviation of z over redraws of the labels."""

    n: int
    mean: float
    sd: float

    @property
    def standard(self) -> bool:
        """Whether they are those of a standard normal number, as far as n redraws can tell."""
        off_mean, off_sd = self.mean * np.sqrt(self.n), (self.sd - 1) * np.sqrt(2 * self.n)
        return bool(max(abs(off_mean), abs(off_sd)) < BOUND)


def spread_of_z(
    prediction: Prediction, contract: Contract, answers: Answers, n: int
) -> Spread | None:
    """Return the spread of the leak test's z over `n` redraws of the hidden labels.

    Args:
        prediction: An honest one. Where it holds probabilities or quantiles, z is of the classes
            or values alone, as the larger of two statistics is not standard normal.
        contract: The form of the submission.
        answers: With a law that labels can be drawn from here: of classes or of values.
        n: At least 2.

    Returns:
        None where z is not defined: no law, too few groups, or nothing that could lean.
    """
    law = answers.law
    if law is None:
        return None
    one = _one_statistic(prediction)
    clusters = contract.kind == "clusters"
    found = []
    for labels in redrawn(law, np.random.default_rng(0), n):
        z = leak_z(one, law, labels, answers.groups, clusters=clusters)
        if z is None:
            return None
        found.append(z)
    if not any(found):  # the law's own mean leans to no side: z is 0 by definition
        return None
    return Spread(n=n, mean=float(np.mean(found)), sd=float(np.std(found, ddof=1)))


def _one_statistic(prediction: Prediction) -> Prediction:
    if prediction.p is not None:
        return Prediction(codes=labels_of(prediction))
    if prediction.label_p is not None:
        return Prediction(label_sets=label_sets.sets_of(prediction).astype(np.int64))
    if prediction.values is not None:
        return Prediction(values=prediction.values)
    return prediction


def redrawn(law: Law, rng: Generator, n: int) -> Iterator[Floats | Ints]:
    """Yield n draws of all labels from their law."""
    if isinstance(law, Categorical):
        for _ in range(n):
            yield draw_classes(law.p, rng.random(len(law.p)))
    elif isinstance(law, Bernoulli):
        for _ in range(n):
            yield _label_sets(law, rng.random(law.p.shape))
    elif isinstance(law, Durations):
        for _ in range(n):
            yield law.scale * rng.standard_exponential(len(law.scale)) ** (1 / law.shape)
    else:
        yield from _values(law, rng, n)


def _label_sets(law: Bernoulli, uniform: Floats) -> Ints:
    there = np.zeros(law.p.shape, dtype=np.bool_)
    for k in range(law.p.shape[1]):  # a chain: each label by the one before it
        there[:, k] = uniform[:, k] < label_sets.conditional(law, there)[:, k]
    return there.astype(np.int64)


def _values(law: Gaussian | Mixture, rng: Generator, n: int) -> Iterator[Floats]:
    """Draw normal values of the law's mean and covariance, all that z knows of it."""
    mean, sd = law.mean, law.sd
    roots = None if law.covariance is None else np.linalg.cholesky(law.covariance)
    for _ in range(n):
        noise = rng.standard_normal(len(mean))
        if roots is None:
            yield mean + sd * noise
        else:
            yield mean + np.matmul(roots, noise.reshape(len(roots), -1, 1)).ravel()
