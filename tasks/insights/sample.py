"""A table prepared for being searched; what several searches need is computed once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.insights import cells
from tasks.insights.forms import Args, World
from tasks.instance import Floats, Ints, on_grid

ROW, TIME, OUTCOME = "row", "time", "outcome"
"""Columns with a role; all others are features."""

LEAKING = 0.95
"""Absolute correlation with the outcome from which a column can only be made of it."""
MAX_LEVELS = 20
"""A text column with more values is no group."""
UNIQUE, ENOUGH = 0.999, 100
"""Share of distinct values among the rows that repeat no other, and rows needed, of an id."""

Booleans = NDArray[np.bool_]


class Sample:
    """A table of numbers and texts, rows in order of time. Missing cells are NaN or None."""

    def __init__(self, table: Mapping[str, NDArray[Any]]) -> None:
        """Take the table; nothing is looked for in `row` and `time`."""
        self.table = table
        self.features = tuple(
            name
            for name, values in table.items()
            if name not in {ROW, TIME, OUTCOME} and values.dtype != object
        )
        self.texts = tuple(name for name, values in table.items() if values.dtype == object)
        self.raw = {name: table[name].astype(np.float64) for name in (*self.features, OUTCOME)}
        self.order = table[TIME if TIME in table else ROW].astype(np.float64)
        self._found: dict[str, Sequence[Args]] = {}
        self.memory: dict[Any, Any] = {}
        """What a search keeps for the next claim of its type."""

    def found(self, kind: str, detect: Callable[["Sample"], Sequence[Args]]) -> Sequence[Args]:
        """Return what `detect` finds, searched once."""
        if kind not in self._found:
            self._found[kind] = detect(self)
        return self._found[kind]

    @cached_property
    def first(self) -> float:
        """Smallest value of `time` (or of `row`)."""
        return float(self.order.min())

    @cached_property
    def span(self) -> float:
        """Range of `time` (or of `row`)."""
        return float(self.order.max() - self.order.min()) or 1.0

    @cached_property
    def world(self) -> World:
        """What a guesser knows of it."""
        return World(features=self.features, groups=self.levels, first=self.first, span=self.span)

    @cached_property
    def cleaned(self) -> dict[str, Floats]:
        """Numeric columns with sentinels and cells in a wrong unit as missing."""
        return {name: cells.cleaned(values) for name, values in self.raw.items()}

    @cached_property
    def scaled(self) -> dict[str, Floats]:
        """The same clipped and standardised."""
        return {name: cells.scaled(values) for name, values in self.cleaned.items()}

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """Features with more than one value."""
        return tuple(name for name in self.features if np.nanstd(self.scaled[name]) > 0)

    @cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Values of each text column that is a group, sorted."""
        found = {}
        for name in self.texts:
            values = {value for value in self.table[name].tolist() if value is not None}
            if 1 < len(values) <= MAX_LEVELS:
                found[name] = tuple(sorted(values))
        return found

    def members(self, group: str) -> dict[str, Booleans]:
        """Return which rows have each level of a group."""
        return {level: self.table[group] == level for level in self.levels[group]}

    @cached_property
    def repeated(self) -> Booleans:
        """Rows that equal an earlier one in all columns but `row` and `time`."""
        codes: Ints = np.zeros(len(self.order), dtype=np.int64)
        for name, values in self.table.items():
            if name in {ROW, TIME}:
                continue
            plain = np.array([str(value) for value in values]) if name in self.texts else values
            own = np.unique(plain, return_inverse=True)[1].reshape(-1)
            codes = np.unique(codes * (len(values) + 1) + own, return_inverse=True)[1].reshape(-1)
        first = np.unique(codes, return_index=True)[1]
        again = np.ones(len(codes), dtype=np.bool_)
        again[first] = False
        return again

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Columns of whole numbers or texts that number the rows."""
        kept = ~self.repeated
        if kept.sum() < ENOUGH:
            return ()
        found = []
        for name in (*self.features, *self.texts):
            values = self.table[name][kept]
            if name in self.texts:
                numbered = len(set(values.tolist())) >= UNIQUE * len(values)
            else:
                present = values.astype(np.float64)
                whole = bool((np.rint(present) == present).all())
                numbered = whole and len(np.unique(present)) >= UNIQUE * len(values)
            found += [name] if numbered else []
        return tuple(found)

    @cached_property
    def leaks(self) -> tuple[tuple[float, str], ...]:
        """Features that can only be made of the outcome, with their correlation."""
        y = self.scaled[OUTCOME]
        found = []
        for name in self.varying:
            r = correlation(self.scaled[name], y)
            if r > LEAKING:
                found.append((r, name))
        return tuple(sorted(found, reverse=True))

    @cached_property
    def explaining(self) -> tuple[str, ...]:
        """Features that may explain the outcome: no constants, ids and leaks."""
        out = {*self.ids, *(name for _, name in self.leaks)}
        return tuple(name for name in self.varying if name not in out)


def correlation(x: Floats, y: Floats) -> float:
    """Return the absolute correlation over the rows where both are there, to six places."""
    both = np.isfinite(x) & np.isfinite(y)
    a, b = x[both] - x[both].mean(), y[both] - y[both].mean()
    size = np.sqrt(float(a @ a) * float(b @ b))
    return float(on_grid(np.array([abs(float(a @ b)) / size]), 6)[0]) if size > 0 else 0.0


Findings = Iterator[tuple[float, Args]]
"""Arguments of claims, each with how strongly it is seen."""


def ranked(search: Callable[[Sample], Findings]) -> Callable[[Sample], Sequence[Args]]:
    """Make a search return its findings' arguments, the strongest first."""

    @wraps(search)
    def detect(sample: Sample) -> Sequence[Args]:
        return [args for _, args in sorted(search(sample), key=lambda item: -item[0])]

    return detect
