"""What is wrong with the cells: gross errors, missing ones, near-copies, codes, units."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from tasks.insights import cells
from tasks.insights.forms import Args, Choice, Column, Columns, Driver, FormError, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, about_column, number, pick
from tasks.insights.sample import OUTCOME, Booleans, Findings, Sample, ranked
from tasks.instance import Floats, Streams, on_grid

REDUNDANT = 0.95
"""Absolute correlation from which two columns are near-copies."""
OUTLYING, OUTLIER_SHARE = 6.0, 0.005
"""Robust standard deviations from the median, and the share of cells beyond."""
MISSING_SHARE, DRIVER_Z, DRIVER_GAP = 0.01, 4.5, 0.2
"""Share of missing cells; z and size, in standard deviations, of the difference in means of
another column between rows with and without the cell."""
FACTOR_OFF = 0.01
"""Relative error allowed in a unit's factor."""
SENTINELS = (-999.0, -99.0, -1.0, 999.0, 9999.0)


# --- outliers -----------------------------------------------------------------------------------


@ranked
def _outliers(sample: Sample) -> Findings:
    for name, values in sample.cleaned.items():
        present = values[np.isfinite(values)]
        if not len(present):
            continue
        middle, spread = cells.robust(present)
        share = float((np.abs(present - middle) > OUTLYING * spread).mean())
        if share > OUTLIER_SHARE:
            yield share, {"column": name}


OUTLIERS = about_column(
    "outliers",
    "a column with gross errors, far outside all other values",
    example="x544",
    is_so="holds gross outliers",
    detect=_outliers,
)


# --- missingness --------------------------------------------------------------------------------


@ranked
def _missingness(sample: Sample) -> Findings:
    for name, values in sample.raw.items():
        gone = np.isnan(values)
        if gone.mean() < MISSING_SHARE:
            continue
        drivers: list[tuple[float, Args]] = [
            (gap, {"column": name, "mechanism": "MAR", "driver": other})
            for other, own in sample.scaled.items()
            if other != name and (gap := _gap(own, gone)) is not None
        ]
        yield from drivers or [(0.0, {"column": name, "mechanism": "MCAR", "driver": None})]


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


@ranked
def _redundant(sample: Sample) -> Findings:
    names = (*sample.varying, OUTCOME)
    values = np.array([sample.scaled[name] for name in names])
    complete = values[:, np.isfinite(values).all(axis=0)]
    if complete.shape[1] < 3 or not complete.std(axis=1).all():  # noqa: PLR2004 - two points always lie on a line
        return
    size = on_grid(np.abs(np.corrcoef(complete)), 6)
    for i, j in np.argwhere(np.triu(size > REDUNDANT, 1)).tolist():
        yield float(size[i, j]), {"columns": tuple(sorted((names[i], names[j])))}


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

KINDS = (OUTLIERS, MISSINGNESS, REDUNDANT_PAIR, SENTINEL, UNITS)
