"""How cells are distributed: the shape of one column, the clusters in two."""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from arrays import Floats
from columns import Columns
from findings import Finding

CLOSE, CLEARER = 0.03, 1.7
"""Kolmogorov's distance to the best shape, and how much farther the next one is."""
VALLEY = 0.35
"""Saddle between two peaks, as a share of the lower, from which they are one."""
SURE_DEPTH = 7.0
"""Standard errors by which a peak is above the saddle."""
UNSURE_VALLEY, UNSURE_DEPTH = 0.6, 3.5
"""The same where less is asked; the number must not depend on it."""
BINS, LINE_BINS = 20, 32
MIN_ROWS = 200
MAX_PAIR_COLUMNS = 40
_LEVELS = (np.arange(200) + 0.5) / 200


def shapes(table: Columns) -> list[Finding]:
    """Name columns of a known shape, the rarer shapes first, and pairs that show clusters."""
    found = []
    for name, cells in zip(table.numeric, table.raw, strict=True):
        values = cells[np.isfinite(cells)]
        shape = shape_of(values) if len(np.unique(values)) >= MIN_ROWS else None
        if shape is not None and shape != "normal":  # too much looks like it
            args = {"column": name, "shape": shape}
            sure = 0.85 if shape == "uniform" else 0.9
            found.append(_finding("distribution", args, sure, f"{name} is {shape}"))
    return [*found, *_clusters(table)]


def shape_of(values: Floats) -> str | None:
    """Return the shape that fits best, if it fits well and nothing else does."""
    low, high = np.quantile(values, [0.005, 0.995])
    if peaks(smooth(np.histogram(values, LINE_BINS, (low, high))[0].astype(np.float64))) == 2:  # noqa: PLR2004 - the meaning of bimodal
        return "bimodal"
    x, lowest, mean = np.quantile(values, _LEVELS), float(values.min()), float(values.mean())
    fits = {
        "normal": _normal((x - mean) / values.std()),
        "uniform": (x - lowest) / (values.max() - lowest),
        "exponential": 1 - np.exp(-(x - lowest) / (mean - lowest)),
    }
    if lowest > 0:
        logs = np.log(values)
        fits["lognormal"] = _normal((np.log(x) - logs.mean()) / logs.std())
    far = {shape: float(np.abs(cdf - _LEVELS).max()) for shape, cdf in fits.items()}
    first, second = sorted(far, key=lambda shape: far[shape])[:2]
    return first if far[first] < CLOSE and far[second] > CLEARER * far[first] else None


def _normal(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.tolist()])


def _clusters(table: Columns) -> list[Finding]:
    found = []
    names = table.features[:MAX_PAIR_COLUMNS]
    for i, j in combinations(range(len(names)), 2):
        both = np.isfinite(table.scaled[[i, j]]).all(axis=0)
        if both.sum() < MIN_ROWS:
            continue
        x, y = table.scaled[i, both], table.scaled[j, both]
        lines = [peaks(smooth(np.histogram(cells, LINE_BINS)[0].astype(float))) for cells in (x, y)]
        density = smooth(smooth(np.histogram2d(x, y, BINS)[0]).T)
        k = peaks(density)
        own = k > max(lines) or (k > 1 and min(lines) == k)  # not the humps of one column alone
        if own and k == peaks(density, UNSURE_VALLEY, UNSURE_DEPTH):
            args = {"columns": [names[i], names[j]], "k": k}
            text = f"{names[i]} and {names[j]} show {k} clusters"
            found.append(_finding("cluster_count", args, 0.9, text))
    return found


def smooth(counts: Floats) -> Floats:
    """Smooth along the first axis, twice."""
    for _ in range(2):
        edge = np.zeros_like(counts[:1])
        padded = np.concatenate([edge, counts, edge])
        counts = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return counts


def peaks(density: Floats, valley: float = VALLEY, depth: float = SURE_DEPTH) -> int:
    """Count the peaks between which the saddles are low, by flooding from above."""
    padded = np.pad(density, 1)
    heights = padded.ravel().tolist()
    noise = depth * 0.2734 ** (density.ndim / 2)  # what smoothing leaves of a count's
    least = 0.1 * max(heights)
    steps = [0]
    for stride in np.cumprod([1, *padded.shape[:0:-1]]).tolist():
        steps = [step + way * stride for step in steps for way in (-1, 0, 1)]
    top: dict[int, int] = {}

    def root(place: int) -> int:
        while top[place] != place:
            place = top[place]
        return place

    for place in np.argsort(-padded.ravel(), kind="stable").tolist():
        if heights[place] <= 0:
            break
        top[place] = place
        for near in [place + step for step in steps if step and place + step in top]:
            low, high = sorted((root(near), root(place)), key=lambda k: heights[k])
            chance = noise * math.sqrt(heights[low])
            shallow = heights[place] > min(valley * heights[low], heights[low] - chance)
            if low != high and shallow:
                top[low] = high
    return sum(place == above and heights[place] >= least for place, above in top.items())


def _finding(kind: str, args: Mapping[str, object], confidence: float, text: str) -> Finding:
    return Finding(type=kind, args=dict(args), p=0.0, confidence=confidence, text=text)
