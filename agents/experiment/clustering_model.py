"""Clusters of a table: Gaussian mixtures, chosen by BIC."""

from typing import Any

import numpy as np
import pandas as pd
from agent_io import Job
from arrays import Floats
from features import encode

SEED = 0
MAX_ROWS = 20_000
MOST_CLUSTERS = 12
CLUSTER_KEYS = ("n_clusters", "n_classes", "n_components")


def run(job: Job) -> None:
    """Assign each test row to a component of a mixture fitted on all rows."""
    form = job.form
    test = job.table("test")
    train = job.table("train") if job.find("train") else test
    if form is None:
        return
    features = encode(train, test, without={form.id_column, form.target})
    x = features.dense[:, features.numeric] if features.numeric.any() else features.dense
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    sizes = cluster_counts(job)
    job.log(f"{len(x)} points in {x.shape[1]} dimensions; trying {sizes} clusters")
    best = np.inf
    for covariance in ("diag", "full"):
        for size in sizes:
            bic, labels = fit(x, size, covariance)
            job.log(f"{size} {covariance} components: bic {bic:.0f}")
            if bic < best:
                best = bic
                said = labels[features.n_train :]
                job.submit(pd.DataFrame({form.id_column: test[form.id_column], form.target: said}))
                job.claim(clusters=size, bic_per_row=bic / len(x))


def cluster_counts(job: Job) -> list[int]:
    """Return the numbers of clusters to try: the one the task tells, else 2 to 12."""
    for key in CLUSTER_KEYS:
        told = job.parameters.get(key)
        if isinstance(told, int):
            return [told]
    return list(range(2, MOST_CLUSTERS + 1))


def fit(x: Floats, size: int, covariance: str) -> tuple[float, Any]:
    """Fit one mixture on at most `MAX_ROWS` points; return its BIC there and all labels."""
    from sklearn.mixture import GaussianMixture

    rows = np.random.default_rng(SEED).permutation(len(x))[:MAX_ROWS]
    mixture = GaussianMixture(
        size, covariance_type=covariance, n_init=4, max_iter=500, reg_covar=1e-4, random_state=SEED
    )
    mixture.fit(x[rows])
    return float(mixture.bic(x[rows])), mixture.predict(x)
