"""Reading a table that a stranger wrote, as text, so that nothing is guessed about its types.

Small files go through the standard library, large ones through polars, which costs a third of a
second to import; both give the same `Column`s, and a test holds them together.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.grading.untrusted import read_bytes
from tasks.instance import Floats, Ints

if TYPE_CHECKING:
    import polars as pl

SMALL_BYTES = 1_000_000
INTEGER = r"-?(0|[1-9][0-9]{0,17})"
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
NOT_FINITE = r"[+-]?(?i:nan|inf|infinity)|"
"""NaN, infinities and the empty cell: numbers that are none."""

Bad = NDArray[np.bool_]
"""(n,) which cells are wrong."""


class UnreadableError(Exception):
    """The bytes are no table; the text says why."""


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


def read_table(path: Path, *, limit: int) -> TextTable:
    """Read a CSV or Parquet file.

    Raises:
        FileNotFoundError, UntrustedFileError: As `read_bytes`.
        UnreadableError: It is not UTF-8, not rectangular, or not a table at all.
    """
    data = read_bytes(path, limit=limit)
    if path.suffix == ".parquet":
        return _parquet(data)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise UnreadableError("the file is empty")
    if b"\0" in data:
        raise UnreadableError("it holds NUL bytes")
    return _small(data) if len(data) <= SMALL_BYTES else _large(data)


# --- small: the standard library ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cells:
    cells: Sequence[str]

    def integers(self) -> tuple[Ints, Bad]:
        match = re.compile(INTEGER).fullmatch
        bad = np.array([match(cell) is None for cell in self.cells], dtype=bool)
        values = [0 if wrong else int(cell) for cell, wrong in zip(self.cells, bad, strict=True)]
        return np.array(values, dtype=np.int64), bad

    def numbers(self) -> tuple[Floats, Bad]:
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
        found = np.array([position.get(cell, -1) for cell in self.cells], dtype=np.int64)
        return found, found < 0

    def show(self, row: int) -> str:
        return shown(self.cells[row])


def _small(data: bytes) -> TextTable:
    try:
        text = data.decode("utf-8")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise UnreadableError("it is not UTF-8 text") from error
    except csv.Error as error:
        raise UnreadableError(f"not valid CSV: {error}") from error
    header, body = tuple(rows[0]), rows[1:]
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise UnreadableError(f"row {number} has {len(row)} cells, the header {len(header)}")
    columns = list(zip(*body, strict=True)) or [()] * len(header)
    return TextTable(header, len(body), lambda index: _Cells(columns[index]))


# --- large: polars -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Series:
    series: "pl.Series"

    def _text(self) -> "pl.Series":
        import polars as pl

        if self.series.dtype == pl.Categorical or isinstance(self.series.dtype, pl.Enum):
            return self.series.cast(pl.String).fill_null("")
        return self.series.fill_null("")

    def integers(self) -> tuple[Ints, Bad]:
        import polars as pl

        if self.series.dtype.is_integer():
            values = self.series.cast(pl.Int64, strict=False)
            return values.fill_null(0).to_numpy(), values.is_null().to_numpy()
        if self.series.dtype.is_numeric():
            return _all_bad(len(self.series), np.int64)
        text = self._text()
        bad = ~text.str.contains(f"^(?:{INTEGER})$").to_numpy()
        return text.cast(pl.Int64, strict=False).fill_null(0).to_numpy(), bad

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

        series = self.series
        if series.dtype.is_integer() or series.dtype == pl.Boolean:
            series = series.cast(pl.String)
        elif series.dtype.is_numeric():
            return _all_bad(len(series), np.int64)
        else:
            series = self._text()
        coded = series.cast(pl.Enum(list(classes)), strict=False)
        bad = coded.is_null().to_numpy()
        return coded.to_physical().cast(pl.Int64).fill_null(-1).to_numpy(), bad

    def show(self, row: int) -> str:
        value = self.series[row]
        return shown("" if value is None else str(value))


def _all_bad(n: int, kind: Any) -> tuple[NDArray[Any], Bad]:
    return np.zeros(n, dtype=kind), np.ones(n, dtype=bool)


def _large(data: bytes) -> TextTable:
    import polars as pl

    first = data.split(b"\n", 1)[0]
    header = _small(first).header
    try:
        frame = pl.read_csv(
            data,
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
    return TextTable(header, frame.height, lambda index: _Series(frame.to_series(index)))


def _parquet(data: bytes) -> TextTable:
    import polars as pl

    try:
        frame = pl.read_parquet(io.BytesIO(data), use_pyarrow=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise UnreadableError("not a readable Parquet file") from error
    for name, kind in frame.schema.items():
        if kind.is_nested() or kind.is_temporal() or kind in {pl.Binary, pl.Object}:
            raise UnreadableError(f"column {shown(name)} has the type {kind}")
    return TextTable(tuple(frame.columns), frame.height, lambda i: _Series(frame.to_series(i)))
