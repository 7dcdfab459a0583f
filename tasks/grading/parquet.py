"""Reading Parquet in a process of its own, because what decompresses may be a bomb.

An allocation that fails inside polars aborts the process it happens in, which must not be the
grader. Run as a script, this module turns Parquet on stdin into uncompressed Arrow on stdout.
"""

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MOST_COLUMNS = 10_000
MEMORY_BYTES = 4 * 2**30
"""Address space of the reader beyond what the table may fill; polars alone takes 0.8 GiB."""
SECONDS = 120.0
REFUSED, TOO_LARGE = 3, 4
"""Exit statuses that come with a reason."""


class ReaderError(Exception):
    """The reader gave up; `too_large` tells whether for the size alone."""

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def read_parquet(data: bytes, *, most_rows: int, most_bytes: int) -> "pl.DataFrame":
    """Return at most `most_rows` rows of numbers, booleans and text.

    Raises:
        ReaderError: It is no Parquet, holds other types, or unpacks to more than `most_bytes`.
    """
    import polars as pl

    # -P: the modules beside this file must not stand in for anybody else's.
    room = MEMORY_BYTES + 8 * most_bytes
    command = [sys.executable, "-P", __file__, str(most_rows), str(most_bytes), str(room)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, check=False, timeout=SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise ReaderError("it takes too long to read") from error
    if done.returncode in {REFUSED, TOO_LARGE}:
        raise ReaderError(done.stderr.decode(), too_large=done.returncode == TOO_LARGE)
    if done.returncode != 0:
        raise ReaderError("not a readable Parquet file")
    return pl.read_ipc(io.BytesIO(done.stdout))


# --- in the child ------------------------------------------------------------------------------


def _convert(most_rows: int, most_bytes: int, room: int) -> None:
    import resource

    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import polars as pl

    coded = (pl.Categorical, pl.Enum)
    schema = pl.read_parquet_schema(io.BytesIO(data))
    if len(schema) > MOST_COLUMNS:
        _give_up(REFUSED, f"it has {len(schema):,} columns")
    for number, kind in enumerate(schema.values(), start=1):
        if not (kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Null, *coded)):
            _give_up(REFUSED, f"column {number} has the type {type(kind).__name__}")
    frame = pl.read_parquet(io.BytesIO(data), n_rows=most_rows, use_pyarrow=False)
    named = [name for name, kind in schema.items() if kind in coded]
    frame = frame.with_columns(pl.col(named).cast(pl.String))
    text = sum(int(column.str.len_bytes().sum()) for column in frame if column.dtype == pl.String)
    if text > most_bytes:
        _give_up(
            TOO_LARGE, f"it unpacks to {text:,} bytes of text; at most {most_bytes:,} are read"
        )
    sys.stdout.buffer.write(frame.write_ipc(None).getvalue())


def _give_up(status: int, reason: str) -> None:
    sys.stderr.write(reason)
    raise SystemExit(status)


if __name__ == "__main__":
    _convert(*map(int, sys.argv[1:]))
