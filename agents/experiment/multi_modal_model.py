"""Classes from images and columns together: a model of each, then one model of both."""

import numpy as np
from agent_io import AgentError, Job
from arrays import Floats, Ints
from blending import folds
from features import encode
from images import Images, read_images
from predictions import Target, submit

STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def run(job: Job) -> None:
    """Fuse late: log-probabilities of images and columns add up, given the class."""
    form = job.form
    if form is None or form.kind != "classes":
        raise AgentError("images with columns can be classified only")
    images = read_images(job, form)
    target = Target.read(job, images.train_table)
    ids = images.test_table[form.id_column]
    submit(job, target, ids, target.prior(len(ids)), None)
    job.log(f"handed in the prior; {len(target.matrix)} train rows, {len(ids)} test rows")
    parts = blocks(images, target)
    splits = folds(len(target.matrix), target.codes)
    held = np.concatenate([out for _, out in splits])
    logs = []
    for name, x in parts.items():
        out, test = best_logistic(x, target, splits)
        logs.append((np.log(np.clip(out, 1e-9, 1)), np.log(np.clip(test, 1e-9, 1))))
        fused_out, fused_test = (
            fuse([a for a, _ in logs], target),
            fuse([b for _, b in logs], target),
        )
        estimate = submit(job, target, ids, fused_test, (held, fused_out))
        job.log(f"with {name}: {estimate}")


def blocks(images: Images, target: Target) -> dict[str, Floats]:
    """Return the standardised inputs by kind, (n_train + n_test, d) each."""
    pixels = np.concatenate([images.train[target.known], images.test])
    found = {"images": _standardised(pixels.reshape(len(pixels), -1).astype(np.float64))}
    if images.train_counts is not None and images.test_counts is not None:
        counts = np.concatenate([images.train_counts[target.known], images.test_counts])
        found["counts"] = _standardised(_evened(counts.astype(np.float64)))
    train = images.train_table[target.known]
    without = {target.form.id_column, target.form.target}
    if set(images.test_table.columns) - without:
        features = encode(train, images.test_table, without=without)
        found["columns"] = _standardised(_evened(features.dense))
    return found


def _evened(x: Floats) -> Floats:
    """Take the logarithm of counts, whose spread grows with their size."""
    evened: Floats = np.log1p(x) if x.min(initial=0) >= 0 else x
    return evened


def _standardised(x: Floats) -> Floats:
    scaled: Floats = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)
    return scaled


def best_logistic(
    x: Floats, target: Target, splits: list[tuple[Ints, Ints]]
) -> tuple[Floats, Floats]:
    """Return held-out and test probabilities of the strength with the least log-loss."""
    from sklearn.linear_model import LogisticRegression

    codes = target.class_codes()
    n, k = target.matrix.shape
    best, found = np.inf, (np.zeros((0, k)), np.zeros((0, k)))
    for strength in STRENGTHS:
        held, test = [], np.zeros((len(x) - n, k))
        for fit, out in splits:
            model = LogisticRegression(C=strength, max_iter=500).fit(x[fit], codes[fit])
            p = np.zeros((len(out), k))
            p[:, model.classes_] = model.predict_proba(x[out])
            held.append(p)
            test[:, model.classes_] += model.predict_proba(x[n:]) / len(splits)
        p = np.concatenate(held)
        truth = target.matrix[np.concatenate([out for _, out in splits])]
        loss = float(-np.log(np.clip((p * truth).sum(axis=1), 1e-9, 1)).mean())
        if loss < best:
            best, found = loss, (p, test)
    return found


def fuse(logs: list[Floats], target: Target) -> Floats:
    """Multiply the parts' odds, as if the parts were independent given the class."""
    prior = np.log(np.clip(target.prior(1), 1e-9, 1))
    total = sum(logs[1:], logs[0]) - (len(logs) - 1) * prior
    p = np.exp(total - total.max(axis=1, keepdims=True))
    fused: Floats = p / p.sum(axis=1, keepdims=True)
    return fused
