"""The inside of a box but for what is a trial's own, built once and copied for each trial.

bubblewrap reads the list of all mounts again for each one that it makes, which is half of what it
does. So the supervisor of root builds that tree by itself, in a namespace where nothing else is;
for each trial it copies the namespace and adds home, data and terminals, and bubblewrap
takes the tree as a whole. Linux before 5.12 cannot (mount_setattr), nor can users without rights:
there bubblewrap builds it all.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import errno
import os

from tasks.runtimes.bwrap_words import BIND, HOME, LINK, program_of
from tasks.runtimes.mounts import NODEV, NOEXEC, NOSUID, READ_ONLY, Mounts, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.runtimes.request import Box

    Key = tuple[object, ...]

TREE = "/box"
"""Where it lies in its namespace; beside it lies only what bubblewrap needs to start."""

_BUNDLE, _LATE = "/bundle", "/late"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "core": "/proc/kcore",
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}
"""What bubblewrap puts into /dev too."""

_TERMINALS = "newinstance,ptmxmode=0666,mode=620"
_MADE_ANEW = ("/proc", "/dev", "/tmp", HOME)  # noqa: S108 - it is the box's own
_NO_PROGRAMS = ("/etc", "/sys")
_MADE = f"{TREE}/etc"
"""Where all files lie that are made or copied. Of a file in tmpfs even a reader changes what the
kernel notes (huge pages, memory policy), and the next box could tell; ramfs has no such notes."""

_FIRST_ROOT = "/tmp"  # noqa: S108 - which bubblewrap puts its own root over
_ANYWHERE = "/usr"
"""What is there on every system, for a moment hidden from us alone."""

KEPT = 8
"""Agents of a suite may have environments of their own."""

_NOT_HERE = {errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP}


class Template:
    """A namespace with the tree."""

    def __init__(self, mounts: Mounts, box: Box) -> None:
        """Build it, and stay in it."""
        self._mounts = mounts
        late = [path for path in box["seen"] if _is_below_any(path, _MADE_ANEW)]
        self.late = {path: f"{_LATE}/{number}" for number, path in enumerate(late)}
        """By path inside, folders that bubblewrap puts over what it makes anew."""
        self.bwrap = program_of(box, {bundle: _BUNDLE} if (bundle := box["bundle"]) else {})
        mounts.leave()
        self._build(box)
        self._namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)

    def close(self) -> None:
        """Forget it."""
        os.close(self._namespace)

    def enter(self, box: Box) -> None:
        """Go to a copy of it with a trial's own folders and terminals."""
        mounts = self._mounts
        taken: list[tuple[int, str]] = []
        try:
            for path, attributes, place in (
                (box["home"], NOSUID | NODEV, HOME),
                (box["public"], READ_ONLY | NOSUID | NODEV, f"{HOME}/data"),
            ):
                taken.append((self._taken(path), place))
                mounts.restrict(taken[-1][0], attributes)
            mounts.enter(self._namespace)
            mounts.copy()
            for handle, place in taken:
                mounts.put(handle, TREE + place)
        finally:
            for handle, _ in taken:
                os.close(handle)
        mounts.mount("devpts", f"{TREE}/dev/pts", "devpts", NOSUID | NOEXEC, _TERMINALS)

    def _taken(self, path: str) -> int:
        try:
            return self._mounts.taken(path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        self._mounts.leave()  # what may not be bound may be in a copy of all mounts
        return self._mounts.taken(path)

    def _build(self, box: Box) -> None:
        """Take what is wanted of the host, leave all else, and put it together."""
        mounts = self._mounts
        umask = os.umask(0o022)
        taken = []
        try:
            for source, attributes, place in (*self._beside(box), *self._within(box)):
                taken.append((mounts.taken(source), attributes, place, os.path.isdir(source)))  # noqa: PTH112 - pathlib loads slowly
            copies = {path: _content(path) for path in box["copied"] if path not in box["files"]}
            mounts.mount("tmpfs", _ANYWHERE, "tmpfs", NOSUID | NODEV, "mode=755")
            mounts.make_root(_ANYWHERE)
            _make_folder(_MADE)
            mounts.mount("ramfs", _MADE, "ramfs", NOSUID | NODEV, "mode=755")
            for _, _, place, folder in taken:
                (_make_folder if folder else _make_file)(place)
            _fill(box, {**copies, **box["files"]})
            whole = mounts.taken(TREE)
            taken.insert(0, (whole, READ_ONLY | NOSUID | NODEV, TREE, True))
            for handle, attributes, place, _ in taken:
                if attributes:
                    mounts.restrict(handle, attributes)
                mounts.put(handle, place)
        finally:
            os.umask(umask)
            for handle, *_ in taken:
                os.close(handle)

    def _beside(self, box: Box) -> Iterator[tuple[str, int, str]]:
        """Yield what bubblewrap needs to start, and what it is to put over something."""
        yield "/proc", 0, "/proc"  # it makes one of its own only beside one that hides nothing
        still = READ_ONLY | NOSUID | NODEV
        for kind, what, place in box["tree"]:
            if kind == BIND and not _is_below_any(place, _NO_PROGRAMS):
                yield what, still, place
        if box["bundle"] is not None:
            yield box["bundle"], still, _BUNDLE
        for path, place in self.late.items():
            yield path, still, place

    def _within(self, box: Box) -> Iterator[tuple[str, int, str]]:
        """Yield what is seen in the box."""
        still = READ_ONLY | NOSUID | NODEV
        for kind, what, place in box["tree"]:
            if kind == BIND:
                yield what, still, TREE + place
        for path in box["seen"]:
            if path not in self.late:
                yield path, still, TREE + path
        for path in (*(f"/dev/{name}" for name in _DEVICES), *_there(box["devices"])):
            yield path, READ_ONLY | NOSUID, TREE + path  # they can be written to, not touched


def key(box: Box, table: Table) -> Key:
    """Return all that a template depends on: what is wanted, and which it is."""
    folders = [what for kind, what, _ in box["tree"] if kind == BIND] + box["seen"]
    folders += [box["bundle"]] if box["bundle"] else []
    return (
        *(box["tree"], tuple(box["seen"]), box["bundle"], tuple(box["files"].items())),
        *(_which(path)[:2] for path in folders),
        *(_which(path) for path in box["copied"]),
        *((path, os.stat(path).st_rdev) for path in _there(box["devices"])),  # noqa: PTH116 - as below
        table.below(tuple(folders)),
    )


class Templates:
    """The last few templates, for the boxes that they fit."""

    def __init__(self) -> None:
        self._kept: dict[Key, Template] = {}
        self._table: Table | None = None
        self._able = True

    def fitting(self, mounts: Mounts, box: Box) -> Template | None:
        """Return one for this box; None: bubblewrap has to build it all.

        Raises:
            OSError: Something wanted is not there, or there is no way back.
        """
        if box["uid"] is None or not box["movable"] or not self._able:
            return None
        self._table = self._table or Table()
        wanted = key(box, self._table)
        if wanted not in self._kept and (built := self._built(mounts, box)):
            if len(self._kept) == KEPT:
                self._kept.pop(next(iter(self._kept))).close()
            self._kept[wanted] = built
        return self._kept.get(wanted)

    def _built(self, mounts: Mounts, box: Box) -> Template | None:
        back = mounts.way_back()
        try:
            return Template(mounts, box)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            self._able = False
            return None
        finally:
            back()


TEMPLATES = Templates()
"""A supervisor serves one box after another; it has one thread."""


def _which(path: str) -> tuple[int, ...]:
    """Return by what a file is told from another one, or from itself when it has been changed."""
    found = os.stat(path)  # noqa: PTH116 - pathlib loads slowly
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _there(devices: list[str]) -> list[str]:
    return [path for path in devices if os.path.exists(path)]  # noqa: PTH110 - likewise


def _is_below_any(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _fill(box: Box, files: dict[str, bytes]) -> None:
    """Make links, files, and folders in which something will be mounted."""
    for kind, what, place in box["tree"]:
        if kind == LINK:
            for link in (place, TREE + place):
                _make_folder(link.rpartition("/")[0])
                os.symlink(what, link)  # noqa: PTH211 - likewise
    for path, content in files.items():
        _make_file(TREE + path, content)
    _make_folder(_FIRST_ROOT)
    for place in ("/dev", "/etc"):  # where it finds /dev/null, and bubblewrap its libraries
        os.symlink(TREE + place, place)  # noqa: PTH211 - likewise
    for place in (*_MADE_ANEW, "/dev/shm", "/dev/pts"):  # noqa: S108 - the box's own
        _make_folder(TREE + place)
    for name, what in _DEVICE_LINKS.items():
        os.symlink(what, f"{TREE}/dev/{name}")  # noqa: PTH211 - likewise


def _make_folder(place: str) -> None:
    if place:
        os.makedirs(place, exist_ok=True)  # noqa: PTH103 - likewise


def _make_file(place: str, content: bytes = b"") -> None:
    _make_folder(place.rpartition("/")[0])
    handle = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
    try:
        while content:
            content = content[os.write(handle, content) :]
    finally:
        os.close(handle)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - likewise
        return file.read()
