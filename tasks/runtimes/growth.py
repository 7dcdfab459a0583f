"""How much a folder has grown, measured in slices that hold nothing else up.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE = 1000
"""Files looked at in one go, about 2.5 ms."""

MOST_FILES = 400_000
"""Files that may come: to look at them takes a second, so that what a walk in haste must find is
found within two."""

FOLDER = 4
"""As many files count for one folder: to open it takes as long."""

UNHURRIED_S = 10.0
"""A walk that has taken so long is in haste: where others free what is written here, or where names
take no room, as hard links do, nothing else would tell."""

_LONG = 2000
"""Characters; twice as many, a name and a bit, are what the kernel takes."""


class Growth:
    """The blocks that came into a folder since this was made; a hard link counts once."""

    def __init__(self, root: str, without: str, limit: float = float("inf")) -> None:
        self.root = root
        self.without = _identity(without)
        self.limit = limit
        """Bytes."""
        self.used = 0
        """Bytes at the end of the last walk."""
        self.files = 0
        """Files at the end of the last walk, a folder as `FOLDER`."""
        self.closed = 0
        """Folders that it could not open."""
        self.nameless = 0
        """Bytes of files that were deleted and are still open, as told by whoever can see them."""
        self.whole = True
        """Whether it saw all; it may end where it has seen too much."""
        self.urgent = False
        """Whether the walk under way should not pause: the limit may be passed."""
        self._restart()
        self._first = self._now[0]
        while not self._slice():
            pass
        self._conclude(whole=True)
        self.before = self.used
        self.files_before = self.files
        self.closed_before = self.closed

    @property
    def bytes(self) -> int:
        """Bytes that came since the start."""
        return self.used - self.before + self.nameless

    @property
    def swollen(self) -> bool:
        """Whether the file system holds more than the limit allows: is all of it to be seen?"""
        return _taken(self.root)[0] - self._first > self.limit

    @property
    def hidden(self) -> bool:
        """Whether folders cannot be opened that were not there at the start."""
        return self.closed > self.closed_before

    @property
    def full(self) -> bool:
        """Whether more came than may, or could not be measured."""
        return self.hidden or self.bytes > self.limit or self._crowded(self.files)

    @property
    def detail(self) -> str:
        """What the last walk found, in words."""
        if self.hidden:
            return "a folder cannot be measured"
        if self.bytes <= self.limit and self._crowded(self.files):
            return f"more than {MOST_FILES:,} files; a folder counts as {FOLDER}"
        least = "" if self.whole else "at least "
        return f"{least}{max(0, self.bytes):,} bytes written; the limit is {self.limit:,}"

    def advance(self) -> bool:
        """Look at a slice; return whether that completed a walk, or has found too much."""
        if not self.urgent and not self.full:
            if self._pressed():
                self.urgent = True
                self._restart()  # it may have been written where this walk has been already
            elif monotonic() > self._began + UNHURRIED_S:
                self.urgent = True
        whole = self._slice()
        if whole or self._total - self.before > self.limit or self._crowded(self._count):
            self._conclude(whole=whole)
            return True
        return False

    def finish(self, seconds: float) -> None:
        """Walk from the start to the end, or as far as that may take; all are dead by now."""
        self._restart()
        until = monotonic() + seconds
        whole = self._slice()
        while not whole and not self._crowded(self._count) and monotonic() < until:
            whole = self._slice()
        if whole or self._crowded(self._count) or self._total > self.used:
            self._conclude(whole=whole)

    def ended(self, seconds: float) -> str:
        """Return the detail of a trial that ended here, with what it has left, as `finish`."""
        noticed = self.detail
        self.finish(seconds)
        return self.detail if self.full else f"{noticed}; {max(0, self.bytes):,} at the end"

    def _crowded(self, files: int) -> bool:
        return files - self.files_before > MOST_FILES

    def _pressed(self) -> bool:
        """Whether so much of the file system was taken since the last walk that it may be ours."""
        size, files = (now - then for now, then in zip(_taken(self.root), self._then, strict=True))
        return size > self.limit - self.bytes or self._crowded(self.files + FOLDER * files)

    def _restart(self) -> None:
        self._walk = self._sizes()
        self._began = monotonic()
        self._now = _taken(self.root)
        self._total = self._count = self._closed = 0

    def _slice(self) -> bool:
        until = self._count + SLICE
        while self._count < until:
            if next(self._walk, True):
                return True
        return False

    def _conclude(self, *, whole: bool) -> None:
        self.used, self.files, self.closed = self._total, self._count, self._closed
        self.whole = whole
        self.urgent = False
        self._then = self._now
        self._restart()

    def _sizes(self) -> Iterator[bool]:
        linked: set[tuple[int, int]] = set()
        # Names are relative to an open folder, a new one every so often: a tree may well be
        # deeper than the longest name that the kernel takes.
        folders: list[tuple[_Anchor | None, str]] = [(None, self.root)]
        while folders:
            anchor, name = folders.pop()
            self._count += FOLDER - 1
            yield False
            try:
                handle = _opened(anchor, name)
            except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
                continue
            except OSError:
                self._closed += 1
                continue
            here = _Anchor(handle)
            if anchor is None or len(name) > _LONG:
                anchor, name = here, ""
            try:
                entries = os.scandir(handle)
            except OSError:
                self._closed += 1
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
                    self._count += 1
                    if folder:
                        folders.append((anchor, f"{name}/{entry.name}" if name else entry.name))
                    if status.st_nlink == 1 or key not in linked:
                        self._total += status.st_blocks * 512
                        if status.st_nlink > 1:
                            linked.add(key)
                    yield False


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and number of a file: a folder put in its place counts in full."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _taken(root: str) -> tuple[int, int]:
    """Return the bytes and the files of all that the file system of a folder holds."""
    try:
        found = os.statvfs(root)
    except OSError:  # removed
        return 0, 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


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
