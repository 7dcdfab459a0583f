"""Tables of numbers with their intervals: for people, for a page, for a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from tasks.cli import console
from tasks.comparison.interval import Interval

Cell = str | int | float | Interval | None


class TableFormat(StrEnum):
    """How a table is printed."""

    text = "text"
    md = "md"
    csv = "csv"


Format = Annotated[
    TableFormat, typer.Option("--format", help="text, md or csv (intervals as columns).")
]
GREYED = "~"
"""Stands behind a number that too few units are behind."""
LEGEND = f"{GREYED} fewer than 3 units: says next to nothing"


def show(header: Sequence[str], rows: Sequence[Sequence[Cell]], form: TableFormat) -> None:
    """Print a table; in a spreadsheet an interval is five columns."""
    if form is TableFormat.csv:
        _csv(header, rows)
        return
    texts = [[text(cell) for cell in row] for row in rows]
    if form is TableFormat.md:
        lines = [header, ["---"] * len(header), *texts]
        for line in lines:
            console.out("| " + " | ".join(map(_escaped, line)) + " |")
        return
    console.table([name.upper() for name in header], texts)


def _escaped(cell: str) -> str:
    return console.printable(cell).replace("|", r"\|")


def text(cell: Cell) -> str:
    """Return a cell for people."""
    if cell is None:
        return "-"
    if isinstance(cell, Interval):
        return interval(cell)
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def interval(found: Interval, *, signed: bool = False) -> str:
    """Return a number with its bounds; never the number alone."""
    if found.estimate is None:
        return "-"
    sign = "+" if signed else ""
    bounds = (
        f"[{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
        if found.low is not None and found.high is not None
        else "[?, ?]"
    )
    return f"{found.estimate:{sign}.3f} {bounds}{GREYED if found.greyed else ''}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    spread = [any(isinstance(row[k], Interval) for row in rows) for k in range(len(header))]
    names: list[str] = []
    for name, is_interval in zip(header, spread, strict=True):
        plain = name.lower().replace(" ", "_").replace("^", "_hat_").replace("@", "_at_")
        parts = ("", "_low", "_high", "_n", "_method") if is_interval else ("",)
        names += [plain + part for part in parts]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        line: list[object] = []
        for cell, is_interval in zip(row, spread, strict=True):
            line += _spread(cell) if is_interval else [cell]
        writer.writerow(line)
    console.out_text(stream.getvalue())


def _spread(cell: Cell) -> list[object]:
    if isinstance(cell, Interval):
        return [cell.estimate, cell.low, cell.high, cell.n, cell.method]
    return [None] * 5
