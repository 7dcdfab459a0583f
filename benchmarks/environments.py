"""What an environment of Gymnasium costs: `python -m benchmarks.environments [COUNT]`.

A cold cell is a Python of its own that imports NumPy and pandas and runs the same.
Memory is the sum of proportional set sizes: shared pages are counted once.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import gymnasium
import numpy as np

from tasks.gym import TaskEnv, run

CELL = (
    "import numpy as np, pandas as pd\n"
    "frame = pd.DataFrame({'a': np.arange(1000) % 7, 'b': np.arange(1000.0)})\n"
    "frame.groupby('a')['b'].mean().sum()"
)
TIMES = 30


def main(count: int = 20) -> None:
    """Measure and print."""
    env = TaskEnv("classification_basic", instances=1, max_steps=1000)
    print(f"first reset, the box included: {timed(lambda: env.reset(seed=1)):.0f} ms")
    show("reset of a cached instance", [timed(env.reset) for _ in range(TIMES)])
    before = process_time()
    for _ in range(TIMES):
        env.reset()
    print(f"  CPU of ours of it: {1000 * (process_time() - before) / TIMES:.1f} ms")
    env.step(run(CELL))
    cells = []
    for _ in range(TIMES):
        env.reset()
        env.step(run("1"))
        cells.append(timed(lambda: env.step(run(CELL))))
    show("a cell with NumPy and pandas, the first of its kind in an episode", cells)
    cells = []
    for _ in range(TIMES):
        cells.append(timed(lambda: env.step(run(CELL))))
    show("the same again", cells)
    env.close()
    cold = [
        timed(lambda: subprocess.run([sys.executable, "-c", CELL], check=True)) for _ in range(5)
    ]
    show("cold, in a Python of its own", cold)
    many(count)


def many(count: int) -> None:
    """Run environments beside each other."""
    vector = gymnasium.vector.SyncVectorEnv(
        [lambda: TaskEnv("classification_basic", instances=1)] * count
    )
    began = perf_counter()
    vector.reset(seed=[1] * count)
    print(f"{count} environments up after {perf_counter() - began:.1f} s")
    actions = {
        "kind": np.zeros(count, dtype=np.int64),
        "path": ("",) * count,
        "text": (CELL,) * count,
    }
    took = [timed(lambda: vector.step(actions)) for _ in range(10)]
    show(f"a step of all {count}, one after the other", took)
    print(f"memory of all, ours included: {memory() / 2**20:.0f} MB")
    vector.close()


def memory() -> int:
    """Return the proportional set size of this process and all below it, in bytes."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    todo, total = [os.getpid()], 0
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return total


def timed(call) -> float:
    """Return the milliseconds of a call."""
    began = perf_counter()
    call()
    return 1000 * (perf_counter() - began)


def show(what: str, values: list[float]) -> None:
    """Print a median and a range."""
    print(f"{what}: median {median(values):.1f} ms, {min(values):.1f} to {max(values):.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
