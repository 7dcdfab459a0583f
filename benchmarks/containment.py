"""What the walls cost: `python -m benchmarks.containment`, each figure beside its floor.

Starts and kills in the process and bubblewrap runtimes, from a warm seed as in a suite.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes.base import Runtime
from tasks.runtimes.named import runtime_named
from tasks.runtimes.nursery import NURSERY
from tasks.workspace import Workspace

NOTHING = [sys.executable, "-c", "pass"]
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
LIMITS = Limits(time_s=30, memory_bytes=2**30, cpus=2, pids=600)
TREE = """
import os, time
for _ in range(499):
    if os.fork() == 0:
        time.sleep(60)
open("ready", "w").close()
time.sleep(60)
"""
REPEATS = 30
ROUNDS = 7
AT_ONCE = 4
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""In memory: what is measured is ours, and not how a disk makes folders."""


def milliseconds(function, repeats=REPEATS):
    """Return the median of the repeats."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def start(runtime: Runtime, scratch: Path, command=NOTHING, limits=LIMITS):
    workspace = Workspace.create(scratch, "bench")
    outcome = runtime.run(command, workspace, ENV, limits)
    if outcome.reason not in {"finished", "timed out"}:
        raise RuntimeError(f"{outcome.reason}: {outcome.detail}")
    return outcome


def kill(runtime: Runtime, scratch: Path) -> float:
    """Return how long 500 processes take to die after the limit, milliseconds."""
    limits = Limits(time_s=4, grace_s=0, pids=600)
    outcome = start(runtime, scratch, [sys.executable, "-I", "-S", "-c", TREE], limits)
    if outcome.killed_processes < 500:
        raise RuntimeError(f"only {outcome.killed_processes} processes in 4 s: the machine is busy")
    return 1e3 * (outcome.seconds - limits.time_s)


def bare_kill() -> float:
    """Return how long 500 processes of a namespace take to die with its first one, milliseconds."""
    tree = TREE.replace('open("ready", "w").close()', 'print("ready", flush=True)')
    words = ["unshare", "--pid", "--fork", sys.executable, "-I", "-S", "-c", tree]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, **quiet) as process:
        process.stdout.readline()
        [first] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        begun = time.perf_counter()
        os.kill(int(first), signal.SIGKILL)
        process.wait()
        return 1e3 * (time.perf_counter() - begun)


def rate(function, seconds=1.5, at_once=AT_ONCE):
    """Return how often a second it runs, several at once."""
    until = time.perf_counter() + seconds

    def many(_):
        count = 0
        while time.perf_counter() < until:
            function()
            count += 1
        return count

    begun = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(many, range(at_once))) / (time.perf_counter() - begun)


def bare():
    subprocess.run(NOTHING, check=True)


def runtimes() -> dict[str, Runtime]:
    """Return those of the two that there are here."""
    found = {}
    for name in ("process", "bubblewrap"):
        try:
            found[name] = runtime_named(name)
        except MissingPart as error:
            print(f"{name}: {error}")
    return found


def main() -> None:
    """Print a table; all are measured in turn, since the speed of a machine drifts."""
    NURSERY.open()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        there = runtimes()
        started = {"bare": bare}
        started |= {name: partial(start, one, Path(folder)) for name, one in there.items()}
        took = {name: [] for name in started}
        rates = {name: [] for name in started}
        for _ in range(ROUNDS):
            for name, once in started.items():
                took[name].append(milliseconds(once))
                rates[name].append(rate(once))
        for name in started:
            more = [one - floor for one, floor in zip(took[name], took["bare"], strict=True)]
            share = [one / floor for one, floor in zip(rates[name], rates["bare"], strict=True)]
            print(
                f"{name + ', python -c pass':<28}{statistics.median(took[name]):8.1f} ms"
                f"{statistics.median(rates[name]):8.0f} starts/s"
                f"   added {statistics.median(more):.1f} ms, {statistics.median(share):.2f} of bare"
            )
        kills = {name: partial(kill, one, Path(folder)) for name, one in there.items()}
        kills |= {"bare namespace": bare_kill} if os.getuid() == 0 else {}
        for name, once in kills.items():
            times = [once() for _ in range(5)]
            print(f"{name + ', kill of 500':<28}{statistics.median(times):8.1f} ms")


if __name__ == "__main__":
    main()
