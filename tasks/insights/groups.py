"""Differences between groups of rows: in level, in spread, and in what acts on the outcome."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.insights.forms import Args, Column, Level, Levels, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, number, scale, sign
from tasks.insights.outcome import fit
from tasks.insights.sample import OUTCOME, Booleans, Findings, Sample, ranked
from tasks.insights.words import word
from tasks.instance import Floats, Ints, Streams, on_grid

MIN_GROUP = 30
"""Rows of a level that is compared."""
WITHIN_T, OVERALL_Z = 3.0, 5.0
"""Simpson's paradox: t of the slope in each level, and z of the opposite overall correlation."""
SUBGROUP_T, SUBGROUP_SLOPE, ELSEWHERE = 6.0, 0.25, 0.3
"""A slope in one level: its t, its size, and what the others may have of it."""
SHIFT_Z, SHIFT_MEAN, SHIFT_SPREAD = 6.0, 0.5, 0.3
"""z; gap in means in standard deviations; gap in log standard deviations."""
EFFECT_Z, EFFECT = 5.0, 0.2
EFFECT_OFF, EFFECT_ELSEWHERE = 0.1, 0.25
"""How far a claimed effect size may be off in this table and in another sample."""


def _level_names(rng: Generator, n: int) -> NDArray[np.object_]:
    """Return n made-up words in no order, as they stand in the table."""
    return np.array([word(int(k)) for k in rng.permutation(980)[:n]], dtype=object)


def _one_of_few(rng: Generator) -> tuple[NDArray[np.object_], int]:
    """Return the names of three or four levels, and the number of one of them."""
    n = int(rng.integers(3, 5))
    return _level_names(rng, n), int(rng.integers(n))


def _codes(chunk: Chunk, streams: Streams, n: int) -> Ints:
    """Return which of n levels of about equal shares each row is in."""
    u = streams.stream("group", chunk.k).random(len(chunk.lead))
    codes: Ints = np.minimum((u * n).astype(np.int64), n - 1)
    return codes


# --- Simpson's paradox --------------------------------------------------------------------------


def _slopes(x: Floats, y: Floats, members: list[Booleans]) -> tuple[Floats, Floats]:
    """Return the slope of y on x and its t in each group; 0 in one that is too small."""
    slopes, t = np.zeros(len(members)), np.zeros(len(members))
    for k, member in enumerate(members):
        own = member & np.isfinite(x) & np.isfinite(y)
        n = int(own.sum())
        if n < MIN_GROUP:
            continue
        a, b = x[own] - x[own].mean(), y[own] - y[own].mean()
        spread = float(a @ a)
        if spread <= 0:
            continue
        slopes[k] = float(a @ b) / spread
        rest = b - slopes[k] * a
        t[k] = slopes[k] / np.sqrt(max(float(rest @ rest), 1e-12) / (n - 2) / spread)
    return on_grid(slopes, 6), on_grid(t, 6)


@ranked
def _simpsons(sample: Sample) -> Findings:
    y = sample.scaled[OUTCOME]
    for group in sample.levels:
        members = list(sample.members(group).values())
        for name in sample.explaining:
            x = sample.scaled[name]
            _, t = _slopes(x, y, members)
            _, overall = _slopes(x, y, [np.ones(len(x), dtype=np.bool_)])
            one_way = (np.sign(t) == np.sign(t[0])).all() and np.abs(t).min() > WITHIN_T
            if one_way and abs(overall[0]) > OVERALL_Z and np.sign(overall[0]) != np.sign(t[0]):
                yield float(np.abs(t).min()), {"column": name, "group": group}


def _plant_simpsons(rng: Generator, setting: Setting) -> Planted:
    name, group = setting.names
    levels, way = _level_names(rng, 3), sign(rng)
    at, unit = scale(rng)
    between, within = number(rng, 1.0, 1.2), number(rng, 0.7, 0.8)

    def act(chunk: Chunk, streams: Streams) -> None:
        code = _codes(chunk, streams, len(levels))
        own = chunk.noise(streams)
        middle = 1.2 * (code - 1.0)
        chunk.outcome += way * (between * middle - within * own)
        chunk.columns[name] = on_grid(at + unit * (middle + 0.6 * own))
        chunk.columns[group] = levels[code]

    args = {"column": name, "group": group}
    return Planted(args=args, act=act, relevant=(name, group))


