"""What a person sees of a suite: a live table, or lines, and the summary."""

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tasks.cli import console
from tasks.cli.options import RUNS

if TYPE_CHECKING:
    from tasks.store import Counts
    from tasks.store.folders import Product
    from tasks.suite import Progress


QUIET_S: Final = 30.0
"""Off a terminal a line comes at each change of what matters, and at most so long apart."""

SHOWN: Final = 12
"""Running trials that the live table lists."""


def summary(suite: str, counts: "Counts") -> dict[str, Any]:
    """Return the state of a suite for programs."""
    return {
        "suite": suite,
        "trials": counts.total,
        "states": dict(counts.states),
        "reasons": dict(counts.reasons),
        "rates": {name: share(n, counts.over) for name, n in rates(counts).items()},
        "mean_score": counts.score,
        "mean_seconds": counts.seconds,
        "tokens": counts.tokens,
        "cost_usd": counts.cost_usd,
    }


def rates(counts: "Counts") -> dict[str, int]:
    """Return the three numbers that are always told, each of the trials that are over."""
    return {
        "passed": counts.passed,
        "failed": counts.failed,
        "infrastructure": counts.infrastructure,
    }


def share(part: int, whole: int) -> float | None:
    """Return a share, or None of nothing."""
    return part / whole if whole else None


def states_line(counts: "Counts") -> str:
    """Return the counts in a line."""
    states = dict(counts.states)
    states["failed"] = states.get("failed", 0) - counts.cancelled
    words = [f"{n} {state}" for state, n in states.items() if n]
    words += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    return f"{counts.over} of {counts.total} over: {', '.join(words)}"


def named(store: Path) -> str:
    """Return a store as a command names it; nothing where it is the usual one."""
    return "" if store == RUNS.absolute() else shlex.quote(os.path.relpath(store))


def rates_line(counts: "Counts", folder: Path) -> str:
    """Return the three rates in a line; `failed` is the word for those that ended badly."""
    words = [
        f"{'not passed' if name == 'failed' else name} {n}"
        + (f" ({n / counts.over:.0%})" if counts.over else "")
        for name, n in rates(counts).items()
    ]
    if counts.score is not None:  # no interval here: trials of a task depend on each other
        interval = f"aexp leaderboard {shlex.quote(os.path.relpath(folder))}"
        words.append(f"score so far {counts.score:.3f} (its interval: {interval})")
    return ", ".join(words)


def spent_line(counts: "Counts") -> str:
    """Return what models have cost, all attempts together."""
    return f"models: {counts.tokens:,} tokens, {counts.cost_usd:.4f} US dollars"


def reasons_line(reasons: Mapping[str, int]) -> str:
    """Return why trials failed, the commonest first; one that was cancelled has not."""
    failed = {reason: n for reason, n in reasons.items() if reason != "cancelled"}
    ordered = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {reason}" for reason, n in ordered)


class Watch:
    """Live progress on stderr: a table on a terminal, lines elsewhere."""

    def __init__(self, product: "Product", limit_s: float, *, folder: Path, quiet: bool) -> None:
        """Take what is to be shown.

        Args:
            product: The suite's.
            limit_s: Time limit of a trial.
            folder: The suite's.
            quiet: Show nothing.
        """
        self.product = product
        self.limit_s = limit_s
        self.folder = folder
        self.quiet = quiet
        self.begun = time.monotonic()
        self.before = -1
        self._live: Any = None
        self._said = ("", 0.0)
        self._look = ""

    def __enter__(self) -> Self:
        """Take the terminal, if there is one."""
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._live is not None:
            self._live.stop()

    def show(self, progress: "Progress") -> None:
        """Show how things stand; called about twice a second."""
        if self.before < 0:
            self.before = progress.counts.over
        if self.quiet:
            return
        if self._live is not None:
            self._live.update(self._drawn(progress), refresh=True)
            return
        line = progress.pause or states_line(progress.counts)
        if progress.look != self._look:
            self._look = progress.look
            console.say(f"[suite] {console.printable(progress.look)}")
        said, when = self._said
        now = time.monotonic()
        if line != said and (not said or self._matters(progress) or now - when >= QUIET_S):
            self._said = (line, now)
            console.say(f"[suite] {line}{self._eta(progress)}")

    def _matters(self, progress: "Progress") -> bool:
        counts = progress.counts
        return bool(progress.pause) or counts.over == counts.total or counts.total <= SHOWN

    def _eta(self, progress: "Progress") -> str:
        counts = progress.counts
        if progress.stopping:
            left_s = _of_running(progress)
            return f"; about {duration(left_s)} left" if left_s > 0 else ""
        done, left = counts.over - self.before, counts.total - counts.over
        if done < 1 or not left:
            return ""
        return f"; about {duration((time.monotonic() - self.begun) / done * left)} left"

    def _drawn(self, progress: "Progress") -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("TRIAL", "TASK", "AGENT", "STATE", "TIME LEFT", box=None, pad_edge=False)
        now = time.time()
        for n, (state, started) in list(progress.running.items())[:SHOWN]:
            cell = self.product.cell(n)
            left = max(0.0, self.limit_s - (now - started))
            table.add_row(str(n), cell.task, Text(cell.agent), state, duration(left))
        lines = [
            states_line(progress.counts) + self._eta(progress),
            rates_line(progress.counts, self.folder),
        ]
        if why := reasons_line(progress.counts.reasons):
            lines.append(why)
        if progress.counts.tokens:
            lines.append(spent_line(progress.counts))
        if progress.look:
            lines.append(progress.look)
        if progress.pause or progress.stopping:
            why = f"stopping, {progress.stopping}: no more trials are started"
            lines.append(progress.pause or why)
        return Group(table, *(Text(line) for line in lines))


def _of_running(progress: "Progress") -> float:
    """Return the seconds until the running trials are over, if they take as long as others did."""
    mean, now = progress.counts.seconds or 0.0, time.time()
    return max((mean - (now - started) for _, started in progress.running.values()), default=0.0)


def duration(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 100:  # noqa: PLR2004 - two digits
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - two digits of minutes
