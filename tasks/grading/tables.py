"""Reading a table that a stranger wrote, as text, so that nothing is guessed about its types.

Small files go through the standard library, large ones through polars, which costs a third of a
second to import; both give the same `Column`s, and a test holds them together.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.grading.parquet import MOST_COLUMNS, ReaderError, read_parquet
from tasks.grading.plain import two_columns
from tasks.grading.untrusted import TooLargeError, UnreadableError, read_bytes
from tasks.instance import Floats, Ints

if TYPE_CHECKING:
    import polars as pl

SMALL_BYTES = 1_000_000
MOST_CELL = csv.field_size_limit()
INTEGER = r"0|-?[1-9][0-9]{0,17}"
LONG_INTEGER = 10**18
"""The least number that `INTEGER` is too short for."""
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
NOT_FINITE = r"[+-]?(?:[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)|"
"""NaN, infinities and the empty cell: numbers that are none. Letter by letter, for a pattern that
ignores case lets through a dotless i, which no parser of numbers knows."""

Bad = NDArray[np.bool_]
"""(n,) which cells are wrong."""


class EmptyError(UnreadableError):
    """There is nothing in it."""


class Column(Protocol):
    """One column of cells."""

    def integers(self) -> tuple[Ints, Bad]:
        """Return whole numbers in canonical form ("007" and "7.0" are bad)."""

    def numbers(self) -> tuple[Floats, Bad]:
        """Return numbers; NaN and infinities are numbers, words are bad."""

    def codes(self, classes: Sequence[str]) -> tuple[Ints, Bad]:
        """Return the position of each cell in `classes`."""

    def show(self, row: int) -> str:
        """Return a cell as printable text of bounded length."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """The header and a way to each column."""

    header: tuple[str, ...]
    n_rows: int
    column: Callable[[int], Column]


def shown(text: str, limit: int = 40) -> str:
    """Return what a stranger wrote, quoted, escaped and cut, so that no terminal obeys it."""
    quoted = ascii(text[: limit + 1])
    return quoted if len(text) <= limit else f"{quoted[: limit + 1]}…'"


def read_table(path: Path, *, limit: int, most_rows: int, labels: bool = False) -> TextTable:
    """Read a CSV or Parquet file.

    Args:
        path: The file; `.parquet` is Parquet, everything else CSV.
        labels: Whether whole numbers and labels are wanted and no other numbers.
        limit: Bytes that are read, and that text in Parquet may unpack to.
        most_rows: Where reading Parquet stops; a CSV file is bounded by its bytes.

    Raises:
        FileNotFoundError, UntrustedFileError: As `read_bytes`.
        UnreadableError: It is not UTF-8, not rectangular, or not a table at all.
    """
    data = read_bytes(path, limit=limit)
    if path.suffix == ".parquet":
        return _parquet(data, most_rows=most_rows, most_bytes=limit)
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if not data or data.isspace():
        raise EmptyError("the file is empty")
    if b"\0" in data:
        raise UnreadableError("it holds NUL bytes")
    read = _small if len(data) <= SMALL_BYTES else _large
    table = (_labels(data, read) if labels else None) or read(data)
    if len(table.header) > MOST_COLUMNS:
        raise UnreadableError(f"it has {len(table.header):,} columns")
    return table


# --- small: the standard library ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cells:
    cells: Sequence[str]

    def integers(self) -> tuple[Ints, Bad]:
        if _all(INTEGER, self.cells):
            whole = np.fromiter(map(int, self.cells), dtype=np.int64, count=len(self.cells))
            return whole, _none_bad(self.cells)
        match = re.compile(INTEGER).fullmatch
        bad = np.array([match(cell) is None for cell in self.cells], dtype=bool)
        values = [0 if wrong else int(cell) for cell, wrong in zip(self.cells, bad, strict=True)]
        return np.array(values, dtype=np.int64), bad

    def numbers(self) -> tuple[Floats, Bad]:
        if _all(f"{NUMBER}|{NOT_FINITE}", self.cells):
            cells = (cell or "nan" for cell in self.cells)
            values = np.fromiter(map(float, cells), dtype=np.float64, count=len(self.cells))
            return values, _none_bad(self.cells)
        number, other = re.compile(NUMBER).fullmatch, re.compile(NOT_FINITE).fullmatch
        bad = np.zeros(len(self.cells), dtype=bool)
        values = np.full(len(self.cells), np.nan)
        for row, cell in enumerate(self.cells):
            if number(cell):
                values[row] = float(cell)
            elif other(cell):
                values[row] = float(cell or "nan")
            else:
                bad[row] = True
        return values, bad

    def codes(self, classes: Sequence[str]) -> tuple[Ints, Bad]:
        position = {name: code for code, name in enumerate(classes)}
        found = np.fromiter(
            map(position.get, self.cells, repeat(-1)), dtype=np.int64, count=len(self.cells)
        )
        return found, found < 0

    def show(self, row: int) -> str:
        return shown(self.cells[row])


def _all(pattern: str, cells: Sequence[str]) -> bool:
    """Whether all cells fit a pattern: one match of them all is faster than one a cell."""
    lines = "\n".join(cells)
    return lines.count("\n") == len(cells) - 1 and _column(pattern).fullmatch(lines) is not None


@lru_cache(maxsize=8)
def _column(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?:{pattern})(?:\\n(?:{pattern}))*+")


def _none_bad(cells: Sequence[str]) -> Bad:
    return np.zeros(len(cells), dtype=bool)


def _small(data: bytes) -> TextTable:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("it is not UTF-8 text") from error
    if '"' not in text and "\r" not in text and (plain := _unquoted(text)) is not None:
        return plain
    return _quoted(text)


def _unquoted(text: str) -> TextTable | None:
    """Read a table whose cells are what stands between commas; None where a row is odd.

    It is read by column at once, in a third of the time of a reader of rows.
    """
    lines = [line for line in text.split("\n") if line]
    header = tuple(lines[0].split(","))
    width = len(header)
    if set(map(str.count, lines, repeat(","))) != {width - 1} or max(map(len, lines)) > MOST_CELL:
        return None
    cells = ",".join(lines).split(",")
    return TextTable(header, len(lines) - 1, lambda index: _Cells(cells[width + index :: width]))


def _quoted(text: str) -> TextTable:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise UnreadableError(f"not valid CSV: {error}") from error
    header, body = tuple(rows[0]), rows[1:]
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise UnreadableError(f"row {number} has {len(row)} cells, the header {len(header)}")
    columns = list(zip(*body, strict=True)) or [()] * len(header)
    return TextTable(header, len(body), lambda index: _Cells(columns[index]))


# --- plain labels of any size; else polars where it is large ------------------------------------


@dataclass(frozen=True, slots=True)
class _Series:
    series: "pl.Series"

    def _text(self) -> "pl.Series":
        import polars as pl

        return self.series.cast(pl.String).fill_null("")

    def integers(self) -> tuple[Ints, Bad]:
        import polars as pl

        if self.series.dtype.is_integer():
            values = self.series.cast(pl.Int64, strict=False)
            return values.fill_null(0).to_numpy(), values.is_null().to_numpy()
        if self.series.dtype.is_numeric():
            return _all_bad(len(self.series), np.int64)
        text = self._text()
        whole = text.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
        # No text of a number is shorter than its canonical form, so lengths tell in a third of
        # the time; what is negative, or none, is left to the pattern.
        small = len(whole) > 0 and whole.min() >= 0 and whole.max() < LONG_INTEGER
        if small and int(text.str.len_bytes().sum()) == _digits(whole):
            return whole, np.zeros(len(whole), dtype=bool)
        bad = ~text.str.contains(f"^(?:{INTEGER})$").to_numpy()
        return np.where(bad, 0, whole), bad

    def numbers(self) -> tuple[Floats, Bad]:
        import polars as pl

        if self.series.dtype.is_numeric():
            values = self.series.cast(pl.Float64).fill_null(np.nan).to_numpy()
            return values, np.zeros(len(values), dtype=bool)
        text = self._text()
        values = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        bad = ~text.str.contains(f"^(?:{NUMBER}|{NOT_FINITE})$").to_numpy()
        return np.where(bad, np.nan, values), bad

    def codes(self, classes: Sequence[str]) -> tuple[Ints, Bad]:
        import polars as pl

        if self.series.dtype.is_numeric() and not self.series.dtype.is_integer():
            return _all_bad(len(self.series), np.int64)
        coded = self._text().cast(pl.Enum(list(classes)), strict=False)
        bad = coded.is_null().to_numpy()
        return coded.to_physical().cast(pl.Int64).fill_null(-1).to_numpy(), bad

    def show(self, row: int) -> str:
        value = self.series[row]
        return shown("" if value is None else str(value))


def _digits(whole: Ints) -> int:
    """Return how many digits numbers >= 0 have, all together."""
    total, least = len(whole), 10
    while least <= whole.max():
        total += int(np.count_nonzero(whole >= least))
        least *= 10
    return total


def _all_bad(n: int, kind: Any) -> tuple[NDArray[Any], Bad]:
    return np.zeros(n, dtype=kind), np.ones(n, dtype=bool)


def _labels(data: bytes, read: Callable[[bytes], TextTable]) -> TextTable | None:
    """Read a table of ids and labels, else by `read`; None where it is another or an odd one."""
    first, _, body = data.partition(b"\n")
    if b"\r" in first or len(first) > MOST_CELL:
        return None
    whole = lru_cache(maxsize=1)(lambda: read(data))
    columns = two_columns(body, lambda index: whole().column(index))
    header = tuple(first.decode().split(",")) if first.isascii() and b'"' not in first else ()
    if columns is None or len(header) != len(columns):
        return None
    if any(column.lengths.max(initial=0) > MOST_CELL for column in columns):
        return None
    return TextTable(header, len(columns[0].starts), columns.__getitem__)


def _large(data: bytes) -> TextTable:
    import polars as pl

    if b'"' not in data:  # as the reader of small files sees lines; within quotes they are text
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n\n" in data:
            data = re.sub(rb"\n{2,}", b"\n", data)
        data += b"" if data.endswith(b"\n") else b"\n"
    first, _, body = data.partition(b"\n")
    header = _small(first).header
    body = body.lstrip(b"\r\n")  # polars takes the width from the first line
    if len(header) > MOST_COLUMNS or not body or body.isspace():
        return TextTable(header, 0, lambda _: _Cells(()))
    try:
        frame = pl.read_csv(
            # The line in front is skipped: polars unpacks what begins like zlib, whatever it is.
            io.BytesIO(b"-\n" + body),
            has_header=False,
            skip_rows=1,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, UnicodeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UnreadableError(f"not valid CSV: {shown(reason, 120)}") from error
    if frame.width != len(header):
        raise UnreadableError(f"row 2 has {frame.width} cells, the header {len(header)}")
    if b"\n\n" in body or b"\n\r\n" in body:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines, as above
    return TextTable(header, frame.height, lambda index: _Series(frame.to_series(index)))


# --- Parquet -----------------------------------------------------------------------------------


def _parquet(data: bytes, *, most_rows: int, most_bytes: int) -> TextTable:
    try:
        frame = read_parquet(data, most_rows=most_rows, most_bytes=most_bytes)
    except ReaderError as error:
        kind = TooLargeError if error.too_large else UnreadableError
        raise kind(str(error)) from error
    return TextTable(tuple(frame.columns), frame.height, lambda i: _Series(frame.to_series(i)))
