"""Several labels per row: a blend per label; where whole sets count, a chain of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Floats, Ints
from features import Features, encode
from tabular_model import Problem, blended

DECIMALS = 6
THRESHOLDS = np.linspace(0.05, 0.95, 19)


def run(job: Job) -> None:
    """Hand in how often each label is there, then label after label a model of it."""
    form = job.form
    if form is None:
        raise AgentError("the task asks for no submission")
    train, test = job.table("train"), job.table("test")
    names = [f"label_{name}" for name in form.classes]
    missing = [name for name in names if name not in train]
    if missing:
        raise AgentError(f"train lacks the columns {missing}")
    labels = train[names].to_numpy(dtype=np.int64)
    features = encode(train, test, without={form.id_column, *names})
    p = np.tile(labels.mean(axis=0), (len(test), 1))
    held_out = np.tile(labels.mean(axis=0), (len(train), 1))
    thresholds: Floats = np.full(len(names), 0.5)
    _submit(job, test, p, thresholds)
    job.log(f"handed in the prior of {len(names)} labels; {len(train)} train rows")
    for k, name in enumerate(names):
        _one(features, labels[:, k], p[:, k], held_out[:, k])
        thresholds = _thresholds(job, labels, held_out)
        _submit(job, test, p, thresholds)
        job.log(f"{name}: {k + 1} of {len(names)} labels have a model")
    job.claim(**_scores(labels, held_out, thresholds))
    if job.measure(list(MEASURES), "") == "subset_accuracy":
        given = chained(features, labels, job)
        sets, p = likeliest_sets(given), marginals(given)
        _submit(job, test, p, thresholds, sets)
        job.log("handed in the likeliest sets along a chain")


# --- a chain of labels (Read et al. 2011) --------------------------------------------------------


def chained(features: Features, labels: Ints, job: Job) -> Floats:
    """Return p(label k | row, label k - 1 not there, there) of the test rows, (n_test, K, 2)."""
    n = features.n_train
    n_test = len(features.dense) - n
    given = np.empty((n_test, labels.shape[1], 2))
    for k in range(labels.shape[1]):
        before = np.zeros(n) if k == 0 else labels[:, k - 1].astype(np.float64)
        both = _with_label(features, before)
        there = labels[:, k]
        p = np.full(2 * n_test, there.mean())
        _one(both, there, p, np.empty(n))
        given[:, k] = p.reshape(2, n_test).T
        job.log(f"label {k + 1} of {labels.shape[1]} is modelled by the label before it")
    return given


def _with_label(features: Features, before: Floats) -> Features:
    """Return the features with the label before; test rows come twice, without and with it."""
    n = features.n_train
    n_test = len(features.dense) - n
    column = np.concatenate([before, np.zeros(n_test), np.ones(n_test)])[:, None]

    def stacked(x: Floats) -> Floats:
        return np.hstack([np.vstack([x, x[n:]]), column])

    return Features(
        trees=stacked(features.trees),
        categorical=np.append(features.categorical, False),
        dense=stacked(features.dense),
        numeric=np.append(features.numeric, True),
        n_train=n,
    )


def marginals(given: Floats) -> Floats:
    """Return p(label k | row), (n, K)."""
    p = given[:, :, 0].copy()
    for k in range(1, given.shape[1]):
        p[:, k] += p[:, k - 1] * (given[:, k, 1] - given[:, k, 0])
    return p


def likeliest_sets(given: Floats) -> Ints:
    """Return the likeliest set of each row, (n, K), by dynamic programming along the chain."""
    n, n_labels, _ = given.shape
    logs = np.log(np.clip(np.stack([1 - given, given], axis=3), 1e-9, 1))  # row, label, before, now
    best = logs[:, 0, 0]
    came_from = np.zeros((n, n_labels, 2), dtype=np.int64)
    for k in range(1, n_labels):
        reached = best[:, :, None] + logs[:, k]
        came_from[:, k] = reached.argmax(axis=1)
        best = reached.max(axis=1)
    sets = np.zeros((n, n_labels), dtype=np.int64)
    sets[:, -1] = best.argmax(axis=1)
    for k in range(n_labels - 1, 0, -1):
        sets[:, k - 1] = came_from[np.arange(n), k, sets[:, k]]
    return sets


def _one(features: Features, there: Ints, p: Floats, held_out: Floats) -> None:
    """Write the probabilities of one label into `p` and, out of fold, into `held_out`."""
    if there.min() == there.max():
        return  # the prior says it all
    problem = Problem(features=features, y=np.eye(2)[there], codes=there)
    for step in blended(problem):
        p[:] = step.best.test[:, 1]
        held_out[step.held] = step.best.held_out[:, 1]


# --- decisions -----------------------------------------------------------------------------------


def _f1(said: Ints, labels: Ints) -> float:
    return float(2 * np.sum(said * labels) / max(said.sum() + labels.sum(), 1))


def _macro_f1(said: Ints, labels: Ints) -> float:
    columns = zip(said.T, labels.T, strict=True)
    return float(np.mean([_f1(one, there) for one, there in columns]))


MEASURES: dict[str, Callable[[Ints, Ints], float]] = {
    "macro_f1": _macro_f1,
    "micro_f1": _f1,
    "hamming_loss": lambda said, labels: float(np.mean(said != labels)),
    "subset_accuracy": lambda said, labels: float(np.mean((said == labels).all(axis=1))),
}


def _thresholds(job: Job, labels: Ints, held_out: Floats) -> Floats:
    """Return from which probability on each label is named, (K,), as the measure wants it."""
    measure = job.measure(list(MEASURES), "hamming_loss")
    if measure == "macro_f1":
        best = [
            _best_threshold(column, there)
            for column, there in zip(held_out.T, labels.T, strict=True)
        ]
        return np.array(best)
    common = 0.5
    if measure == "micro_f1":
        common = _best_threshold(held_out, labels)
    return np.full(labels.shape[1], common)


def _best_threshold(p: Floats, labels: Ints) -> float:
    scores = [_f1((p > threshold) * 1, labels) for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(scores))])


def _scores(labels: Ints, held_out: Floats, thresholds: Floats) -> dict[str, float]:
    said = (held_out > thresholds).astype(np.int64)
    return {name: measure(said, labels) for name, measure in MEASURES.items()}


def _submit(
    job: Job, test: pd.DataFrame, p: Floats, thresholds: Floats, sets: Ints | None = None
) -> None:
    if job.form is None:
        return
    said = (p > thresholds) * 1 if sets is None else sets
    names = job.form.classes
    columns: dict[str, Any] = {job.form.id_column: test[job.form.id_column]}
    columns |= {f"label_{name}": said[:, k] for k, name in enumerate(names)}
    columns |= {f"proba_{name}": np.round(p[:, k], DECIMALS) for k, name in enumerate(names)}
    job.submit(pd.DataFrame(columns))
