"""Supervisors for many trials: forked from one that has loaded already, and used again.

A process that runs many trials opens the nursery once. Its seed is a bare Python that has the
supervisor imported and waits; what it forks are children of the harness all the same
(CLONE_PARENT), so that everything else is as it is without a nursery. Where the seed is dead,
stopped or changed, another one is planted; where the system has no such clone, the supervisor is
started as ever. A supervisor whose command ended by itself and left nothing behind waits for the
next trial, unless somebody stopped it or changed it meanwhile.
"""

import array
import atexit
import contextlib
import ctypes
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tasks.runtimes import procfs
from tasks.runtimes.guard import GUARD
from tasks.runtimes.spawn import lowered

CLONE: Final = {"x86_64": 56, "aarch64": 220}
"""Numbers of the system call."""

ANSWER_S: Final = 2.0
"""A seed or supervisor that is silent for so long has been stopped."""

TAKEN: Final = b"+"
"""What a waiting supervisor says when it has taken the output of its next command."""

FIRST: Final = (getattr(os, "SCHED_RR", 2) | getattr(os, "SCHED_RESET_ON_FORK", 2**30), 1)
"""How a supervisor of root is served; see `supervisor.hurry`."""

_IOPRIO_GET: Final = {"x86_64": 252, "aarch64": 31}
_IOPRIO_WHO_PROCESS: Final = 1
_IO_FIRST: Final = 1
_IO_USUAL: Final = 2
"""Classes; within one a process ranks by its niceness if nothing else is said."""

_LOAD: Final = f"""\
import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: closed to the same user
tasks = type(sys)("tasks")  # without its __init__, which loads half a second of packages
tasks.__path__ = [{str(Path(__file__).parent.parent)!r}]
sys.modules["tasks"] = tasks
"""
START: Final = _LOAD + "from tasks.runtimes.serve import main\nmain()\n"
_SEED: Final = _LOAD + "from tasks.runtimes.seed import main\nmain(int(sys.argv[1]))\n"

