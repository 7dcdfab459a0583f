"""Keeps one command and all its descendants; runs as a process of its own, started in ~20 ms.

It is a subreaper: whatever the command starts, however it detaches, becomes its child at last,
so "no child left" is exactly "nothing left running". Standard library only, and of that only
what loads fast: no typing, dataclasses, json, socket or subprocess. `serve.py` runs it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from time import monotonic, process_time

from tasks.runtimes import procfs
from tasks.runtimes.growth import Growth
from tasks.runtimes.request import as_json
from tasks.runtimes.spawn import Offered, places, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.request import Request

SETTLING_S = 0.1
"""What helpers that end along with the command, such as resource trackers, are given to do so."""

SAMPLE_S = 0.1
DUTY = 100
"""Each sample is followed by a pause of so many times its own duration: 1 % of a core."""

PAUSE_S = 2.0
"""No pause is longer, even where thousands of processes make samples slow."""

REAP = 1000
"""The dead that are buried in one turn; there are those that die faster."""

FLOOD_TURNS = 3
"""After so many full turns on end the kernel is told to bury them, uncounted, and all is ended."""

_FINAL_WALK_S = 5.0
_TURNS = 40


class Supervisor:
    """One command from its start to the death of the last process it left."""

    def __init__(self, request: Request, libc: ctypes.CDLL) -> None:
        self.request = request
        self.libc = libc
        self.disk = Growth(request["root"], request["log"], request["disk_bytes"])
        self.device = os.stat(request["root"]).st_dev  # noqa: PTH116 - pathlib loads slowly
        self.main = 0
        self.status: int | None = None
        self.childless = False
        self.breach = ""
        self.reason = ""
        """Why we ended it; empty while it runs or when it ended by itself."""
        self.detail = ""
        self.kill_at = 0.0
        self.ended = 0.0
        self.peak = 0
        self.ticks = 0
        """CPU time of the tree, as last seen; see `usage`."""
        self.killed: set[int] = set()
        self.known: set[int] = set()
        self.outbox = b""
        self.wake, self.wakes = self._wake_on_children()
        self.limits = own_limits()
        self.full_turns = 0
        self.tree: dict[int, procfs.Process] = {}
        """The descendants at the last look."""
        self.poll = select.poll()
        self.spared: set[int] = set()
        """Those of them that are part of the walls."""

        self.before = _cpu_seconds()
        self.spotless = False
        """Whether the command ended by itself and left nothing that had to be ended."""

    @staticmethod
    def _wake_on_children() -> tuple[int, int]:
        wake, wakes = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        return wake, wakes

    def release(self) -> None:
        """Close what it opened; another one follows in the same process."""
        signal.set_wakeup_fd(-1)
        os.close(self.wake)
        os.close(self.wakes)

    def run(self) -> dict[str, object]:
        """Start the command, keep it, end it; return the result as told to the harness."""
        started = monotonic()
        failure = self.start()
        if failure:
            return {"reason": "never started", "detail": failure, "seconds": 0.0}
        self.keep(started + self.request["time_s"])
        if not self.reason:
            self.settle()
        self.spotless = self.childless and not self.reason
        self.sweep()
        seconds = (self.ended if not self.reason else monotonic()) - started
        result = {**self.judged(), "seconds": seconds, **self.usage()}
        return {**result, "breach": self.breach} if self.breach else result

    def judged(self) -> dict[str, object]:
        """Return reason, exit code and detail."""
        if self.reason == "disk full":
            self.detail = self.disk.ended(_FINAL_WALK_S)
        if self.reason:
            return {"reason": self.reason, "exit_code": None, "detail": self.detail}
        reason, detail = (
            ("finished" if self.status == 0 else "agent error"),
            procfs.ending(self.status),
        )
        self.disk.nameless = 0  # such files went with those that had them open
        self.disk.finish(_FINAL_WALK_S)
        # RLIMIT_FSIZE lets one file reach the limit, and no further.
        full = self.disk.full or self.disk.bytes == self.request["disk_bytes"]
        if self.status == -signal.SIGXFSZ or full:
            reason, detail = "disk full", self.disk.detail
        return {"reason": reason, "exit_code": self.status, "detail": detail}

    def usage(self) -> dict[str, object]:
        """Return what the tree used.

        All of it is reaped, so the kernel's sums are whole; but those that die with the first
        process of a box are added to nobody, and then what was seen last counts.
        """
        seen = self.ticks / os.sysconf("SC_CLK_TCK")
        return {
            "cpu_seconds": max(_cpu_seconds() - self.before, seen),
            "peak_memory_bytes": self.peak,
            "killed_processes": len(self.killed),
        }

    def start(self) -> str:
        """Start the command in a session of its own; return why that failed, or nothing."""
        command = self.request["command"]
        try:
            self.main = self.spawn()
            self.limits = own_limits()  # some may be the command's now
        except (OSError, ValueError, IndexError) as error:
            words = error.strerror if isinstance(error, OSError) else error
            return f"cannot start {command[0] if command else ''!r}: {words}"
        return ""

    def spawn(self) -> int:
        """Start the command in its folder and return its number.

        Raises:
            OSError: It cannot be executed.
            ValueError: There is a null byte in one of its words.
            IndexError: It has no words.
        """
        command, env = self.request["command"], self.request["env"]
        os.chdir(self.request["cwd"])
        try:
            with Offered() as offered:
                program = places(command[0], env)
                return offered.too(spawn(program, command, env, self.request["limits"]))
        finally:
            os.chdir("/")

    def keep(self, deadline: float) -> None:
        """Watch the command until it has ended, or until the grace of its end is over."""
        poll = self.poll
        poll.register(0, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        measure = monotonic() + 0.02
        look = monotonic() + 0.05
        while True:
            self.reap()
            if 0 < self.full_turns < FLOOD_TURNS:
                continue  # a sample would look at thousands of dead
            now = monotonic()
            if self.reason:
                if self.childless or now >= self.kill_at:
                    return
            elif self.status is not None and self.ended < deadline:
                return
            elif now >= deadline:
                self.stop("timed out", f"the limit was {self.request['time_s']:g} s")
            if now >= measure:
                measure = _next(self.measure)
            if now >= look:
                look = _next(self.look)
            until = min(self.kill_at if self.reason else deadline, measure, look)
            for handle, _ in poll.poll(max(0, int((until - monotonic()) * 1000) + 1)):
                if handle == 0:
                    self.obey()
                elif handle == self.wake:
                    _drain(self.wake)
                else:
                    self.notice(handle)

    def notice(self, handle: int) -> None:
        """Look at what else was added to `poll`; here, nothing was."""

    def obey(self) -> None:
        """Do what the harness says; kill all when it has died."""
        try:
            words = os.read(0, 4096)
        except ConnectionResetError:  # it died before it had read all that it was told
            words = b""
        if not words or b"kill" in words:
            self.stop("cancelled", "killed at once", grace_s=0)
        else:
            self.stop("cancelled", "")

    def stop(self, reason: str, detail: str, grace_s: float | None = None) -> None:
        """Ask the whole tree to end within the grace; the first reason stays."""
        grace_s = self.request["grace_s"] if grace_s is None else grace_s
        if not self.reason:
            self.reason, self.detail = reason, detail
            self.kill_at = monotonic() + grace_s
        self.kill_at = min(self.kill_at, monotonic() + grace_s)
        tree = procfs.descendants([os.getpid()])
        self.count(tree)
        tree = {pid: process for pid, process in tree.items() if pid not in self.spared}
        self.killed.update(pid for pid, process in tree.items() if not process.zombie)
        if grace_s > 0:
            procfs.signal_all(tree, signal.SIGTERM)
            procfs.signal_all(tree, signal.SIGCONT)  # what is stopped does not see a SIGTERM

    def count(self, tree: dict[int, procfs.Process]) -> None:
        """Note the CPU time of a tree; what its dead used is with those that buried them."""
        self.ticks = max(self.ticks, sum(process.ticks for process in tree.values()))

    def measure(self) -> None:
        """Sample the memory of the tree, and tell the harness whom to look for without us."""
        tree = self.tree = procfs.descendants([os.getpid()])
        self.count(tree)
        memory = sum(process.memory for process in tree.values())
        if memory > self.peak and len(tree) > 1:
            memory = sum(procfs.fair_memory(pid) or tree[pid].memory for pid in tree)
        self.peak = max(self.peak, memory)
        limit = self.request["memory_bytes"]
        if limit is not None and memory > limit:
            self.stop(
                "out of memory", f"{memory:,} bytes in use; the limit is {limit:,}", grace_s=0
            )
        if tree.keys() - self.known and not self.outbox:
            new = tree.keys() - self.known
            self.known = set(tree)
            self.tell({"pids": {pid: tree[pid].started for pid in new}})
        self.flush()

    def look(self) -> bool:
        """Sample the disk; return whether to go on without a pause."""
        if self.disk.advance():
            seen = self.disk.swollen  # a deleted file takes room as long as it is open
            tree = procfs.descendants([os.getpid()]) if seen else ()
            self.disk.nameless = procfs.nameless(tree, self.device) if seen else 0
            if self.disk.full:
                self.stop("disk full", self.disk.detail, grace_s=0)
        return self.disk.urgent

    def tell(self, message: dict[str, object]) -> None:
        """Send a line to the harness as far as it takes it now."""
        self.outbox += as_json(message) + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits, without waiting."""
        try:
            while self.outbox:
                self.outbox = self.outbox[os.write(0, self.outbox) :]
        except BlockingIOError:
            return
        except OSError:  # the harness died; `obey` sees to that
            self.outbox = b""

    def reap(self) -> None:
        """Bury the dead, as many as a turn allows; learn whether any child is left."""
        try:
            for _ in range(REAP):
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    self.full_turns = 0
                    return
                self.peak = max(self.peak, used.ru_maxrss * 1024)
                if pid == self.main:
                    self.status = os.waitstatus_to_exitcode(status)
                    self.ended = monotonic()
        except ChildProcessError:
            self.childless = True
            return
        self.full_turns += 1
        if self.full_turns == FLOOD_TURNS:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            self._bury_the_rest()
            self.breach = "its processes exited faster than they could be counted"
            self.stop("agent error", self.breach, grace_s=0)

    def _bury_the_rest(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            self.childless = True

    def settle(self) -> None:
        """Let helpers end by themselves for a moment."""
        self._wait_childless(SETTLING_S)

    def sweep(self) -> None:
        """Kill whatever is left, until nothing is."""
        if not self.childless:
            self.libc.nice(-10)  # to be faster than what is killed; only root may
        while not self.childless:
            self.killed |= procfs.freeze_and_kill(
                lambda: procfs.descendants([os.getpid()]), self._orphans
            )
            self._wait_childless(0.05)

    def _orphans(self) -> list[int]:
        for _ in range(_TURNS):  # the list is slow where many are dead
            self.reap()
            if self.full_turns == 0 or self.childless:
                break
        return procfs.children(os.getpid())[::-1]

    def _wait_childless(self, seconds: float) -> None:
        until = monotonic() + seconds
        while True:
            self.reap()
            left = until - monotonic()
            if self.childless or left <= 0:
                return
            select.select([self.wake], [], [], left)
            _drain(self.wake)


def _next(sample: Callable[[], bool | None]) -> float:
    """Take a sample; return when the next one is due: now, if it says so."""
    used = process_time()
    if sample():
        return monotonic()
    return monotonic() + min(max(SAMPLE_S, DUTY * (process_time() - used)), PAUSE_S)


def _drain(handle: int) -> None:
    """Empty the pipe but for what comes meanwhile, which might never stop."""
    try:
        os.read(handle, 2**16)
    except BlockingIOError:
        return


def _cpu_seconds() -> float:
    """Return the CPU time of the children that were buried."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def own_limits() -> list[tuple[int, int]]:
    """Return those limits of this process that would keep it from its work."""
    import resource

    return [
        resource.getrlimit(kind)
        for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS)
    ]


def hurry(pid: int) -> None:
    """Let a process run before all that the command starts, which may be more than cores can serve.

    Its children are ordinary.
    """
    try:
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(pid, policy, os.sched_param(1))
    except (OSError, AttributeError):  # only root may
        return
