"""Intervals: of rates, of means over tasks that come in families, of paired differences."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.comparison.distributions import (
    beta_quantile,
    normal_cdf,
    normal_quantile,
    sign_test,
    t_quantile,
    t_tail,
)
from tasks.comparison.interval import Interval, nothing

Floats = NDArray[np.float64]

ALPHA = 0.05
"""Intervals hold the truth in 1 - ALPHA of all experiments."""
ENOUGH_FOR_BCA = 20
"""Units from which the bootstrap covers; below, its percentile form covers 84 % at n = 5."""
FEWEST_FAMILIES = 5
"""Families from which a claim is about families like these; a variance between fewer is a guess."""
RESAMPLES = 2000
NO_SPREAD = 1e-9
"""Values closer than this differ by rounding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with its interval, and what a test against 0 needs."""

    interval: Interval
    p: float
    """Two-sided P of a mean so far from 0, were it 0."""
    se: float
    df: float


# --- rates ---------------------------------------------------------------------------------------


def wilson(hits: int, n: int, alpha: float = ALPHA) -> Interval:
    """Return a rate with Wilson's score interval (1927)."""
    if n == 0:
        return nothing("wilson")
    z = normal_quantile(1 - alpha / 2)
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(estimate=rate, low=low, high=high, n=n, method="wilson")


def jeffreys(hits: int, n: int, alpha: float = ALPHA) -> Interval:
    """Return a rate with the interval of Jeffreys' prior (Brown, Cai and DasGupta 2001)."""
    if n == 0:
        return nothing("jeffreys")
    a, b = hits + 0.5, n - hits + 0.5
    low = 0.0 if hits == 0 else beta_quantile(alpha / 2, a, b)
    high = 1.0 if hits == n else beta_quantile(1 - alpha / 2, a, b)
    return Interval(estimate=hits / n, low=low, high=high, n=n, method="jeffreys")


def paired_rates(only_b: int, only_a: int, n: int, alpha: float = ALPHA) -> Interval:
    """Return rate of B minus rate of A over `n` pairs, from the pairs where just one has it.

    Source: the adjusted Wald interval of Bonett and Price (2012).
    """
    if n == 0:
        return nothing("bonett-price")
    z = normal_quantile(1 - alpha / 2)
    b, a = (only_b + 1) / (n + 2), (only_a + 1) / (n + 2)
    half = z * math.sqrt((a + b - (b - a) ** 2) / (n + 2))
    low, high = max(-1.0, b - a - half), min(1.0, b - a + half)
    return Interval(estimate=(only_b - only_a) / n, low=low, high=high, n=n, method="bonett-price")


def unpaired_rates(hits_b: int, n_b: int, hits_a: int, n_a: int, alpha: float = ALPHA) -> Interval:
    """Return rate of B minus rate of A of unrelated trials (Newcombe 1998, method 10)."""
    b, a = wilson(hits_b, n_b, alpha), wilson(hits_a, n_a, alpha)
    if b.estimate is None or a.estimate is None:
        return nothing("newcombe")
    difference = b.estimate - a.estimate
    down = math.hypot(b.estimate - _known(b.low), _known(a.high) - a.estimate)
    up = math.hypot(_known(b.high) - b.estimate, a.estimate - _known(a.low))
    return Interval(
        estimate=difference,
        low=difference - down,
        high=difference + up,
        n=min(n_a, n_b),
        method="newcombe",
    )


def _known(bound: float | None) -> float:
    return 0.0 if bound is None else bound


# --- means ---------------------------------------------------------------------------------------


