"""Quantiles and tails that intervals need, without SciPy: its import costs more than they do."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300
_CLOSE = 1e-14
_STEPS = 500
_NEARLY_NORMAL = 1e7
"""Degrees of freedom beyond which Student's t is the normal law to all digits shown."""


def normal_cdf(z: float) -> float:
    """P(Z ≤ z) of the standard normal law."""
    return _NORMAL.cdf(z)


def normal_quantile(level: float) -> float:
    """Return the standard normal quantile; level in (0, 1)."""
    return _NORMAL.inv_cdf(level)


def beta_cdf(x: float, a: float, b: float) -> float:
    """P(X ≤ x) of the beta law, the regularised incomplete beta function.

    Source: the continued fraction of DLMF 8.17.22, evaluated by Lentz's method.
    """
    return _beta(x, 1.0 - x, a, b)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """Return `beta_cdf`; `rest` is 1 - x, given apart, for near 1 the difference has no digits."""
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * (math.log(x) if x < rest else math.log1p(-rest))
        + b * (math.log(rest) if rest < x else math.log1p(-x))
    )
    # The fraction converges fast on the near side of the mean.
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _away_from_0(1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_0(1.0 + term * d)
            c = _away_from_0(1.0 + term / c)
            found *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return found


def _away_from_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


@lru_cache(maxsize=4096)
def beta_quantile(level: float, a: float, b: float) -> float:
    """Return x with P(X ≤ x) = level of the beta law."""
    return _bisected(lambda x: beta_cdf(x, a, b) - level, 0.0, 1.0)


def t_tail(t: float, df: float) -> float:
    """P(|T| ≥ |t|) of Student's t, two-sided; `df` may be fractional."""
    if math.isinf(t):
        return 0.0
    if df > _NEARLY_NORMAL:
        return 2.0 * normal_cdf(-abs(t))
    whole = df + t * t
    return _beta(df / whole, t * t / whole, df / 2.0, 0.5)


@lru_cache(maxsize=4096)
def t_quantile(level: float, df: float) -> float:
    """Return the quantile of Student's t; level in (0, 1), `df` may be fractional."""
    if level == 0.5:  # noqa: PLR2004 - the middle
        return 0.0
    tail = 2.0 * min(level, 1.0 - level)
    high = 1.0
    while t_tail(high, df) > tail:
        high *= 2.0
    found = _bisected(lambda t: tail - t_tail(t, df), 0.0, high)
    return found if level > 0.5 else -found  # noqa: PLR2004 - the upper half of a symmetric law


def _bisected(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function passes 0 between `low` and `high`, to all digits."""
    while True:
        middle = 0.5 * (low + high)
        if middle in {low, high}:
            return middle
        if rising(middle) < 0.0:
            low = middle
        else:
            high = middle


def t_power(effect: float, df: float, alpha: float) -> float:
    """P that a two-sided t test of level `alpha` finds a true `effect`, in standard errors.

    Source: the normal approximation of the non-central t law, Abramowitz and Stegun 26.7.10.
    """
    bound = t_quantile(1.0 - alpha / 2.0, df)
    squeeze, spread = 1.0 - 1.0 / (4.0 * df), math.sqrt(1.0 + bound * bound / (2.0 * df))
    above = normal_cdf((effect - bound * squeeze) / spread)
    below = normal_cdf((-effect - bound * squeeze) / spread)
    return above + below


def sign_test(more: int, fewer: int) -> float:
    """Two-sided exact P of so uneven a split of fair coins (McNemar's test of discordant pairs)."""
    n = more + fewer
    ways = sum(math.comb(n, k) for k in range(min(more, fewer) + 1))
    return min(1.0, float(2 * ways / 2**n))


def fisher_test(yes_a: int, n_a: int, yes_b: int, n_b: int) -> float:
    """Two-sided exact P that two shares differ so much by chance (Fisher 1922)."""
    yes = yes_a + yes_b
    low, high = max(0, yes - n_b), min(yes, n_a)
    ways = [math.comb(n_a, k) * math.comb(n_b, yes - k) for k in range(low, high + 1)]
    seen = ways[yes_a - low]
    return sum(way for way in ways if way <= seen) / sum(ways)
