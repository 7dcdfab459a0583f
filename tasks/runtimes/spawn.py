"""Starts a command from within a supervisor, without a copy of that: it is not forked.

To copy an interpreter only to leave it at once takes 2 ms of CPU, `posix_spawn` a quarter of one.
What a fork would do for itself is done by the supervisor: some before, which the command takes
over, and some after. The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IGNORED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
"""What an agent of the same user may send by mistake; after SIGKILL, the harness takes over."""

_RANK = "oom_score_adj"
_LATER_S = (0.0, 0.0005, 0.001, 0.002)
"""Pauses before a process that has just been started is tried to be offered."""

_BY_DEFAULT = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", *IGNORED)]


def spawn(
    paths: Iterable[str], command: list[str], env: dict[str, str], limits: Mapping[int, int]
) -> int:
    """Start the first of these programs that there is, in a session of its own.

    It reads nothing and writes to descriptor 1. Its limits are those of this process for a moment,
    or for good: for who may not raise limits, what is final for the one is so for the other.

    Args:
        paths: Where the program may be; see `places`.
        command: Its arguments, its own name first.
        env: Its environment.
        limits: By resource, what it cannot raise any more.

    Raises:
        OSError: There is none, or it cannot be executed.
        ValueError: There is a null byte in a word.
    """
    before = {kind: resource.getrlimit(kind) for kind in limits}
    try:
        for kind, (_, hard) in before.items():
            resource.setrlimit(kind, lowered(limits[kind], hard))
        pid = _spawned(paths, command, env)
    finally:
        for kind, pair in before.items():
            try:
                resource.setrlimit(kind, pair)
            except ValueError:  # it takes CAP_SYS_RESOURCE to raise a hard limit
                continue
    return pid


def lowered(limit: int, hard: int) -> tuple[int, int]:
    """Return the pair that makes a limit final, where `hard` is the most that it may be."""
    most = limit if hard == resource.RLIM_INFINITY else min(hard, limit)
    return most, most


def places(program: str, env: dict[str, str]) -> Iterator[str]:
    """Yield where a program is looked for, as by execvp, from the current folder."""
    if "/" in program:
        yield program
    elif program:
        for folder in env.get("PATH", os.defpath).split(os.pathsep):
            place = f"{folder}/{program}" if folder else program
            if os.access(place, os.F_OK):
                yield place


def _spawned(paths: Iterable[str], command: list[str], env: dict[str, str]) -> int:
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in paths:
        try:
            return os.posix_spawn(
                path,
                command,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_BY_DEFAULT,
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # as execvp does: another place may have one that can be
            failure = error
    raise failure


class Offered:
    """A context: what is started in it dies before others where the machine has no memory left."""

    def __enter__(self) -> Offered:  # noqa: PYI034 - typing loads slowly
        self._before = b""
        try:
            with open(f"/proc/self/{_RANK}", "rb") as file:  # noqa: PTH123 - pathlib loads slowly
                before = file.read()
            _rank("self", b"500")
            self._before = before
        except OSError:  # only root may: of a process that is closed to its user so is the rank
            return self
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            _rank("self", self._before)

    def too(self, pid: int) -> int:
        """Return what was started, which is offered now if it could not be before."""
        for pause in _LATER_S if not self._before else ():
            sleep(pause)  # until it is itself, it is as closed as we are
            try:
                _rank(str(pid), b"500")
            except PermissionError:
                continue
            except OSError:  # it has ended
                return pid
            return pid
        return pid


def offer(pids: Iterable[int]) -> None:
    """Let these die before others where the machine has no memory left."""
    for pid in pids:
        try:
            _rank(str(pid), b"500")
        except OSError:  # it has ended, or is closed to us
            continue


def _rank(process: str, rank: bytes) -> None:
    handle = os.open(f"/proc/{process}/{_RANK}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, rank)
    finally:
        os.close(handle)
