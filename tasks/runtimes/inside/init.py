"""Process 1 of a container: starts the command, ends all it left, tells the harness how it ended.

It speaks on two pipes that the command cannot reach. The standard input brings the variables and
the filter of system calls (JSON, one line), and then orders: `stop`, `kill`; its end is the death
of the harness. The standard error takes reports, a JSON object a line. The command's own output is
the standard output alone, so that its two streams keep their order.

It is read by the image's Python, 3.8 or newer; it imports nothing of this package.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

SETTLING_S = 0.1
"""What helpers that end along with the command, such as resource trackers, are given to do so."""

OOM_PAUSE_MS = 100
"""How often the kernel is asked whether it had to kill for memory; then all is over."""

ADDED = ("HOSTNAME", "HOME", "TERM", "container", "LC_CTYPE")
"""Variables that container engines, and Python itself, add."""

PORT = 5000
"""Where MLE-bench's agents ask whether the form of their submission is right."""

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 4, 38, 22, 2
_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "grading_server.py")  # noqa: PTH100, PTH118, PTH120
_PEAKS = ("/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory.peak")
_OOM_COUNTERS = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")


class Init:
    """One command from its start to the death of the last process it left."""

    def __init__(self, command: list[str], request: dict[str, Any], *, serve: bool) -> None:
        self.command = command
        kept = {name: value for name, value in os.environ.items() if name not in ADDED}
        self.env: dict[str, str] = {**kept, **request["env"]}
        # An emulated machine has other numbers for its calls.
        fits = request["machine"] == os.uname().machine
        self.filter = bytes.fromhex(request["filter"]) if fits else b""
        self.main = 0
        self.status: int | None = None
        self.server = 0
        self.childless = False
        self.killed: set[int] = set()
        self.wake, wakes = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self.door = _door() if serve else None

    def run(self) -> None:
        """Start the command, keep it, end it, and report."""
        failure = self.start()
        if failure:
            report(never_started=failure)
            return
        report(started=True)
        stopped = self.keep()
        if not stopped:
            self.settle()
        self.sweep()
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        report(
            status=self.status,
            killed=len(self.killed),
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak=_first_number(_PEAKS) or used.ru_maxrss * 1024,
            oom_kills=_oom_kills(),
        )

    def start(self) -> str:
        """Start the command in a session of its own; return why that failed, or nothing."""
        told, tells = os.pipe()  # closed by exec: an end of file means that it started
        self.main = os.fork()
        if self.main == 0:
            self._become(tells)
        os.close(tells)
        failure = os.read(told, 4096).decode(errors="replace")
        os.close(told)
        return failure

    def _become(self, tells: int) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(1, 2)
            for name in ("SIGINT", "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            _confine(self.filter)
            os.execvpe(self.command[0], self.command, self.env)  # noqa: S606 - no shell wanted
        except (OSError, ValueError, IndexError) as error:
            words = error.strerror if isinstance(error, OSError) else error
            name = self.command[0] if self.command else ""
            os.write(tells, f"cannot start {name!r}: {words}".encode(errors="replace")[:4096])
        finally:
            os._exit(127)

    def keep(self) -> bool:
        """Wait for the end of the command; return whether it was ordered to end."""
        stopped = False
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        if self.door is not None:
            poll.register(self.door, select.POLLIN)
        while True:
            self.reap()
            if self.childless or (self.status is not None and not stopped):
                return stopped
            if _oom_kills():
                return True
            for handle, _ in poll.poll(OOM_PAUSE_MS):
                if handle == 0:
                    order = os.read(0, 4096)
                    if b"kill" in order or not order:
                        return True
                    stopped = True
                    self.ask_to_end()
                elif handle == self.wake:
                    self._drain()
                else:
                    poll.unregister(handle)
                    self._serve(handle)

    def ask_to_end(self) -> None:
        """Send SIGTERM to every process there is."""
        self.killed.update(self._others())
        _signal_all(signal.SIGTERM)
        _signal_all(signal.SIGCONT)  # what is stopped does not see a SIGTERM

    def settle(self) -> None:
        """Let helpers end by themselves for a moment."""
        until = time.monotonic() + SETTLING_S
        while self._others():
            left = until - time.monotonic()
            if left <= 0:
                return
            select.select([self.wake], [], [], left)
            self._drain()
            self.reap()

    def sweep(self) -> None:
        """Kill whatever is left, until nothing is."""
        while True:
            self.reap()
            if self.childless:
                return
            self.killed.update(self._others())
            _signal_all(signal.SIGKILL)
            select.select([self.wake], [], [], 0.05)
            self._drain()

    def reap(self) -> None:
        """Bury the dead; learn whether any child is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.main:
                    self.status = _exit_code(status)
        except ChildProcessError:
            self.childless = True

    def _others(self) -> list[int]:
        """Return every living process but this one and its server."""
        known = {os.getpid(), self.server}
        found = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
        return [pid for pid in found if pid not in known and _lives(pid)]

    def _serve(self, door: int) -> None:
        """Answer whoever knocks at the door, from now on."""
        self.server = os.fork()
        if self.server == 0:
            try:
                os.set_inheritable(door, True)
                arguments = [sys.executable, "-I", "-S", _SERVER, "--door", str(door)]
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                os.dup2(0, 1)
                os.dup2(0, 2)
                os.execve(sys.executable, arguments, self.env)  # noqa: S606
            finally:
                os._exit(127)

    def _drain(self) -> None:
        try:
            os.read(self.wake, 2**16)
        except BlockingIOError:
            return


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def _confine(lines: bytes) -> None:
    """Deny the system calls of a filter to this process and all it starts."""
    if not lines:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(lines) // 8, lines)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def _door() -> int | None:
    """Listen where validation is asked for, if that port is free."""
    import _socket

    try:
        door = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        door.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", PORT))
        door.listen(64)
    except OSError:
        return None
    return door.detach()


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except OSError:
        return False


def _exit_code(status: int) -> int:
    """As `os.waitstatus_to_exitcode`, which Python 3.8 lacks."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _signal_all(number: int) -> None:
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        return


def _first_number(paths: tuple[str, ...]) -> int:
    for path in paths:
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                return int(file.read())
        except (OSError, ValueError):
            continue
    return 0


def _oom_kills() -> int:
    for path in _OOM_COUNTERS:
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                counts = dict(line.split() for line in file)
        except (OSError, ValueError):
            continue
        return int(counts.get("oom_kill", 0))
    return 0


def report(**said: object) -> None:
    """Tell the harness something, on a line of its own."""
    line = b"\n" + json.dumps({"aexp": said}).encode() + b"\n"
    while line:
        line = line[os.write(2, line) :]


def _request() -> dict[str, Any]:
    """Return what the harness asks for: variables, and a filter for a machine."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit(0)  # the harness died before it asked for anything
        line += piece if piece != b"\n" else b"\n"
    request: dict[str, Any] = json.loads(line)
    return request


def main() -> None:
    """Run the command in the arguments, which follows `serve` or `no-server`."""
    # The same user runs the command: nothing of this process may be read or traced by it.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Init(sys.argv[2:], _request(), serve=sys.argv[1] == "serve").run()
    os._exit(0)


if __name__ == "__main__":
    main()
