"""Effects of a treatment from observational data: a doubly robust learner (Kennedy 2023).

Out of fold, one model tells the chance of treatment and one per arm the outcome; together they
make a pseudo-outcome whose mean given the features is the effect, right if either model is. A last
model learns it from the features.
"""

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Floats, Ints
from features import Features, encode
from tabular_model import Problem, Step, blended

SEED = 0
PARTS = 3
"""Parts of the train rows; outcomes of one are told by models of the others."""
LEAST_CHANCE = 0.05
"""Estimated propensities are cut here: their inverse weighs rows."""
KNOWN = ("treatment", "outcome")


def run(job: Job) -> None:
    """Hand in the average effect, then effects by row."""
    form = job.form
    train, test = job.table("train"), job.table("test")
    if form is None or any(name not in train for name in KNOWN):
        raise AgentError(f"train lacks one of the columns {KNOWN}: {list(train.columns)}")
    features = encode(train, test, without={form.id_column, *KNOWN})
    treated = train["treatment"].to_numpy(dtype=np.int64)
    outcome = train["outcome"].to_numpy(dtype=np.float64)
    pseudo = pseudo_outcomes(job, features, treated, outcome)
    average, error = float(pseudo.mean()), float(pseudo.std() / np.sqrt(len(pseudo)))
    job.log(f"average effect {average:.4f} ± {error:.4f}")
    job.claim(average_effect=average, average_effect_error=error)
    _submit(job, test, np.full(len(test), average))
    spread = float(pseudo.std()) or 1.0
    problem = Problem(features=features, y=((pseudo - average) / spread)[:, None], codes=None)
    for step in blended(problem):
        _submit(job, test, average + spread * step.best.test[:, 0])
        job.log(f"effects by {step.name}; blend {step.weights}")


def pseudo_outcomes(job: Job, features: Features, treated: Ints, outcome: Floats) -> Floats:
    """Return a number per train row whose mean given the features is the effect, (n,)."""
    n = features.n_train
    chance = np.empty(n)
    means = np.empty((n, 2))
    spread = float(outcome.std()) or 1.0
    scaled = (outcome - outcome.mean()) / spread
    propensity = _last(Problem(features=features, y=np.eye(2)[treated], codes=treated))
    chance[propensity.held] = propensity.best.held_out[:, 1]
    job.log("propensities estimated")
    part = np.random.default_rng(SEED).permutation(n) % PARTS
    for k in range(PARTS):
        fit, out = np.flatnonzero(part != k), np.flatnonzero(part == k)
        for arm in (0, 1):
            rows = fit[treated[fit] == arm]
            inside = _only(features, rows, out)
            step = _last(Problem(features=inside, y=scaled[rows][:, None], codes=None))
            means[out, arm] = step.best.test[:, 0]
    job.log("outcomes of both arms estimated")
    chance = np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)
    own = means[np.arange(n), treated]
    weight = (treated - chance) / (chance * (1 - chance))
    pseudo: Floats = spread * (means[:, 1] - means[:, 0] + weight * (scaled - own))
    return pseudo


def _last(problem: Problem) -> Step:
    """Return the blend of all models."""
    *_, step = blended(problem)
    return step


def _only(features: Features, fit: Ints, out: Ints) -> Features:
    """Return the features of some train rows, with others in the place of test rows."""
    rows = np.concatenate([fit, out])
    return Features(
        trees=features.trees[rows],
        categorical=features.categorical,
        dense=features.dense[rows],
        numeric=features.numeric,
        n_train=len(fit),
    )


def _submit(job: Job, test: pd.DataFrame, effect: Floats) -> None:
    if job.form is not None:
        columns = {job.form.id_column: test[job.form.id_column], job.form.target: effect}
        job.submit(pd.DataFrame(columns))
