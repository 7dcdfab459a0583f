"""Figures of suites: trials a second, CPU and bytes a trial, and what a long queue costs."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tasks.store import Store
from tasks.store.folders import SuiteFolder
from tasks.store.states import Row
from tasks.suite import Ended, SuiteFile, SuiteRun, begin, resolve
from tasks.suite.work import Job

ROOT = Path(__file__).resolve().parent.parent
COPY = 'cp "$DATA_DIR/sample_submission.csv" "$SUBMISSION_DIR/submission.csv"'
AGENT = f"command:sh -c '{COPY}'"
QUEUED = 100_000
INSTANCES = 20


class StubExecutor:
    """Answers at once, without a trial: what is left is the queue."""

    name = "stub"
    workers = 2

    def __init__(self) -> None:
        self.times: list[float] = []

    def submit(self, _: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if isinstance(args[0], Job):
            self.times.append(time.perf_counter())
            job = args[0]
            row = Row(state="done", success=True, score=1.0, seconds=0.1, cpu_seconds=0.1)
            future.set_result(Ended(n=job.n, attempt=job.attempt, row=row))
        else:  # an instance to be published
            folder, task, repeat, _ = args
            future.set_result(SuiteFolder(Path(folder)).instance(task, repeat).mkdir(parents=True))
        return future

    def shutdown(self, *, now: bool = False) -> None:
        """Nothing runs."""


def copies(
    scratch: Path, trials: int, runtime: str, *more: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment of a suite of `cp` on 20 instances, kept in `store`."""
    file = scratch / "suite.json"
    agents = [f"a{n}={AGENT}" for n in range(trials // INSTANCES)]
    asked = {"tasks": ["classification_basic"], "agents": agents, "repeats": INSTANCES,
             "runtime": runtime}  # fmt: skip
    file.write_text(json.dumps(asked))
    words = [sys.executable, "-m", "tasks.cli", "suite", "run", str(file), "--out",
             str(scratch / "store"), "--json", *more]  # fmt: skip
    return words, {"PYTHONPATH": str(ROOT), "AEXP_KEYS": str(scratch / "keys")}


def throughput(scratch: Path, trials: int = 2000, runtime: str = "process") -> dict[str, float]:
    """Run a suite of `cp` in a process of its own."""
    words, env = copies(scratch, trials, runtime)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, env={**os.environ, **env}
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout)
    if said["states"] != {"done": trials}:
        raise RuntimeError(done.stdout)
    files = [path for path in scratch.glob("store/*/trials/**/*") if path.is_file()]
    own = [path for path in files if "outputs" in path.parts]
    size = sum(path.stat().st_size for path in files) - sum(path.stat().st_size for path in own)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, "bytes": size / trials}


def bare_copy(scratch: Path, count: int = 200) -> float:
    """Return the CPU seconds of the agent itself, started bare."""
    source = scratch / "sample_submission.csv"
    source.write_text("id,target\n" + "".join(f"{n},0\n" for n in range(2000)))
    env = {**os.environ, "DATA_DIR": str(scratch), "SUBMISSION_DIR": str(scratch)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(count):
        subprocess.run(["sh", "-c", COPY], check=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count


def long_queue(scratch: Path, queued: int = QUEUED) -> dict[str, float]:
    """Push a long queue through a stub executor."""
    os.environ["AEXP_KEYS"] = str(scratch / "keys")
    asked = SuiteFile.of(
        {"tasks": ["classification_basic"], "agents": [AGENT, f"b={AGENT}"],
         "repeats": queued // 2}, source="bench",
    )  # fmt: skip
    begun = time.perf_counter()
    folder = begin(resolve(asked), scratch, asked)
    store = Store(scratch)
    store.plan(folder.id, 0.0, folder.product(folder.load()))
    planned = time.perf_counter()
    stub = StubExecutor()
    SuiteRun(folder, store, stub).run()
    times = stub.times
    window = max(100, queued // 100)
    first = (times[100 + window] - times[100]) / window
    last = (times[-1] - times[-1 - window]) / window
    store.close()
    command = [sys.executable, "-m", "tasks.cli", "suite"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def timed(*words: str) -> float:
        start = time.perf_counter()
        subprocess.run([*command, *words, "--out", str(scratch)], check=True, env=env,
                       capture_output=True)  # fmt: skip
        return time.perf_counter() - start

    return {
        "plan_s": planned - begun,
        "first_s": first,
        "last_s": last,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "status_s": min(timed("status") for _ in range(3)),
        "resume_s": timed("resume"),
    }
