"""The columns of a table with knobs: what acts on the target, and how it is shown.

`Rows` are what the target depends on. Showing them may re-encode cells in ways that can be undone
(units, spellings, heavy tails), add columns that tell nothing more (copies of columns that are
there, noise), and lose cells. Cells that act on the target are lost only from fickle columns,
whose law given the columns that are always there is known, so that the posterior of what is shown
stays exact. Only IEEE-exact operations act on the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets import scm
from tasks.families import Knobs
from tasks.instance import Floats, Ints, Streams, draw_classes, on_grid

SHOWN, MISSING, GROSS = 0, 1, 2
"""States of a fickle cell."""

LEVELS = 5
"""Values of a fickle column of whole numbers."""
UPPER = 3
"""From this level on a fickle cell counts as high (MNAR)."""
N_FICKLE = 2

SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")

DECOYS = (
    "risk_score",
    "target_mean",
    "prior_outcome",
    "expert_rating",
    "final_grade",
    "confirmed",
    "model_score",
    "outcome_index",
    "label_hint",
    "true_value",
)

COMMON_UNIT, FACTOR, FARTHEST = 20.0, 100.0, 19.0
"""A column with unit errors is shown as 20 + x, wrong ones a hundredfold: 1 … 39 and 100 … 3900."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """n rows of everything that acts on the target."""

    x: Floats
    """(d, n) numbers, always there."""
    codes: Ints
    """(c, n) words and groups, always there."""
    fickle: NDArray[Any]
    """(q, n) whole numbers or reals that may be lost."""
    state: Ints
    """(q, n) SHOWN, MISSING or GROSS."""

    @property
    def n(self) -> int:
        """The number of rows."""
        return int(self.x.shape[1])

    def take(self, rows: NDArray[Any]) -> "Rows":
        """Return some of the rows."""
        return Rows(
            x=self.x[:, rows],
            codes=self.codes[:, rows],
            fickle=self.fickle[:, rows],
            state=self.state[:, rows],
        )

    def replaced(self, where: Ints, other: "Rows", source: Ints) -> "Rows":
        """Return the rows, those at `where` taken from the rows `source` of `other`."""

        def put(mine: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
            merged = mine.copy()
            merged[:, where] = theirs[:, source]
            return merged

        return Rows(
            x=put(self.x, other.x),
            codes=put(self.codes, other.codes),
            fickle=put(self.fickle, other.fickle),
            state=put(self.state, other.state),
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, in order."""
    return Rows(
        x=np.concatenate([part.x for part in parts], axis=1),
        codes=np.concatenate([part.codes for part in parts], axis=1),
        fickle=np.concatenate([part.fickle for part in parts], axis=1),
        state=np.concatenate([part.state for part in parts], axis=1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A column of words: names by code, and the spellings they come in."""

    name: str
    spellings: NDArray[Any]
    """(5, L) object array of str; the first row holds the usual spelling."""


def words(name: str, usual: Sequence[str]) -> Words:
    """Return a column of these words, which must differ in more than case and dots."""
    variants = [[*usual], *([change(word) for word in usual] for change in _SPELLINGS)]
    return Words(name=name, spellings=np.array(variants, dtype=object))


_SPELLINGS = (str.upper, str.lower, lambda word: f"{word} ", lambda word: f"{word}.")


def random_words(rng: Generator, n: int) -> list[str]:
    """Draw n different names of three syllables."""
    base = len(SYLLABLES)
    names = []
    for number in rng.permutation(base**3)[:n].tolist():
        first, second, third = number // base**2, number // base % base, number % base
        names.append((SYLLABLES[first] + SYLLABLES[second] + SYLLABLES[third]).capitalize())
    return names


def shares(n: int) -> Floats:
    """Return how common each of n words is: the first ones most, none more than n / 2 times."""
    weights = 1.0 / (np.arange(n) + max(2.0, n / 4))
    return on_grid(np.cumsum(weights) / np.sum(weights), 9)


class Numbers(Protocol):
    """Where the numbers that are always there come from, and words that come with them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers; empty where they have none of their own."""

    @property
    def words(self) -> tuple[Words, ...]:
        """Columns of words that come with the numbers."""

    @property
    def relevant(self) -> tuple[int, ...]:
        """Which numbers act on the target."""

    @property
    def pilot(self) -> Floats:
        """(d, m) rows to standardise functions by."""

    def draw(self, part: str, chunk: int, n: int) -> tuple[Floats, Ints]:
        """Return numbers (d, n) and codes of words (c, n), as they act."""

    def shown(self, j: int, x: Floats) -> Floats:
        """Return column j as it stands in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """A column of words of its own, independent of all others."""

    words: Words
    cumulative: Floats
    """(L,) ascending to 1."""

    def draw(self, rng: Generator, n: int) -> Ints:
        """Draw n codes."""
        found = np.searchsorted(self.cumulative, rng.random(n), side="right")
        return np.minimum(found, len(self.cumulative) - 1).astype(np.int64)


def lexicons(knobs: Knobs, rng: Generator) -> tuple[Lexicon, ...]:
    """Draw the columns of words that were asked for; groups are the last of them."""
    made = []
    for c in range(knobs.categorical):
        usual = random_words(rng, knobs.cardinality)
        made.append(Lexicon(words=words(f"c{c}", usual), cumulative=shares(knobs.cardinality)))
    if knobs.groups:
        usual = random_words(rng, knobs.groups)
        spellings = np.array([usual] * 5, dtype=object)  # a key is spelt in one way
        groups = Words(name="group", spellings=spellings)
        made.append(Lexicon(words=groups, cumulative=shares(knobs.groups)))
    return tuple(made)


# --- fickle columns -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Whole numbers 0 … 4, which of them depends on the side on which the driver lies."""

    law: Floats
    """(2, L) p(level | side)."""

    def draw(self, driver: Floats, rng: Generator) -> Ints:
        """Draw a level a row, given the driver (n,)."""
        return draw_classes(self.given(driver).T, rng.random(len(driver)))

    def given(self, driver: Floats) -> Floats:
        """Return p(level | driver), (L, n)."""
        given: Floats = np.where(driver > 0, self.law[1][:, None], self.law[0][:, None])
        return given

    def gross(self, rng: Generator, n: int) -> Floats:
        """Return values that no level has."""
        return rng.integers(40, 99, n).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Real numbers: slope · driver + spread · normal noise."""

    slope: float
    spread: float

    def draw(self, driver: Floats, rng: Generator) -> Floats:
        """Draw a value a row, given the driver (n,)."""
        return on_grid(self.slope * driver + self.spread * rng.standard_normal(len(driver)))

    def gross(self, rng: Generator, n: int) -> Floats:
        """Return values far from any that the column has."""
        u = rng.random((2, n))
        return on_grid(np.where(u[0] < 0.5, -1.0, 1.0) * (60.0 + 30.0 * u[1]), 2)  # noqa: PLR2004 - an even coin


# --- the world ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One public column: its name, what it is, and which of its kind."""

    name: str
    role: str
    """number, copy, noise, fickle, words or proxy."""
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The law of all columns; any part and chunk is computable alone."""

    knobs: Knobs
    numbers: Numbers
    lexicons: tuple[Lexicon, ...]
    streams: Streams
    fickle: tuple[Levels | Leaf, ...]
    copies: tuple[tuple[int, float], ...]
    """Number and sign that a redundant column follows."""
    noises: tuple[str, ...]
    """Laws of the distractors."""
    columns: tuple[Column, ...]

    @property
    def words(self) -> tuple[Words, ...]:
        """All columns of words, in the order of `Rows.codes`."""
        return (*self.numbers.words, *(lexicon.words for lexicon in self.lexicons))

    @property
    def driver(self) -> int:
        """The number that fickle columns and MAR look at; it is always there."""
        return self.numbers.relevant[0]

    @property
    def unit_column(self) -> int:
        """The number that unit errors befall."""
        return self.numbers.relevant[1]

    @property
    def idle(self) -> frozenset[int]:
        """Numbers that do not act on the target."""
        return frozenset(range(len(self.numbers.pilot))) - set(self.numbers.relevant)

    def rows(self, part: str, chunk: int, n: int) -> Rows:
        """Draw n rows."""
        x, own = self.numbers.draw(part, chunk, n)
        extra = [
            lexicon.draw(self._stream(f"{part}/words {c}", chunk), n)
            for c, lexicon in enumerate(self.lexicons)
        ]
        codes = np.concatenate([own, np.array(extra, dtype=np.int64).reshape(len(extra), n)])
        driver = x[self.driver]
        fickle = np.zeros((len(self.fickle), n))
        state = np.zeros((len(self.fickle), n), dtype=np.int64)
        for q, law in enumerate(self.fickle):
            rng = self._stream(f"{part}/fickle {q}", chunk)
            fickle[q] = law.draw(driver, rng)
            u = rng.random((2, n))
            state[q] = np.where(u[1] < self.knobs.outliers, GROSS, SHOWN)
            state[q][u[0] < self.chance(driver, fickle[q] >= UPPER)] = MISSING
        return Rows(x=x, codes=codes, fickle=fickle, state=state)

    def chance(self, driver: Floats, high: NDArray[np.bool_]) -> Floats:
        """Return how likely a cell is missing, given the driver and whether it is high itself."""
        rate = self.knobs.missing_rate
        swing = 0.8 * min(rate, 1.0 - rate)
        if self.knobs.mechanism == "MAR":
            return np.where(driver > 0, rate + swing, rate - swing)
        if self.knobs.mechanism == "MNAR":
            return np.where(high, rate + swing, rate - swing)
        return np.full(len(driver), rate)

    def show(
        self, rows: Rows, part: str, chunk: int, proxy: NDArray[Any] | None
    ) -> dict[str, NDArray[Any]]:
        """Return the public columns of rows, in order, without id and target."""
        found: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            if column.role == "proxy" and proxy is not None:
                found[column.name] = proxy
            else:
                # A stream apart from the one behind `rows`, or noise would tell what it hides.
                rng = self._stream(f"{part}/shown {column.role} {column.index}", chunk)
                found[column.name] = self._shown(column, rows, rng)
        return found

    def _stream(self, purpose: str, chunk: int) -> Generator:
        return self.streams.stream(f"knobs/{purpose}", chunk)

    def _shown(self, column: Column, rows: Rows, rng: Generator) -> NDArray[Any]:
        j = column.index
        if column.role == "words":
            return self._spelt(self.words[j], rows.codes[j], rng)
        if column.role == "fickle":
            return self._lossy(rows.fickle[j], rows.state[j], self.fickle[j].gross(rng, rows.n))
        if column.role == "copy":
            own, sign = self.copies[j]
            return self._idle(sign * rows.x[own] + 0.1 * rng.standard_normal(rows.n), rows, rng)
        if column.role == "noise":
            return self._idle(scm.NOISES[self.noises[j]](rng, rows.n), rows, rng)
        if j in self.idle:
            return self._idle(self._numbers(j, rows.x[j], rng), rows, rng)
        return self._numbers(j, rows.x[j], rng)

    def _numbers(self, j: int, x: Floats, rng: Generator) -> Floats:
        """Return a column re-encoded one to one (heavy tails, units), or as it is."""
        if self.knobs.unit_errors and j == self.unit_column:
            wrong = (rng.random(len(x)) < self.knobs.unit_errors) & (np.abs(x) < FARTHEST)
            return on_grid(np.where(wrong, FACTOR, 1.0) * (COMMON_UNIT + x))
        if self.knobs.heavy_tails and j % 2 == 0:
            # The slope is 1 at least, so that different numbers stay different on the grid.
            return on_grid(x + x * x * x)
        return self.numbers.shown(j, x)

    def _idle(self, values: NDArray[Any], rows: Rows, rng: Generator) -> Floats:
        """Return a column that does not act on the target, spoilt as the knobs say."""
        values = on_grid(values)
        u = rng.random((3, len(values)))
        gross = on_grid(np.where(u[1] < 0.5, -1.0, 1.0) * (30.0 + 30.0 * u[2]), 2)  # noqa: PLR2004 - an even coin
        lost = rng.random(len(values)) < self.chance(rows.x[self.driver], values > 0)
        state = np.where(lost, MISSING, np.where(u[0] < self.knobs.outliers, GROSS, SHOWN))
        return self._lossy(values, state, gross)

    def _lossy(self, values: Floats, state: Ints, gross: Floats) -> Floats:
        blank = np.nan if self.knobs.sentinel is None else float(self.knobs.sentinel)
        return np.where(state == MISSING, blank, np.where(state == GROSS, gross, values))

    def _spelt(self, column: Words, codes: Ints, rng: Generator) -> NDArray[Any]:
        other = rng.random(len(codes)) < self.knobs.aliases
        variant = np.where(other, rng.integers(1, len(column.spellings), len(codes)), 0)
        spelt: NDArray[Any] = column.spellings[variant, codes]
        return spelt


def world(knobs: Knobs, numbers: Numbers, streams: Streams, *, discrete: bool) -> World:
    """Draw which columns there are besides `numbers`, and their names and order.

    Args:
        knobs: What was asked for.
        numbers: The columns that are always there.
        streams: The streams of the instance.
        discrete: Whether fickle columns hold whole numbers, else reals.
    """
    rng = streams.stream("knobs/columns")
    lossy = knobs.missing_rate > 0 or knobs.outliers > 0
    fickle = tuple(
        _levels(rng) if discrete else _leaf(rng) for _ in range(N_FICKLE if lossy else 0)
    )
    copies = tuple(
        (numbers.relevant[int(rng.integers(len(numbers.relevant)))], 1.0 - 2.0 * rng.integers(2))
        for _ in range(knobs.redundant)
    )
    noises = tuple(tuple(scm.NOISES)[int(rng.integers(4))] for _ in range(knobs.distractors))
    made = World(
        knobs=knobs,
        numbers=numbers,
        lexicons=lexicons(knobs, streams.stream("knobs/words")),
        streams=streams,
        fickle=fickle,
        copies=copies,
        noises=noises,
        columns=(),
    )
    return replace(made, columns=_named(made, rng))


def _levels(rng: Generator) -> Levels:
    tickets = rng.integers(1, 8, (2, LEVELS))
    return Levels(law=tickets / tickets.sum(axis=1, keepdims=True))


def _leaf(rng: Generator) -> Leaf:
    return Leaf(slope=scm.weight(rng, 0.3, 0.7), spread=abs(scm.weight(rng, 0.6, 0.9)))


def _named(made: World, rng: Generator) -> tuple[Column, ...]:
    """Return all columns; the extra ones mixed among the others, so that order tells nothing."""
    n = len(made.numbers.pilot)
    numeric = [("number", j) for j in range(n)]
    extra = [("copy", j) for j in range(len(made.copies))]
    extra += [("noise", j) for j in range(len(made.noises))]
    extra += [("fickle", j) for j in range(len(made.fickle))]
    extra += [("proxy", 0)] if made.knobs.leakage_trap else []
    every = numeric + extra
    if extra:
        every = [every[int(k)] for k in rng.permutation(len(every))]
    decoys = [DECOYS[int(k)] for k in rng.permutation(len(DECOYS))]
    columns = []
    for position, (role, j) in enumerate(every):
        name = f"f{position}"
        if role == "number" and made.numbers.names:
            name = made.numbers.names[j]
        elif made.knobs.names == "decoy" and decoys and _promises(made, role, j):
            name = decoys.pop()
        columns.append(Column(name=name, role=role, index=j))
    named = [Column(name=w.name, role="words", index=j) for j, w in enumerate(made.words)]
    return (*columns, *named)


def _promises(made: World, role: str, j: int) -> bool:
    return role in {"noise", "proxy"} or (role == "number" and j in made.idle)


def roles(made: World) -> Mapping[str, list[str]]:
    """Return the names of the columns by what they are, for the manifest."""
    found: dict[str, list[str]] = {}
    for column in made.columns:
        idle = column.role == "number" and column.index in made.idle
        found.setdefault("idle" if idle else column.role, []).append(column.name)
    return found
