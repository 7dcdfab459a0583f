"""Several labels per row, each there or not: measures, best decisions and leak test.

As everywhere in grading, a realised label is a law without spread (p of 0 or 1), and measures that
are ratios of counts take expected counts.
"""

from collections.abc import Callable, Mapping

import numpy as np

from tasks.grading.measures import Estimate, average, mean, mean_auc
from tasks.grading.prediction import Prediction
from tasks.instance import Bernoulli, Floats, Ints

LIKELY = 0.5


def estimate(name: str, prediction: Prediction, law: Bernoulli) -> Estimate:
    """Score a prediction of n rows by the canonical measure `name`."""
    return _MEASURES[name](prediction, law)


def sets_of(prediction: Prediction) -> Floats:
    """Return 1 where a label is said to be there, (n, K); without sets, where it is likely."""
    if prediction.label_sets is not None:
        return prediction.label_sets.astype(np.float64)
    return (_chances(prediction) > LIKELY).astype(np.float64)


def _chances(prediction: Prediction) -> Floats:
    if prediction.label_p is None:
        raise ValueError("the prediction holds no label probabilities")
    return prediction.label_p


# --- measures ----------------------------------------------------------------------------------


def _hamming_loss(prediction: Prediction, law: Bernoulli) -> Estimate:
    said = sets_of(prediction)
    return mean(np.mean(said + law.p - 2 * said * law.p, axis=1))


def _subset_accuracy(prediction: Prediction, law: Bernoulli) -> Estimate:
    """Share of rows whose labels are all right; as scikit-learn's accuracy of label sets."""
    said = sets_of(prediction) > LIKELY
    p = conditional(law, said)
    return mean(np.prod(np.where(said, p, 1 - p), axis=1))


def _micro_f1(prediction: Prediction, law: Bernoulli) -> Estimate:
    """F1 of all cells together."""
    cells = _f1(sets_of(prediction), law.p)
    return Estimate(value=cells.value, influence=cells.influence.sum(axis=1))


def _macro_f1(prediction: Prediction, law: Bernoulli) -> Estimate:
    """Mean F1 over the labels that occur or are said to."""
    said = sets_of(prediction)
    columns = np.flatnonzero((said.sum(axis=0) + law.p.sum(axis=0)) > 0)
    if not len(columns):
        return Estimate(value=0.0, influence=np.zeros(len(said)))
    return average([_f1(said[:, k], law.p[:, k]) for k in columns])


def _f1(said: Floats, p: Floats) -> Estimate:
    """Return F1 of cells of any shape, by expected counts, with the influence of each cell."""
    both = float(said.sum() + p.sum())
    if both <= 0:
        return Estimate(value=0.0, influence=np.zeros_like(p))
    value = 2 * float(np.sum(said * p)) / both
    return Estimate(value=value, influence=(2 * said * p - value * (said + p)) / both)


def _macro_roc_auc(prediction: Prediction, law: Bernoulli) -> Estimate:
    """Mean ROC AUC over the labels that occur and do not fill all rows."""
    return mean_auc(_chances(prediction), law.p)


_MEASURES: Mapping[str, Callable[[Prediction, Bernoulli], Estimate]] = {
    "macro_roc_auc": _macro_roc_auc,
    "macro_f1": _macro_f1,
    "micro_f1": _micro_f1,
    "hamming_loss": _hamming_loss,
    "subset_accuracy": _subset_accuracy,
}


# --- the law and its best decisions ------------------------------------------------------------


def conditional(law: Bernoulli, labels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Return p(label k | row, labels before k) along given labels, (n, K)."""
    if law.given is None:
        return law.p
    p = law.given[:, :, 0].copy()
    p[:, 1:] = np.where(labels[:, :-1], law.given[:, 1:, 1], law.given[:, 1:, 0])
    return p


def decide(name: str, law: Bernoulli) -> Prediction:
    """Return the prediction that the measure `name` expects most of under `law`."""
    sets = law.p > LIKELY
    if name == "subset_accuracy" and law.given is not None:
        sets = _mode(law.given)
    elif name == "micro_f1":
        sets = _best_f1(law.p.ravel()).reshape(law.p.shape)
    elif name == "macro_f1":
        sets = np.column_stack([_best_f1(column) for column in law.p.T])
    return Prediction(label_sets=sets.astype(np.int64), label_p=law.p)


def _best_f1(p: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Say the m likeliest, with the m that makes F1 of expected counts largest."""
    order = np.argsort(-p, kind="stable")
    said = np.arange(1, len(p) + 1)
    m = int(np.argmax(2 * np.cumsum(p[order]) / (said + p.sum()))) + 1
    found = np.zeros(len(p), dtype=np.bool_)
    found[order[:m]] = True
    return found


def _mode(given: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return the likeliest set of each row, (n, K) (Viterbi 1967)."""
    n, n_labels, _ = given.shape
    best = np.column_stack([1 - given[:, 0, 0], given[:, 0, 0]])
    came_from = np.zeros((n, n_labels, 2), dtype=np.int64)
    for k in range(1, n_labels):
        there = best * given[:, k]
        absent = best * (1 - given[:, k])
        came_from[:, k] = np.column_stack([absent.argmax(axis=1), there.argmax(axis=1)])
        best = np.column_stack([absent.max(axis=1), there.max(axis=1)])
    sets = np.zeros((n, n_labels), dtype=np.int64)
    sets[:, -1] = best.argmax(axis=1)
    for k in range(n_labels - 1, 0, -1):
        sets[:, k - 1] = came_from[np.arange(n), k, sets[:, k]]
    return sets > 0


def leak_z(prediction: Prediction, law: Bernoulli, labels: Ints) -> float:
    """Return z over all cells, standard normal for whoever has seen no hidden label.

    Label by label, the surprise is measured against p(label k | row, labels before k), so that
    the surprises of a row are uncorrelated (martingale differences) also along a chain. Of sets
    and probabilities the larger |z| counts.
    """
    there = labels > 0
    surprise = there - conditional(law, there)
    variance = law.p * (1 - law.p)
    if law.given is not None:  # the mean over the label before, whose law is p
        spread = law.given * (1 - law.given)
        variance = spread[:, :, 0].copy()
        before = law.p[:, :-1]
        variance[:, 1:] = (1 - before) * spread[:, 1:, 0] + before * spread[:, 1:, 1]
    said = [sets_of(prediction)]
    if prediction.label_p is not None:
        said.append(prediction.label_p)
    found = [_ratio(2 * each - 1, surprise, variance) for each in said]
    return max(found, key=abs)


def _ratio(lean: Floats, surprise: Floats, variance: Floats) -> float:
    total, spread = float(np.sum(lean * surprise)), float(np.sum(lean**2 * variance))
    return total / float(np.sqrt(spread)) if spread > 0 else 0.0