def mean(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    bounds: tuple[float, float],
    alpha: float = ALPHA,
    bootstrap: bool = True,
) -> Mean:
    """Return the mean of values that come in clusters, with the interval that covers.

    Values of a cluster lean on each other: with two clusters or more the variance is taken between
    clusters. Where each value stands for itself it is Student's interval, or from 20 values on the
    BCa bootstrap, which follows a skewed law. Values that are all equal have no spread to go by:
    the interval is then what so many equal draws still leave possible.

    Args:
        values: One number a unit.
        clusters: The cluster of each value; None where they are independent.
        bounds: What a value can be, such as (0, 1); the interval stays within.
        alpha: One minus the coverage.
        bootstrap: Whether BCa may be used.
    """
    x = np.asarray(values, dtype=np.float64)
    names = None if clusters is None else list(dict.fromkeys(clusters))
    if len(x) < 2:  # noqa: PLR2004 - no spread
        alone = Interval(
            estimate=float(x[0]) if len(x) else None, low=None, high=None, n=len(x), method="t"
        )
        return Mean(interval=alone, p=1.0, se=math.inf, df=0.0)
    if clusters is None or names is None or len(names) in {1, len(x)}:
        se, df, n, method = float(x.std(ddof=1)) / math.sqrt(len(x)), len(x) - 1.0, len(x), "t"
    else:
        code = {name: k for k, name in enumerate(names)}
        se, df = clustered(x, np.array([code[name] for name in clusters]))
        n, method = len(names), "clustered t"
    if np.ptp(x) < NO_SPREAD:
        return _all_equal(float(x[0]), n, bounds, alpha)
    centre = float(x.mean())
    p = t_tail(centre / se, df) if se > 0 else 0.0
    half = t_quantile(1 - alpha / 2, df) * se
    low, high = centre - half, centre + half
    if bootstrap and method == "t" and n >= ENOUGH_FOR_BCA:
        (low, high), method = bca(x, alpha), "bca"
    found = Interval(
        estimate=centre, low=max(bounds[0], low), high=min(bounds[1], high), n=n, method=method
    )
    return Mean(interval=found, p=p, se=se, df=df)


def clusters_of(tasks: Iterable[str], family: Mapping[str, str]) -> list[str] | None:
    """Return the families of tasks as clusters; None where there are too few to claim beyond them.

    The tasks are then the units, and the claim is about these families.
    """
    found = [family[task] for task in tasks]
    return found if len(set(found)) >= FEWEST_FAMILIES else None


def clustered(values: Floats, codes: NDArray[np.int64]) -> tuple[float, float]:
    """Return standard error and degrees of freedom of the mean of clustered values.

    Source: the bias-reduced estimator CR2 and its degrees of freedom, Bell and McCaffrey (2002).
    """
    total = len(values)
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.bincount(codes, weights=values - values.mean())
    weights = 1.0 / (1.0 - sizes / total)
    variance = float(np.sum(weights * sums**2)) / total**2
    overlap = np.diag(sizes) - np.outer(sizes, sizes) / total
    scaled = overlap * np.sqrt(np.outer(weights, weights))
    df = float(np.trace(scaled)) ** 2 / float(np.sum(scaled**2))
    return math.sqrt(variance), df


def bca(values: Floats, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval of a mean (Efron 1987)."""
    n = len(values)
    rng = np.random.default_rng(n)  # the same data have the same interval
    means = np.sort(values[rng.integers(0, n, (RESAMPLES, n))].mean(axis=1))
    below = float(np.mean(means < values.mean())) + 0.5 * float(np.mean(means == values.mean()))
    bias = normal_quantile(min(max(below, 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    # The jackknife's skewness: leaving a value out moves the mean by its own distance.
    away = values - values.mean()
    skew = float(np.sum(away**3)) / (6.0 * float(np.sum(away**2)) ** 1.5)

    def at(level: float) -> float:
        z = bias + normal_quantile(level)
        return float(np.quantile(means, normal_cdf(bias + z / (1.0 - skew * z))))

    return at(alpha / 2), at(1 - alpha / 2)


def _all_equal(value: float, n: int, bounds: tuple[float, float], alpha: float) -> Mean:
    """Return what `n` equal units leave possible: a share of others, as in Clopper and Pearson."""
    others = 1.0 - (alpha / 2) ** (1.0 / n)
    low, high = value - others * (value - bounds[0]), value + others * (bounds[1] - value)
    interval = Interval(estimate=value, low=low, high=high, n=n, method="all equal")
    return Mean(interval=interval, p=1.0 if value == 0 else sign_test(n, 0), se=0.0, df=n - 1.0)
