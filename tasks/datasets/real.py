"""Real columns under a known target: rows of a bundled table, drawn with replacement.

The features follow the empirical law of the table, the target a random function of them: tier E
on real data.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import bundled, scm
from tasks.datasets.columns import Words, words
from tasks.datasets.tabular import relevant_of
from tasks.instance import Floats, Ints, Streams, on_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """Numbers and words of a real table."""

    table: "_Table"
    relevant: tuple[int, ...]
    pilot: Floats
    """(d, m) standardised."""
    streams: Streams

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers, as in the table."""
        return self.table.names

    @property
    def words(self) -> tuple[Words, ...]:
        """The columns of words."""
        return self.table.words

    def draw(self, part: str, chunk: int, n: int) -> tuple[Floats, Ints]:
        """Return standardised numbers (d, n) and codes of words (c, n) of n rows."""
        table = self.table
        rows = self.streams.stream(f"{part}/features", chunk).integers(0, table.x.shape[1], n)
        return table.x[:, rows], table.codes[:, rows]

    def shown(self, j: int, x: Floats) -> Floats:
        """Return column j as it stands in the table: whole numbers."""
        raw: Floats = np.rint(x * self.table.scale[j] + self.table.shift[j])
        return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    names: tuple[str, ...]
    x: Floats
    """(d, N) standardised, on a grid."""
    shift: Floats
    scale: Floats
    words: tuple[Words, ...]
    codes: Ints


def real_numbers(name: str, streams: Streams) -> Real:
    """Return the columns of the real table `name`."""
    table = _table(name)
    rng = streams.stream("structure")
    sample = streams.stream("pilot").integers(0, table.x.shape[1], scm.PILOT_ROWS)
    relevant = relevant_of(rng, len(table.x))
    return Real(table=table, relevant=relevant, pilot=table.x[:, sample], streams=streams)


@lru_cache(maxsize=1)
def _table(name: str) -> _Table:
    rows = bundled.rows_of(name).columns
    numbers = {key: values for key, values in rows.items() if values.dtype.kind in "if"}
    spoken = {key: values for key, values in rows.items() if values.dtype.kind == "O"}
    raw = np.array([*numbers.values()], dtype=np.float64)
    # Whole numbers: their sums are exact, and so are mean and sd once they are rounded.
    shift = on_grid(raw.mean(axis=1), 3)
    scale = on_grid(np.sqrt(((raw - shift[:, None]) ** 2).mean(axis=1)), 3)
    coded = [_coded(key, values) for key, values in spoken.items()]
    return _Table(
        names=tuple(numbers),
        x=on_grid((raw - shift[:, None]) / scale[:, None]),
        shift=shift,
        scale=scale,
        words=tuple(column for column, _ in coded),
        codes=np.array([codes for _, codes in coded], dtype=np.int64),
    )


def _coded(name: str, values: NDArray[Any]) -> tuple[Words, Ints]:
    known = np.array(["unknown" if value is None else value for value in values])
    usual, codes = np.unique(known, return_inverse=True)
    return words(name, usual.tolist()), codes.astype(np.int64)
