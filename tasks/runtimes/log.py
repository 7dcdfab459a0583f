"""`run.log`: what the command printed, up to a limit, whatever the command does to the file."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from tasks.workspace import move_aside

PIPE_BYTES = 2**20
"""What is read in one go."""

_SPLICED_BYTES = 64 * 2**20


class RunLog:
    """`run.log`: the first bytes of the output, and how many more there were."""

    def __init__(self, path: Path, most: int, on_output: Callable[[bytes], None] | None) -> None:
        self.path = path
        self.most = most
        self.left = most
        self.on_output = on_output
        self.seen = 0
        self.failure = ""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self.handle = os.open(path, flags, 0o644)
        self.null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def take(self, pipe: int) -> bool:
        """Take what the pipe holds, up to a bound; return whether there may be more."""
        try:
            if self.left == 0:  # nothing is kept any more, so nothing need be copied
                count = os.splice(pipe, self.null, _SPLICED_BYTES, flags=os.SPLICE_F_NONBLOCK)
            else:
                piece = os.read(pipe, PIPE_BYTES)
                count = len(piece)
                self._keep(piece[: self.left])
        except BlockingIOError:
            return False
        self.seen += count
        return count > 0

    def _keep(self, piece: bytes) -> None:
        self.left -= len(piece)
        self._write(piece)
        if self.on_output is not None and piece:
            self.on_output(piece)

    def _write(self, piece: bytes) -> None:
        try:
            while piece and not self.failure:
                piece = piece[os.write(self.handle, piece) :]
        except OSError as error:  # a full disk must not stop the draining, nor the verdict
            self.failure = f"{self.path.name} is cut: {error.strerror}"

    def close(self) -> None:
        """Say what was cut; put the file back if the agent removed or replaced it."""
        kept = self.most - self.left
        if self.seen > kept:
            self._write(f"\n[{self.seen - kept:,} more bytes were printed and not kept]\n".encode())
        try:
            self._restore()
        except OSError as error:
            self.failure = f"{self.path.name} is lost: {error.strerror}"
        finally:
            os.close(self.handle)
            os.close(self.null)

    def _restore(self) -> None:
        ours = os.fstat(self.handle)
        with contextlib.suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        move_aside(self.path.parent, self.path)
        with self.path.open("xb") as copy:
            done = 0
            while step := os.sendfile(copy.fileno(), self.handle, done, _SPLICED_BYTES):
                done += step
