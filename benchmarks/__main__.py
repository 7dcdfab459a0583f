"""`make bench`: the speed figures of docs/benchmarks.md, each beside a floor of the same run."""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import suites, sustained
from benchmarks.comparing import PARSE, TRIALS, write_trials
from tasks import Task, TaskRunner
from tasks.prepared import prepare

ROOT = Path(__file__).resolve().parent.parent
LARGE = {
    "id": "large",
    "name": "Large",
    "task_type": "classification",
    "data_requirements": {
        "dataset_type": "classification",
        "n_samples": 1_000_000,
        "n_features": 20,
        "n_test": 2000,
    },
    "evaluation_criteria": {"min_accuracy": 0.5},
}
MANY_ANSWERS = {
    **LARGE,
    "id": "many_answers",
    "data_requirements": {
        "dataset_type": "classification",
        "n_samples": 1000,
        "n_features": 2,
        "n_test": 1_000_000,
    },
}
PARSE_AND_COMPARE = """
import sys
import numpy as np, polars as pl
submitted = pl.read_csv(sys.argv[1])
with np.load(sys.argv[2]) as stored:
    ids, labels = stored["ids"], stored["labels"]
order = np.argsort(submitted["id"].to_numpy())
assert (submitted["id"].to_numpy()[order] == ids).all()
print((submitted["target"].to_numpy()[order] == labels).mean())
"""
IMPORTS = "import numpy, pydantic, typer"


@dataclass(frozen=True)
class Figure:
    """One measured figure and what it is compared with."""

    what: str
    value: float
    unit: str
    floor: float
    floor_is: str
    target: str


def best(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the least of the repeats, seconds: what other processes take only adds."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def python(*arguments: str | Path, cwd: Path = ROOT) -> Callable[[], None]:
    # As installed packages are, ours is compiled before it is measured.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def call() -> None:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            check=False,
            capture_output=True,
        )
        if done.returncode not in {0, 1}:
            raise RuntimeError(done.stderr.decode())

    return call


def start_up(_: Path) -> list[Figure]:
    bare = best(python("-c", "pass"))
    imports = best(python("-c", IMPORTS))
    package = best(python("-c", "import tasks"))
    figures = [Figure("import tasks", package - bare, "s", imports - bare, IMPORTS, "0.15 s")]
    for words in (["--help"], ["list"], ["show", "classification_basic"]):
        took = best(python("-m", "tasks.cli", *words))
        figures.append(Figure(f"aexp {words[0]}", took, "s", imports, IMPORTS, "0.35 s"))
    return figures


def trials(scratch: Path) -> list[Figure]:
    run = ROOT / "run_task.py"
    whole = best(
        python(run, "classification_basic", "--local", "--out", scratch / "r", "--", "true")
    )
    imports = best(python("-c", IMPORTS))
    task = Task.from_dict(
        {
            **LARGE,
            "id": "small",
            "data_requirements": {"dataset_type": "classification", "n_samples": 1000},
        },
        source="bench",
    )
    runner, ready = TaskRunner(scratch / "runs"), prepare(task)
    runner.run_task(task, ["true"], prepared=ready)
    inside = best(lambda: runner.run_task(task, ["true"], prepared=ready), 20)
    bare = best(lambda: subprocess.run(["true"], check=True), 20)
    fork = best(lambda: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True), 20)
    return [
        Figure("run_task.py … --local -- true", whole, "s", imports, IMPORTS, "0.6 s"),
        Figure("one trial of `true` in a running TaskRunner", inside, "s", bare + fork,
               "start `true` and a bare Python", "0.03 s"),
    ]  # fmt: skip


def validation(scratch: Path) -> list[Figure]:
    file, data, results = scratch / "many_answers.json", scratch / "answers", scratch / "results"
    file.write_text(json.dumps(MANY_ANSWERS))
    python("-m", "tasks.cli", "generate-data", file, data, "--with-answers")()
    results.mkdir()
    shutil.copy(data / "sample_submission.csv", results / "submission.csv")
    answers = next((data / "private").glob("*.npz"))
    floor = best(python("-c", PARSE_AND_COMPARE, results / "submission.csv", answers))
    took = best(python("-m", "tasks.cli", "validate", file, results, "--data", data))
    name = "validate 1,000,000 rows, whole process"
    return [Figure(name, took, "s", floor, "parse and compare", "0.6 s, 2 x")]


