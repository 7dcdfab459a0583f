"""What happens along the rows: steps, slopes, seasons, bursts."""

import numpy as np
from numpy.random import Generator

from tasks.insights.forms import Args, Choice, Column, FormError, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, number, scale, sign
from tasks.insights.sample import ROW, TIME, Findings, Sample, ranked
from tasks.instance import Floats, Streams, on_grid

CHANGE_Z, CHANGE_SIZE = 6.0, 0.5
"""Largest standardised CUSUM, and the difference in levels, in standard deviations."""
CHANGE_TOLERANCE = 0.03
"""Share of the observed span by which a change point may be missed."""
TREND_R2, TREND_Z = 0.04, 7.0
"""What a straight line along the rows explains, and z of the correlation."""
SEASON_SHARE, MIN_CYCLES, MIN_PERIOD = 0.12, 6, 3
"""Share of the variance at one frequency; cycles in the table; rows in a cycle."""
PERIOD_OFF = 0.03
"""Relative error allowed in a period."""
WINDOW_Z, WINDOW_SIZE, WINDOW_REST, WINDOW_SHARE = 8.0, 1.2, 0.8, 0.15
"""An unusual stretch: z and mean within, in standard deviations; how far the same stretch before
and after is from it at least; and the largest share of the rows."""
OVERLAP = 0.5
"""Intersection over union from which two stretches of time are the same."""

CLOCK = f"`{TIME}` (or `{ROW}` where there is none)"


def _anywhere(rng: Generator, first: float, span: float) -> float:
    return first + span * float(rng.random())


# --- level shifts -------------------------------------------------------------------------------


@ranked
def _changes(sample: Sample) -> Findings:
    for name, values, times in _series(sample):
        z, size, at = _level_shift(values)
        if z > CHANGE_Z and size > CHANGE_SIZE and _line(values)[0] < _step_share(values, at):
            yield z, {"column": name, "at": float(times[at])}


def _series(sample: Sample) -> list[tuple[str, Floats, Floats]]:
    """Return name, scaled cells and times of the columns that vary, missing cells left out."""
    found = []
    for name, cells in sample.scaled.items():
        present = np.isfinite(cells)
        if present.sum() > 50 and cells[present].std() > 0:  # noqa: PLR2004 - or nothing is seen
            found.append((name, cells[present], sample.order[present]))
    return found


def _level_shift(values: Floats) -> tuple[float, float, int]:
    """Return the largest CUSUM, the difference in means there, and the first row after it."""
    n = len(values)
    centred = values - values.mean()
    before = np.arange(1, n)
    total = np.abs(np.cumsum(centred)[:-1])
    statistic = on_grid(total * np.sqrt(n / (before * (n - before))), 6)
    at = int(np.argmax(statistic))
    size = total[at] * n / (before[at] * (n - before[at]))
    return float(statistic[at]), float(size), at + 1


def _step_share(values: Floats, at: int) -> float:
    """Return the share of the variance that two levels explain."""
    n, gap = len(values), float(values[:at].mean() - values[at:].mean())
    return gap * gap * at * (n - at) / n**2 / float(values.var())


def _line(values: Floats) -> tuple[float, float]:
    """Return R² and sign of a straight line."""
    line = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float(line @ (values - values.mean())) / float(line @ line)
    return slope * slope * float(line @ line) / len(values) / float(values.var()), np.sign(slope)


CHANGE = Kind(
    type="change_point",
    says=f"a column whose level changes once; `at` is the value of {CLOCK} in the first row with "
    f"the new level, within {CHANGE_TOLERANCE:.0%} of the range of the clock",
    form={
        "column": Column(),
        "at": Number(lambda rng, world: _anywhere(rng, world.first, world.span)),
    },
    example={"column": "x288", "at": 4200},
    text=lambda args: f"the level of {args['column']} changes at time {args['at']:g}",
    detect=_changes,
    agree=lambda claim, fact, span: bool(
        claim["column"] == fact["column"]
        and abs(claim["at"] - fact["at"]) <= CHANGE_TOLERANCE * span
    ),
    ordered=True,
)


