"""Slurm, by submitit: a job for each call, placed by the site's own rules."""

import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import MissingPart, install
from tasks.executors import worker
from tasks.executors.base import Needs
from tasks.executors.engine import EngineExecutor

FOLDER = "AEXP_SLURM_DIR"
"""A folder that login and compute nodes share; by default `~/.cache/aexp/slurm`."""
POLL_S = 0.25
ASK_S = 3.0
"""Seconds between looks at the queue for jobs that have ended without an answer."""
LATE_S = 15.0
"""How much later than a job's end its answer may show up on a shared file system."""
UNLIMITED_S = 24 * 3600.0
ENDING_S = 60.0
"""How long a cancelled job may take to be gone."""
ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    }
)
"""States, as squeue calls them, from which no job comes back."""


@dataclass(slots=True)
class _Job:
    job: Any
    done: Callable[[bytes | None, str], None]
    gone: float | None = None
    """When it was first seen to have left the queue."""


class SlurmExecutor(EngineExecutor):
    """Calls as jobs of `sbatch`, which reads its own variables (`SBATCH_PARTITION` and so on)."""

    name = "slurm"

    def __init__(self, *, workers: int, needs: Needs | None = None) -> None:
        """Find Slurm.

        Raises:
            MissingPart: submitit or Slurm's commands are not here.
        """
        super().__init__(workers=workers, needs=needs)
        try:
            import submitit
        except ImportError as error:
            raise MissingPart(f"the executor slurm needs submitit: {install('slurm')}") from error
        if shutil.which("sbatch") is None:
            raise MissingPart("the executor slurm needs sbatch: run it where jobs are submitted")
        given = os.environ.get(FOLDER)
        self.folder = Path(given) if given else Path.home() / ".cache" / "aexp" / "slurm"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._submitter: Any = submitit.SlurmExecutor(folder=self.folder)
        self._submitter.update_parameters(**self._parameters())
        self._jobs: list[_Job] = []
        self._dropped: list[_Job] = []
        self._asked = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slurm", daemon=True)
        self._thread.start()

    def _parameters(self) -> dict[str, Any]:
        needs = self.needs
        found: dict[str, Any] = {
            "job_name": "aexp",
            "time": math.ceil((needs.time_s or UNLIMITED_S) / 60),
            "cpus_per_task": max(1, math.ceil(needs.cpus or 1)),
            # A job whose node died is not to be repeated: the caller decides.
            "additional_parameters": {"no_requeue": True},
            "signal_delay_s": 1,  # of submitit's warning before the end, which nobody here needs
        }
        if needs.memory_bytes:
            found["mem"] = f"{math.ceil(needs.memory_bytes / 2**20)}M"
        if needs.gpus:
            found["gpus_per_node"] = math.ceil(needs.gpus)
        return found

    def _place(self, payload: bytes, done: Callable[[bytes | None, str], None]) -> Any:
        placed = _Job(self._submitter.submit(worker.answer, payload), done)
        with self._lock:
            self._jobs.append(placed)
        return placed

    def _drop(self, handle: Any) -> None:
        with self._lock:
            if handle in self._jobs:
                self._jobs.remove(handle)
        # First what runs at once, which would ignore a gentler word; then the job itself.
        for more in (["--signal=KILL", "--full"], []):
            command = ["scancel", "--quiet", *more, handle.job.job_id]
            subprocess.run(command, check=False, capture_output=True)
        self._dropped.append(handle)

    def _close(self) -> None:
        self._over.set()
        self._thread.join()
        until = time.monotonic() + ENDING_S
        while _alive(self._dropped) and time.monotonic() < until:
            time.sleep(POLL_S)
        for job in self._dropped:
            self._remove(job)

    def _watch(self) -> None:
        """Look for answers; a file of the job's says it all, the queue only that it is gone."""
        while not self._over.wait(POLL_S):
            with self._lock:
                jobs = list(self._jobs)
            if jobs and time.monotonic() - self._asked > ASK_S:
                self._ask(jobs)
            for job in jobs:
                late = job.gone is not None and time.monotonic() - job.gone > LATE_S
                if job.job.paths.result_pickle.exists():
                    self._end(job, *_answer(job.job))
                elif late:
                    self._end(job, None, f"Slurm lost the job {job.job.job_id}")

    def _ask(self, jobs: list[_Job]) -> None:
        alive = _alive(jobs)
        self._asked = time.monotonic()
        if alive is None:
            return
        for job in jobs:
            if job.job.job_id in alive:
                job.gone = None
            elif job.gone is None:
                job.gone = time.monotonic()

    def _end(self, job: _Job, answer: bytes | None, lost: str) -> None:
        with self._lock:
            if job not in self._jobs:
                return
            self._jobs.remove(job)
        self._remove(job)
        job.done(answer, lost)

    def _remove(self, job: _Job) -> None:
        """Remove a job's files; they hold what the call was given."""
        for file in self.folder.glob(f"{job.job.job_id}_*"):
            file.unlink()


def _alive(jobs: list[_Job]) -> set[str] | None:
    """Return the ids of those that wait or run; None where the controller does not answer."""
    if not jobs:
        return set()
    # sacct would say more, and needs a database that small sites do not have.
    ids = ",".join(job.job.job_id for job in jobs)
    command = ["squeue", "--noheader", "--format=%i %T", f"--jobs={ids}"]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    if told.returncode and "Invalid job id" not in told.stderr:
        return None
    rows = [line.split() for line in told.stdout.splitlines()]
    return {number for number, state in rows if state not in ENDED}


def _answer(job: Any) -> tuple[bytes | None, str]:
    """Return what `worker.answer` returned; submitit itself may have failed in the job."""
    error = job.exception()
    if error is None:
        return job.result(), ""
    return None, f"the job {job.job_id} failed: {str(error).strip().splitlines()[-1]}"
