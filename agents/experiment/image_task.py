"""Classes of images: a quick model first, then as good a one as the time allows."""

import numpy as np
from agent_io import AgentError, Job
from arrays import Floats, Ints
from images import read_images
from predictions import Target, submit

ESTIMATE_SHARE = 0.25
"""Share of the time left that may go into an estimate of one's own."""
ESTIMATE_ROWS = 1000


def run(job: Job) -> None:
    """Predict the class of each test image."""
    import image_model

    if job.form is None or job.form.kind != "classes":
        raise AgentError("images can be classified only")
    images = read_images(job, job.form)
    target = Target.read(job, images.train_table)
    ids, labels = images.test_table[job.form.id_column], target.class_codes()
    known = images.train[target.known]
    submit(job, target, ids, target.prior(len(ids)), None)
    job.log(f"handed in the prior; {len(known)} train images, {len(ids)} test images")
    fit, out = held_out(target)
    test = np.concatenate([known[out], images.test])
    quick = spread(
        image_model.quick_predict_proba(known[fit], labels[fit], test, log=job.log),
        labels[fit],
        target,
    )
    estimate = submit(job, target, ids, quick[len(out) :], (out, quick[: len(out)]))
    job.log(f"quick model: {estimate}")
    better = image_model.fit_predict_proba(
        known[fit], labels[fit], test, deadline=job.deadline - 1.0, log=job.log
    )
    best = spread(better, labels[fit], target)
    if log_loss(target, out, best[: len(out)]) < log_loss(target, out, quick[: len(out)]):
        estimate = submit(job, target, ids, best[len(out) :], (out, best[: len(out)]))
        job.log(f"full model: {estimate}")


def held_out(target: Target) -> tuple[Ints, Ints]:
    """Return the rows to fit on and the tenth, at most 1,000, to estimate on."""
    shuffled = np.random.default_rng(0).permutation(len(target.matrix))
    n = min(len(shuffled) // 10, ESTIMATE_ROWS)
    return np.sort(shuffled[n:]), np.sort(shuffled[:n])


def log_loss(target: Target, rows: Ints, p: Floats) -> float:
    """Mean -log p of the classes of `rows`."""
    return float(-np.log(np.clip((p * target.matrix[rows]).sum(axis=1), 1e-6, 1)).mean())


def spread(p: Floats, fitted: Ints, target: Target) -> Floats:
    """Give probabilities in `np.unique` order their places among all classes."""
    full = np.zeros((len(p), target.matrix.shape[1]))
    full[:, np.unique(fitted)] = p
    return full
