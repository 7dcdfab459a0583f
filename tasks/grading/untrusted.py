"""Reading what an agent left behind: no link followed, no device opened, sizes capped."""

import os
import stat
from pathlib import Path


class UntrustedFileError(Exception):
    """The file must not be read; the text says why, in words for the agent's author."""


class TooLargeError(UntrustedFileError):
    """There is more of it than is read."""


class UnreadableError(Exception):
    """The bytes are not what they should be; the text says why."""


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Only the last part of the path is guarded here: the folder must be our own copy.

    Raises:
        FileNotFoundError: There is nothing of that name.
        UntrustedFileError: It is a link, a folder, a FIFO, a device, too large or unreadable.
    """
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114 - pathlib's raises where a name is too long
            raise UntrustedFileError("a symbolic link") from error
        raise UntrustedFileError(error.strerror or "unreadable") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFileError(_kind(status.st_mode))
        if status.st_size > limit:
            raise TooLargeError(f"{status.st_size:,} bytes; at most {limit:,} are read")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)  # room for `limit` bytes is dear
    finally:
        os.close(handle)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
