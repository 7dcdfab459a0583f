"""What is left of a trial when both its harness and its supervisor were killed at once.

A killed supervisor's processes are its harness's, and a killed harness's are its supervisor's; of
both together nobody is left to end them.
"""

import os
import re
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Final

from tasks.runtimes import cgroups, procfs
from tasks.runtimes.watched import MARK

_MARKED: Final = re.compile(rb"(?:^|\0)%s=[0-9a-f]{16}(?:\0|$)" % MARK.encode())
_GROUPED: Final = re.compile(rb"/%s[^/]+-[0-9a-f]{6}$" % cgroups.PREFIX.encode(), re.MULTILINE)
_KEEPER: Final = re.compile(
    rb"-I\0-S\0-c\0.*from tasks\.runtimes\.(?:serve|seed) import", re.DOTALL
)
_MOST: Final = 2**20
_UNTIL_S: Final = 5.0


def strays() -> dict[int, procfs.Process]:
    """Return the processes of trials that no living supervisor keeps, by number.

    They are looked for twice: a list of processes may miss a supervisor that is just starting.
    """
    before = _seen()
    return {pid: process for pid, process in _seen().items() if pid in before} if before else {}


def _seen() -> dict[int, procfs.Process]:
    table = procfs.processes()
    keepers = {pid for pid in table if _KEEPER.search(procfs.read(f"/proc/{pid}/cmdline"))}
    kept = keepers | procfs.below(keepers, table).keys()
    return {
        pid: process
        for pid, process in table.items()
        if pid not in kept and pid != os.getpid() and not process.zombie and _is_of_a_trial(pid)
    }


def ended() -> Iterator[int]:
    """Kill all strays; yield the number of each one that is gone."""
    until = monotonic() + _UNTIL_S
    killed: set[int] = set()
    while (left := strays()) and monotonic() < until:
        killed |= procfs.freeze_and_kill(strays)
        sleep(0.02)
    yield from sorted(killed - left.keys())


def _is_of_a_trial(pid: int) -> bool:
    """Whether it has a trial's mark in its variables, or lies in the control group of one."""
    marked = _MARKED.search(procfs.read(f"/proc/{pid}/environ", _MOST))
    return bool(marked or _GROUPED.search(procfs.read(f"/proc/{pid}/cgroup")))
