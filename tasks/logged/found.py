"""What the readers fill: points and parameters, bounded. Standard library only."""

import math
from typing import Any

MLFLOW = "mlflow.db"
WANDB = "wandb"
LINES = "metrics.jsonl"
SOURCES = (MLFLOW, WANDB, LINES)
"""What is looked for in the agent's logs folder."""

MOST_POINTS = 10_000
"""Points of a trial that are kept, all metrics together; more are thinned evenly."""
MOST_SEEN = 300_000
"""Points that are looked at before they are thinned."""
MOST_NAMES = 200
"""Metrics, and parameters, that are kept."""
NAME_LENGTH = 200
VALUE_LENGTH = 500
MOST_PROBLEMS = 20

Row = tuple[str, float, int, float]
"""Name, value, step, and seconds since 1970 (0 where the agent did not say)."""


class Full(Exception):  # noqa: N818 - it is no error of ours
    """So much was found that nothing more is looked at."""


class Found:
    """The points, parameters and problems found so far."""

    def __init__(self) -> None:
        self.series: dict[str, list[Row]] = {}
        self.params: dict[str, str] = {}
        self.problems: list[str] = []
        self.seen = 0
        self.left_out = 0
        """Points without a finite value, or beyond a bound."""

    def problem(self, text: str) -> None:
        """Note what could not be read."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(printable(text, VALUE_LENGTH))

    def point(self, name: Any, value: Any, step: Any, at: Any) -> None:
        """Keep a point, whatever its parts are.

        Raises:
            Full: There were too many.
        """
        self.seen += 1
        if self.seen > MOST_SEEN:
            raise Full
        number = finite(value)
        key = printable(name, NAME_LENGTH) if isinstance(name, str) else ""
        if number is None or not key or (key not in self.series and len(self.series) == MOST_NAMES):
            self.left_out += 1
            return
        row = (key, number, whole(step), finite(at) or 0.0)
        self.series.setdefault(key, []).append(row)

    def param(self, name: Any, value: Any) -> None:
        """Keep a parameter as text."""
        key = printable(name, NAME_LENGTH) if isinstance(name, str) else ""
        if key and (key in self.params or len(self.params) < MOST_NAMES):
            self.params[key] = printable(str(value)[:VALUE_LENGTH], VALUE_LENGTH)

    def thinned(self) -> list[Row]:
        """Return at most `MOST_POINTS` points, each metric's first and last among them."""
        share = MOST_POINTS // max(len(self.series), 1)
        return [row for rows in self.series.values() for row in _spread(rows, share)]


def _spread(rows: list[Row], most: int) -> list[Row]:
    if len(rows) <= most:
        return rows
    return [rows[number * (len(rows) - 1) // (most - 1)] for number in range(most)]


def finite(value: Any) -> float | None:
    """Return a number as a finite float, anything else as None."""
    if isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def whole(value: Any) -> int:
    """Return a step: an integer of 64 bits, or 0."""
    number = finite(value)
    return int(number) if number is not None and abs(number) < 2**62 else 0


def printable(text: str, most: int) -> str:
    """Return a text of a stranger on one line and cut short."""
    return "".join(char if char.isprintable() else "�" for char in text[:most])
