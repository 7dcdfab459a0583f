"""How cells are distributed: the shape of one column, the clusters in two."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.random import Generator

from tasks.insights.forms import Args, Choice, Column, Columns, Number
from tasks.insights.kind import Chunk, Kind, Planted, Setting, number, pick
from tasks.insights.sample import Findings, Sample, ranked
from tasks.instance import Floats, Streams, on_grid

SHAPES = ("normal", "uniform", "exponential", "lognormal", "bimodal")
PLANTED_SHAPES = ("exponential", "lognormal", "bimodal")
"""The others are too common to be worth a guess."""
MAX_DISTANCE, RIVAL = 0.035, 1.5
"""Kolmogorov's distance to the best shape, and how much farther the second is."""
VALLEY, SMALL_PEAK = 0.5, 0.1
"""Two peaks are two if the saddle between them is so low, as a share of the lower; peaks below that
share of the highest are chance."""
DEPTH, KERNEL = 6.0, 0.2734
"""Standard errors by which a peak is above the saddle, and the variance that smoothing leaves of a
count along one axis."""
BINS, LINE_BINS = 20, 32
MIN_ROWS = 100
MAX_CLUSTERS = 5

_LEVELS = (np.arange(200) + 0.5) / 200


# --- one column ---------------------------------------------------------------------------------


@ranked
def _shapes(sample: Sample) -> Findings:
    for name in sample.varying:
        values = sample.cleaned[name]
        shape = None if name in sample.ids else shape_of(values[np.isfinite(values)])
        if shape is not None:
            yield shape[0], {"column": name, "shape": shape[1]}


def shape_of(values: Floats) -> tuple[float, str] | None:
    """Return how clearly a column has the shape, and which; None if it has none of them."""
    if len(values) < MIN_ROWS or len(np.unique(values)) < MIN_ROWS:
        return None
    counts = np.histogram(values, bins=LINE_BINS, range=tuple(np.quantile(values, [0.005, 0.995])))
    if peaks(_smooth(counts[0].astype(np.float64))) == 2:  # noqa: PLR2004 - bimodal
        return 10.0, "bimodal"
    distance = {shape: float(np.abs(cdf - _LEVELS).max()) for shape, cdf in _fits(values).items()}
    first, second = sorted(distance, key=lambda shape: distance[shape])[:2]
    clear = distance[second] / max(distance[first], 1e-9)
    if distance[first] > MAX_DISTANCE or clear < RIVAL:
        return None
    return float(on_grid(np.array([clear]), 3)[0]), first


def _fits(values: Floats) -> dict[str, Floats]:
    """Return the fitted distribution functions at the quantiles of the column."""
    x = np.quantile(values, _LEVELS)
    low, high = float(values.min()), float(values.max())
    fits = {
        "normal": _normal((x - values.mean()) / values.std()),
        "uniform": (x - low) / (high - low),
        "exponential": 1 - np.exp(-(x - low) / max(float(values.mean()) - low, 1e-300)),
    }
    if low > 0:
        logs = np.log(values)
        fits["lognormal"] = _normal((np.log(x) - logs.mean()) / logs.std())
    return fits


def _normal(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.tolist()])


