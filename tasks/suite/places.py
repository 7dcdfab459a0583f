"""What of the machine a trial gets: cores of its own, GPUs of its own, threads to match."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tasks.errors import UsageError, counted
from tasks.outcome import Limits

GPUS: Final = Path("/proc/driver/nvidia/gpus")
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One trial's part of the machine; no two trials that run at a time have the same one."""

    cores: tuple[int, ...] = ()
    """Empty where it is not pinned."""
    gpus: tuple[str, ...] = ()
    threads: int = 1

    def variables(self) -> dict[str, str]:
        """Return what an agent's numerical libraries read."""
        found = dict.fromkeys(_THREADS, str(self.threads))
        return found | ({"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is to be handed out."""

    cores: tuple[int, ...]
    memory_bytes: int
    gpus: tuple[str, ...]

    @classmethod
    def here(cls) -> "Machine":
        """Look at this machine, as far as this process may use it."""
        return cls(
            cores=tuple(sorted(os.sched_getaffinity(0))),
            memory_bytes=psutil.virtual_memory().total,
            gpus=_gpus(os.environ, GPUS),
        )


def _gpus(env: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    if (named := env.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(word for word in named.split(",") if word)
    return tuple(str(n) for n, _ in enumerate(folder.iterdir() if folder.is_dir() else ()))


def places(machine: Machine, limits: Limits, workers: int | None) -> list[Place]:
    """Divide a machine.

    Args:
        machine: What there is.
        limits: What one trial gets. Only with `cpus` are trials pinned to cores; only then, and
            with `memory_bytes` or `gpus`, does the machine bound how many run at a time.
        workers: How many are wanted; by default as many as fit, one a core at most.

    Raises:
        UsageError: So many do not fit; the message says how many would.
    """
    wanted_gpus = _wanted(limits.gpus, machine.gpus)
    room = {
        "cores": _fit(len(machine.cores), math.ceil(limits.cpus or 0)),
        "memory": _fit(machine.memory_bytes, limits.memory_bytes or 0),
        "GPUs": _fit(len(machine.gpus), len(wanted_gpus)),
    }
    what, most = min(((name, n) for name, n in room.items() if n is not None),
                     key=lambda item: item[1], default=("", None))  # fmt: skip
    if most == 0:
        asked, there = {
            "cores": (f"--cpus {limits.cpus}", counted(len(machine.cores), "core")),
            "memory": (f"--memory {limits.memory_bytes}", f"{machine.memory_bytes} bytes"),
            "GPUs": (f"--gpus {limits.gpus}", counted(len(machine.gpus), "GPU")),
        }[what]
        raise UsageError(f"{asked}: more than a trial can have here; this machine has {there}")
    if most is not None and most < (workers or 1):
        raise UsageError(
            f"--workers {workers}: with what each trial is to have, this machine's {what} would do "
            f"for {counted(most, 'trial')} at a time"
        )
    fitting = len(machine.cores) if most is None else min(most, len(machine.cores))
    count = workers or max(1, fitting)
    return [_place(machine, limits, number, count, len(wanted_gpus)) for number in range(count)]


def _place(machine: Machine, limits: Limits, number: int, count: int, gpus: int) -> Place:
    each = math.ceil(limits.cpus or 0)
    return Place(
        cores=machine.cores[number * each : (number + 1) * each],
        gpus=machine.gpus[number * gpus : (number + 1) * gpus],
        threads=each or max(1, len(machine.cores) // count),
    )


def _wanted(gpus: str | None, there: Sequence[str]) -> Sequence[str]:
    if gpus is None:
        return ()
    if gpus == "all":
        return there or ("all",)
    return ["any"] * int(gpus) if gpus.isdigit() else gpus.split(",")


def _fit(there: int, each: int) -> int | None:
    return there // each if each else None
