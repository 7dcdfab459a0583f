"""Which file systems an index may lie on: those whose locks hold between all who see them."""

import os
from pathlib import Path
from typing import Final

from tasks.errors import InvalidInput

MOUNTS: Final = Path("/proc/self/mountinfo")

_SHARED: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.gcsfuse",
        "fuse.goofys", "fuse.juicefs", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
        "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs",
        "wekafs",
    }
)  # fmt: skip


def refuse_shared(folder: Path, mounts: Path = MOUNTS) -> None:
    """Refuse a folder on a network file system.

    Raises:
        InvalidInput: It is on one; SQLite's WAL needs memory that all its users share.
    """
    kind = file_system_of(folder, mounts)
    if kind in _SHARED:
        raise InvalidInput(
            f"{folder} is on a network file system ({kind}), where SQLite's locks do not hold: "
            "name a folder on a local disk with --out"
        )


def file_system_of(folder: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system a folder is on, or would be made on."""
    target = os.path.realpath(folder)
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split(" ")
        point = words[4].encode().decode("unicode_escape")  # a blank is \040
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two at one place the later one is seen
            best, kind = point, words[words.index("-") + 1]
    return kind
