"""What must not be taken for data of its own: spellings, identifiers, leaks, repeated rows."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from tasks.insights.forms import Args, Column, Levels, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, about_column, number, pick, scale
from tasks.insights.sample import ROW, TIME, Sample
from tasks.insights.words import word
from tasks.instance import CHUNK_ROWS, Streams, on_grid

DUPLICATE_SHARE, SHARE_OFF, SHARE_ELSEWHERE = 0.005, 0.002, 0.02
"""Least share of repeated rows; how far a claim may be off in this table and in another."""
FIRST_SPELLING = 0.55
"""Share of a category's cells that have its first spelling."""


# --- spellings ----------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Return a spelling without case, blanks and punctuation."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _aliases(sample: Sample) -> Sequence[Args]:
    found: list[Args] = []
    for name, levels in sample.levels.items():
        spellings: dict[str, list[str]] = {}
        for level in levels:
            spellings.setdefault(plain(level), []).append(level)
        found += [
            {"column": name, "values": tuple(sorted(same))}
            for same in spellings.values()
            if len(same) > 1
        ]
    return found


def _respelt(first: str, second: str) -> tuple[str, ...]:
    return (
        f"{first}-{second}",
        f"{first} {second}",
        f"{first}_{second}".upper(),
        first.title() + second,
    )