def generation(scratch: Path) -> list[Figure]:
    file = scratch / "large.json"
    file.write_text(json.dumps(LARGE))
    small = scratch / "start"
    base = best(python("-m", "tasks.cli", "generate-data", file, small, "--n-samples", "30",
                       "--force"), 3)  # fmt: skip
    figures = []
    for kind, target in (("csv", "1.2 s"), ("parquet", "0.5 s")):
        folder = scratch / kind
        took = best(python("-m", "tasks.cli", "generate-data", file, folder, "--format", kind,
                           "--force"), 3)  # fmt: skip
        code = (
            "import polars as pl, sys;"
            f"d = pl.read_{kind}(sys.argv[1]); import time; b = time.perf_counter();"
            f"d.write_{kind}(sys.argv[2]);"
            "open(sys.argv[2] + '.s', 'w').write(str(time.perf_counter() - b))"
        )
        python("-c", code, folder / f"train.{kind}", scratch / f"again.{kind}")()
        writing = float((scratch / f"again.{kind}.s").read_text())
        name = f"generate-data 1,000,000 x 20 {kind}, beyond start-up"
        figures.append(Figure(name, took - base, "s", writing, "polars writes the table", target))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures.append(Figure("peak memory of all of these", peak, "MB", 160, "the table", "600 MB"))
    return figures


def ranking(scratch: Path) -> list[Figure]:
    root = write_trials(scratch)
    floor = best(python("-c", PARSE, root), 3)
    figures = []
    for words, target in (
        (["leaderboard", root], "10 s, 3 x"),
        (["compare", "agent0", "agent1", "--runs", root], "10 s, 3 x"),
    ):
        took = best(python("-m", "tasks.cli", *words), 3)
        name = f"aexp {words[0]}, {TRIALS:,} trials"
        figures.append(Figure(name, took, "s", floor, "read and parse the reports", target))
    return figures


def suite(scratch: Path) -> list[Figure]:
    agent = suites.bare_copy(scratch)
    bare = sustained.bare()
    imports = best(python("-c", IMPORTS))
    small, large = scratch / "small", scratch / "large"
    small.mkdir()
    large.mkdir()
    few, many = suites.throughput(small, 200), suites.throughput(large, 2200)
    each = (many["wall_s"] - few["wall_s"]) / 2000
    harness = (many["cpu_s"] - few["cpu_s"]) / 2000 - agent
    walls = {}
    for count in (100, 500):
        (scratch / f"walls-{count}").mkdir()
        walls[count] = suites.throughput(scratch / f"walls-{count}", count, "bubblewrap")["wall_s"]
    return [
        Figure("suite: a trial of `cp`, sustained", each, "s", bare.wall_ms / 1e3,
               "a bare Python, likewise", "0.97 x"),
        Figure("suite: the same behind bubblewrap", (walls[500] - walls[100]) / 400, "s",
               bare.wall_ms / 1e3, "a bare Python, likewise", "1.94 x"),
        Figure("suite: CPU of the harness a trial", harness, "s", bare.cpu_ms / 1e3,
               "that of a bare Python", "0.58 x"),
        Figure("suite: bytes a trial beside outputs", many["bytes"] / 1024, "kB", 12, "the target",
               "12 kB"),
        Figure("suite: whole run of 200 trials", few["wall_s"], "s", imports, IMPORTS, "-"),
    ]  # fmt: skip


def queue(scratch: Path) -> list[Figure]:
    imports = best(python("-c", IMPORTS))
    took = suites.long_queue(scratch)
    return [
        Figure("suite: the last of 100,000 queued trials", took["last_s"], "s", took["first_s"],
               "the 100th", "1.3 x"),
        Figure("suite: status of 100,000 trials", took["status_s"], "s", imports, IMPORTS, "0.5 s"),
        Figure("suite: resume of 100,000 trials", took["resume_s"], "s", imports, IMPORTS, "3 s"),
        Figure("suite: peak memory of the runner", took["peak_mb"], "MB", 300, "the target",
               "300 MB"),
        Figure("suite: planning 100,000 trials", took["plan_s"], "s", imports, IMPORTS, "-"),
    ]  # fmt: skip


def main() -> None:
    """Run all; print a table, or the figures of one group named on the command line."""
    groups = {
        f.__name__: f for f in (start_up, trials, validation, generation, ranking, suite, queue)
    }
    chosen = sys.argv[1:] or list(groups)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'FIGURE':<52}{'VALUE':>10}{'FLOOR':>10}{'RATIO':>9}  {'TARGET':<14}FLOOR IS")
    for name in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            for f in groups[name](Path(scratch)):
                value, floor = f"{f.value:.3f} {f.unit}", f"{f.floor:.3f} {f.unit}"
                ratio = f"{f.value / f.floor:.2f} x"
                print(f"{f.what:<52}{value:>10}{floor:>10}{ratio:>9}  {f.target:<14}{f.floor_is}")


if __name__ == "__main__":
    main()
