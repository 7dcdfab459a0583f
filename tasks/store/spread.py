"""Where a file system puts the folders of thousands of trials."""

import contextlib
import fcntl
import os
import platform
import struct
from pathlib import Path
from typing import Final

MACHINES: Final = frozenset({"x86_64", "aarch64"})
"""Whose kernels number the calls as below."""

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_TOPDIR: Final = 0x20000
"""EXT4_TOPDIR_FL, `chattr +T`: what lies in this folder is not related."""


def spread(folder: Path) -> None:
    """Ask ext2 to ext4 to put what is made in a folder far apart, each with its own about it.

    Otherwise all trials share one group of inodes. Where there is no journal, what was freed there
    within the last minutes is passed over one by one for each new file (`recently_deleted` in the
    kernel's fs/ext4/ialloc.c): thousands of looks where worlds of trials come and go, 3 ms of CPU a
    trial. Other file systems need no such advice, and refuse it.
    """
    if platform.machine() not in MACHINES:
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # it is another file system, or not our folder
            (flags,) = struct.unpack("q", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("q", flags | _TOPDIR))
    finally:
        os.close(handle)