SIMPSONS = Kind(
    type="simpsons_paradox",
    says="overall the outcome goes one way with `column`, and within every level of `group` the "
    "other way",
    form={"column": Column(), "group": Column(text=True)},
    example={"column": "x310", "group": "x655"},
    text=lambda args: (
        f"the association of {args['column']} with the outcome turns around within "
        f"the levels of {args['group']}"
    ),
    detect=_simpsons,
    n_columns=2,
    plant=_plant_simpsons,
)


# --- an effect in one group only ----------------------------------------------------------------


@ranked
def _subgroups(sample: Sample) -> Findings:
    made = fit(sample)
    for group in sample.levels:
        levels = sample.members(group)
        members = [member[made.rows] for member in levels.values()]
        for j, name in enumerate(sample.explaining):
            slopes, t = _slopes(made.x[j], made.left + made.parts[j], members)
            top = int(np.argmax(np.abs(t)))
            rest = [member for k, member in enumerate(members) if k != top]
            elsewhere = _slopes(made.x[j], made.left + made.parts[j], rest)[0]
            only = np.abs(elsewhere).max() < ELSEWHERE * abs(slopes[top])
            if only and abs(t[top]) > SUBGROUP_T and abs(slopes[top]) > SUBGROUP_SLOPE:
                args = {"column": name, "group": group, "level": list(levels)[top]}
                yield abs(float(t[top])), args


def _plant_subgroup(rng: Generator, setting: Setting) -> Planted:
    name, group = setting.names
    levels, level = _one_of_few(rng)
    (at, unit), effect = scale(rng), sign(rng) * number(rng, 1.4, 1.7)
    offsets = 0.7 * (rng.permutation(len(levels)) - (len(levels) - 1) / 2)

    def act(chunk: Chunk, streams: Streams) -> None:
        code = _codes(chunk, streams, len(levels))
        own = chunk.noise(streams)
        chunk.outcome += offsets[code] + np.where(code == level, effect * own, 0.0)
        chunk.columns[name] = on_grid(at + unit * own)
        chunk.columns[group] = levels[code]

    args = {"column": name, "group": group, "level": str(levels[level])}
    return Planted(args=args, act=act, relevant=(name, group))


SUBGROUP = Kind(
    type="subgroup_effect",
    says="a column that acts on the outcome in the rows of one `level` of `group` and in no others",
    form={"column": Column(), "group": Column(text=True), "level": Level()},
    example={"column": "x310", "group": "x655", "level": "harbour"},
    text=lambda args: (
        f"{args['column']} acts on the outcome only where {args['group']} is {args['level']}"
    ),
    detect=_subgroups,
    n_columns=2,
    plant=_plant_subgroup,
)


# --- shift --------------------------------------------------------------------------------------


@ranked
def _shifts(sample: Sample) -> Findings:
    for group in sample.levels:
        for level, member in sample.members(group).items():
            for name in (*sample.explaining, OUTCOME):
                values = sample.scaled[name]
                size = _apart(values[member], values[~member])
                if size is not None:
                    yield size, {"column": name, "group": group, "level": level}


def _apart(first: Floats, second: Floats) -> float | None:
    """Return z of the difference in level or spread, if it is large and beyond doubt."""
    a, b = first[np.isfinite(first)], second[np.isfinite(second)]
    if min(len(a), len(b)) < MIN_GROUP or not (a.std() > 0 and b.std() > 0):
        return None
    gap = abs(float(a.mean() - b.mean()))
    z = gap / np.sqrt(a.var() / len(a) + b.var() / len(b))
    spread = abs(float(np.log(a.std() / b.std())))
    spread_z = spread / np.sqrt(0.5 / len(a) + 0.5 / len(b))
    sizes = [float(z)] if gap > SHIFT_MEAN and z > SHIFT_Z else []
    sizes += [float(spread_z)] if spread > SHIFT_SPREAD and spread_z > SHIFT_Z else []
    return max(sizes, default=None)


def _plant_shift(rng: Generator, setting: Setting) -> Planted:
    name, group = setting.names
    levels, level = _one_of_few(rng)
    at, unit = scale(rng)
    wider = rng.random() < 0.5  # noqa: PLR2004 - a coin
    gap = 0.0 if wider else sign(rng) * number(rng, 1.0, 1.5)
    spread = number(rng, 1.9, 2.4) if wider else 1.0

    def act(chunk: Chunk, streams: Streams) -> None:
        code = _codes(chunk, streams, len(levels))
        own = chunk.noise(streams)
        z = np.where(code == level, gap + spread * own, own)
        chunk.columns[name] = on_grid(at + unit * z)
        chunk.columns[group] = levels[code]

    return Planted(args={"column": name, "group": group, "level": str(levels[level])}, act=act)