def _plant_shape(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    shape: str = pick(rng, PLANTED_SHAPES)
    unit, at, width = number(rng, 2, 20), number(rng, -90, 90), number(rng, 0.6, 0.9)

    def act(chunk: Chunk, streams: Streams) -> None:
        n = len(chunk.lead)
        noise = streams.stream("noise", chunk.k)
        if shape == "exponential":
            z = at + unit * noise.standard_exponential(n)
        elif shape == "lognormal":
            z = unit * np.exp(width * noise.standard_normal(n))
        else:
            side = np.where(streams.stream("side", chunk.k).random(n) < 0.5, -2.2, 2.2)  # noqa: PLR2004 - an even coin
            z = at + unit * (noise.standard_normal(n) + side)
        chunk.columns[name] = on_grid(z)

    return Planted(args={"column": name, "shape": shape}, act=act)


DISTRIBUTION = Kind(
    type="distribution",
    says="the shape of a column: `normal`, `uniform`, `exponential` (from any origin), `lognormal` "
    "or `bimodal` (two humps)",
    form={"column": Column(), "shape": Choice(SHAPES)},
    example={"column": "x199", "shape": "lognormal"},
    text=lambda args: f"{args['column']} is {args['shape']}",
    detect=_shapes,
    n_columns=1,
    plant=_plant_shape,
)


# --- two columns --------------------------------------------------------------------------------


def _clusters(sample: Sample) -> Sequence[Args]:
    names = [name for name in sample.varying if name not in sample.ids]
    return [
        {"columns": pair, "k": float(k)}
        for pair in combinations(sorted(names), 2)
        if (k := count_clusters(sample, pair)) > 1
    ]


def count_clusters(sample: Sample, pair: tuple[str, ...]) -> int:
    """Count the peaks of the density of two columns; 0 where nothing can be seen."""
    key = ("clusters", pair)
    if key not in sample.memory:
        x, y = (sample.scaled.get(name) for name in pair)
        sample.memory[key] = 0 if x is None or y is None else _count(x, y)
    count: int = sample.memory[key]
    return count


def _count(x: Floats, y: Floats) -> int:
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < MIN_ROWS or x.std() <= 0 or y.std() <= 0:
        return 0
    counts = np.histogram2d(x, y, bins=BINS)[0]
    return peaks(_smooth(_smooth(counts).T))


def _smooth(counts: Floats) -> Floats:
    """Smooth along the first axis, twice, by (1, 2, 1) / 4."""
    for _ in range(2):
        padded = np.concatenate([np.zeros_like(counts[:1]), counts, np.zeros_like(counts[:1])])
        counts = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return counts


def peaks(density: Floats) -> int:
    """Count the peaks of smoothed counts that stand out.

    Flooded from above, two basins meet at a saddle, which is low between peaks of their own.
    Source: topological persistence (Edelsbrunner, Letscher and Zomorodian 2002), here as a ratio.
    """
    padded = np.pad(on_grid(density), 1)  # so that no neighbour is on the other side
    heights: list[float] = padded.ravel().tolist()
    steps = [0]
    for stride in np.cumprod([1, *padded.shape[:0:-1]]).tolist():
        steps = [step + way * stride for step in steps for way in (-1, 0, 1)]
    noise = DEPTH * KERNEL ** (density.ndim / 2)
    least = SMALL_PEAK * float(density.max())
    basin: dict[int, int] = {}
    tops: set[int] = set()
    for place in np.argsort(-padded.ravel(), kind="stable").tolist():
        if heights[place] <= 0:
            break
        basin[place] = place
        tops.add(place)
        for near in [place + step for step in steps if step and place + step in basin]:
            high, low = _root(basin, near), _root(basin, place)
            if heights[high] < heights[low]:
                high, low = low, high
            deep = heights[low] - heights[place] > noise * heights[low] ** 0.5
            if high != low and (heights[place] > VALLEY * heights[low] or not deep):
                basin[low] = high
                tops.discard(low)
    return sum(heights[top] >= least for top in tops)


def _root(basin: dict[int, int], place: int) -> int:
    """Return the top of the basin that a place is in."""
    while basin[place] != place:
        basin[place] = basin[basin[place]]
        place = basin[place]
    return place


def _plant_clusters(rng: Generator, setting: Setting) -> Planted:
    """Plant blobs on a grid of three by three; the first two side by side, so that r is low."""
    k = int(rng.integers(2, MAX_CLUSTERS + 1))
    first = int(rng.integers(3))
    pair = [3 * first, 3 * first + 1 + int(rng.integers(2))]
    others = [int(place) for place in rng.permutation(9) if place not in pair]
    places = np.array((pair + others)[:k])
    units, origins = [number(rng, 2, 20) for _ in "xy"], [number(rng, -90, 90) for _ in "xy"]

    def act(chunk: Chunk, streams: Streams) -> None:
        u = streams.stream("cluster", chunk.k).random(len(chunk.lead))
        own = places[np.minimum((u * k).astype(np.int64), k - 1)]
        noise = streams.stream("noise", chunk.k).standard_normal((2, len(u)))
        for axis, place in enumerate((own // 3, own % 3)):
            z = 6.0 * place + noise[axis]
            chunk.columns[setting.names[axis]] = on_grid(origins[axis] + units[axis] * z)

    return Planted(args={"columns": tuple(sorted(setting.names)), "k": float(k)}, act=act)


CLUSTER_COUNT = Kind(
    type="cluster_count",
    says="the rows form `k` separate clusters in the plane of two columns",
    form={
        "columns": Columns(size=2),
        "k": Number(lambda rng, _: float(rng.integers(2, MAX_CLUSTERS + 1)), low=2, high=100),
    },
    example={"columns": ["x120", "x544"], "k": 3},
    text=lambda args: f"{' and '.join(args['columns'])} show {args['k']:g} clusters",
    detect=_clusters,
    true=lambda sample, args: count_clusters(sample, args["columns"]) == args["k"],
    n_columns=2,
    plant=_plant_clusters,
)

KINDS = (DISTRIBUTION, CLUSTER_COUNT)
