"""A supervisor whose command runs behind bubblewrap's walls, as a user without any rights.

Runs in the supervisor's process: only what loads fast. When root, it makes a mount namespace of
its own, in which folders that only root may reach are bound where the command's user reaches them;
bubblewrap is then started by that user, since started by root it would be no wall at all.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
from time import monotonic, sleep

from tasks.runtimes import procfs
from tasks.runtimes.bwrap_words import built_already, built_by_it, program_of
from tasks.runtimes.cgroups import Group
from tasks.runtimes.mounts import Mounts
from tasks.runtimes.spawn import Offered, offer, spawn
from tasks.runtimes.stand import Stand, staged
from tasks.runtimes.supervisor import SETTLING_S, Supervisor, hurry, own_limits
from tasks.runtimes.template import TEMPLATES, TREE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tasks.runtimes.request import Box, Request
    from tasks.runtimes.template import Template

_BY_SIGNAL = 128
_STATUS_BYTES = 4096
_LOOK_S = 0.01


class BoxSupervisor(Supervisor):
    """One command in its box, from its start to the death of the box."""

    def __init__(self, request: Request, box: Box, libc: ctypes.CDLL) -> None:
        self.box = box
        self.group = Group(box["groups"], box["group"])
        self.init = 0
        """The first process of the box; with it, all of it dies."""
        self.exit_code: int | None = None
        """As bubblewrap tells it; None until the command has been started and has ended."""
        self.told, self.tells = os.pipe()
        os.set_blocking(self.told, False)
        self.news = b""
        self.held = 0
        """A handle on the command itself, while bubblewrap is stopped."""
        super().__init__(request, libc)

    def run(self) -> dict[str, object]:
        """Put up the walls, run the command within, and leave nothing of either."""
        try:
            self.group.make(self.box["memory_bytes"], self.box["cpus"], self.box["pids"])
            if self.box["uid"] is not None:
                _give(self.box["home"], self.box["uid"])
            return super().run()
        finally:
            if not self.group.remove():
                self.detail += " (a control group could not be removed: aexp doctor --clean)"

    def release(self) -> None:
        """Close what it opened."""
        super().release()
        for handle in (self.told, self.tells, *([self.held] if self.held else [])):
            os.close(handle)

    def start(self) -> str:
        """Start bubblewrap; return why the command cannot be started, or nothing."""
        command = self.request["command"]
        if any("\0" in word for word in command):
            return f"cannot start {command[0]!r}: embedded null byte"
        template = TEMPLATES.fitting(Mounts(self.libc), self.box)
        files = self._files() if template is None else {}
        seccomp = _holding(self.box["seccomp"])
        words = [*self._inside(template, files), "--seccomp", str(seccomp)]
        words += ["--json-status-fd", str(self.tells)]
        for name, value in self.request["env"].items():
            words += ["--setenv", name, value]
        given = _holding(b"\0".join(os.fsencode(word) for word in words))
        try:
            self.main = self._spawned(["--args", str(given), "--", *command], template)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            return f"cannot start {command[0]!r}: {error.strerror}"
        finally:
            for handle in (given, seccomp, *files.values()):
                os.close(handle)
        return ""

    def _files(self) -> dict[str, int]:
        """Return, by path inside, open files with what bubblewrap puts there."""
        made, copied = self.box["files"], self.box["copied"]
        given = {path: _holding(content) for path, content in made.items()}
        for path in copied:
            if path not in given:
                given[path] = os.open(path, os.O_RDONLY)
                os.set_inheritable(given[path], True)
        return given

    def _inside(self, template: Template | None, files: dict[str, int]) -> list[str]:
        """Return the arguments by which bubblewrap makes the inside."""
        if template is not None:
            return built_already(self.box, TREE, template.late)
        words = built_by_it(self.box, staged(self.box))
        for path, handle in files.items():
            words += ["--perms", "0444", "--file", str(handle), path]
        return [*words, "--remount-ro", "/"]

    def _spawned(self, arguments: list[str], template: Template | None) -> int:
        """Start bubblewrap, where and as whom the command is to run.

        Raises:
            OSError: It cannot be; of the command's own failure bubblewrap tells.
        """
        box = self.box
        program = program_of(box, staged(box)) if template is None else template.bwrap
        os.chdir("/")
        os.set_inheritable(self.tells, True)
        try:
            with Offered() as offered, Stand(self.libc, box, self.group, template):
                command = [program, *arguments]
                return offered.too(spawn([program], command, {}, self.request["limits"]))
        finally:
            os.set_inheritable(self.tells, False)
            self.limits = own_limits()  # some may be the command's now

    def hear(self) -> None:
        """Take in what bubblewrap has said: the number of the first process, the exit code."""
        try:
            self.news += os.read(self.told, _STATUS_BYTES)
        except BlockingIOError:
            return
        *lines, self.news = self.news.split(b"\n")
        for line in lines:
            if b'"child-pid"' in line:
                self.init = _number(line, b'"child-pid"')
                self.spared = {self.main, self.init}
            elif b'"exit-code"' in line:
                self.exit_code = _number(line, b'"exit-code"')

    def measure(self) -> None:
        """Sample as for any command; end all when the kernel has killed some for memory."""
        self.hear()
        self._hold()
        super().measure()
        if self.reason and self.init and not self._lives(self.init):
            self.kill_at = 0.0
        if not self.reason and self.group.oom_kills():
            self.stop("out of memory", self._too_much(), grace_s=0)

    def stop(self, reason: str, detail: str, grace_s: float | None = None) -> None:
        """Ask all within to end; the walls stand until the last one has."""
        self.hear()
        procfs.signal_all([self.main], signal.SIGSTOP)  # as in `_hold`
        super().stop(reason, detail, grace_s)

    def _lives(self, pid: int) -> bool:
        stat = procfs.read(f"/proc/{pid}/stat")
        return bool(stat) and not procfs.Process(stat).zombie

    def _hold(self) -> None:
        """Stop bubblewrap while the command runs, and ask to be woken when that has ended.

        It ends all along with the command, before anyone could count; stopped, it cannot.
        """
        if self.held or not self.init:
            return
        for pid in procfs.children(self.init)[:1]:
            try:
                self.held = os.pidfd_open(pid)
            except OSError:  # gone by now: bubblewrap ends the box itself
                return
            procfs.signal_all([self.main], signal.SIGSTOP)
            self.poll.register(self.held, select.POLLIN)
            if self.box["uid"] is None:  # bubblewrap may have been faster than `Offered.too`
                offer([self.init, *procfs.descendants([self.init])])

    def notice(self, handle: int) -> None:
        """The command has ended: give the rest a moment, count it, let bubblewrap end it."""
        self.poll.unregister(handle)
        if self.reason:
            return
        until = monotonic() + SETTLING_S
        while (left := self._left()) and monotonic() < until:
            sleep(_LOOK_S)
        self.killed |= left
        procfs.signal_all([self.main], signal.SIGCONT)

    def _left(self) -> set[int]:
        tree = procfs.descendants([self.init])
        return {pid for pid, process in tree.items() if not process.zombie}

    def sweep(self) -> None:
        """Kill the first process, and thereby all, at once; then see that it was all."""
        self.hear()
        if not self.childless and self.init:
            self.count(procfs.descendants([os.getpid()]))
            process = procfs.read(f"/proc/{self.init}/stat")
            if process and procfs.Process(process).parent in {self.main, os.getpid()}:
                hurry(self.init)  # it has to run to die, and the others after it
                hurry(self.main)
                procfs.signal_all([self.init], signal.SIGKILL)
            procfs.signal_all([self.main], signal.SIGCONT)
            self._wait_childless(1.0)
        super().sweep()

    def judged(self) -> dict[str, object]:
        """Return reason, exit code and detail; read the kernel's own count of memory kills."""
        self.hear()
        if self.group.oom_kills() and self.reason in {"", "out of memory"}:
            return {"reason": "out of memory", "exit_code": None, "detail": self._too_much()}
        if not self.reason and self.exit_code is None:
            return self._not_begun()
        if self.status is not None and self.status > _BY_SIGNAL:
            number = self.status - _BY_SIGNAL
            self.status = -number if number < signal.NSIG else self.status
        return super().judged()

    def _not_begun(self) -> dict[str, object]:
        if self.status is not None and self.status < 0:
            detail = f"bubblewrap was ended by signal {-self.status}"
            return {"reason": "infrastructure", "exit_code": None, "detail": detail}
        return {"reason": "never started", "exit_code": None, "detail": ""}

    def _too_much(self) -> str:
        return f"the kernel killed a process; the limit is {self.box['memory_bytes']:,} bytes"


def _number(line: bytes, key: bytes) -> int:
    after = line[line.index(key) + len(key) :].lstrip(b" :")
    digits = after[: len(after) - len(after.lstrip(b"0123456789"))]
    return int(digits)


def _holding(content: bytes) -> int:
    """Return an open file in memory, at its start, that the next program inherits."""
    handle = os.memfd_create("aexp", 0)
    while content:
        content = content[os.write(handle, content) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _give(folder: str, uid: int) -> None:
    """Let the user own the folder and all below it; no link is followed.

    Raises:
        OSError: The folder itself is one.
    """
    if os.path.islink(folder):  # noqa: PTH114 - pathlib loads slowly
        raise OSError(errno.ELOOP, f"{folder}: {os.strerror(errno.ELOOP)}")
    for place, folders, files in os.walk(folder):
        os.chown(place, uid, uid, follow_symlinks=False)
        for name in (*folders, *files):
            os.chown(f"{place}/{name}", uid, uid, follow_symlinks=False)
