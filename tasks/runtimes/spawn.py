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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IGNORED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
"""What an agent of the same user may send by mistake; after SIGKILL, the harness takes over."""

_FINAL = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)
_BY_DEFAULT = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", *IGNORED)]


def spawn(paths: Iterable[str], command: list[str], env: dict[str, str], file_bytes: int) -> int:
    """Start the first of these programs that there is, in a session of its own.

    It reads nothing, writes to descriptor 1, dumps no core, and is offered to the kernel where
    the machine has no memory left.

    Args:
        paths: Where the program may be; see `places`.
        command: Its arguments, its own name first.
        env: Its environment.
        file_bytes: The most that one file may grow to.

    Raises:
        OSError: There is none, or it cannot be executed.
        ValueError: There is a null byte in a word.
    """
    before = {kind: resource.getrlimit(kind) for kind in _FINAL}
    final = _final(file_bytes)
    try:
        for kind, (_, hard) in before.items():
            resource.setrlimit(kind, (final[kind], hard))
        pid = _spawned(paths, command, env)
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)
    for kind, limit in final.items():  # it had no time yet to raise them
        try:
            resource.prlimit(pid, kind, (limit, limit))
        except OSError:  # it has ended, or has become another user's
            break
    _offer_to_the_kernel(pid)
    return pid


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


def _final(file_bytes: int) -> dict[int, int]:
    """Return the limits that a command cannot raise."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = file_bytes if hard == resource.RLIM_INFINITY else min(hard, file_bytes)
    return {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: most}


def _offer_to_the_kernel(pid: int) -> None:
    """Let a command and what it starts die before others where the machine has no memory left."""
    try:
        handle = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # it has ended, or is closed to us
        return
    try:
        os.write(handle, b"500")
    except OSError:
        return
    finally:
        os.close(handle)
