"""What is wrong with the cells: gross errors, codes, units, copies, spellings, leaks."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from tasks.insights import cells
from tasks.insights.forms import Args, Choice, Column, Columns, Driver, FormError, Levels, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, number, pick
from tasks.insights.sample import OUTCOME, ROW, TIME, Booleans, Sample, ranked
from tasks.insights.words import word
from tasks.instance import CHUNK_ROWS, Floats, Streams, on_grid

REDUNDANT = 0.95
"""Absolute correlation from which two columns are near-copies."""
OUTLYING, OUTLIER_SHARE = 6.0, 0.005
"""Robust standard deviations from the median, and the share of cells beyond."""
MISSING_SHARE, DRIVER_Z, DRIVER_GAP = 0.01, 4.5, 0.2
"""Share of missing cells; z and size, in standard deviations, of the difference in means of
another column between rows with and without the cell."""
DUPLICATE_SHARE, SHARE_OFF, SHARE_ELSEWHERE = 0.005, 0.002, 0.02
"""Least share of repeated rows; how far a claim may be off in this table and in another."""
FACTOR_OFF = 0.01
"""Relative error allowed in a unit's factor."""
FIRST_SPELLING = 0.55
"""Share of a category's cells that have its first spelling."""
SENTINELS = (-999.0, -99.0, -1.0, 999.0, 9999.0)


# --- outliers -----------------------------------------------------------------------------------


def _outliers(sample: Sample) -> Sequence[Args]:
    found: list[tuple[float, Args]] = []
    for name, values in sample.cleaned.items():
        present = values[np.isfinite(values)]
        if not len(present):
            continue
        middle, spread = cells.robust(present)
        share = float((np.abs(present - middle) > OUTLYING * spread).mean())
        if share > OUTLIER_SHARE:
            found.append((share, {"column": name}))
    return ranked(found)


OUTLIERS = Kind(
    type="outliers",
    says="a column with gross errors, far outside all other values",
    form={"column": Column()},
    example={"column": "x544"},
    text=lambda args: f"{args['column']} holds gross outliers",
    detect=_outliers,
)


# --- missingness --------------------------------------------------------------------------------


def _missingness(sample: Sample) -> Sequence[Args]:
    found: list[tuple[float, Args]] = []
    for name, values in sample.raw.items():
        gone = np.isnan(values)
        if gone.mean() < MISSING_SHARE:
            continue
        drivers: list[tuple[float, Args]] = [
            (gap, {"column": name, "mechanism": "MAR", "driver": other})
            for other, own in sample.scaled.items()
            if other != name and (gap := _gap(own, gone)) is not None
        ]
        found += drivers or [(0.0, {"column": name, "mechanism": "MCAR", "driver": None})]
    return ranked(found)


def _gap(values: Floats, gone: Booleans) -> float | None:
    """Return the difference in means if it is there beyond doubt, in standard deviations."""
    with_it, without = values[~gone], values[gone]
    with_it, without = with_it[np.isfinite(with_it)], without[np.isfinite(without)]
    if not (len(with_it) and len(without)):
        return None
    gap = abs(float(with_it.mean() - without.mean()))
    z = gap / np.sqrt(1 / len(with_it) + 1 / len(without))
    return gap if z > DRIVER_Z and gap > DRIVER_GAP else None


def _missing_form(args: Args) -> Args:
    if args["mechanism"] == "MCAR" and args["driver"] is not None:
        raise FormError("`driver` must be null where cells are missing by chance (MCAR)")
    if args["mechanism"] == "MAR" and args["driver"] is None:
        raise FormError("`driver` must be the name of a column")
    return args


def _missing_text(args: Args) -> str:
    cause = f"{args['driver']} decides" if args["driver"] else "by pure chance"
    return f"cells of {args['column']} are missing, {args['mechanism']}: {cause}"


MISSINGNESS = Kind(
    type="missingness",
    says='a column with missing cells; `mechanism` is `"MCAR"` (pure chance; `driver` is null or '
    'left out) or `"MAR"`, and then `driver` is the column that decides',
    form={"column": Column(), "mechanism": Choice(("MAR", "MCAR")), "driver": Driver()},
    example={"column": "x671", "mechanism": "MAR", "driver": "x208"},
    text=_missing_text,
    detect=_missingness,
    check=_missing_form,
)


# --- near-copies --------------------------------------------------------------------------------


def _redundant(sample: Sample) -> Sequence[Args]:
    names = (*sample.varying, OUTCOME)
    values = np.array([sample.scaled[name] for name in names])
    complete = values[:, np.isfinite(values).all(axis=0)]
    if complete.shape[1] < 3 or not complete.std(axis=1).all():  # noqa: PLR2004 - two points always lie on a line
        return []
    size = on_grid(np.abs(np.corrcoef(complete)), 6)
    found: list[tuple[float, Args]] = [
        (float(size[i, j]), {"columns": tuple(sorted((names[i], names[j])))})
        for i, j in np.argwhere(np.triu(size > REDUNDANT, 1)).tolist()
    ]
    return ranked(found)


