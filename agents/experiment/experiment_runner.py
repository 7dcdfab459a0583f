"""The experiment agent: reads its task, hands in something valid at once, then does better.

Everything comes by files and environment variables (see agents/README.md); exit status 0 means
that a result was handed in, 1 that the job could not be done.
"""

import csv
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from agent_io import AgentError, Job, Log, read_job

HANDLERS = {
    "analysis": "explore:run",
    "anomaly": "anomaly_model:run",
    "causal": "causal_model:run",
    "clusters": "clustering_model:run",
    "forecast": "forecast_model:run",
    "images": "image_task:run",
    "multilabel": "multilabel_model:run",
    "multi_modal": "multi_modal_model:run",
    "relational": "relational_model:run",
    "report": "free_task:run",
    "survival": "survival_model:run",
    "tabular": "tabular_model:run",
    "text": "text_model:run",
}
BY_TYPE = {
    "anomaly_detection": "anomaly",
    "causal_effect": "causal",
    "relational": "relational",
    "survival": "survival",
}
"""Task types whose tables alone do not say what to do."""
SERIES_COLUMNS = frozenset({"series", "series_id"})


class TimeUp(Exception):  # noqa: N818 - not a fault
    """The time to work is over; what is handed in stands."""


def main() -> int:
    """Do the job; return the exit status."""
    # Threads that spin while they wait are slow where other trials share the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Else joblib counts the cores by /sys, which some containers hide, and warns.
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(os.cpu_count() or 1))
    log = Log(time.monotonic())
    try:
        job = read_job(os.environ, log)
        log(f"task {job.task.get('id', '?')} ({job.task_type}), {job.seconds_left:.0f} s to work")
        work(job)
    except AgentError as error:
        log(f"error: {error}")
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def work(job: Job) -> None:
    """Hand in the sample, then run the handler until it is done or time is up."""
    _alarm(job.seconds_left)
    try:
        keep_code(job)
        first_submission(job)
        kind = choose(job)
        job.log(f"approach: {kind}")
        module, _, function = HANDLERS[kind].partition(":")
        handler: Callable[[Job], None] = getattr(importlib.import_module(module), function)
        handler(job)
        job.log("done")
    except TimeUp:
        _alarm(0)
        job.log("time is up: what is handed in stands")
    finally:
        _alarm(0)


def choose(job: Job) -> str:
    """Choose the approach by what the data are, and by the task type where they do not say."""
    form = job.form
    if form is None:
        return "analysis" if job.task_type == "data_analysis" else "report"
    if form.kind in {"clusters", "multilabel"}:
        return form.kind
    if job.task_type in BY_TYPE:
        return BY_TYPE[job.task_type]
    columns = set(header(job, "test"))
    if form.kind == "values" and (job.task_type == "time_series" or columns & SERIES_COLUMNS):
        return "forecast"
    if any(job.data.glob("*.npz")) or (job.data / "train.zip").is_file():
        from images import holds_counts

        alone = len(columns) <= 2 and not holds_counts(job)  # noqa: PLR2004 - an id, a path
        return "images" if alone else "multi_modal"
    return "text" if "text" in columns else "tabular"


def header(job: Job, name: str) -> list[str]:
    """Return the column names of a table."""
    path = job.find(name)
    if path is None or path.suffix != ".csv":
        return list(job.table(name).columns)
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def first_submission(job: Job) -> None:
    """Hand in the sample at once, so that there is a valid submission whatever happens."""
    sample = job.data / "sample_submission.csv"
    if sample.is_file():
        job.submit_copy(sample)
        job.log("handed in the sample submission")


def keep_code(job: Job) -> None:
    """Copy this agent's source to where code is collected: it is what made the submission."""
    here = Path(__file__)
    if here.parent.resolve() == job.code.resolve():  # a replay of what was kept
        return
    for source in sorted(here.parent.glob("*.py")):
        shutil.copyfile(source, job.code / source.name)
    shutil.copyfile(here, job.code / "solution.py")


def _alarm(seconds: float) -> None:
    """Raise `TimeUp` in so many seconds, and each second again; 0 calls it off."""
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0), 1.0 if seconds > 0 else 0)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeUp


if __name__ == "__main__":
    sys.exit(main())
