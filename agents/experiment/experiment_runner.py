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
    "clusters": "clustering_model:run",
    "forecast": "forecast_model:run",
    "images": "image_task:run",
    "multi_modal": "multi_modal_model:run",
    "report": "free_task:run",
    "tabular": "tabular_model:run",
    "text": "text_model:run",
}
SERIES_COLUMNS = frozenset({"series", "series_id"})


class TimeUp(Exception):  # noqa: N818 - not a fault
    """The time to work is over; what is handed in stands."""


def main() -> int:
    """Do the job; return the exit status."""
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
    if form.kind == "clusters":
        return "clusters"
    columns = set(header(job, "test"))
    if form.kind == "values" and (job.task_type == "time_series" or columns & SERIES_COLUMNS):
        return "forecast"
    if any(job.data.glob("*.npz")):
        return "images" if len(columns) <= 2 else "multi_modal"  # noqa: PLR2004 - an id, a path
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
    """Copy this agent's source to where code is collected, so that the run can be repeated."""
    for source in sorted(Path(__file__).parent.glob("*.py")):
        shutil.copyfile(source, job.code / source.name)


def _alarm(seconds: float) -> None:
    """Raise `TimeUp` in so many seconds, and each second again; 0 calls it off."""
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0), 1.0 if seconds > 0 else 0)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeUp


if __name__ == "__main__":
    sys.exit(main())
