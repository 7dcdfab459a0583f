"""Copying out what an agent left: regular files only, no link followed, sizes capped.

Everything below the agent's home is untrusted. Folders are walked by descriptor, so that no
name on the way can be a link. This runs when the agent's processes are dead; should one live on
and change things meanwhile, it spoils its own files and no more.
"""

import errno
import os
import secrets
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
LONGEST = 1024
"""Bytes of a name relative to the outputs; with our own folders in front it stays a legal path."""
THEIR_FAULT = {
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,  # a folder became a link
    errno.ENXIO,  # a file became a socket
    errno.ENOTCONN,  # a file system of theirs is gone
}
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
        self.folders = 0
        self.bytes = 0
        self.refused: dict[str, str] = {}

    def refuse(self, name: str, reason: str) -> None:
        if len(self.refused) < MOST_REFUSALS:
            self.refused[name] = reason

    def folder(self, source: int, target: Path, name: str, depth: int) -> None:
        """Copy the open folder `source` to `target`; `name` is for messages."""
        # Sorted, and submission/ comes first, so that a flood of files elsewhere crowds out none.
        entries = sorted(os.listdir(source))
        if entries or depth:  # most trials leave most of our folders empty, of 4 kB each
            target.mkdir(exist_ok=True)
        for entry in entries:
            inner = f"{name}/{_printable(entry)}"
            if len(inner) * 4 > LONGEST and len(inner.encode(errors="replace")) > LONGEST:
                self.refuse(f"{inner[: LONGEST // 4]}…", f"a path over {LONGEST:,} bytes")
                continue
            if self.files + self.folders >= self.limits.output_files:
                self.refuse(inner, f"beyond the first {self.limits.output_files:,} files, folders")
                return
            try:
                self._entry(source, entry, target, inner, depth)
            except OSError as error:
                if error.errno not in THEIR_FAULT:
                    raise
                self.refuse(inner, error.strerror or "unreadable")

    def _entry(self, source: int, entry: str, target: Path, name: str, depth: int) -> None:
        if not _is_utf8(entry):
            # It could be copied, but no report could name it.
            self.refuse(name, "a name that is not UTF-8")
            return
        mode = os.stat(entry, dir_fd=source, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and depth < DEEPEST:
            handle = os.open(entry, _OPEN_FOLDER, dir_fd=source)
            try:
                self.folders += 1
                self.folder(handle, target / entry, name, depth + 1)
            finally:
                os.close(handle)
        elif stat.S_ISREG(mode):
            handle = os.open(entry, _OPEN_FILE, dir_fd=source)
            try:
                self._file(handle, target / entry, name)
            finally:
                os.close(handle)
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
        self.bytes += done


MARKED = ".marked"
"""Below the submissions: the copy that the agent marked as its answer, by `submit.sh`."""

REPLACED = "unmarked"
"""Where what was written beside it is kept, which counts no more."""


def promote(workspace: Workspace, collected: Collected) -> str | None:
    """Let the submission that was marked, if any, take the place of what was written later.

    What was refused in its place is refused beside it.

    Returns:
        Its name relative to the outputs.
    """
    folder = workspace.outputs / "submission"
    for name in ("submission.csv", "submission.parquet"):
        marked = folder / MARKED / name
        if not marked.is_file():
            continue
        aside = _new_folder(folder)
        for other in ("submission.csv", "submission.parquet"):
            if (folder / other).exists():
                (folder / other).rename(aside / other)
            if reason := collected.refused.pop(f"submission/{other}", None):
                collected.refused[f"submission/{aside.name}/{other}"] = reason
        marked.rename(folder / name)
        return f"submission/{name}"
    return None


def _new_folder(folder: Path) -> Path:
    """Make a folder under a name that the agent cannot have taken."""
    for name in (REPLACED, f"{REPLACED}-{secrets.token_hex(8)}"):
        try:
            (folder / name).mkdir()
        except FileExistsError:
            continue
        return folder / name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def collect(workspace: Workspace, limits: Limits) -> Collected:
    """Copy the agent's outputs into `workspace.outputs`.

    Raises:
        OSError: Our own disk failed; what the agent did wrong is in `refused` instead.
    """
    copier = _Copier(limits)
    workspace.outputs.mkdir(exist_ok=True)
    # The one folder that is always there tells a trial's outputs from a flat folder of results.
    (workspace.outputs / "results").mkdir(exist_ok=True)
    for name in OUTPUTS:
        try:
            handle = _open_below(workspace.home, SOURCES[name])
        except OSError as error:
            copier.refuse(name, f"not a folder any more ({error.strerror})")
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


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder too deep",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
