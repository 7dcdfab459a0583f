"""Folders that a process needs for a moment, and what is left of them when it was killed."""

import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

PREFIX: Final = "aexp-scratch-"
_NAMED: Final = re.compile(rf"{PREFIX}.+-[a-z0-9_]{{8}}")
SETTLED_S: Final = 10.0
"""A folder younger than that may not be locked yet."""


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """Make a folder until the end of the block; of a killed process it is one of `leftovers`."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{what}-") as made, _locked(Path(made)):
        yield Path(made)


def leftovers() -> Iterator[Path]:
    """Remove this user's folders that no process holds any more; yield each that is gone.

    What holds a mount, and what cannot be removed, is named in the log and stays.
    """
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        if not _NAMED.fullmatch(folder.name):
            continue
        try:
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if not ours or time.time() - found.st_mtime < SETTLED_S:
                continue
            if _is_mounted_on(folder):
                log.warning("%s: not removed, as something is mounted in it", folder)
                continue
            with _locked(folder, wait=False):
                _open_up(folder)
                shutil.rmtree(folder)
        except (FileNotFoundError, BlockingIOError):  # its owner is done with it, or is not
            continue
        except OSError as error:
            log.warning("%s: not removed: %s: %s", folder, error.filename, error.strerror)
            continue
        yield folder


def _is_mounted_on(folder: Path) -> bool:
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:  # not Linux
        return False
    # Blanks in names are escaped; ours hold none, and what holds one there is not ours to clean.
    return any(
        line.split(" ")[4].startswith((f"{folder}/", f"{folder.resolve()}/")) for line in lines
    )


def _open_up(folder: Path) -> None:
    """Let us into folders that an agent has closed."""
    for place, names, _ in os.walk(folder):
        for inner in (Path(place, name) for name in names):
            if not inner.is_symlink():
                inner.chmod(0o700)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that the kernel lets go of when we die, however we do."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
