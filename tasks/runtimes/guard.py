"""What shields the harness itself while commands run that its user may signal and inspect."""

import contextlib
import ctypes
import os
import resource
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_RESOURCES: Final = sorted(
    {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
)


class Guard:
    """Counts the runs that are on; with the first it raises the shield, with the last lowers it.

    The harness adopts what a killed supervisor leaves (subreaper), and its memory and
    environment are closed to processes of the same user that have no capabilities (dumpable).
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held while a supervisor is started, and while orphans are looked for and killed."""
        self.spared: set[int] = set()
        """The supervisors: children in sessions of their own that are no orphans."""
        self._runs = 0
        self._before: Callable[[], None] = lambda: None
        self._limits: dict[int, tuple[int, int]] = {}

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Shield the harness until the end of the block, and of all others like it."""
        with self.lock:
            self._runs += 1
            if self._runs == 1:
                self._before = _shield()
                self._limits = {kind: resource.getrlimit(kind) for kind in _RESOURCES}
        try:
            yield
        finally:
            self.restore_limits()
            with self.lock:
                self._runs -= 1
                if self._runs == 0:
                    self._before()

    def restore_limits(self) -> None:
        """Undo what a command did to the limits of the harness by `prlimit`."""
        for kind, (soft, hard) in self._limits.items():
            now = resource.getrlimit(kind)
            if now == (soft, hard):
                continue
            try:
                resource.setrlimit(kind, (soft, hard))
            except (OSError, ValueError):  # a hard limit, once lowered, is only raised by root
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(kind, (_smaller(soft, now[1]), now[1]))


def _smaller(first: int, second: int) -> int:
    if resource.RLIM_INFINITY in (first, second):
        return second if first == resource.RLIM_INFINITY else first
    return min(first, second)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _shield() -> Callable[[], None]:
    """Become subreaper and not dumpable; return what undoes it."""
    libc = _libc()
    dumpable = libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    subreaper = ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(subreaper), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

    def lower() -> None:
        libc.prctl(_PR_SET_DUMPABLE, dumpable, 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, subreaper.value, 0, 0, 0)

    return lower


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Put this thread before what it hunts down until the end of the block; only root may."""
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, before - 10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, thread, before)


def bury(pids: Iterable[int]) -> None:
    """Reap those of these children that are dead."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


GUARD: Final = Guard()
"""There is one harness, so there is one."""