_LIMITS: Final = sorted(
    {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
)


class Forked:
    """A child that was not started by `subprocess`, with as much of `Popen` as is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody has buried it; nobody knows how it ended
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It has not ended within `timeout` seconds.
        """
        until = None if timeout is None else monotonic() + timeout
        pause = 0.0005
        while (status := self.poll()) is None:
            if until is not None and monotonic() >= until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            sleep(pause)
            pause = min(2 * pause, 0.05)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


Child = Forked | subprocess.Popen[bytes]


class Nursery:
    """At most one seed, planted when it is first needed, and the supervisors that wait."""

    def __init__(self) -> None:
        self.opened = False
        self._lock = threading.Lock()
        self._seed: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._idle: list[tuple[Forked, socket.socket, Mapping[int, int]]] = []
        """With the limits that each may have been put under for good."""
        self._owner = 0

    def open(self) -> None:
        """Start supervisors from a seed from now on, where this system can."""
        if not self.opened and sys.platform == "linux" and platform.machine() in CLONE:
            self.opened = True
            atexit.unregister(self.close)
            atexit.register(self.close)  # what a supervisor used counts for who buries it

    def close(self) -> None:
        """Start supervisors as ever; the seed ends."""
        with self._lock:
            self.opened = False
            self._uproot()
            self._disown()
            while self._idle:
                child, link, _ = self._idle.pop()
                self._dismiss(child, link)

    def start(self, output: int, limits: Mapping[int, int]) -> tuple[Child, socket.socket]:
        """Return a supervisor that waits for its request, and the socket to it.

        Args:
            output: The descriptor that takes what its command prints.
            limits: Those of its command, by resource.

        Raises:
            OSError: It cannot be started.
        """
        with self._lock:
            if self.opened and (waiting := self._waiting(output, limits)):
                return waiting
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    child = self._new(theirs.fileno(), output)
            except OSError:
                ours.close()
                raise
        GUARD.spared.add(child.pid)
        return child, ours

    def unlock(self) -> None:
        """Take new locks, in a fork of the harness."""
        self._lock, GUARD.lock = threading.Lock(), threading.RLock()

    def keep(self, child: Child, link: socket.socket, limits: Mapping[int, int]) -> None:
        """Let a supervisor wait that has served its request and said that it can serve more."""
        with self._lock:
            self._disown()
            if self.opened and isinstance(child, Forked):
                self._idle.append((child, link, limits))
            else:
                self._dismiss(child, link)

    def _waiting(
        self, output: int, limits: Mapping[int, int]
    ) -> tuple[Forked, socket.socket] | None:
        self._disown()
        while self._idle:
            child, link, final = self._idle.pop()
            borne = limits if final == limits else {}  # else only if it has raised them again
            if child.poll() is None and _is_as_it_was(child.pid, first=True, final=borne):
                link.settimeout(ANSWER_S)
                try:
                    _send(link, output)
                    if link.recv(1) == TAKEN:  # a signal may have been on its way to it
                        return child, link
                except OSError:  # it is dead, or was stopped
                    pass
            self._dismiss(child, link)
        return None

    def _disown(self) -> None:
        """Forget what belongs to another process: a fork of the harness has nothing of its own."""
        if self._owner != os.getpid():
            for _, link, _ in self._idle:
                link.close()
            if self._link is not None:
                self._link.close()
            self._idle, self._seed, self._link = [], None, None
            self._owner = os.getpid()

    def _dismiss(self, child: Child, link: socket.socket) -> None:
        link.close()
        child.kill()  # it has nothing left to do
        child.wait()
        GUARD.spared.discard(child.pid)

    def _new(self, stdin: int, stdout: int) -> Child:
        forked = self._forked(stdin, stdout) if self.opened else None
        return forked or popen(["-c", START], stdin, stdout)

    def _forked(self, stdin: int, stdout: int) -> Forked | None:
        for _ in range(2):
            link = self._planted()
            try:
                _send(link, stdin, stdout)
                if select.select([link], [], [], ANSWER_S)[0] and (said := link.recv(64)):
                    pid = int(said)
                    if pid > 0:
                        return Forked(pid)
                    self.opened = False  # no such clone here
                    return None
            except OSError:  # it is dead
                pass
            self._uproot()
        return None

    def _planted(self) -> socket.socket:
        """Return the link to a seed that is as it was planted."""
        self._disown()
        if self._link is not None and self._seed is not None:
            if self._seed.poll() is None and _is_as_it_was(self._seed.pid, first=False):
                return self._link
            self._uproot()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._seed = popen(
                ["-c", _SEED, str(CLONE[platform.machine()])], theirs.fileno(), subprocess.DEVNULL
            )
        GUARD.spared.add(self._seed.pid)
        self._link = ours
        return ours

    def _uproot(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._seed is not None:
            self._seed.kill()
            self._seed.wait()
            GUARD.spared.discard(self._seed.pid)
        self._seed = self._link = None


def popen(arguments: list[str], stdin: int, stdout: int) -> "subprocess.Popen[bytes]":
    """Start a bare Python in a session of its own."""
    names = ("LD_LIBRARY_PATH", "PYTHONHOME")  # what it needs itself; the agent could read it
    return subprocess.Popen(
        [sys.executable, "-I", "-S", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in names if name in os.environ},
        start_new_session=True,
    )


def _send(link: socket.socket, *descriptors: int) -> None:
    rights = array.array("i", descriptors)
    link.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _is_as_it_was(pid: int, *, first: bool, final: Mapping[int, int] | None = None) -> bool:
    """Whether a process of ours runs, and under no other conditions than the harness itself.

    Args:
        pid: The process.
        first: Whether it may be one that is served first.
        final: Limits that it may be under without us, by resource.
    """
    stat = procfs.read(f"/proc/{pid}/stat")
    if not stat or procfs.Process(stat).stopped:
        return False
    try:
        policy = _policy(pid)
        served_first = first and policy == FIRST
        return (
            (served_first or policy == _policy(os.getpid()))
            and _rank(pid) in _ranks(served_first=served_first)
            # Of other processes only root learns the slack, who alone may set it.
            and procfs.read(f"/proc/{pid}/timerslack_ns") in {b"", _slack(served_first)}
            and all(_is_limited_as_we(pid, kind, final or {}) for kind in _LIMITS)
            and _settings(pid) == _settings(os.getpid())
        )
    except ProcessLookupError:
        return False


def _policy(pid: int) -> tuple[int, int]:
    return os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority


def _slack(served_first: bool) -> bytes:  # noqa: FBT001 - what the kernel does
    return b"0\n" if served_first else procfs.read("/proc/self/timerslack_ns")


def _rank(pid: int) -> int:
    """Return how the disk serves a process: its class, and its place in that."""
    rank: int = _libc().syscall(_IOPRIO_GET[platform.machine()], _IOPRIO_WHO_PROCESS, pid)
    return rank


def _ranks(*, served_first: bool) -> set[int]:
    """Return the ranks that nobody has set: none, ours, and what follows from the niceness."""
    place = (os.getpriority(os.PRIO_PROCESS, 0) + 20) // 5
    classes = [_IO_USUAL, *([_IO_FIRST] if served_first else [])]
    return {0, _rank(os.getpid()), *(kind << 13 | place for kind in classes)}


def _is_limited_as_we(pid: int, kind: int, final: Mapping[int, int]) -> bool:
    its, ours = resource.prlimit(pid, kind), resource.getrlimit(kind)
    return its == ours or (kind in final and its == lowered(final[kind], ours[1]))


def _settings(pid: int) -> tuple[object, ...]:
    """Return what a child takes over: an agent of the same user may have changed it."""
    return (
        os.sched_getaffinity(pid),
        os.getpriority(os.PRIO_PROCESS, pid),
        procfs.read(f"/proc/{pid}/cgroup"),
        procfs.read(f"/proc/{pid}/oom_score_adj"),
    )


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


NURSERY: Final = Nursery()
if hasattr(os, "register_at_fork"):  # a lock that another thread held would never be let go of
    os.register_at_fork(after_in_child=NURSERY.unlock)
"""There is one harness, so there is one."""
