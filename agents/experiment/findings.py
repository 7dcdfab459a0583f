"""What is true of single columns and pairs beyond chance; each kind of search under Holm.

Normal and binomial tail probabilities in closed form are enough, as tables have many rows.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from arrays import Booleans, Floats
from columns import Columns, correlations, robust

ALPHA = 0.01
"""Chance that any false finding of one kind is reported."""
COPY, COPY_Z = 0.95, 4.0
"""Absolute correlation of near-copies, reached by the lower end of an interval of so many z."""
FAR, BETWEEN = 7.0, 4.0
HEAVY = 1 / 3
"""Robust standard deviations, and the share of cells beyond BETWEEN that lie beyond FAR in a tail
as heavy as that of a log-normal column: gross errors are more."""
MIN_MISSING = 0.01
MIN_GAP, MIN_STEP = 0.15, 0.3
"""Smallest difference in means worth naming, in standard deviations: drivers, level changes."""
LIKELY_GAP, CLEAR_Z = 0.5, 3.5
"""The gap a driver usually makes, and the z at which it is seen among many columns."""
BURST_Z, BURST_LEVEL, LONGEST_BURST = 8.5, 1.25, 0.15
"""A burst: z, mean in standard deviations, and most of the rows it may last."""
SURE = 0.98
"""Highest confidence in anything: the method may not fit the table at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement about the table in the words of insights/1."""

    type: str
    args: Mapping[str, Any]
    p: float
    """Holm-adjusted; of the weakest part, where there are several."""
    confidence: float
    text: str


def holm(p: Floats) -> Floats:
    """Return p-values adjusted for their number (Holm 1979)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def normal_tail(z: float) -> float:
    """Return the two-sided p-value of a standard normal."""
    return math.erfc(abs(z) / math.sqrt(2))


def confidence(p: float) -> float:
    """Return the probability that a finding at this p-value is true, were half of all so.

    Source: the bound of Sellke, Bayarri and Berger (2001), never above SURE.
    """
    bound = -math.e * p * math.log(p) if 0 < p < 1 / math.e else float(p > 0)
    return round(min(SURE, 1 / (1 + bound)), 2)


def near_copies(table: Columns) -> list[Finding]:
    """Name pairs whose correlation is near ±1, by the lower end of Fisher's interval."""
    r, rows = correlations(table.scaled[: len(table.features)])
    size = np.clip(np.abs(np.nan_to_num(r)), 0, 1 - 1e-12)
    low = np.tanh(np.arctanh(size) - COPY_Z / np.sqrt(np.maximum(rows - 3, 1)))
    return [
        Finding(
            type="redundant_pair",
            args={"columns": [table.features[i], table.features[j]]},
            p=normal_tail(COPY_Z),
            confidence=SURE,
            text=f"{table.features[i]} and {table.features[j]} are near-copies, r {r[i, j]:.3f}",
        )
        for i, j in combinations(range(len(r)), 2)
        if low[i, j] > COPY
    ]


def outliers(table: Columns) -> list[Finding]:
    """Name columns with more cells far out than a heavy tail has, by those not quite so far."""
    present = [row[np.isfinite(row)] for row in table.raw]
    distances = []
    for values in present:
        middle, spread = robust(values)
        distances.append(np.abs(values - middle) / spread)
    far = [int((d > FAR).sum()) for d in distances]
    between = [int(((d > BETWEEN) & (d <= FAR)).sum()) for d in distances]
    p = holm(np.array([_binomial_tail(f, f + b) for f, b in zip(far, between, strict=True)]))
    return [
        Finding(
            type="outliers",
            args={"column": name},
            p=own,
            confidence=confidence(own),
            text=f"{count} cells of {name} lie more than {FAR:g} robust standard deviations out",
        )
        for name, own, count in zip(table.numeric, p.tolist(), far, strict=True)
        if own < ALPHA
    ]


def _binomial_tail(hits: int, n: int) -> float:
    """Return P(at least `hits` of `n` at a chance of HEAVY each)."""
    if n > 1000:  # noqa: PLR2004 - the normal approximation is as good
        z = (hits - HEAVY * n) / math.sqrt(HEAVY * (1 - HEAVY) * n)
        return math.erfc(z / math.sqrt(2)) / 2
    return sum(math.comb(n, k) * HEAVY**k * (1 - HEAVY) ** (n - k) for k in range(hits, n + 1))


def missingness(table: Columns) -> list[Finding]:
    """Name columns with missing cells, and the one column that best tells which are missing."""
    gone = dict(enumerate(table.lost))
    holes = [k for k, lost in gone.items() if lost.mean() >= MIN_MISSING]
    tests = [
        (k, other, *_mean_gap(cells, gone[k]))
        for k in holes
        for other, cells in enumerate(table.scaled)
        if other != k
    ]
    adjusted = holm(np.array([normal_tail(z) for *_, z in tests]))
    found = []
    for k in holes:
        drivers = [
            (abs(z), other, p)
            for (hole, other, gap, z), p in zip(tests, adjusted.tolist(), strict=True)
            if hole == k and p < ALPHA and gap > MIN_GAP
        ]
        found.append(_mechanism(table, k, gone[k], max(drivers, default=None)))
    return found


