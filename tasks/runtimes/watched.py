"""A supervisor at work, as the harness sees it: asked, listened to, and outlived.

The work is done by `supervisor.py`, a small process between the harness and the command.
"""

import contextlib
import json
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from tasks.errors import InfrastructureError
from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.runtimes import cgroups, procfs
from tasks.runtimes.base import Cancel
from tasks.runtimes.guard import GUARD, bury, hurried
from tasks.runtimes.log import PIPE_BYTES, RunLog, logged
from tasks.runtimes.nursery import NURSERY
from tasks.runtimes.request import packed
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.runtimes.request import Box, Request

MARK = "AEXP_TRIAL"
"""The variable by which processes are found when their supervisor is gone."""

LATE_S = 5.0
"""A supervisor that is silent for so long after its time has been stopped or is broken."""

_CANCEL_POLL_MS = 50
_IDLE_POLL_MS = 1000
_LAST_TAKES = 64
_SWEEP_S = 10.0
_DYING_S = 0.005


def supervised(
    command: Sequence[str],
    workspace: Workspace,
    env: Mapping[str, str],
    limits: Limits,
    *,
    enforced: Mechanisms,
    on_output: Callable[[bytes], None] | None,
    cancel: Cancel | None,
    box: "Box | None" = None,
) -> Outcome:
    """Run a command below a supervisor, in a box or without walls, as `Runtime.run` says.

    Raises:
        InfrastructureError: As there.
    """
    folder = workspace.home / "agent"
    mark = secrets.token_hex(8)
    request: Request = {
        "command": list(command),
        "env": {**env, MARK: mark},
        "cwd": str(folder),
        "root": str(workspace.root),
        "log": str(workspace.log_file),
        "time_s": limits.time_s,
        "grace_s": limits.grace_s,
        "memory_bytes": limits.memory_bytes,
        "disk_bytes": limits.disk_bytes,
        "limits": _final(limits, box),
        "box": box,
    }

    def work(log: RunLog) -> dict[str, Any]:
        with GUARD.raised(), Watched(request, mark, log) as watched:
            return watched.wait(limits, cancel)

    return logged(
        work,
        workspace,
        limits,
        enforced,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
        on_output=on_output,
        cancel=cancel,
    )


def _final(limits: Limits, box: "Box | None") -> dict[int, int]:
    """Return what the kernel limits for each process of the command."""
    final = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: limits.disk_bytes}
    if box is not None and limits.pids is not None and "pids" not in box["groups"]:
        final[resource.RLIMIT_NPROC] = limits.pids
    return final


