"""Anomalies without labels: rows that a mixture of the many finds unlikely."""

import warnings

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Booleans, Floats
from features import encode

SEED = 0
MAX_ROWS = 10_000
SIZES = range(1, 7)
USUAL_SHARE = 0.05
"""Of anomalies, where the task does not tell."""
LAST = "anomaly"


def run(job: Job) -> None:
    """Rank the test rows by how unlikely they are among the normal ones."""
    form = job.form
    if form is None or len(form.classes) != 2:  # noqa: PLR2004 - normal and odd
        raise AgentError("train has no target column, and anomalies need two classes")
    train, test = job.table("train"), job.table("test")
    features = encode(train, test, without={form.id_column})
    x = features.dense
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    share = _told_share(job)
    job.log(f"{len(x)} rows in {x.shape[1]} dimensions; expecting a share of {share:g} odd ones")
    score = unlikeliness(x, share, job)[features.n_train :]
    odd = form.classes.index(LAST) if LAST in form.classes else 1
    p = np.zeros((len(test), 2))
    p[:, odd] = np.round(as_probability(score, share), 6)
    p[:, 1 - odd] = 1 - p[:, odd]
    names = np.array(form.classes, dtype=object)[p.argmax(axis=1)]
    columns = {form.id_column: test[form.id_column], form.target: names}
    columns |= {f"proba_{name}": p[:, k] for k, name in enumerate(form.classes)}
    job.submit(pd.DataFrame(columns))
    job.claim(expected_share=share)


def _told_share(job: Job) -> float:
    told = job.parameters.get("contamination")
    return float(told) if isinstance(told, int | float) and 0 < told < 1 else USUAL_SHARE


def unlikeliness(x: Floats, share: float, job: Job) -> Floats:
    """Return minus the log density of each row (n,) under the large components of a mixture.

    The size is chosen by BIC; components no larger than the anomalies may be theirs.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rows = np.random.default_rng(SEED).permutation(len(x))[:MAX_ROWS]
    best, least = None, np.inf
    for size in SIZES:
        mixture = GaussianMixture(size, n_init=2, reg_covar=1e-3, random_state=SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(x[rows])
        bic = mixture.bic(x[rows])
        job.log(f"{size} components: bic {bic:.0f}")
        if bic < least:
            best, least = mixture, bic
    if best is None:
        raise AgentError("no mixture could be fitted")
    large: Booleans = best.weights_ > min(2 * share, best.weights_.max() / 2)
    return -_log_density(x, best.means_[large], best.covariances_[large], best.weights_[large])


def _log_density(x: Floats, means: Floats, covariances: Floats, weights: Floats) -> Floats:
    logs = []
    for mean, covariance, weight in zip(means, covariances, weights, strict=True):
        root = np.linalg.cholesky(covariance)
        z = np.linalg.solve(root, (x - mean).T)
        logs.append(np.log(weight) - 0.5 * (z**2).sum(axis=0) - np.log(np.diag(root)).sum())
    total: Floats = np.logaddexp.reduce(np.array(logs), axis=0)
    return total


def as_probability(score: Floats, share: float) -> Floats:
    """Return probabilities in the order of the scores, whose mean is the share."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = (np.arange(len(score)) + 0.5) / len(score)
    p: Floats = ranks ** (1 / share - 1)
    return p