def _mechanism(
    table: Columns, k: int, gone: Booleans, driver: tuple[float, int, float] | None
) -> Finding:
    name, share = table.numeric[k], f"{gone.mean():.1%} of {table.numeric[k]} is missing"
    if driver is not None:
        other = table.numeric[driver[1]]
        args = {"column": name, "mechanism": "MAR", "driver": other}
        text = f"{share}; which cells depends on {other}"
        return _missing(args, driver[2], confidence(driver[2]), text)
    # Chance cannot be proved: this is the power to see a driver if there were one.
    seen = max(0.0, LIKELY_GAP * math.sqrt(float(gone.sum())) - CLEAR_Z)
    power = 1 - normal_tail(seen) / 2
    args = {"column": name, "mechanism": "MCAR"}
    return _missing(args, 1.0, 0.95 * power, f"{share}, by chance as far as the table tells")


def _missing(args: Mapping[str, Any], p: float, confidence: float, text: str) -> Finding:
    return Finding(type="missingness", args=args, p=p, confidence=round(confidence, 2), text=text)


def _mean_gap(cells: Floats, gone: Booleans) -> tuple[float, float]:
    """Return the gap in means with and without the cell, in standard deviations, and its z."""
    present = np.isfinite(cells)
    with_it, without = cells[present & ~gone], cells[present & gone]
    if min(len(with_it), len(without)) < 5:  # noqa: PLR2004 - nothing can be said
        return 0.0, 0.0
    gap = abs(float(with_it.mean() - without.mean()))
    error = math.sqrt(with_it.var() / len(with_it) + without.var() / len(without))
    return gap, gap / max(error, 1e-12)


def level_changes(table: Columns) -> list[Finding]:
    """Name columns whose level steps once along the rows: CUSUM, and better than a line."""
    tests = [_cusum(row, table.order) for row in table.scaled]
    p = holm(np.array([test[0] for test in tests]))
    return [
        Finding(
            type="change_point",
            args={"column": name, "at": at},
            p=own,
            confidence=confidence(own),
            text=f"the level of {name} changes by {size:.1f} standard deviations "
            f"at {table.order_name} {at:g}",
        )
        for name, own, (_, size, at) in zip(table.numeric, p.tolist(), tests, strict=True)
        if own < ALPHA and size > MIN_STEP
    ]


def _cusum(cells: Floats, order: Floats) -> tuple[float, float, float]:
    """Return p of the largest CUSUM (Kolmogorov's law), the step there and its position."""
    present = np.isfinite(cells)
    y, t = cells[present], order[present]
    n = len(y)
    if n < 20 or y.std() == 0:  # noqa: PLR2004 - nothing can be said
        return 1.0, 0.0, 0.0
    y = (y - y.mean()) / y.std()
    before = np.arange(1, n)
    total = np.cumsum(y)[:-1]
    best = int(np.argmax(np.abs(total) / np.sqrt(before * (n - before))))
    step = float(total[best]) * n / (before[best] * (n - before[best]))
    explained = step**2 * before[best] * (n - before[best]) / n**2
    if find_burst(y) is not None:
        return 1.0, 0.0, 0.0
    if explained < float(np.corrcoef(y, np.arange(n))[0, 1]) ** 2:
        return 1.0, 0.0, 0.0  # a trend, not a step
    # Measured against the noise within the levels, or a large step would hide itself.
    x = float(np.abs(total).max()) / math.sqrt(n * max(1 - explained, 1e-6))
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 20))
    return min(max(p, 0.0), 1.0) if x > 0.3 else 1.0, abs(step), float(t[best + 1])  # noqa: PLR2004 - below, p is 1 to five digits and the series ends late


def find_burst(y: Floats) -> tuple[int, int] | None:
    """Return the first and last row of a short stretch at another level than before and after."""
    n = len(y)
    total = np.concatenate([[0.0], np.cumsum(y)])
    level, best = 0.0, BURST_Z
    for share in (0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
        width = max(5, int(share * n))
        sums = total[width:] - total[:-width] if width < n else np.zeros(1)
        k = int(np.argmax(np.abs(sums)))
        if abs(sums[k]) / math.sqrt(width) > best:
            level, best = float(sums[k]) / width, abs(float(sums[k])) / math.sqrt(width)
    if level == 0:
        return None
    way = math.copysign(1.0, level)
    sums = np.concatenate([[0.0], np.cumsum(way * y - abs(level) / 2)])
    stop = int(np.argmax(sums - np.minimum.accumulate(sums)))
    first = int(np.argmin(sums[: stop + 1]))
    width = stop - first
    if not 3 <= width <= LONGEST_BURST * n:  # noqa: PLR2004 - fewer points are outliers, no burst
        return None
    inside = way * float(y[first:stop].mean())
    sides = (y[max(0, first - width) : first], y[stop : stop + width])
    apart = all(len(side) and inside - way * float(side.mean()) > 1 for side in sides)
    return (first, stop - 1) if apart and inside > BURST_LEVEL else None


SEARCHES: tuple[Callable[[Columns], list[Finding]], ...] = (
    near_copies,
    outliers,
    missingness,
    level_changes,
)
"""All that is looked for besides what acts on the outcome."""
