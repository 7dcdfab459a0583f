"""How much a folder has grown, measured in slices that hold nothing else up.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE = 2000
"""Files looked at in one go, about 5 ms."""

_LONG = 2000
"""Characters; twice as many, a name and a bit, are what the kernel takes."""


class Growth:
    """The blocks that came into a folder since this was made; a hard link counts once."""

    def __init__(self, root: str, without: str) -> None:
        self.root = root
        self.without = _identity(without)
        self.used = 0
        """Bytes at the end of the last whole walk."""
        self.closed = 0
        """Folders that it could not open."""
        self._walk = self._sizes()
        self.finish(float("inf"))
        self.before = self.used
        self.closed_before = self.closed

    @property
    def bytes(self) -> int:
        """Bytes that came since the start."""
        return self.used - self.before

    @property
    def hidden(self) -> bool:
        """Whether folders cannot be opened that were not there at the start."""
        return self.closed > self.closed_before

    def advance(self) -> bool:
        """Look at a slice; return whether that completed a walk."""
        for _ in range(SLICE):
            if next(self._walk, None) is None:
                self._walk = self._sizes()
                return True
        return False

    def finish(self, seconds: float) -> None:
        """Walk to the end, from the start, if that takes no longer than this."""
        self._walk = self._sizes()
        until = monotonic() + seconds
        while not self.advance() and monotonic() < until:
            pass

    def _sizes(self) -> Iterator[int]:
        total = 0
        closed = 0
        linked: set[tuple[int, int]] = set()
        # Names are relative to an open folder, a new one every so often: a tree may well be
        # deeper than the longest name that the kernel takes.
        folders: list[tuple[_Anchor | None, str]] = [(None, self.root)]
        while folders:
            anchor, name = folders.pop()
            try:
                handle = _opened(anchor, name)
            except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
                continue
            except OSError:
                closed += 1
                continue
            here = _Anchor(handle)
            if anchor is None or len(name) > _LONG:
                anchor, name = here, ""
            try:
                entries = os.scandir(handle)
            except OSError:
                closed += 1
                continue
            with entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                        folder = entry.is_dir(follow_symlinks=False)
                    except OSError:
                        continue
                    key = (status.st_dev, status.st_ino)
                    if key == self.without:
                        continue
                    if folder:
                        folders.append((anchor, f"{name}/{entry.name}" if name else entry.name))
                    if status.st_nlink == 1 or key not in linked:
                        total += status.st_blocks * 512
                        if status.st_nlink > 1:
                            linked.add(key)
                    yield total
        self.used = total
        self.closed = closed


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and number of a file: a folder put in its place counts in full."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class _Anchor:
    """An open folder, closed with the last name that is relative to it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __del__(self) -> None:
        os.close(self.handle)


def _opened(anchor: _Anchor | None, name: str) -> int:
    """Open a folder; if its owner, the user, closed it to us, open it to us first."""
    base = None if anchor is None else anchor.handle
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=base)
    except PermissionError:
        handle = os.open(name, os.O_PATH | flags, dir_fd=base)
    try:
        path = f"/proc/self/fd/{handle}"
        os.chmod(path, os.stat(handle).st_mode & 0o7777 | 0o700)  # noqa: PTH101, PTH116
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)
