"""The kernel's calls about mounts that Python has not, each of which fails with an OSError.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NOSUID, NODEV, NOEXEC, PRIVATE = 2, 4, 8, 0x40000
"""Flags of `mount`."""

READ_ONLY = 1
"""With NOSUID and NODEV: attributes of `restrict`."""

_NEWNS = 0x20000
_BIND, _REC, _DETACH = 0x1000, 0x4000, 2
_CLONE, _CLOEXEC, _FROM_EMPTY_PATH = 1, os.O_CLOEXEC, 4
_EMPTY_PATH, _RECURSIVE = 0x1000, 0x8000
_HERE = -100
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""Numbers of calls that C libraries before 2022 do not know; they are alike on all machines."""


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("users", ctypes.c_uint64),
    )


class Mounts:
    """This process's view of the file system; it has one thread."""

    def __init__(self, libc: ctypes.CDLL) -> None:
        self._libc = libc

    def way_back(self) -> Callable[[], None]:
        """Return what brings this process back to where it is now, once."""
        root = os.open("/", os.O_PATH)
        try:
            namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        except BaseException:
            os.close(root)
            raise

        def back() -> None:
            try:
                self.enter(namespace)
                os.chdir(root)
                os.chroot(".")  # which `enter` has forgotten
            finally:
                os.close(namespace)
                os.close(root)

        return back

    def leave(self) -> None:
        """Go to a namespace of one's own, a copy of the last one, which learns of nothing."""
        _done(self._libc.unshare(_NEWNS), "unshare")
        self.mount("none", "/", None, _REC | PRIVATE)

    def copy(self) -> None:
        """Go to a copy of a namespace that is one's own already."""
        _done(self._libc.unshare(_NEWNS), "unshare")

    def enter(self, namespace: int) -> None:
        """Go to an open namespace; current folder and root are its root then."""
        _done(self._libc.setns(namespace, _NEWNS), "setns")

    def mount(self, source: str, place: str, kind: str | None, flags: int, said: str = "") -> None:
        """Mount a file system."""
        words = [os.fsencode(source), os.fsencode(place), kind and kind.encode(), flags]
        _done(self._libc.mount(*words, said.encode() or None), place)

    def bind(self, source: str, place: str) -> None:
        """Show a folder or file, and what is mounted below it, at another place too."""
        self.mount(source, place, None, _BIND | _REC)

    def taken(self, source: str) -> int:
        """Return a handle on a copy of a folder or file and of what is mounted below it."""
        flags = _CLONE | _CLOEXEC | _RECURSIVE
        handle: int = self._libc.syscall(OPEN_TREE, _HERE, os.fsencode(source), flags)
        _done(min(handle, 0), source)
        return handle

    def restrict(self, handle: int, attributes: int) -> None:
        """Give all of a copy these attributes, and let it learn of no other mounts."""
        wanted = _Attributes(attributes, 0, PRIVATE, 0)
        flags, size = _EMPTY_PATH | _RECURSIVE, ctypes.sizeof(wanted)
        _done(
            self._libc.syscall(MOUNT_SETATTR, handle, b"", flags, ctypes.byref(wanted), size),
            "mount_setattr",
        )

    def put(self, handle: int, place: str) -> None:
        """Put a copy at a place."""
        where = os.fsencode(place)
        _done(self._libc.syscall(MOVE_MOUNT, handle, b"", _HERE, where, _FROM_EMPTY_PATH), place)

    def make_root(self, place: str) -> None:
        """Make what is mounted at a place all that there is."""
        if not hasattr(self._libc, "pivot_root"):
            raise OSError(errno.ENOSYS, "pivot_root")
        old = f"{place}/old"
        os.mkdir(old)  # noqa: PTH102 - pathlib loads slowly
        _done(self._libc.pivot_root(os.fsencode(place), os.fsencode(old)), place)
        os.chdir("/")
        _done(self._libc.umount2(b"/old", _DETACH), "/old")
        os.rmdir("/old")  # noqa: PTH106 - pathlib loads slowly


class Table:
    """What is mounted where this process is, read again only when that has changed."""

    def __init__(self) -> None:
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI)
        self._lines = self._read()
        self._below: dict[tuple[str, ...], tuple[bytes, ...]] = {}

    def below(self, folders: tuple[str, ...]) -> tuple[bytes, ...]:
        """Return the lines of what is mounted at or below any of these folders."""
        if self._poll.poll(0):
            self._lines = self._read()
            self._below.clear()
        if folders not in self._below:
            tops = tuple(os.fsencode(folder).rstrip(b"/") + b"/" for folder in folders)
            self._below[folders] = tuple(
                line for line in self._lines if (_place(line) + b"/").startswith(tops)
            )
        return self._below[folders]

    def _read(self) -> list[bytes]:
        os.lseek(self._file, 0, os.SEEK_SET)
        text = b""
        while piece := os.read(self._file, 2**16):
            text += piece
        return text.splitlines()


_PLACE = 4
"""Which field of a line is the place."""


def _place(line: bytes) -> bytes:
    place = line.split(b" ", _PLACE + 1)[_PLACE]
    for char in b" \t\n\\":  # written as numbers there
        place = place.replace(b"\\%03o" % char, bytes([char]))
    return place


def _done(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
