"""`run.log`: what the command printed, up to a limit, whatever the command does to the file."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import InfrastructureError
from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.runtimes.base import Cancel
from tasks.workspace import Workspace, move_aside

PIPE_BYTES = 2**20
"""What is read in one go."""

_SPLICED_BYTES = 64 * 2**20


def logged(
    work: Callable[["RunLog"], dict[str, Any]],
    workspace: Workspace,
    limits: Limits,
    enforced: Mechanisms,
    *,
    prepare: Callable[[Workspace], object],
    on_output: Callable[[bytes], None] | None,
    cancel: Cancel | None,
) -> Outcome:
    """Do what contains a command, with its `run.log` open, unless it is cancelled already.

    Args:
        work: Returns the fields of the outcome that are its own.
        workspace: Where the log is.
        limits: How much of the output is kept.
        enforced: What enforces the limits.
        prepare: Makes, before anything starts, the folders that the command needs.
        on_output: As of `Runtime.run`.
        cancel: As of `Runtime.run`.

    Raises:
        InfrastructureError: A folder or the log cannot be made, or `work` says so.
    """
    if cancel is not None and cancel.wanted:
        return Outcome(reason="cancelled", exit_code=None, seconds=0.0, enforced=enforced)
    try:
        prepare(workspace)
        log = RunLog(workspace.log_file, limits.log_bytes, on_output)
    except OSError as error:
        raise InfrastructureError(f"{error.filename}: {error.strerror}") from error
    try:
        found = work(log)
    finally:
        log.close()
    if log.failure:
        found["detail"] = "; ".join(filter(None, (found["detail"], log.failure)))
    return Outcome(**found, log_bytes=log.seen, enforced=enforced)


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
