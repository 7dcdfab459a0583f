"""Tidies up after trials, beside the next ones."""

import contextlib
import os
import threading
from collections import deque
from pathlib import Path
from time import sleep
from typing import Final

PAUSE_S: Final = 0.05
"""Between looks at what waits: to be woken for each trial would hold the trials up."""
IDLE_LOOKS: Final = 20
"""Looks without work after which it goes home."""
A_LOT: Final = 8
"""Worlds that are shared with helpers: on some disks each of a world's fourteen folders takes 3 ms
to go, nearly all of it waiting, and no longer when several go at a time."""
HELPERS: Final = 3
MOST: Final = 64
"""Worlds that may wait; then the trials do."""
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Janitor:
    """Removes worlds; its thread lives as long as there is work, and ends with the process's."""

    def __init__(self) -> None:
        self._waiting: deque[Path] = deque()
        self._lock = threading.Lock()
        self._at_work = False

    def remove(self, place: Path) -> None:
        """Have the world in a trial's folder removed soon."""
        self._waiting.append(place)
        with self._lock:
            if not self._at_work:
                threading.Thread(target=self._work, name="janitor").start()
                self._at_work = True
        while len(self._waiting) > MOST:
            self._tidy()

    def _work(self) -> None:
        idle = 0
        while True:
            if threading.main_thread().is_alive():
                sleep(PAUSE_S)
            idle = 0 if self._waiting else idle + 1
            self._tidy()
            with self._lock:
                over = idle > IDLE_LOOKS or not threading.main_thread().is_alive()
                if over and not self._waiting:
                    self._at_work = False
                    return

    def _tidy(self) -> None:
        """Remove all that waits now."""
        helpers = []
        if len(self._waiting) > A_LOT:
            helpers = [threading.Thread(target=self._empty) for _ in range(HELPERS)]
        for helper in helpers:
            helper.start()
        self._empty()
        for helper in helpers:
            helper.join()

    def _empty(self) -> None:
        with contextlib.suppress(IndexError):  # another one was faster
            while self._waiting:
                remove_world(self._waiting.popleft())


def remove_world(place: Path) -> None:
    """Remove what can be had again: the public files, and the agent's world once it is collected.

    A world that its agent has made unremovable, too deep for one, stays.
    """
    for folder in ("home", "public"):
        with contextlib.suppress(RecursionError, OSError):
            _remove(f"{place}/{folder}")


def _remove(folder: str, within: int | None = None) -> None:
    """Remove a folder, following no link; of what cannot be removed all else goes.

    As `shutil.rmtree`, in two thirds of its time: most folders of a world are empty.
    """
    try:
        os.rmdir(folder, dir_fd=within)
    except OSError:
        handle = os.open(folder, _OPEN, dir_fd=within)
        try:
            for name, is_folder in _entries(handle):
                with contextlib.suppress(OSError):
                    if is_folder:
                        _remove(name, handle)
                    else:
                        os.unlink(name, dir_fd=handle)
        finally:
            os.close(handle)
        os.rmdir(folder, dir_fd=within)


def _entries(handle: int) -> list[tuple[str, bool]]:
    with os.scandir(handle) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
