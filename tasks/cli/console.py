"""What a person sees: results on stdout, the rest on stderr; plain where there is no terminal."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

typed: tuple[str, ...] = ("aexp",)
"""The program and the words that it was called with."""


def out(text: str = "") -> None:
    """Print a result."""
    print(text)


def say(text: str) -> None:
    """Print something that is no result: progress, a hint, a warning."""
    print(text, file=sys.stderr, flush=True)


def out_text(text: str) -> None:
    """Print a text of several lines that a stranger may have written."""
    print("\n".join(printable(line) for line in text.splitlines()))


def out_json(payload: Any) -> None:
    """Print a result for programs."""
    out_raw_json(json.dumps(payload, indent=2, ensure_ascii=False, default=str))


def out_raw_json(text: str) -> None:
    """Print JSON, spelling out what a terminal would obey; programs read the same."""
    print("".join(char if char.isprintable() or char == "\n" else _spelt(char) for char in text))


def _spelt(char: str) -> str:
    return json.dumps(char)[1:-1] if char.isascii() is False else f"\\u{ord(char):04x}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: lines and colour on a terminal, aligned plain text elsewhere.

    What is too wide for a terminal goes on below, each part with the first column again; but many
    rows stay whole, for the eye to follow, and wrap.
    """
    body = [[printable(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _plain(header, body)
        return
    most, lines = shutil.get_terminal_size()
    widths = [max(len(line[k]) for line in [header, *body]) + 3 for k in range(len(header))]
    whole = [list(range(len(header)))]
    for part in _parts(widths, most) if len(body) < lines // 2 else whole:
        chosen = [[line[k] for k in part] for line in [header, *body]]
        # Whole words that wrap are better than numbers cut off.
        fits = sum(widths[k] for k in part) <= most
        (_drawn if fits else _plain)(chosen[0], chosen[1:])


def _parts(widths: Sequence[int], most: int) -> list[list[int]]:
    """Divide columns into parts that fit where they can, each with the first column."""
    parts = [[0]]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[k] for k in [*parts[-1], column]) > most:
            parts.append([0])
        parts[-1].append(column)
    return parts


def _drawn(header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*header, box=box.SIMPLE_HEAD)
    for row in body:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def _plain(header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    lines = [list(header), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """Return what an agent printed without anything a terminal would obey (threat M7)."""
    return "".join(char if char.isprintable() else "�" for char in text)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def size(n_bytes: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":  # noqa: PLR2004 - SI steps
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
