"""A long table of ids and labels, read without polars, whose import takes as long as the reading.

Only what is plain is read here: two columns, ASCII, no quotes, canonical whole numbers, short
labels of known classes. For all else, also to say what is wrong, `otherwise` is asked.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Floats, Ints

if TYPE_CHECKING:
    from tasks.grading.tables import Bad, Column

COMMA, NEWLINE, ZERO = b",\n0"
BLOCK: Final = 2**16
"""Cells that are read at once, within a core's cache."""
LONGEST_NUMBER: Final = 18
LONGEST_LABEL: Final = 8
"""Bytes that are compared as one number of 64 bits."""

Bytes = NDArray[np.uint8]
Letters = list[Bytes]


def two_columns(
    body: bytes, otherwise: "Callable[[int], Column]"
) -> "tuple[PlainColumn, PlainColumn] | None":
    """Return both columns of a table without its header; None if it is not plain.

    Args:
        body: The rows, each of which ends in a newline.
        otherwise: Gives a column as another reader reads it.
    """
    if not body.endswith(b"\n") or b'"' in body or b"\r" in body or not body.isascii():
        return None
    text = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero((text == COMMA) | (text == NEWLINE))
    between, last = ends[::2], ends[1::2]
    if len(between) != len(last) or (text[between] != COMMA).any() or (text[last] != NEWLINE).any():
        return None
    first = np.concatenate([[0], last[:-1] + 1])
    return (
        PlainColumn(text, first, between - first, lambda: otherwise(0)),
        PlainColumn(text, between + 1, last - between - 1, lambda: otherwise(1)),
    )


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """One of two columns; a `Column`."""

    text: Bytes
    starts: Ints
    lengths: Ints
    otherwise: "Callable[[], Column]"

    def integers(self) -> "tuple[Ints, Bad]":
        """Return whole numbers as `Column.integers` does."""
        return self._read(_whole, LONGEST_NUMBER) or self.otherwise().integers()

    def numbers(self) -> "tuple[Floats, Bad]":
        """Return numbers as `Column.numbers` does."""
        return self.otherwise().numbers()

    def codes(self, classes: Sequence[str]) -> "tuple[Ints, Bad]":
        """Return positions in `classes` as `Column.codes` does."""
        names = [name.encode() for name in classes]
        if not names or max(map(len, names)) > LONGEST_LABEL:
            return self.otherwise().codes(classes)
        keys = np.array([int.from_bytes(name, "little") for name in names], dtype=np.uint64)
        order = np.argsort(keys)

        def coded(letters: Letters) -> Ints | None:
            found = np.zeros(len(letters[0]), dtype=np.uint64)
            for k, letter in enumerate(letters):
                found |= letter.astype(np.uint64) << np.uint64(8 * k)
            place = np.searchsorted(keys, found, sorter=order)
            codes = order[np.minimum(place, len(keys) - 1)]
            return codes if np.array_equal(keys[codes], found) else None

        return self._read(coded, LONGEST_LABEL) or self.otherwise().codes(classes)

    def show(self, row: int) -> str:
        """Return a cell as `Column.show` does."""
        return self.otherwise().show(row)

    def _read(
        self, reader: "Callable[[Letters], Ints | None]", longest: int
    ) -> "tuple[Ints, Bad] | None":
        """Read all cells; None where one of them is not what `reader` reads."""
        if not 1 <= self.lengths.min() <= self.lengths.max() <= longest:
            return None
        found = np.empty(len(self.starts), dtype=np.int64)
        for rows in _blocks(len(found)):
            read = reader(_letters(self.text, self.starts[rows], self.lengths[rows]))
            if read is None:
                return None
            found[rows] = read
        return found, np.zeros(len(found), dtype=bool)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _letters(text: Bytes, starts: Ints, lengths: Ints) -> Letters:
    """Return the first letter of each cell, the second and so on; 0 beyond its end."""
    last = len(text) - 1
    return [
        np.where(lengths > k, text[np.minimum(starts + k, last)], np.uint8(0))
        for k in range(int(lengths.max()))
    ]


def _whole(letters: Letters) -> Ints | None:
    if len(letters) > 1 and ((letters[0] == ZERO) & (letters[1] != 0)).any():
        return None
    whole = np.zeros(len(letters[0]), dtype=np.int64)
    for letter in letters:
        digit, there = letter - np.uint8(ZERO), letter != 0  # a letter below "0" wraps around
        if (digit[there] > 9).any():  # noqa: PLR2004 - no digit
            return None
        whole = np.where(there, whole * 10 + digit, whole)
    return whole
