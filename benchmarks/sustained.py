"""What a trial of a suite costs, beside bare Pythons: `python -m benchmarks.sustained [ROUNDS]`.

All are measured in turn, since the speed of a machine drifts; each is compared with the bare
Pythons of its own round. The figures that are asked for were measured where two cores start 194
bare Pythons a second, so that what is asked for is told in these too.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks import suites
from benchmarks.containment import NOTHING, SCRATCH, rate

BARE_A_SECOND = 194.0
ASKED_A_SECOND = {"process": 200.0, "bubblewrap": 100.0}
ASKED_CPU_MS = 6.0
FEW, MANY = 100, 1100


@dataclass(frozen=True)
class Cost:
    """What one costs: of the cores together, and of their time."""

    wall_ms: float
    cpu_ms: float


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare(seconds: float = 3.0) -> Cost:
    """Return what a bare Python costs, where as many run as there are cores for."""
    before = children_cpu_s()
    a_second = rate(lambda: subprocess.run(NOTHING, check=True), seconds)
    return Cost(1e3 / a_second, 1e3 * (children_cpu_s() - before) / (a_second * seconds))


def trial(where: str | None, runtime: str) -> Cost:
    """Return what one more trial of a running suite costs."""
    took = {}
    for trials in (FEW, MANY):
        scratch = Path(tempfile.mkdtemp(dir=where))
        try:
            took[trials] = suites.throughput(scratch, trials, runtime)
        finally:
            shutil.rmtree(scratch)
    more = {name: took[MANY][name] - took[FEW][name] for name in ("wall_s", "cpu_s")}
    return Cost(*(1e3 * more[name] / (MANY - FEW) for name in ("wall_s", "cpu_s")))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    places = {"in memory": SCRATCH, "on disk": None}
    kinds = [(runtime, place) for runtime in ASKED_A_SECOND for place in places]
    costs: dict[tuple[str, str], list[tuple[Cost, Cost, float]]] = defaultdict(list)
    for number in range(rounds):
        for runtime, place in kinds:
            with tempfile.TemporaryDirectory(dir=places[place]) as scratch:
                agent = 1e3 * suites.bare_copy(Path(scratch))
            costs[runtime, place].append((bare(), trial(places[place], runtime), agent))
            print(f"{number + 1} of {rounds}: {runtime} {place}", file=sys.stderr)
    print(f"{os.cpu_count()} cores; medians of {rounds} rounds; `bare` is a bare Python")
    for (runtime, place), found in costs.items():
        asked = BARE_A_SECOND / ASKED_A_SECOND[runtime]
        walls = [one.wall_ms for _, one, _ in found]
        beside = [one.wall_ms / floor.wall_ms for floor, one, _ in found]
        print(
            f"{runtime + ', ' + place:<24}{statistics.median(walls):7.1f} ms"
            f"{1e3 / statistics.median(walls):6.0f} a second"
            f"{statistics.median(beside):7.2f} x bare (asked {asked:.2f},"
            f" bare {1e3 / statistics.median(f.wall_ms for f, _, _ in found):.0f} a second)"
        )
        harness = [one.cpu_ms - agent for _, one, agent in found]
        share = [(one.cpu_ms - agent) / floor.cpu_ms for floor, one, agent in found]
        asked = ASKED_CPU_MS / (1e3 * 2 / BARE_A_SECOND)
        print(
            f"{'  CPU of the harness':<24}{statistics.median(harness):7.1f} ms{'':15}"
            f"{statistics.median(share):7.2f} x bare"
            + (f" (asked {asked:.2f})" if runtime == "process" else "")
        )


if __name__ == "__main__":
    main()
