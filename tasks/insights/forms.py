"""The form of a claim's arguments: reading what an agent wrote, and what a blind guesser says."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.random import Generator

Args = Mapping[str, Any]
"""Arguments of a claim: column names, tuples of texts, numbers, choices."""

MAX_TEXTS, MAX_TEXT = 50, 200
"""Values that a claim may list, and characters of each."""
SHOWN = 40
"""Characters of a wrong value that a message repeats."""


class FormError(Exception):
    """A claim has not the form of its type; the text says why, in printable characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What one may know of a table without looking at its cells."""

    features: tuple[str, ...]
    """Numeric columns but the clock and the outcome."""
    groups: Mapping[str, tuple[str, ...]]
    """Levels of each text column."""
    first: float
    span: float
    """Smallest value and range of the clock."""


class Field(Protocol):
    """One argument."""

    def read(self, name: str, value: object, columns: Collection[str]) -> Any:
        """Return the value in normal form.

        Raises:
            FormError: It is not of this form.
        """

    def guess(self, rng: Generator, world: World, so_far: Args) -> Any:
        """Return a random value; `so_far` are the arguments before it."""


@dataclass(frozen=True, slots=True)
class Column:
    """The name of a column."""

    text: bool = False
    """Whether guessers name text columns."""

    def read(self, name: str, value: object, columns: Collection[str]) -> str:
        """Return the name."""
        if not isinstance(value, str):
            raise FormError(f"`{name}` must be the name of a column")
        if value not in columns:
            raise FormError(f"`{name}`: no column {_shown(value)!r}")
        return value

    def guess(self, rng: Generator, world: World, so_far: Args) -> str:
        """Return any column of the right sort that is not named yet."""
        pool = tuple(world.groups) if self.text else world.features
        free = [column for column in pool if column not in so_far.values()] or list(world.features)
        return free[int(rng.integers(len(free)))]


@dataclass(frozen=True, slots=True)
class Columns:
    """A set of column names, as a sorted tuple."""

    size: int | None = None
    """Exactly so many; any number if None."""

    def read(self, name: str, value: object, columns: Collection[str]) -> tuple[str, ...]:
        """Return the distinct names."""
        if not isinstance(value, list) or not value:
            raise FormError(f"`{name}` must be a list of column names")
        if len(value) > len(columns):
            raise FormError(f"`{name}` names more columns than there are")
        named = tuple(sorted({Column().read(name, one, columns) for one in value}))
        if self.size is not None and len(named) != self.size:
            raise FormError(f"`{name}` must name {_COUNTS[self.size]} different columns")
        return named

    def guess(self, rng: Generator, world: World, so_far: Args) -> tuple[str, ...]:
        """Return `size` columns, or one to five."""
        del so_far
        size = int(rng.integers(1, 6)) if self.size is None else self.size
        return _some(rng, world.features, size)


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, at least `low` and at most `high`."""

    guessed: Callable[[Generator, World], float]
    low: float = -math.inf
    high: float = math.inf

    def read(self, name: str, value: object, columns: Collection[str]) -> float:
        """Return the number."""
        del columns
        number = finite(name, value)
        if not self.low <= number <= self.high:
            raise FormError(f"`{name}` must lie between {self.low:g} and {self.high:g}")
        return number

    def guess(self, rng: Generator, world: World, so_far: Args) -> float:
        """Return a number of a likely size."""
        del so_far
        return self.guessed(rng, world)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    of: tuple[str, ...]

    def read(self, name: str, value: object, columns: Collection[str]) -> str:
        """Return the word."""
        del columns
        if not isinstance(value, str) or value not in self.of:
            raise FormError(f"`{name}` must be one of {', '.join(self.of)}")
        return value

    def guess(self, rng: Generator, world: World, so_far: Args) -> str:
        """Return any of the words."""
        del world, so_far
        return self.of[int(rng.integers(len(self.of)))]


@dataclass(frozen=True, slots=True)
class Level:
    """A value of the text column that the argument `group` names."""

    def read(self, name: str, value: object, columns: Collection[str]) -> str:
        """Return the value, whether it occurs or not."""
        del columns
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise FormError(f"`{name}` must be a value of the group")
        return value

    def guess(self, rng: Generator, world: World, so_far: Args) -> str:
        """Return any level of the group."""
        levels = world.groups.get(so_far["group"], ("",))
        return levels[int(rng.integers(len(levels)))]


@dataclass(frozen=True, slots=True)
class Levels:
    """Distinct values of the text column that `column` or `group` names."""

    size: int | None = None
    ordered: bool = False
    """Whether their order matters; else they are sorted."""

    def read(self, name: str, value: object, columns: Collection[str]) -> tuple[str, ...]:
        """Return the values, whether they occur or not."""
        if not isinstance(value, list) or not 1 < len(value) <= MAX_TEXTS:
            raise FormError(f"`{name}` must be a list of values")
        texts = [Level().read(name, one, columns) for one in value]
        if self.size is not None and len(texts) != self.size:
            raise FormError(f"`{name}` must be {_COUNTS[self.size]} values")
        if len(set(texts)) < 2:  # noqa: PLR2004 - a value with itself says nothing
            raise FormError(f"`{name}` must be different values")
        return tuple(texts) if self.ordered else tuple(sorted(set(texts)))

    def guess(self, rng: Generator, world: World, so_far: Args) -> tuple[str, ...]:
        """Return two or three levels."""
        levels = world.groups.get(so_far.get("group", so_far.get("column")), ("", " "))
        return _some(rng, levels, self.size or int(rng.integers(2, 4)))


@dataclass(frozen=True, slots=True)
class Driver:
    """A column, or null where `mechanism` is "MCAR"."""

    def read(self, name: str, value: object, columns: Collection[str]) -> str | None:
        """Return the name or None."""
        return None if value is None else Column().read(name, value, columns)

    def guess(self, rng: Generator, world: World, so_far: Args) -> str | None:
        """Return a column where one is needed."""
        if so_far["mechanism"] == "MCAR":
            return None
        return Column().guess(rng, world, so_far)


Form = Mapping[str, Field]
"""Fields by argument name, in the order in which they are guessed."""


def read(form: Form, value: object, columns: Collection[str]) -> Args:
    """Return the arguments in normal form; unknown ones are left out.

    Raises:
        FormError: They have not this form.
    """
    if not isinstance(value, dict):
        raise FormError("`args` must be an object")
    return {name: field.read(name, value.get(name), columns) for name, field in form.items()}


def guess(form: Form, rng: Generator, world: World) -> Args:
    """Return random arguments of this form."""
    args: dict[str, Any] = {}
    for name, field in form.items():
        args[name] = field.guess(rng, world, args)
    return args


def finite(name: str, value: object) -> float:
    """Return a finite number.

    Raises:
        FormError: It is none.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except OverflowError:
        pass  # an integer of hundreds of digits is as useless as an infinity
    raise FormError(f"`{name}` must be a finite number")


_COUNTS = {2: "two"}


def _some(rng: Generator, pool: tuple[str, ...], size: int) -> tuple[str, ...]:
    return tuple(sorted(pool[int(j)] for j in rng.permutation(len(pool))[:size]))


def _shown(text: str) -> str:
    """Return what can be printed of a text, cut."""
    return "".join(c if c.isprintable() else "?" for c in text[:SHOWN])
