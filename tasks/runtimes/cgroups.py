"""Control groups: what this machine lets us limit by them, and one group for one trial.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import os
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PREFIX = "aexp-"
"""Every group of ours is called so."""

FILES = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "pids": ("pids.max", "pids.max"),
    "cpu": ("cpu.cfs_quota_us", "cpu.max"),
}
"""By controller, the file that limits it in version 1 and in version 2."""

PERIOD_US = 100_000
WALLS = 4
"""Processes that bubblewrap itself may need within the group."""

_REMOVE_PAUSES_S = [*(0.0005 * 2**number for number in range(9)), *[0.1] * 5]


class Group:
    """One trial's group in each hierarchy: made, joined, asked, and removed."""

    def __init__(self, parents: Mapping[str, str], name: str) -> None:
        self.folders = {controller: f"{parent}/{name}" for controller, parent in parents.items()}
        self.homes: set[str] = set()

    def make(self, memory: int | None, cpus: float | None, pids: int | None) -> None:
        """Make it and set its limits; a controller without one is left out."""
        wanted = {"memory": memory, "cpu": cpus, "pids": pids}
        self.folders = {
            name: folder for name, folder in self.folders.items() if wanted[name] is not None
        }
        for folder in {*self.folders.values()}:
            os.mkdir(folder)  # noqa: PTH102 - pathlib loads slowly
        for name, folder in self.folders.items():
            for file, value in _settings(name, wanted[name] or 0, folder):
                _write(f"{folder}/{file}", value)

    def join(self) -> None:
        """Move this process, which has no threads, into it."""
        self.homes = {home for controller in self.folders if (home := _home(controller))}
        _move_to({*self.folders.values()})

    def leave(self) -> None:
        """Move this process back to the groups that it was in before it joined."""
        _move_to(self.homes)

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed for want of memory."""
        folder = self.folders.get("memory")
        for file in ("memory.events", "memory.oom_control"):
            for line in _read(f"{folder}/{file}").splitlines() if folder else ():
                word, _, count = line.partition(" ")
                if word == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> bool:
        """Remove it when it is empty; the last dead may take a moment to leave it."""
        left = [folder for folder in {*self.folders.values()} if not removed(folder)]
        return not left


def _move_to(folders: Iterable[str]) -> None:
    for folder in folders:
        # Version 1 moves a single thread at once, where for a process it waits 8 ms until no
        # processor can be looking at its threads.
        by_thread = os.path.exists(f"{folder}/tasks")  # noqa: PTH110 - pathlib loads slowly
        file = "tasks" if by_thread else "cgroup.procs"
        _write(f"{folder}/{file}", "0")


_HOMES: dict[str, str] = {}


def _home(controller: str) -> str:
    """Return the group that this process was in at first; nobody else moves it."""
    if controller not in _HOMES:
        _HOMES[controller] = next(_candidates(controller, "/proc/self"), "")
    return _HOMES[controller]


def _settings(controller: str, value: float, folder: str) -> Iterator[tuple[str, str]]:
    old, new = FILES[controller]
    file = old if os.path.exists(f"{folder}/{old}") else new  # noqa: PTH110
    if controller == "cpu":
        quota = max(1000, int(value * PERIOD_US))
        yield file, f"{quota}" if file == old else f"{quota} {PERIOD_US}"
        return
    yield file, str(int(value) + (WALLS if controller == "pids" else 0))
    swap = "memory.memsw.limit_in_bytes" if file == old else "memory.swap.max"
    if controller == "memory" and os.path.exists(f"{folder}/{swap}"):  # noqa: PTH110
        yield swap, str(int(value)) if file == old else "0"


def removed(folder: str) -> bool:
    """Remove a group; return whether it is gone."""
    for pause in _REMOVE_PAUSES_S:
        try:
            os.rmdir(folder)  # noqa: PTH106
        except FileNotFoundError:
            return True
        except OSError:
            sleep(pause)
        else:
            return True
    return False


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def usable(proc: str = "/proc/self", wanted: Iterable[str] = tuple(FILES)) -> dict[str, str]:
    """Return, by controller, the folder in which we may make groups that it limits.

    That is our own group, or the nearest one above it: version 2 limits nothing below a group
    that holds processes. It is found by trying.
    """
    found = {}
    for controller in wanted:
        for folder in _candidates(controller, proc):
            if _works(folder, controller):
                found[controller] = folder
                break
    return found


def version(folder: str) -> str:
    """Return how the mechanism of a folder is called."""
    unified = os.path.exists(f"{folder}/cgroup.controllers")  # noqa: PTH110
    return "cgroup v2" if unified else "cgroup v1"


def leftovers(parents: Mapping[str, str]) -> Iterator[str]:
    """Return groups of ours that nothing is in: their supervisors were killed."""
    for parent in {*parents.values()}:
        for name in os.listdir(parent):  # noqa: PTH208
            folder = f"{parent}/{name}"
            if name.startswith(PREFIX) and not _read(f"{folder}/cgroup.procs").strip():
                yield folder


def _candidates(controller: str, proc: str) -> Iterator[str]:
    own = dict(_own_groups(proc))
    for root, place, kind, options in _mounts(proc):
        if kind == "cgroup" and controller in options.split(","):
            path = own.get(controller, "/")
        elif kind == "cgroup2":
            path = own.get("", "/")
        else:
            continue
        below = path.removeprefix(root.rstrip("/")).strip("/")
        parts = below.split("/") if below else []
        for count in range(len(parts), -1, -1):
            yield "/".join([place, *parts[:count]])


def _own_groups(proc: str) -> Iterator[tuple[str, str]]:
    for line in _read(f"{proc}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(proc: str) -> Iterator[tuple[str, str, str, str]]:
    for line in _read(f"{proc}/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(" "), after.split(" ", 2)
        yield fields[3], fields[4], kind, options


def _works(folder: str, controller: str) -> bool:
    """Whether a group made here has the controller's file, which we may write."""
    probe = f"{folder}/{PREFIX}probe-{os.getpid()}"
    try:
        os.mkdir(probe)  # noqa: PTH102
    except OSError:
        return False
    try:
        return any(os.access(f"{probe}/{file}", os.W_OK) for file in FILES[controller])
    finally:
        os.rmdir(probe)  # noqa: PTH106