def _plant_aliases(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    numbers = rng.permutation(200)[:8]
    pairs = [(word(int(a)), word(int(b))) for a, b in list(pairwise(numbers.tolist()))[::2]]
    levels = [f"{first}-{second}" for first, second in pairs]
    spellings = _respelt(*pairs[0])[: 2 + int(rng.integers(3))]
    shares = np.array([0.4, 0.6, 0.8, 1.0])

    def act(chunk: Chunk, streams: Streams) -> None:
        u = streams.stream("cells", chunk.k).random((2, len(chunk.lead)))
        code = (u[0][:, None] >= shares).sum(axis=1)
        other = (u[1] - FIRST_SPELLING) / (1 - FIRST_SPELLING) * (len(spellings) - 1)
        how = np.where(other < 0, 0, 1 + other.astype(np.int64))
        own = np.array(levels, dtype=object)[code]
        own[code == 0] = np.array(spellings, dtype=object)[how[code == 0]]
        chunk.columns[name] = own

    return Planted(args={"column": name, "values": tuple(sorted(spellings))}, act=act)


def _same_thing(sample: Sample, args: Args) -> bool:
    return any(
        args["column"] == fact["column"] and set(args["values"]) <= set(fact["values"])
        for fact in ALIASES.found(sample)
    )


ALIASES = Kind(
    type="category_aliases",
    says="a text column in which one category is spelt in several ways; `values` are all its "
    "spellings, as they stand in the file",
    form={"column": Column(text=True), "values": Levels()},
    example={"column": "x655", "values": ["old-town", "OLD_TOWN", "old town"]},
    text=lambda args: (
        f"{', '.join(map(repr, args['values']))} are one category of {args['column']}"
    ),
    detect=_aliases,
    true=_same_thing,
    n_columns=1,
    plant=_plant_aliases,
)


# --- columns that must not be used --------------------------------------------------------------


def _plant_leak(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    (at, unit), noise = scale(rng), number(rng, 0.06, 0.12)
    way = pick(rng, (-1.0, 1.0))

    def finish(chunk: Chunk, streams: Streams) -> None:
        own = chunk.noise(streams)
        chunk.columns[name] = on_grid(at + unit * (way * chunk.outcome + noise * own))

    return Planted(args={"column": name}, finish=finish)


LEAKAGE = about_column(
    "leakage_column",
    "a column that nearly repeats the outcome, and so can only have been made from it",
    example="x711",
    is_so="is made from the outcome",
    detect=lambda sample: [{"column": name} for _, name in sample.leaks],
    plant=_plant_leak,
)


def _plant_id(rng: Generator, setting: Setting) -> Planted:
    """Plant numbers that are all different and in no order: rows times an odd number, modulo."""
    (name,) = setting.names
    base, factor = (
        int(rng.integers(10_000_000, 90_000_000)),
        2 * int(rng.integers(10**6, 4 * 10**6)) + 1,
    )

    def act(chunk: Chunk, streams: Streams) -> None:
        del streams
        row = chunk.k * CHUNK_ROWS + np.arange(len(chunk.lead), dtype=np.int64)
        chunk.columns[name] = base + row * factor % 2**23

    return Planted(args={"column": name}, act=act)


ID_LIKE = about_column(
    "id_like",
    "a column that only numbers or names the rows, each differently",
    example="x150",
    is_so="is an identifier",
    detect=lambda sample: [{"column": name} for name in sample.ids],
    plant=_plant_id,
)


def _constants(sample: Sample) -> Sequence[Args]:
    numbers = [
        name
        for name in sample.features
        if len(np.unique(sample.raw[name][np.isfinite(sample.raw[name])])) < 2  # noqa: PLR2004 - one value or none
    ]
    texts = [name for name in sample.texts if len(set(sample.table[name].tolist()) - {None}) < 2]  # noqa: PLR2004 - one value or none
    return [{"column": name} for name in (*numbers, *texts)]


def _plant_constant(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    value = number(rng, -90, 90)

    def act(chunk: Chunk, streams: Streams) -> None:
        del streams
        chunk.columns[name] = np.full(len(chunk.lead), value)

    return Planted(args={"column": name}, act=act)


CONSTANT = about_column(
    "constant",
    "a column with the same value in every row",
    example="x489",
    is_so="is constant",
    detect=_constants,
    plant=_plant_constant,
)

# --- copies of rows -----------------------------------------------------------------------------


def _duplicates(sample: Sample) -> Sequence[Args]:
    share = float(on_grid(np.array([sample.repeated.mean()]))[0])
    return [{"share": share}] if share > DUPLICATE_SHARE else []


def _plant_duplicates(rng: Generator, setting: Setting) -> Planted:
    del setting
    share = float(pick(rng, (0.015, 0.02, 0.03, 0.04, 0.06, 0.08)))

    def finish(chunk: Chunk, streams: Streams) -> None:
        u = streams.stream("copies", chunk.k).random((2, len(chunk.lead)))
        copied = u[0] < share
        originals = np.flatnonzero(~copied)
        if not len(originals):
            return
        source = np.arange(len(copied))
        source[copied] = originals[(u[1][copied] * len(originals)).astype(np.int64)]
        for name in chunk.columns:
            if name not in {ROW, TIME}:
                chunk.columns[name] = chunk.columns[name][source]

    return Planted(args={"share": share}, finish=finish)


def _repeat(sample: Sample, args: Args) -> bool:
    share = float(sample.repeated.mean())
    return share > DUPLICATE_SHARE and abs(args["share"] - share) < SHARE_ELSEWHERE


DUPLICATES = Kind(
    type="duplicates",
    says=f"some rows repeat another in all columns but `{ROW}` and `{TIME}`; `share` is the share "
    f"of the rows that repeat an earlier one, within {SHARE_OFF:g}",
    form={"share": Number(lambda rng, _: float(0.01 * 10 ** rng.random()), low=0, high=1)},
    example={"share": 0.031},
    text=lambda args: f"{args['share']:.2%} of the rows repeat an earlier row",
    detect=_duplicates,
    agree=lambda claim, fact, _: abs(claim["share"] - fact["share"]) <= SHARE_OFF,
    true=_repeat,
    plant=_plant_duplicates,
    same=lambda _, __: True,
)

KINDS = (ALIASES, ID_LIKE, CONSTANT, LEAKAGE, DUPLICATES)
"""Duplicates last, as they copy all other columns."""
