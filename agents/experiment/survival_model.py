"""Censored times: the martingale residuals of a model without features, learnt from the features.

The residual of a row, its event less the hazard it has been through (Nelson-Aalen), is larger the
higher its risk is; its mean given the features orders rows as the risk does (Therneau et al. 1990).
"""

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Floats, Ints
from features import encode
from tabular_model import Problem, blended

MAX_PAIRED = 2000
"""Rows of whose pairs the concordance is estimated."""
KNOWN = ("time", "event")


def run(job: Job) -> None:
    """Hand in minus the expected residual, so that larger means later."""
    form = job.form
    train, test = job.table("train"), job.table("test")
    if form is None or any(name not in train for name in KNOWN):
        raise AgentError(f"train lacks one of the columns {KNOWN}: {list(train.columns)}")
    time = train["time"].to_numpy(dtype=np.float64)
    event = train["event"].to_numpy(dtype=np.int64)
    features = encode(train, test, without={form.id_column, *KNOWN})
    residual = event - cumulative_hazard(time, event)
    scaled = (residual - residual.mean()) / (residual.std() or 1.0)
    job.log(f"{len(time)} rows, {int(event.sum())} events")
    for step in blended(Problem(features=features, y=scaled[:, None], codes=None)):
        said = -step.best.test[:, 0]
        job.submit(pd.DataFrame({form.id_column: test[form.id_column], form.target: said}))
        score = concordance(-step.best.held_out[:, 0], time[step.held], event[step.held])
        job.claim(concordance=score)
        job.log(f"{step.name}: concordance {score:.4f}; blend {step.weights}")


def cumulative_hazard(time: Floats, event: Ints) -> Floats:
    """Return the Nelson-Aalen estimate at the time of each row, (n,)."""
    order = np.argsort(time, kind="stable")
    ordered = time[order]
    at_risk = len(time) - np.searchsorted(ordered, ordered, side="left")
    steps = np.cumsum(event[order] / at_risk)
    hazard = np.empty(len(time))
    hazard[order] = steps[np.searchsorted(ordered, ordered, side="right") - 1]
    return hazard


def concordance(said: Floats, time: Floats, event: Ints) -> float:
    """Return the share of comparable pairs in order: the earlier time is that of an event."""
    said, time, event = said[:MAX_PAIRED], time[:MAX_PAIRED], event[:MAX_PAIRED]
    comparable = (time[:, None] < time) & (event[:, None] == 1)
    in_order = (said[:, None] < said) + 0.5 * (said[:, None] == said)
    return float(in_order[comparable].mean()) if comparable.any() else 0.5
