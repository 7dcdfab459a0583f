"""Processes as /proc shows them: who descends from whom, and killing all of a kind.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import os
import signal
import time
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_FREEZE_S = 0.3
_HASTE_S = 0.3
_MOST_LOOKS = 200_000
"""Open files looked at in one go, at 2 µs each."""
_LISTED = os.path.exists("/proc/thread-self/children")  # noqa: PTH110 - pathlib loads slowly
"""Whether this kernel lists children; few do not."""


class Process:
    """One row of /proc."""

    __slots__ = ("group", "memory", "parent", "session", "started", "stopped", "ticks", "zombie")

    def __init__(self, stat: bytes) -> None:
        """Parse /proc/PID/stat; the name in it may hold anything, brackets too."""
        fields = stat[stat.rindex(b")") + 2 :].split(None, 22)
        self.zombie = fields[0] == b"Z"
        self.stopped = fields[0] in (b"T", b"t")
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
        """CPU time of its own and of its dead children, in hundredths of a second as a rule."""
        self.started = int(fields[19])
        self.memory = int(fields[21]) * _PAGE


def now() -> int:
    """Return what `Process.started` of one started now would be at least."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def processes() -> dict[int, Process]:
    """Return every process by its number."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib loads slowly
        if name.isdigit() and (stat := read(f"/proc/{name}/stat")):
            found[int(name)] = Process(stat)
    return found


def read(path: str, most: int = 4096) -> bytes:
    """Return the first bytes of a file of /proc, or none: its process may be gone by now."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, most)
    except OSError:
        return b""
    finally:
        os.close(handle)


def nameless(pids: Iterable[int], device: int) -> int:
    """Return the bytes of files of a device that were deleted and that these processes keep."""
    held = {}
    left = _MOST_LOOKS
    for place in (f"/proc/{pid}/{kind}" for pid in pids for kind in ("fd", "map_files")):
        try:
            names = os.listdir(place)  # noqa: PTH208 - pathlib loads slowly
        except OSError:  # it is gone, or closed to us
            continue
        for name in names[:left]:
            try:
                status = os.stat(f"{place}/{name}")  # noqa: PTH116 - likewise
            except OSError:
                continue
            if status.st_nlink == 0 and status.st_dev == device:
                held[status.st_ino] = status.st_blocks * 512
        left -= len(names[:left])
    return sum(held.values())


def below(roots: Iterable[int], table: dict[int, Process] | None = None) -> dict[int, Process]:
    """Return the descendants of `roots`, themselves not included; `table` may be at hand."""
    table = processes() if table is None else table
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: dict[int, Process] = {}
    waiting = list(roots)
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found[pid] = table[pid]
                waiting.append(pid)
    return found


def children(pid: int) -> list[int]:
    """Return the children of the main thread of a process, the latest last.

    Orphans come to the main thread. One read is 50 times as fast as a look at all of /proc.
    """
    if not _LISTED:
        return [child for child, process in processes().items() if process.parent == pid]
    return _listed(f"/proc/{pid}/task/{pid}/children")


def descendants(roots: Iterable[int]) -> dict[int, Process]:
    """Return what `below` does; only they are looked at, not all the machine's processes."""
    if not _LISTED:
        return below(roots)
    found: dict[int, Process] = {}
    waiting = list(roots)
    while waiting:
        for pid in _children_of_all_threads(waiting.pop()):
            if pid not in found and (stat := read(f"/proc/{pid}/stat")):
                found[pid] = Process(stat)
                waiting.append(pid)
    return found


def _children_of_all_threads(pid: int) -> list[int]:
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)  # noqa: PTH208 - pathlib loads slowly
    except OSError:
        return []
    return [child for thread in threads for child in _listed(f"{folder}/{thread}/children")]


def _listed(path: str) -> list[int]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    found = b""
    try:
        while piece := os.read(handle, 2**16):
            found += piece
    except OSError:
        return []
    finally:
        os.close(handle)
    return [int(word) for word in found.split()]


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each process that still is; a negative number means a group."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def freeze_and_kill(
    find: Callable[[], dict[int, Process]], orphans: Callable[[], Iterable[int]] = tuple
) -> set[int]:
    """Kill all that `find` finds; return those that were alive.

    They are stopped first, until no pass finds a new one: what is stopped starts nothing, so
    neither a fork bomb nor a pair that restarts each other can outrun the kill. A signal to a
    group reaches all of it at once, a process that is just being forked included. A chain in
    which each starts its successor, in a group of its own, and exits is faster than a look at
    /proc; such successors are orphans, and `orphans` gives those quickly, the latest first.

    A pass may miss who is born during it, so an empty one proves nothing; to have no child left
    does. Where the machine is slow a pass takes long, yet each ends in signals.
    """
    stopped: set[int] = set()
    alive: set[int] = set()
    until = monotonic() + _FREEZE_S
    while True:
        found = find()
        alive.update(pid for pid, process in found.items() if not process.zombie)
        new = {pid: process for pid, process in found.items() if pid not in stopped}
        if not new:
            break
        stopped |= _freeze(new)
        haste = monotonic() + _HASTE_S
        while _outrun(orphans(), stopped) and monotonic() < haste:
            pass
        if monotonic() > until:
            break
    signal_all(stopped, signal.SIGKILL)
    return alive


def _outrun(orphans: Iterable[int], stopped: set[int]) -> bool:
    """Stop each orphan as soon as it is seen; return whether there was a new one."""
    before = len(stopped)
    for pid in orphans:
        if pid not in stopped:
            signal_all([pid], signal.SIGSTOP)
            stopped.add(pid)
    return len(stopped) > before


def _freeze(found: dict[int, Process]) -> set[int]:
    """Stop these processes and their groups; return whom to kill, groups as negative numbers."""
    # A process that is just being buried says group -1; -1 and 0 would be all, and our own.
    grouped = {process.group for process in found.values()} - {os.getpgrp()}
    groups = {-group for group in grouped if group > 1}
    signal_all(groups, signal.SIGSTOP)
    signal_all(found, signal.SIGSTOP)
    return groups | found.keys()


def fair_memory(pid: int) -> int:
    """Return the memory of a process, each shared page divided among its users; 0 if unknown."""
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def ending(status: int | None) -> str:
    """Say how a process with this exit code ended, if it did not end well."""
    if not status:
        return ""
    if status > 0:
        return f"exit status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"ended by signal {-status}"
