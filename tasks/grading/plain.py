"""A long table of ids and labels, read without polars, whose import takes as long as the reading.

Only what is plain is read here: two columns, ASCII, no quotes, canonical whole numbers of few
digits, short labels of known classes. For all else, also to say what is wrong, `otherwise` is
asked. A cell is one number of 64 bits, so that all its letters are worked on at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Floats, Ints

if TYPE_CHECKING:
    from tasks.grading.tables import Bad, Column

COMMA, NEWLINE = b",\n"
BLOCK: Final = 2**16
"""Cells that are read at once, within a core's cache."""
LONGEST: Final = 8
"""Bytes of a cell."""

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
"""(n,) cells; the first letter is the lowest byte, and what is beyond the last is 0."""


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
        return self._read(_whole) or self.otherwise().integers()

    def numbers(self) -> "tuple[Floats, Bad]":
        """Return numbers as `Column.numbers` does."""
        return self.otherwise().numbers()

    def codes(self, classes: Sequence[str]) -> "tuple[Ints, Bad]":
        """Return positions in `classes` as `Column.codes` does."""
        names = [name.encode() for name in classes]
        if not names or max(map(len, names)) > LONGEST:
            return self.otherwise().codes(classes)
        keys = np.array([int.from_bytes(name, "little") for name in names], dtype=np.uint64)
        order = np.argsort(keys)

        def coded(words: Words, _: Ints) -> Ints | None:
            place = np.searchsorted(keys, words, sorter=order)
            codes = order[np.minimum(place, len(keys) - 1)]
            return codes if np.array_equal(keys[codes], words) else None

        return self._read(coded) or self.otherwise().codes(classes)

    def show(self, row: int) -> str:
        """Return a cell as `Column.show` does."""
        return self.otherwise().show(row)

    def _read(self, reader: "Callable[[Words, Ints], Ints | None]") -> "tuple[Ints, Bad] | None":
        """Read all cells; None where one of them is not what `reader` reads."""
        if not 1 <= self.lengths.min() <= self.lengths.max() <= LONGEST:
            return None
        found = np.empty(len(self.starts), dtype=np.int64)
        for rows in _blocks(len(found)):
            lengths = self.lengths[rows]
            read = reader(_words(self.text, self.starts[rows], lengths), lengths)
            if read is None:
                return None
            found[rows] = read
        return found, np.zeros(len(found), dtype=bool)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _words(text: Bytes, starts: Ints, lengths: Ints) -> Words:
    """Return cells of 1 to 8 bytes each, in the order of the text."""
    around = text[starts[0] : starts[-1] + LONGEST].tobytes() + bytes(LONGEST)
    # A word begins at each byte: they overlap.
    words: Words = np.ndarray(len(around) - LONGEST, "<u8", around, strides=(1,))
    cells: Words = words[starts - starts[0]] & _OWN_BITS[lengths]
    return cells


_OWN_BITS: Final = np.array([256**length - 1 for length in range(LONGEST + 1)], dtype=np.uint64)
_LEAST: Final = np.array([0, 0, *(10**digits for digits in range(1, LONGEST))], dtype=np.uint64)
"""By the length of a cell, the least number that is written so."""


def _whole(words: Words, lengths: Ints) -> Ints | None:
    """Read digits, put them together two by two, then the pairs, then the fours.

    Source: Lemire (2022), "Quickly parsing eight digits".
    """
    digits = words ^ (_OWN_BITS[lengths] & 0x3030303030303030)  # "0" is 0x30
    if ((digits + 0x7676767676767676) & 0x8080808080808080).any():  # one of ASCII is over 9
        return None
    found = digits << (8 * (LONGEST - lengths)).astype(np.uint64)  # zeros in front
    found = (found * 10 + (found >> 8)) & 0x00FF00FF00FF00FF
    found = (found * 100 + (found >> 16)) & 0x0000FFFF0000FFFF
    found = (found * 10_000 + (found >> 32)) & 0x00000000FFFFFFFF
    return None if (found < _LEAST[lengths]).any() else found.astype(np.int64)