SHIFT = Kind(
    type="shift",
    says="in the rows of one `level` of `group` the column has another mean or spread than "
    "in all others",
    form={"column": Column(), "group": Column(text=True), "level": Level()},
    example={"column": "x544", "group": "x655", "level": "harbour"},
    text=lambda args: (
        f"{args['column']} is distributed otherwise where {args['group']} is {args['level']}"
    ),
    detect=_shifts,
    n_columns=2,
    plant=_plant_shift,
)


# --- effect size --------------------------------------------------------------------------------


@ranked
def _effects(sample: Sample) -> Findings:
    for name, group, levels, (a, b) in _pairs(sample):
        d = cohens_d(a, b)
        z = abs(d) / np.sqrt(1 / len(a) + 1 / len(b))
        if abs(d) > EFFECT and z > EFFECT_Z:
            d = float(on_grid(np.array([d]))[0])
            yield float(z), {"column": name, "group": group, "levels": levels, "d": d}


def _pairs(
    sample: Sample,
) -> Iterator[tuple[str, str, tuple[str, str], tuple[Floats, Floats]]]:
    for group in sample.levels:
        members = sample.members(group)
        for first, second in combinations(members, 2):
            for name in (*sample.explaining, OUTCOME):
                values = sample.cleaned[name]
                a, b = values[members[first]], values[members[second]]
                a, b = a[np.isfinite(a)], b[np.isfinite(b)]
                if min(len(a), len(b)) >= MIN_GROUP:
                    yield name, group, (first, second), (a, b)


def cohens_d(a: Floats, b: Floats) -> float:
    """Return the difference in means in pooled standard deviations (Cohen 1988)."""
    n = len(a) + len(b) - 2
    pooled = np.sqrt((len(a) * a.var() + len(b) * b.var()) / n)
    return float((a.mean() - b.mean()) / pooled) if pooled > 0 else 0.0


def _same_effect(claim: Args, fact: Args, off: float) -> bool:
    if (claim["column"], claim["group"]) != (fact["column"], fact["group"]):
        return False
    swapped = claim["levels"] == tuple(reversed(fact["levels"]))
    if not swapped and claim["levels"] != fact["levels"]:
        return False
    return bool(abs(claim["d"] - (-fact["d"] if swapped else fact["d"])) <= off)


def _about_that_size(sample: Sample, args: Args) -> bool:
    return any(_same_effect(args, fact, EFFECT_ELSEWHERE) for fact in EFFECT_SIZE.found(sample))


def _plant_effect(rng: Generator, setting: Setting) -> Planted:
    name, group = setting.names
    levels = np.array(sorted(_level_names(rng, 2)), dtype=object)
    (at, unit), share = scale(rng), number(rng, 0.35, 0.65)
    d = sign(rng) * number(rng, 0.4, 1.3)

    def act(chunk: Chunk, streams: Streams) -> None:
        second = streams.stream("group", chunk.k).random(len(chunk.lead)) < share
        own = chunk.noise(streams)
        chunk.columns[name] = on_grid(at + unit * (own + np.where(second, 0.0, d)))
        chunk.columns[group] = levels[second.astype(np.int64)]

    args = {"column": name, "group": group, "levels": tuple(levels.tolist()), "d": d}
    return Planted(args=args, act=act)


EFFECT_SIZE = Kind(
    type="effect_size",
    says="Cohen's d: the mean of a column in the first of two `levels` of `group` less that in the "
    f"second, in pooled standard deviations, within {EFFECT_OFF:g}",
    form={
        "column": Column(),
        "group": Column(text=True),
        "levels": Levels(size=2, ordered=True),
        "d": Number(lambda rng, _: float(3 * rng.random() - 1.5), low=-100, high=100),
    },
    example={"column": "x544", "group": "x655", "levels": ["harbour", "hill"], "d": -0.7},
    text=lambda args: (
        f"by {args['group']}, {args['levels'][0]} less {args['levels'][1]}, "
        f"{args['column']} differs by d = {args['d']:.2f}"
    ),
    detect=_effects,
    agree=lambda claim, fact, _: _same_effect(claim, fact, EFFECT_OFF),
    true=_about_that_size,
    n_columns=2,
    plant=_plant_effect,
    same=lambda one, other: all(one[key] == other[key] for key in ("column", "group", "levels")),
)

KINDS = (SIMPSONS, SUBGROUP, SHIFT, EFFECT_SIZE)
