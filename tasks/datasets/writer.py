"""The chunked writer: tables stream to disk, a chunk at a time, the same bytes each time."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Contract, Table, class_names

if TYPE_CHECKING:
    import polars as pl

Format = Literal["csv", "parquet"]

SMALL_CELLS = 200_000
"""Below this the standard library writes sooner than polars is imported."""

FIXED_TIME = 1_577_836_800
"""2020-01-01: times of public files tell nothing (threat M8)."""

Chunk = Mapping[str, NDArray[Any]]
Progress = Callable[[int], None]
"""Called with the number of rows just written."""


def write_table(table: Table, path: Path, *, on_rows: Progress | None = None) -> None:
    """Write a table as CSV or Parquet, by the suffix of `path`; missing cells are empty."""
    report = on_rows or (lambda _: None)
    if path.suffix == ".parquet":
        _write_parquet(table, path, report)
    else:
        first = table.chunk(0)
        small = table.n_chunks == 1 and table.n_rows * len(first) <= SMALL_CELLS
        if small:
            _write_small_csv(first, path)
            report(table.n_rows)
        else:
            _write_csv(table, path, report)


def fix_times(folder: Path) -> None:
    """Give every file below `folder` the same time."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)


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
    elif contract.kind == "values":
        columns[contract.target] = np.zeros(n)
        columns |= {f"q{level:g}": np.zeros(n) for level in contract.quantiles}
    else:
        columns[contract.target] = np.zeros(n, dtype=np.int64)
    return Table.of(columns)


def _write_small_csv(chunk: Chunk, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(chunk)
        writer.writerows(zip(*(_cells(column) for column in chunk.values()), strict=True))


def _cells(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind == "f" and np.isnan(column).any():
        return ["" if value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN
    cells: list[Any] = column.tolist()  # the csv module writes None as an empty cell
    return cells


def _write_csv(table: Table, path: Path, report: Progress) -> None:
    with path.open("wb") as file:
        for k, frame in enumerate(_frames(table)):
            frame.write_csv(file, include_header=k == 0)
            report(frame.height)


def _write_parquet(table: Table, path: Path, report: Progress) -> None:
    import polars as pl

    frames = []
    for frame in _frames(table):
        frames.append(frame)
        report(frame.height)
    pl.concat(frames).write_parquet(path, compression="snappy")


def _frames(table: Table) -> Iterator["pl.DataFrame"]:
    """Yield the chunks as frames; the next ones are computed while one is written."""
    ahead = max(2, min(4, os.cpu_count() or 1))
    with ThreadPoolExecutor(ahead) as pool:
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
