"""The leak test: predictions cannot correlate with what is random given the features."""

import numpy as np

from tasks.grading import durations, label_sets
from tasks.grading.measures import labels_of, one_hot
from tasks.grading.prediction import Prediction
from tasks.instance import Bernoulli, Durations, Floats, Gaussian, Ints, Law, Mixture

FEWEST_GROUPS = 50
"""Dependent rows sum to one term a group; |z| cannot pass the root of their number."""


def leak_z(
    prediction: Prediction,
    law: Law,
    labels: Ints | Floats,
    groups: Ints | None = None,
    *,
    clusters: bool = False,
) -> float | None:
    """Return z, standard normal for every predictor that has seen no hidden label.

    However good the predictor: Σ (what it says) · (label - expected label) has mean 0 and a known
    variance given the features. Where both classes and probabilities are given, the larger of two.

    Args:
        prediction: n rows.
        law: The law of the hidden labels.
        labels: (n,) realised class or cluster codes, or values; (n, K) label sets.
        groups: (n,) rows with one number have dependent residuals; they count as one term
            where the law does not hold their covariance.
        clusters: Whether the codes are cluster numbers, whose names mean nothing.

    Returns:
        z, or None where nothing is random, or too few independent groups can tell.
    """
    if isinstance(law, Durations):
        return durations.leak_z(prediction, law, np.asarray(labels, dtype=np.float64))
    if isinstance(law, Bernoulli):
        return label_sets.leak_z(prediction, law, np.asarray(labels, dtype=np.int64))
    if isinstance(law, Gaussian | Mixture):
        return _of_values(prediction, law, labels, groups)
    drawn = np.asarray(labels, dtype=np.int64)
    codes = labels_of(prediction)
    found = [_of_codes(_matched(codes, law.p) if clusters else codes, law.p, drawn)]
    if prediction.p is not None:
        surprise = one_hot(drawn, law.p.shape[1]) - law.p
        found.append(_of_probabilities(prediction.p, law.p, surprise))
    return max(found, key=abs)


def n_statistics(prediction: Prediction) -> int:
    """Return how many statistics `leak_z` takes the largest of."""
    both = (prediction.p is not None, prediction.label_p is not None, bool(prediction.quantiles))
    return 1 + any(both)


def _matched(codes: Ints, p: Floats) -> Ints:
    """Give each group of equal codes the class it holds most of, by the law and not the labels."""
    clusters = np.unique(codes, return_inverse=True)[1]
    share = np.stack([np.bincount(clusters, p[:, k]) for k in range(p.shape[1])], axis=1)
    matched: Ints = share.argmax(axis=1)[clusters]
    return matched


def _of_codes(codes: Ints, p: Floats, labels: Ints) -> float:
    chance = p[np.arange(len(p)), codes]
    hits = float(np.count_nonzero(codes == labels))
    return _ratio(hits - float(chance.sum()), float(chance.sum() - chance @ chance))


def _of_probabilities(said: Floats, p: Floats, surprise: Floats) -> float:
    expected = np.sum(said * p, axis=1)
    variance = np.sum(np.sum(said**2 * p, axis=1) - expected**2)
    return _ratio(float(np.sum(said * surprise)), float(variance))


def _of_values(
    prediction: Prediction, law: Gaussian | Mixture, labels: Ints | Floats, groups: Ints | None
) -> float | None:
    said = [] if prediction.values is None else [prediction.values]
    if prediction.quantiles:  # answers copied into the quantiles alone pay as well
        said.append(np.mean(list(prediction.quantiles.values()), axis=0))
    found = [_of_numbers(values, law, labels, groups) for values in said]
    return max((z for z in found if z is not None), key=abs, default=None)


def _of_numbers(
    values: Floats, law: Gaussian | Mixture, labels: Ints | Floats, groups: Ints | None
) -> float | None:
    mean, sd = law.mean, law.sd
    if not sd.any():  # nothing is random, as with effects of treatment
        return None
    lean, surprise = values - mean, labels - mean
    lean = lean / max(float(np.abs(lean).max(initial=0.0)), 1e-300)  # so that squares are finite
    if law.covariance is not None:
        return _of_blocks(lean, surprise, law.covariance)
    lean = lean / sd
    terms = lean * surprise / sd
    if groups is None:
        return _ratio(float(terms.sum()), float(np.sum(lean**2)))
    sums = np.bincount(groups, weights=terms)
    if len(np.unique(groups)) < FEWEST_GROUPS:
        return None
    return _ratio(float(sums.sum()), float(np.sum(sums**2)))


def _of_blocks(lean: Floats, surprise: Floats, covariance: Floats) -> float:
    """Weigh dependent rows by the inverse of their covariance: d'C⁻¹r / √(d'C⁻¹d)."""
    blocks = (len(covariance), -1)
    weighed = np.linalg.solve(covariance, lean.reshape(*blocks, 1))[:, :, 0]
    total = np.sum(weighed * surprise.reshape(blocks))
    return _ratio(float(total), float(np.sum(weighed * lean.reshape(blocks))))


def _ratio(total: float, variance: float) -> float:
    return total / float(np.sqrt(variance)) if variance > 0 else 0.0
