"""What engines and trackers cost: run by the environment that holds them, `make engines` makes it.

`python -m benchmarks.engines` prints trials a second by executor, and what trackers add to a trial.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tasks import TaskRunner
from tasks.agents import from_command
from tasks.prepared import prepare
from tasks.spec import Task
from tasks.trackers import Feed

ROOT = Path(__file__).resolve().parent.parent
AGENT = (
    'command:sh -c "sleep 0.2; cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv"'
)
TRIALS, AGENTS = 40, 10
SECONDS, POINTS_A_SECOND = 3, 100
LOGS = f"""
import json, os, shutil, time
with open(os.environ["LOGS_DIR"] + "/metrics.jsonl", "a") as file:
    for step in range({SECONDS * POINTS_A_SECOND}):
        print(json.dumps({{"step": step, "loss": 1 / (1 + step)}}), file=file, flush=True)
        time.sleep({1 / POINTS_A_SECOND})
shutil.copy(os.environ["DATA_DIR"] + "/sample_submission.csv", os.environ["SUBMISSION_DIR"])
os.chdir(os.environ["SUBMISSION_DIR"])
os.rename("sample_submission.csv", "submission.csv")
"""


def rate(executor: str, scratch: Path) -> float:
    """Return trials a second between the first and the last ending: start-up is left out."""
    out = scratch / f"{executor}-{time.monotonic_ns()}"
    agents = [word for n in range(AGENTS) for word in ("--agents", f"a{n}={AGENT}")]
    command = [sys.executable, "-m", "tasks.cli", "suite", "run", "--tasks", "binary_small",
               *agents, "--repeats", str(TRIALS // AGENTS), "--runtime", "process", "--executor",
               executor, "--workers", "2", "--out", str(out), "--json"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "AEXP_KEYS": str(scratch / "keys")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    if json.loads(done.stdout)["states"] != {"done": TRIALS}:
        raise RuntimeError(done.stdout)
    ended = [
        json.loads(file.read_text())["finished"] for file in out.glob("*/trials/*/report.json")
    ]
    return (TRIALS - 1) / (max(ended) - min(ended))


def rates(scratch: Path) -> dict[str, float]:
    """Return the better rate of two runs of each executor, which take turns."""
    found: dict[str, float] = {}
    for _ in range(2):
        for executor in ("pool", "dask", "ray"):
            found[executor] = max(found.get(executor, 0.0), rate(executor, scratch))
    return found


def tracked(scratch: Path, names: list[str], trials: int = 5) -> tuple[float, float]:
    """Return the median seconds and the CPU seconds of the harness, of a trial that logs."""
    task = Task.load(ROOT / "tasks" / "templates" / "binary_small.json")
    ready = prepare(task)
    script = scratch / "agent.py"
    script.write_text(LOGS)
    agent = from_command([sys.executable, str(script)])
    walls, cpus = [], []
    with Feed(names, scratch / "trackers") as feed:
        runner = TaskRunner(scratch / "runs", runtime="process", feed=feed if names else None)
        runner.run_task(task, agent, prepared=ready)
        for _ in range(trials):
            wall, cpu = time.perf_counter(), time.process_time()
            runner.run_task(task, agent, prepared=ready)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = rates(scratch)
        for executor, each in found.items():
            print(f"{executor:<6} {each:6.2f} trials/s  {each / found['pool']:5.2f} of the pool")
        bare = tracked(scratch, [])
        print(f"{'no tracker':<12} {bare[0]:.3f} s a trial, harness {bare[1] * 1e3:.1f} ms of CPU")
        for name in ("mlflow", "wandb"):
            wall, cpu = tracked(scratch, [name])
            print(
                f"{name:<12} {wall:.3f} s a trial ({wall / bare[0] - 1:+.1%}), harness "
                f"{cpu * 1e3:.1f} ms of CPU ({(cpu - bare[1]) / bare[0]:+.2%} of the trial)"
            )


if __name__ == "__main__":
    main()
