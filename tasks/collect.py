"""Copying out what an agent left: regular files only, no link followed, sizes capped.

Everything below the agent's home is untrusted. Folders are walked by descriptor, so that no
name on the way can be a link; this runs when the agent's processes are dead, so nothing moves.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tasks.outcome import Limits
from tasks.workspace import OUTPUTS, Workspace

SOURCES = {
    "submission": "submission",
    "results": "experiments/results",
    "code": "code",
    "logs": "logs",
    "models": "experiments/models",
}
"""Where each kind of output lies below the agent's home."""

DEEPEST = 32
THEIR_FAULT = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT}
"""Errors that only the agent's own doing can cause; others are ours and stop the trial."""
MOST_REFUSALS = 100
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was copied, and what was not and why, by name relative to the outputs."""

    files: int
    bytes: int
    refused: dict[str, str]


class _Copier:
    """Counts while it copies; `refused` fills up to a bound."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.files = 0
        self.bytes = 0
        self.refused: dict[str, str] = {}

    def refuse(self, name: str, reason: str) -> None:
        if len(self.refused) < MOST_REFUSALS:
            self.refused[name] = reason

    def folder(self, source: int, target: Path, name: str, depth: int) -> None:
        """Copy the open folder `source` to `target`; `name` is for messages."""
        target.mkdir(exist_ok=True)
        # Sorted, and submission/ comes first, so that a flood of files elsewhere crowds out none.
        for entry in sorted(os.listdir(source)):
            inner = f"{name}/{_printable(entry)}"
            if self.files >= self.limits.output_files:
                self.refuse(inner, f"more than {self.limits.output_files:,} files")
                return
            try:
                self._entry(source, entry, target, inner, depth)
            except OSError as error:
                if error.errno not in THEIR_FAULT:
                    raise
                self.refuse(inner, error.strerror or "unreadable")

    def _entry(self, source: int, entry: str, target: Path, name: str, depth: int) -> None:
        mode = os.stat(entry, dir_fd=source, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and depth < DEEPEST:
            handle = os.open(entry, _OPEN_FOLDER, dir_fd=source)
            try:
                self.folder(handle, target / entry, name, depth + 1)
            finally:
                os.close(handle)
        elif stat.S_ISREG(mode):
            handle = os.open(entry, _OPEN_FILE, dir_fd=source)
            with os.fdopen(handle, "rb", buffering=0) as file:
                self._file(file.fileno(), target / entry, name)
        else:
            self.refuse(name, _kind(mode))

    def _file(self, source: int, target: Path, name: str) -> None:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            self.refuse(name, _kind(status.st_mode))
            return
        if status.st_nlink > 1:
            self.refuse(name, "a hard link")
            return
        if self.bytes + status.st_size > self.limits.output_bytes:
            self.refuse(name, f"{status.st_size:,} bytes; over the limit of what is collected")
            return
        with target.open("xb") as copy:
            done = 0
            while step := os.sendfile(copy.fileno(), source, done, status.st_size - done):
                done += step
        self.files += 1
        self.bytes += status.st_size


def collect(workspace: Workspace, limits: Limits) -> Collected:
    """Copy the agent's outputs into `workspace.outputs`.

    Raises:
        OSError: Our own disk failed; what the agent did wrong is in `refused` instead.
    """
    copier = _Copier(limits)
    workspace.outputs.mkdir(exist_ok=True)
    for name in OUTPUTS:
        try:
            handle = _open_below(workspace.home, SOURCES[name])
        except OSError as error:
            copier.refuse(name, f"not a folder any more ({error.strerror})")
            (workspace.outputs / name).mkdir(exist_ok=True)
            continue
        try:
            copier.folder(handle, workspace.outputs / name, name, 0)
        finally:
            os.close(handle)
    return Collected(files=copier.files, bytes=copier.bytes, refused=copier.refused)


def _open_below(root: Path, relative: str) -> int:
    """Open a folder step by step, following no link on the way."""
    handle = os.open(root, _OPEN_FOLDER)
    for part in relative.split("/"):
        try:
            inner = os.open(part, _OPEN_FOLDER, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    return handle


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder too deep",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