# --- trends -------------------------------------------------------------------------------------


@ranked
def _trends(sample: Sample) -> Findings:
    for name, values, _ in _series(sample):
        share, way = _line(values)
        z = np.sqrt(share * len(values))
        if (
            share > TREND_R2
            and z > TREND_Z
            and share > _step_share(values, _level_shift(values)[2])
        ):
            yield float(z), {"column": name, "direction": "up" if way > 0 else "down"}


def _plant_trend(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    rise = sign(rng) * number(rng, 1.6, 2.4)
    at, unit = scale(rng)

    def act(chunk: Chunk, streams: Streams) -> None:
        own = chunk.noise(streams)
        z = own + rise * (chunk.position / chunk.rows - 0.5)
        chunk.columns[name] = on_grid(at + unit * z)

    return Planted(args={"column": name, "direction": "up" if rise > 0 else "down"}, act=act)


TREND = Kind(
    type="trend",
    says="a column that rises (`up`) or falls (`down`) all along the rows",
    form={"column": Column(), "direction": Choice(("up", "down"))},
    example={"column": "x733", "direction": "up"},
    text=lambda args: f"{args['column']} goes {args['direction']} along the rows",
    detect=_trends,
    n_columns=1,
    plant=_plant_trend,
    ordered=True,
)


# --- seasons ------------------------------------------------------------------------------------


@ranked
def _seasons(sample: Sample) -> Findings:
    """Find the columns in which one frequency of the periodogram stands out."""
    for name, cells in sample.scaled.items():
        share, cycles = _periodogram(np.nan_to_num(cells))
        if share > SEASON_SHARE:
            n = len(cells)
            yield share, {"column": name, "period": sample.span * n / (n - 1) / cycles}


def _periodogram(values: Floats) -> tuple[float, float]:
    """Return the share of the variance at the strongest frequency, and its cycles in the table."""
    n = len(values)
    line = np.arange(n) - (n - 1) / 2
    rest = values - values.mean()
    rest = rest - float(line @ rest) / float(line @ line) * line
    total = float(rest @ rest)
    lowest, highest = 4 * MIN_CYCLES, 4 * n // MIN_PERIOD
    if total <= 0 or highest <= lowest:
        return 0.0, 1.0
    power = np.abs(np.fft.rfft(rest, 4 * n)) ** 2  # four times finer than the n cycles told apart
    power = on_grid(2 * power[lowest:highest] / (n * total), 6)
    best = int(np.argmax(power))
    return float(power[best]), (lowest + best) / 4


def _plant_season(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    period = int(rng.integers(7, max(8, min(80, setting.rows // 15))))
    size, late = number(rng, 1.1, 1.5), int(rng.integers(period))
    at, unit = scale(rng)

    def act(chunk: Chunk, streams: Streams) -> None:
        own = chunk.noise(streams)
        phase = (chunk.position + late) % period / period
        wave = 4 * np.abs(phase - 0.5) - 1.0
        chunk.columns[name] = on_grid(at + unit * (own + size * wave))

    return Planted(args={"column": name, "period": float(period * setting.step)}, act=act)


SEASONALITY = Kind(
    type="seasonality",
    says=f"a column that goes up and down with a fixed `period`, in units of {CLOCK}, within "
    f"{PERIOD_OFF:.0%}",
    form={
        "column": Column(),
        "period": Number(
            lambda rng, world: world.span / (15 * 10 ** float(rng.random())), low=1e-9
        ),
    },
    example={"column": "x266", "period": 24},
    text=lambda args: f"{args['column']} has a season of {args['period']:g}",
    detect=_seasons,
    agree=lambda claim, fact, _: (
        claim["column"] == fact["column"]
        and abs(claim["period"] / fact["period"] - 1) <= PERIOD_OFF
    ),
    n_columns=1,
    plant=_plant_season,
    ordered=True,
)


# --- bursts -------------------------------------------------------------------------------------


@ranked
def _windows(sample: Sample) -> Findings:
    for name, values, times in _series(sample):
        if (burst := find_burst(values)) is not None:
            z, first, stop = burst
            args = {"column": name, "start": float(times[first]), "end": float(times[stop - 1])}
            yield z, args


def find_burst(values: Floats) -> tuple[float, int, int] | None:
    """Return z, first row and end of the stretch whose mean stands out most, if any does.

    A scan with windows of several lengths finds it; the stretch with the largest sum over half of
    its mean has its edges.
    """
    n = len(values)
    total = np.concatenate([[0.0], np.cumsum(values)])
    best, level = 0.0, 0.0
    for share in (0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
        width = max(5, int(share * n))
        if width >= n:
            return None
        sums = total[width:] - total[:-width]
        at = int(np.argmax(np.abs(sums)))
        if abs(sums[at]) / np.sqrt(width) > best:
            best, level = float(abs(sums[at]) / np.sqrt(width)), float(sums[at] / width)
    if best < WINDOW_Z:
        return None
    way = 1.0 if level > 0 else -1.0
    sums = np.concatenate([[0.0], np.cumsum(way * values - abs(level) / 2)])
    lowest = np.minimum.accumulate(sums)
    stop = int(np.argmax(on_grid(sums - lowest, 6)))
    first = int(np.argmin(sums[: stop + 1]))
    width = stop - first
    if not 3 <= width <= WINDOW_SHARE * n:  # noqa: PLR2004 - fewer points are outliers, no window
        return None
    inside = way * float(values[first:stop].mean())
    sides = [values[max(0, first - width) : first], values[stop : stop + width]]
    apart = all(len(s) and inside - way * float(s.mean()) > WINDOW_REST for s in sides)
    z = inside * np.sqrt(width)
    return (float(z), first, stop) if apart and inside > WINDOW_SIZE and z > WINDOW_Z else None


def _overlap(claim: Args, fact: Args, span: float) -> bool:
    if claim["column"] != fact["column"]:
        return False
    both = min(claim["end"], fact["end"]) - max(claim["start"], fact["start"])
    either = max(claim["end"], fact["end"]) - min(claim["start"], fact["start"])
    return bool(max(both, 0.0) >= OVERLAP * max(either, 1e-6 * span))


def _in_order(args: Args) -> Args:
    if args["end"] < args["start"]:
        raise FormError("`end` must not lie before `start`")
    return args


def _plant_window(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    first = int(number(rng, 0.12, 0.8, 3) * setting.rows)
    stop = first + max(6, int(number(rng, 0.03, 0.07, 3) * setting.rows))
    size = sign(rng) * number(rng, 2.3, 3.2)
    at, unit = scale(rng)

    def act(chunk: Chunk, streams: Streams) -> None:
        own = chunk.noise(streams)
        inside = (chunk.position >= first) & (chunk.position < stop)
        chunk.columns[name] = on_grid(at + unit * (own + size * inside))

    start, end = (float(setting.start + setting.step * row) for row in (first, stop - 1))
    return Planted(args={"column": name, "start": start, "end": end}, act=act)


def _guess_end(rng: Generator, world_first: float, span: float) -> float:
    return world_first + span * (1 + float(rng.random()))


ANOMALY = Kind(
    type="anomaly_window",
    says=f"a column that is at another level during one short stretch and back afterwards; "
    f"`start` and `end` are values of {CLOCK}, and what both stretches share must be half of what "
    "either covers",
    form={
        "column": Column(),
        "start": Number(lambda rng, world: _anywhere(rng, world.first, 0.9 * world.span)),
        "end": Number(lambda rng, world: _guess_end(rng, world.first, world.span)),
    },
    example={"column": "x594", "start": 5100, "end": 5400},
    text=lambda args: f"{args['column']} is unusual from {args['start']:g} to {args['end']:g}",
    detect=_windows,
    agree=_overlap,
    check=_in_order,
    n_columns=1,
    plant=_plant_window,
    ordered=True,
)

KINDS = (CHANGE, TREND, SEASONALITY, ANOMALY)
