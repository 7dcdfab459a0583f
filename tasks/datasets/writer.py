"""The chunked writer: tables stream to disk, a chunk at a time, the same bytes each time."""

import csv
import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from tasks.instance import CHUNK_ROWS, Contract, Floats, Table, class_names

if TYPE_CHECKING:
    import polars as pl

Format = Literal["csv", "parquet"]

SMALL_CELLS = 200_000
"""Below this the standard library writes sooner than polars is imported."""

ROW_GROUP = CHUNK_ROWS
"""Rows of a Parquet row group: a chunk each, so that none waits for others."""

MOST_THREADS = 32
"""Chunks that are computed at once, one a core and one more; each is some ten megabytes."""

REPR_PLAIN = (1e-4, 1e16)
"""From where and up to where `repr` writes a number without an exponent."""

FIXED_TIME = 1_577_836_800
"""2020-01-01: times of public files tell nothing (threat M8)."""

Chunk = Mapping[str, NDArray[Any]]
Progress = Callable[[int], None]
"""Called with the number of rows just written."""


def write_table(table: Table, path: Path, *, on_rows: Progress | None = None) -> None:
    """Write a table as CSV or Parquet, by the suffix of `path`; missing cells are empty.

    Whatever goes wrong, no half of a file is left.
    """
    try:
        _write(table, path, on_rows or (lambda _: None))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(table: Table, path: Path, report: Progress) -> None:
    if path.suffix == ".parquet":
        _write_parquet(table, path, report)
        return
    first = table.chunk(0)
    if table.n_chunks == 1 and table.n_rows * len(first) <= SMALL_CELLS:
        _write_small_csv(first, path)
        report(table.n_rows)
    else:
        _write_csv(table, path, report)


def fix_times(folder: Path) -> None:
    """Give every file below `folder` the same time."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files whose content is known, with the times that `fix_times` gives."""
    for name, content in files.items():
        path = f"{folder}/{name}"
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - done for every trial
            file.write(content)
        os.utime(path, (FIXED_TIME, FIXED_TIME))
    os.utime(folder, (FIXED_TIME, FIXED_TIME))


def sample_submission(contract: Contract) -> Table:
    """Return a submission of the right form that knows nothing: first class, or zero."""
    n = len(contract.ids)
    columns: dict[str, NDArray[Any]] = {contract.id_column: contract.ids}
    if contract.kind == "classes":
        codes = np.zeros(n, dtype=np.int64)
        columns[contract.target] = class_names(codes, contract.classes)
        if contract.probabilities:
            share = np.full(n, 1.0 / len(contract.classes))
            columns |= {f"proba_{name}": share for name in contract.classes}
    elif contract.kind == "multilabel":
        columns |= {f"label_{name}": np.zeros(n, dtype=np.int64) for name in contract.classes}
        if contract.probabilities:
            columns |= {f"proba_{name}": np.full(n, 0.5) for name in contract.classes}
    elif contract.kind == "values":
        columns[contract.target] = np.zeros(n)
        columns |= {f"q{level:g}": np.zeros(n) for level in contract.quantiles}
    else:
        columns[contract.target] = np.zeros(n, dtype=np.int64)
    return Table.of(columns)


@dataclass(frozen=True, slots=True)
class _Lines:
    file: TextIO

    def write(self, line: str) -> None:
        self.file.write(line.removesuffix("\r\n") + "\n")


def _write_small_csv(chunk: Chunk, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        # "\r\n" makes the csv module quote cells with either; `_Lines` then ends lines as polars.
        writer = csv.writer(_Lines(file), lineterminator="\r\n")
        writer.writerow(chunk)
        rows = zip(*map(_cells, chunk.values()), strict=True)
        if len(chunk) > 1 and all(column.dtype.kind in "fiu" for column in chunk.values()):
            file.writelines(f"{','.join(row)}\n" for row in rows)  # nothing is to be quoted
        else:
            writer.writerows(rows)


def _cells(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind == "f":
        return _decimals(column)
    if column.dtype.kind in "iu":
        return list(map(str, column.tolist()))
    cells: list[Any] = column.tolist()  # the csv module writes None as an empty cell
    return cells


def _decimals(column: Floats) -> list[str]:
    """Return what `repr` says of each number, in two fifths of its time; NaN is an empty cell.

    JSON has the same digits, the fewest that tell a number from all others, and for numbers of
    usual size puts the point where `repr` does.
    """
    values = column.tolist()
    cells = to_json(values).decode()[1:-1].split(",") if values else []
    size = np.abs(column)
    usual = (size == 0) | ((size >= REPR_PLAIN[0]) & (size < REPR_PLAIN[1]))
    for row in np.flatnonzero(~usual).tolist():
        cells[row] = "" if math.isnan(values[row]) else repr(values[row])
    return cells


def _write_csv(table: Table, path: Path, report: Progress) -> None:
    with path.open("wb") as file:
        for k, frame in enumerate(_frames(table)):
            frame.write_csv(file, include_header=k == 0)
            report(frame.height)


def _write_parquet(table: Table, path: Path, report: Progress) -> None:
    """Stream the chunks into row groups, so that ten million rows need no more memory than one.

    Not compressed: it makes numbers a third smaller and takes as long as drawing them.
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    def source(
        _columns: list[str] | None,
        _predicate: pl.Expr | None,
        _n_rows: int | None,
        _batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        # Nothing is selected from the scan below, so that there is nothing to push down.
        for frame in _frames(table):
            yield frame
            report(frame.height)

    first = {name: values[:1] for name, values in table.chunk(0).items()}
    register_io_source(source, schema=as_frame(first).schema).sink_parquet(
        path, compression="uncompressed", row_group_size=ROW_GROUP
    )


def _frames(table: Table) -> Iterator["pl.DataFrame"]:
    """Yield the chunks as frames; the next ones are computed while one is written."""
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) + 1)
    ahead = threads + 1  # one waits, so that no thread does
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(table.chunk, k) for k in range(min(ahead, table.n_chunks))]
        for k in range(table.n_chunks):
            chunk = waiting.pop(0).result()
            if k + ahead < table.n_chunks:
                waiting.append(pool.submit(table.chunk, k + ahead))
            yield as_frame(chunk)


def as_frame(chunk: Chunk) -> "pl.DataFrame":
    """Return columns as a polars frame; NaN and None become null."""
    import polars as pl

    def series(name: str, values: NDArray[Any]) -> "pl.Series":
        if values.dtype == object:
            return pl.Series(name, values.tolist(), dtype=pl.String)
        made = pl.Series(name, values)
        missing = values.dtype.kind == "f" and bool(np.isnan(values).any())
        return made.fill_nan(None) if missing else made

    return pl.DataFrame([series(name, values) for name, values in chunk.items()])
