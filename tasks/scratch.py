"""Folders that a process needs for a moment, and what is left of them when it was killed."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "aexp-scratch-"
SETTLED_S: Final = 10.0
"""A folder younger than that may not be locked yet."""


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """Make a folder until the end of the block; of a killed process it is one of `leftovers`."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{what}-") as made, _locked(Path(made)):
        yield Path(made)


def leftovers() -> Iterator[Path]:
    """Remove this user's folders that no process holds any more; yield each."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with suppress(FileNotFoundError, BlockingIOError):  # its owner is done with it, or is not
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if not ours or time.time() - found.st_mtime < SETTLED_S:
                continue
            with _locked(folder, wait=False):
                shutil.rmtree(folder)
            yield folder


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that the kernel lets go of when we die, however we do."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
