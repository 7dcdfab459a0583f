"""A trial while it runs: its progress, and what Ctrl-C does to it."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from tasks.cli import console

if TYPE_CHECKING:
    from tasks.runtimes.base import Cancel

_HOPS = {
    "created": "instance drawn, trial folder made",
    "prepared": "public files written: {files}",
    "started": "agent running",
    "ended": "{reason} after {seconds} s",
    "collected": "files collected: {files}",
    "metrics": "metric points of the agent's own trackers: {count}",
    "graded": "graded against the hidden answers",
    "grader failed": "grader failed: {error}",
    "recorded": "report written",
}


@contextmanager
def interruptible(cancel: "Cancel") -> Iterator[None]:
    """Make the first Ctrl-C stop the agent gently, the second kill it, the third stop us."""
    count = 0

    def stop(_signal: int, _frame: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            console.say("\nstopping the agent; what it has left is graded (Ctrl-C again: kill it)")
            cancel.stop()
        elif count == 2:  # noqa: PLR2004 - the second time
            console.say("\nkilling the agent")
            cancel.kill()
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """Live progress on stderr: a status line on a terminal, plain lines elsewhere."""

    def __init__(self, *, limit: float, quiet: bool) -> None:
        self.limit = limit
        self.quiet = quiet
        self._status: Any = None
        self._rest = b""
        self._started = False

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            limit = TextColumn(f"of {self.limit:g} s")
            self._status = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                limit,
                console=Console(stderr=True),
                transient=True,
            )
            self._line = self._status.add_task("drawing the instance", total=None)
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell of a hop."""
        words = _HOPS.get(kind, "").format_map(fields)
        self._say(f"[{kind}] {words}".rstrip(), words or kind)

    def output(self, data: bytes) -> None:
        """Show what the agent prints, line by line, escaped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-4096:]  # a line without end must not fill our memory
        for line in lines[-20:]:
            text = console.printable(line[:300].decode("utf-8", "replace"))
            self._say(f"  agent | {text}", None)

    def say(self, line: str) -> None:
        """Show a line."""
        self._say(line, line)

    def _say(self, line: str, status: str | None) -> None:
        if self.quiet:
            return
        if self._status is None:
            console.say(line)
            return
        self._status.console.print(line, markup=False, highlight=False)
        if status is not None:
            self._status.update(self._line, description=status)