class Watched:
    """A supervisor at work, seen from the harness; nothing of it is left on exit."""

    def __init__(self, request: "Request", mark: str, log: RunLog) -> None:
        self.mark = mark
        self.log = log
        box = request["box"]
        self.boxed = box is not None
        self.limits = request["limits"]
        self.groups = (
            [f"{parent}/{box['group']}" for parent in box["groups"].values()] if box else []
        )
        """Control groups that the supervisor makes and removes."""
        self.known: dict[int, int] = {}
        """Start times of the processes the supervisor has told of, by number."""
        self.result: dict[str, Any] | None = None
        self.inbox = b""
        self.asked = ""
        """What the supervisor was told to do: to stop, or to kill."""
        self.more = False
        """Whether the supervisor waits for another request."""
        self.pipe, output = os.pipe()
        _enlarge(self.pipe)
        os.set_blocking(self.pipe, False)
        self.born = procfs.now()
        try:
            with GUARD.lock:
                self.elder = set(procfs.children(os.getpid()))
                self.process, self.control = NURSERY.start(output, request["limits"])
        except OSError as error:
            os.close(self.pipe)
            raise InfrastructureError(f"cannot start {sys.executable}: {error}") from error
        finally:
            os.close(output)
        self.started = monotonic()
        with contextlib.suppress(OSError):  # it died already; `wait` finds that out
            self.control.sendall(packed(request))
        self.control.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.more and not self.asked:  # else it may take the word for its next request
            os.close(self.pipe)  # by which the command may have sent it a signal: before it is kept
            NURSERY.keep(self.process, self.control, self.limits)
        else:
            self.control.close()  # to the supervisor, an end of file is the death of the harness
            try:
                self.process.wait(LATE_S)
            except subprocess.TimeoutExpired:
                self._without_supervisor()
            GUARD.spared.discard(self.process.pid)
            os.close(self.pipe)

    def wait(self, limits: Limits, cancel: Cancel | None) -> dict[str, Any]:
        """Drain and listen until all has ended; return the fields of the outcome."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.pipe, select.POLLIN)
        pause = _IDLE_POLL_MS if cancel is None else _CANCEL_POLL_MS
        latest = self.started + limits.time_s + limits.grace_s + LATE_S
        alive = True
        while alive and self.result is None and monotonic() < latest:
            for handle, _ in _ready(poll, pause):
                if handle == self.pipe:
                    self.log.take(self.pipe)
                else:
                    alive = self._listen()
            if cancel is not None and cancel.wanted != self.asked:
                self.asked = cancel.wanted
                self._send(self.asked)
                latest = min(latest, monotonic() + limits.grace_s + LATE_S)
        if alive and self.result is None:  # perhaps it is the harness that was stopped
            alive = self._listen()
        result = self.result or self._lost(late=alive)
        if result is self.result and (result["reason"] == "infrastructure" or "breach" in result):
            self._without_supervisor()
        for _ in range(_LAST_TAKES):  # all writers are dead; a bound, should one have escaped
            if not self.log.take(self.pipe):
                break
        return result

    def _send(self, word: str) -> None:
        with contextlib.suppress(OSError):  # it died meanwhile; its end of file says so
            self.control.send(word.encode())

    def _listen(self) -> bool:
        """Take in what the supervisor says; return whether it is alive."""
        try:
            piece = self.control.recv(2**16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self.inbox = (self.inbox + piece).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "reason" in message:
                self.more = message.pop("more", False)
                self.result = {"exit_code": None, **message}
            else:
                self.known.update({int(pid): started for pid, started in message["pids"].items()})
        return bool(piece)

    def _lost(self, *, late: bool) -> dict[str, Any]:
        """Judge a run whose supervisor is dead, or silent when all should be over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0 if late else LATE_S)
        status = self.process.returncode or 0
        stopped = late and procfs.Process(procfs.read(f"/proc/{self.process.pid}/stat")).stopped
        seconds = monotonic() - self.started  # what follows is our time, not the command's
        killed, swept = self._without_supervisor()
        # From within a box nobody reaches a supervisor; but one can take the cores from it, and
        # when it is late the command's time is over, whatever took it.
        crashed = status > 0 or (self.boxed and not late)
        what = "was stopped" if stopped else "was late" if late else "was killed"
        what = "failed" if crashed else what
        reason = "cancelled" if self.asked else "timed out" if late else "agent error"
        detail = f"the supervisor of the command {what}"
        return {
            "reason": "infrastructure" if crashed else reason,
            "exit_code": None,
            "seconds": seconds,
            "killed_processes": killed,
            "detail": detail
            + (not crashed) * ", most likely by it"
            + (not swept) * "; not all of its processes could be killed",
            "breach": detail if (stopped or status < 0) and not self.boxed else "",
        }

    def _without_supervisor(self) -> tuple[int, bool]:
        """Kill the supervisor and all it kept; return how many were found, and if all are gone."""
        GUARD.restore_limits()  # without descriptors there is nothing to be found
        self.process.send_signal(signal.SIGSTOP)  # stopped first: its tree is still below it
        killed: set[int] = set()
        until = monotonic() + _SWEEP_S
        strays: dict[int, procfs.Process] = {}
        swept = False
        with hurried():
            while not swept and monotonic() < until:
                with GUARD.lock:
                    found = procfs.freeze_and_kill(partial(self._left, strays), self._orphans)
                    if self.process.returncode is None:
                        self.process.kill()
                        self.process.wait()
                        GUARD.spared.discard(self.process.pid)
                        found |= {self.process.pid}  # its tree becomes ours only now
                if found <= killed:
                    sleep(_DYING_S)
                killed |= found
                if not found and not any(self._adopted()):
                    strays = self._strays()
                    swept = not strays
        for folder in self.groups:
            cgroups.removed(folder)
        return len(killed - {self.process.pid}), swept

    def _left(self, strays: dict[int, procfs.Process]) -> dict[int, procfs.Process]:
        found = dict(self._adopted()) | strays
        found |= procfs.descendants([self.process.pid, *found])
        found.pop(self.process.pid, None)
        return found

    def _strays(self) -> dict[int, procfs.Process]:
        """Return those that the supervisor has told of, and those that carry the mark."""
        mark = f"{MARK}={self.mark}".encode()
        return {
            pid: process
            for pid, process in procfs.processes().items()
            if process.started >= self.born
            and (self.known.get(pid) == process.started or mark in _environment(pid))
        }

    def _orphans(self) -> Iterator[int]:
        """Yield those that the harness had to adopt, the latest first; bury the dead.

        Where a chain leaves them faster than that they would fill the table of processes, and
        each further look would be at all of them.
        """
        for pid, process in self._adopted():
            yield pid
            if process.zombie:
                bury({pid})

    def _adopted(self) -> Iterator[tuple[int, procfs.Process]]:
        """Yield the orphans that came to the harness, the latest first, the dead among them too."""
        for pid in reversed(procfs.children(os.getpid())):
            stat = procfs.read(f"/proc/{pid}/stat")
            if stat and self._is_orphan(pid, process := procfs.Process(stat)):
                yield pid, process

    def _is_orphan(self, pid: int, process: procfs.Process) -> bool:
        """Whether this is a child that the harness did not start.

        The agent's processes are in sessions of their own, which nobody can leave for that of
        the harness; of what the harness starts, only supervisors are.
        """
        return (
            process.parent == os.getpid()
            and process.session != os.getsid(0)
            and process.started >= self.born
            and pid not in self.elder  # which may have started in the same hundredth of a second
            and pid not in GUARD.spared
        )


def _ready(poll: select.poll, pause_ms: int) -> list[tuple[int, int]]:
    try:
        return poll.poll(pause_ms)
    except OSError:  # no descriptors allowed any more: the command has changed our limits
        GUARD.restore_limits()
        return poll.poll(pause_ms)


def _environment(pid: int) -> list[bytes]:
    return procfs.read(f"/proc/{pid}/environ", 2**20).split(b"\0")


def _enlarge(pipe: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):  # the user's pipes hold their most already
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