REDUNDANT_PAIR = Kind(
    type="redundant_pair",
    says="two columns that are near-copies of each other",
    form={"columns": Columns(size=2)},
    example={"columns": ["x120", "x803"]},
    text=lambda args: f"{' and '.join(args['columns'])} are near-copies of each other",
    detect=_redundant,
)


# --- codes and units ----------------------------------------------------------------------------


def _sentinels(sample: Sample) -> Sequence[Args]:
    codes = {name: cells.sentinel(values) for name, values in sample.raw.items()}
    return [{"column": name, "value": value} for name, value in codes.items() if value is not None]


def _measurement(rng: Generator, spoil: tuple[float, float]) -> tuple[float, float, float]:
    """Return location, unit and share of spoilt cells of a positive measurement."""
    return number(rng, 50, 90), number(rng, 4, 8), number(rng, *spoil, 3)


def _plant_sentinel(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    at, unit, share = _measurement(rng, (0.02, 0.05))
    value: float = pick(rng, SENTINELS)

    def act(chunk: Chunk, streams: Streams) -> None:
        own = streams.stream("cells", chunk.k).standard_normal(len(chunk.lead))
        coded = streams.stream("coded", chunk.k).random(len(own)) < share
        chunk.columns[name] = np.where(coded, value, on_grid(at + unit * own))

    return Planted(args={"column": name, "value": value}, act=act)


SENTINEL = Kind(
    type="sentinel_values",
    says="a numeric column in which one impossible number stands for missing cells",
    form={
        "column": Column(),
        "value": Number(lambda rng, _: float(pick(rng, (*SENTINELS, 0.0, -9999.0, 99.0)))),
    },
    example={"column": "x377", "value": -999},
    text=lambda args: f"{args['value']:g} stands for missing cells of {args['column']}",
    detect=_sentinels,
    n_columns=1,
    plant=_plant_sentinel,
)


def _units(sample: Sample) -> Sequence[Args]:
    found: list[Args] = []
    for name, values in sample.raw.items():
        code = cells.sentinel(values)
        kept = values if code is None else np.where(values == code, np.nan, values)
        factor = cells.unit_factor(kept)
        found += [] if factor is None else [{"column": name, "factor": factor}]
    return found


def _plant_unit(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    at, unit, share = _measurement(rng, (0.02, 0.07))
    factor: float = pick(rng, cells.FACTORS)

    def act(chunk: Chunk, streams: Streams) -> None:
        u = streams.stream("cells", chunk.k).random((2, len(chunk.lead)))
        own = at + unit * (u[0] + u[1] - 1.0) * np.sqrt(6.0)
        wrong = streams.stream("wrong", chunk.k).random(len(own)) < share
        chunk.columns[name] = on_grid(np.where(wrong, own * factor, own))

    return Planted(args={"column": name, "factor": factor}, act=act)


UNITS = Kind(
    type="unit_errors",
    says="a column in which some cells are in another unit: they stand in the file `factor` times "
    "as large as they should be (1000 if grams stand among kilograms)",
    form={
        "column": Column(),
        "factor": Number(lambda rng, _: float(pick(rng, cells.FACTORS)), low=1e-9, high=1e9),
    },
    example={"column": "x902", "factor": 1000},
    text=lambda args: f"some cells of {args['column']} are off by a factor of {args['factor']:g}",
    detect=_units,
    agree=lambda claim, fact, _: (
        claim["column"] == fact["column"] and abs(claim["factor"] / fact["factor"] - 1) < FACTOR_OFF
    ),
    n_columns=1,
    plant=_plant_unit,
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
    at, unit, noise = number(rng, -90, 90), number(rng, 2, 20), number(rng, 0.06, 0.12)
    way = pick(rng, (-1.0, 1.0))

    def finish(chunk: Chunk, streams: Streams) -> None:
        own = streams.stream("noise", chunk.k).standard_normal(len(chunk.lead))
        chunk.columns[name] = on_grid(at + unit * (way * chunk.outcome + noise * own))

    return Planted(args={"column": name}, finish=finish)


LEAKAGE = Kind(
    type="leakage_column",
    says="a column that nearly repeats the outcome, and so can only have been made from it",
    form={"column": Column()},
    example={"column": "x711"},
    text=lambda args: f"{args['column']} is made from the outcome",
    detect=lambda sample: [{"column": name} for _, name in sample.leaks],
    n_columns=1,
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


ID_LIKE = Kind(
    type="id_like",
    says="a column that only numbers or names the rows, each differently",
    form={"column": Column()},
    example={"column": "x150"},
    text=lambda args: f"{args['column']} is an identifier",
    detect=lambda sample: [{"column": name} for name in sample.ids],
    n_columns=1,
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


CONSTANT = Kind(
    type="constant",
    says="a column with the same value in every row",
    form={"column": Column()},
    example={"column": "x489"},
    text=lambda args: f"{args['column']} is constant",
    detect=_constants,
    n_columns=1,
    plant=_plant_constant,
)

KINDS = (
    OUTLIERS,
    MISSINGNESS,
    REDUNDANT_PAIR,
    SENTINEL,
    UNITS,
    ALIASES,
    ID_LIKE,
    CONSTANT,
    LEAKAGE,
    DUPLICATES,
)
"""Duplicates last, as they copy all other columns."""
