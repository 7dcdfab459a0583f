"""A file system of its own for one agent's world: what it cannot hold, nobody can write.

A sparse file as large as the limit is formatted, mounted on the home and unlinked at once: what it
takes of the disk is free again when it is unmounted, whatever the agent did. Root only, for mounts
are; everybody else's disk is watched instead. Without a journal, since none of it outlives a crash.
"""

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tasks.errors import InfrastructureError, MissingPart
from tasks.outcome import Limits
from tasks.runtimes.engine import is_dead, this_runner
from tasks.workspace import Workspace

MECHANISM: Final = "file system"
"""How reports call it."""

PROGRAMS: Final = ("mkfs.ext4", "mount")
MARKS = Path("/run/aexp/walls")
"""A file for each wall that stands: where, and which runner put it up."""

SLACK_BYTES: Final = 64 * 2**20
SLACK: Final = 50
"""Room for the file system itself, and one in so many: the watch, which names the reason, ends an
agent at its limit; the wall holds one that is faster."""

_FORMAT = ("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal")
_LATER = ("-E", "lazy_itable_init=1,nodiscard")
"""Do not write now what nobody reads."""
_MOUNT = ("mount", "-o", "loop,nosuid,nodev,noatime")
_MNT_DETACH = 2


def mechanism(limits: Limits) -> str:
    """Return what keeps a box or a container to its limit of disk."""
    return MECHANISM if limits.disk_wall else "sampled"


def check() -> None:
    """Refuse where no wall can be put up.

    Raises:
        MissingPart: We are not root, or a program is missing.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing = ["root"]
    if missing or not Path("/dev/loop-control").exists():
        what = ", ".join(missing or ["/dev/loop-control"])
        raise MissingPart(
            f"--disk-wall needs {what}: leave it out, and the disk is watched instead"
        )


@contextlib.contextmanager
def raised(workspace: Workspace, limits: Limits) -> Iterator[None]:
    """Give the home a file system of its own until the end of the block, if limits ask for one.

    What lies in the home is gone then: collect it within.

    Raises:
        MissingPart: As `check`.
        InfrastructureError: It cannot be made.
    """
    if not limits.disk_wall:
        yield
        return
    check()
    reap()
    mark = _mark(workspace.home)
    try:
        _put_up(workspace, limits.disk_bytes)
        yield
    finally:
        _take_down(mark)


def reap() -> list[str]:
    """Take down the walls whose runners are dead; return where they stood."""
    stale = []
    for mark in sorted(MARKS.glob("*.json")) if MARKS.is_dir() else ():
        try:
            said = json.loads(mark.read_text(encoding="utf-8"))
        except FileNotFoundError:  # its runner has just taken it down
            continue
        if is_dead(said["runner"]):
            _take_down(mark)
            stale.append(said["home"])
    return stale


def _mark(home: Path) -> Path:
    MARKS.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = MARKS / f"{secrets.token_hex(8)}.new"
    aside.write_text(json.dumps({"home": str(home), "runner": this_runner()}), encoding="utf-8")
    return aside.rename(aside.with_suffix(".json"))


def _put_up(workspace: Workspace, size: int) -> None:
    image = workspace.root / ".home.img"
    workspace.home.mkdir(exist_ok=True)
    try:
        with image.open("xb") as file:
            file.truncate(size + max(SLACK_BYTES, size // SLACK))
        _done([*_FORMAT, *_LATER, str(image)])
        _done([*_MOUNT, str(image), str(workspace.home)])
    finally:
        image.unlink(missing_ok=True)
    (workspace.home / "lost+found").rmdir()


def _done(words: list[str]) -> None:
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        said = made.stderr.strip().rpartition("\n")[2] or f"exit status {made.returncode}"
        raise InfrastructureError(f"no wall for the disk: {words[0]}: {said}")


def _take_down(mark: Path) -> None:
    """Unmount, busy or not, and forget it; twice does no harm."""
    try:
        home = json.loads(mark.read_text(encoding="utf-8"))["home"]
    except FileNotFoundError:  # another runner was faster
        return
    if os.path.ismount(home) and ctypes.CDLL(None).umount2(os.fsencode(home), _MNT_DETACH) != 0:
        return  # the mark stays, so that `aexp doctor --clean` tries again
    mark.unlink(missing_ok=True)
