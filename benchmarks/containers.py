"""What a container costs: python -m benchmarks.containers (a minute; needs the images).

Each figure stands beside its floor of the same run.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.containment import rate
from benchmarks.suites import throughput
from tasks.outcome import Limits
from tasks.runtimes.base import Cancel
from tasks.runtimes.docker import DockerRuntime
from tasks.workspace import Workspace

ROUNDS = 15
WORKERS = 2
"""Of a suite on two cores."""
LIMITS = Limits(memory_bytes=2**30, cpus=2, time_s=100)
IMPORT = (
    "import time; start = time.perf_counter(); import numpy, pandas, sklearn.ensemble; "
    "print(time.perf_counter() - start)"
)


def workspace():
    made = Workspace.create(Path(tempfile.mkdtemp(prefix="aexp-bench-")), "x")
    for folder in (made.public, made.home / "agent"):
        folder.mkdir(parents=True)
    return made


def start_to_end():
    """Return seconds of a trial of `python -c pass`, and of `docker run --rm` of the same flags."""
    runtime = DockerRuntime("mlebench-experiment")
    ours, theirs = [], []
    for number in range(ROUNDS):
        place = workspace()
        started = time.perf_counter()
        outcome = runtime.run(["python", "-c", "pass"], place, {}, LIMITS)
        ours.append(time.perf_counter() - started)
        if not outcome.ok:
            sys.exit(f"{outcome}\n{place.log_file.read_text()}")
        words = runtime.command([], place, LIMITS, f"aexp-bench-{number}")
        bare = [*words[: words.index("mlebench-experiment") + 1], "-c", "pass"]
        started = time.perf_counter()
        subprocess.run(bare, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        theirs.append(time.perf_counter() - started)
    return statistics.median(ours), statistics.median(theirs)


def kill_of_500():
    """Return seconds from the order to the end of the last of 500 processes, and of all."""
    ended, gone = [], []
    for _ in range(5):
        cancel, asked = Cancel(), []

        def ready(piece, cancel=cancel, asked=asked):
            if b"all" in piece:
                asked.append(time.perf_counter())
                cancel.kill()

        script = "for i in $(seq 500); do sleep 1000 & done; echo all; wait"
        begun = time.perf_counter()
        outcome = DockerRuntime("mlebench-experiment").run(
            ["bash", "-c", script], workspace(), {}, LIMITS, on_output=ready, cancel=cancel
        )
        whole = time.perf_counter() - begun
        gone.append(begun + whole - asked[0])
        ended.append(outcome.killed_processes)
    return statistics.median(gone), min(ended)


def imports():
    """Return seconds of importing numpy, pandas and scikit-learn inside and outside."""
    inside, outside = [], []
    for _ in range(5):
        place = workspace()
        DockerRuntime("mlebench-experiment").run(["python", "-c", IMPORT], place, {}, LIMITS)
        inside.append(float(place.log_file.read_text()))
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
        )
        outside.append(float(done.stdout))
    return statistics.median(inside), statistics.median(outside)


def suite_beside_bare():
    """Return how many trials of `cp` a suite ends a second, and how many bare containers end."""
    ours, theirs = [], []
    for _ in range(3):
        place = workspace()
        words = DockerRuntime("mlebench-experiment").command([], place, LIMITS, "aexp-bench")
        named = words.index("--name")
        bare = [
            *words[:named],
            *words[named + 2 : words.index("mlebench-experiment") + 1],
            "-c",
            "pass",
        ]
        theirs.append(
            rate(partial(subprocess.run, bare, check=True, stdin=subprocess.DEVNULL), 12.0, WORKERS)
        )
        took = {}
        for trials in (20, 60):
            took[trials] = throughput(Path(tempfile.mkdtemp()), trials, "docker")["wall_s"]
        ours.append(40 / (took[60] - took[20]))
    return statistics.median(ours), statistics.median(theirs)


def main():
    ours, theirs = start_to_end()
    print(f"a trial of `python -c pass`: {ours:.3f} s; docker run --rm, same flags: {theirs:.3f} s")
    print(f"  ratio {ours / theirs:.2f}")
    ours, theirs = suite_beside_bare()
    print(f"trials of `cp` in a suite: {ours:.2f} a second; docker run --rm: {theirs:.2f} a second")
    print(f"  ratio {ours / theirs:.2f}")
    gone, killed = kill_of_500()
    print(f"from the order to kill 500 processes to no container: {gone:.3f} s ({killed} killed)")
    inside, outside = imports()
    print(f"import of numpy, pandas, sklearn: inside {inside:.2f} s, outside {outside:.2f} s")
    print(f"  ratio {inside / outside:.2f}")
    words = ["docker", "image", "inspect", "--format", "{{.Size}}", "mlebench-experiment"]
    size = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    print(f"mlebench-experiment: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
