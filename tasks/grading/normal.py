"""Expected losses under normal laws and their mixtures, in NumPy: SciPy's import costs more."""

from statistics import NormalDist

import numpy as np

from tasks.instance import Floats, Gaussian, Mixture


def cdf(z: Floats) -> Floats:
    """Standard normal distribution function (Abramowitz & Stegun 7.1.26; error < 1e-7)."""
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * x)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    tail: Floats = 0.5 * series * np.exp(-x * x)
    return np.where(z > 0, 1.0 - tail, tail)


def density(z: Floats) -> Floats:
    """Standard normal density."""
    found: Floats = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return found


def quantile(level: float) -> float:
    """Standard normal quantile."""
    return NormalDist().inv_cdf(level)


BISECTIONS = 40


def quantiles(level: float, law: Gaussian | Mixture) -> Floats:
    """Return the quantile of each row, (n,); of a mixture by bisection between its parts' own."""
    if isinstance(law, Gaussian):
        return law.mean + quantile(level) * law.sd
    each = law.means + quantile(level) * law.sds
    low: Floats = each.min(axis=1)
    high: Floats = each.max(axis=1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = np.sum(law.weights * cdf((middle[:, None] - law.means) / law.sds), axis=1) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _standardised(values: Floats, law: Gaussian) -> tuple[Floats, Floats]:
    """Return the distance to the mean, and in standard deviations, capped where exp underflows."""
    distance = values - law.mean
    spread = law.sd > 0
    z = np.divide(distance, law.sd, out=np.zeros_like(distance), where=spread)
    return distance, np.clip(z, -40.0, 40.0)


def absolute_error(values: Floats, law: Gaussian | Mixture) -> Floats:
    """E|y - value| of each row; without spread the plain absolute error."""
    if isinstance(law, Mixture):
        return _weighted([(w, absolute_error(values, part)) for w, part in law.parts()])
    distance, z = _standardised(values, law)
    expected = law.sd * 2 * density(z) + distance * (2 * cdf(z) - 1)
    return np.where(law.sd > 0, expected, np.abs(distance))


def pinball_loss(values: Floats, level: float, law: Gaussian | Mixture) -> Floats:
    """E of the pinball loss at one quantile level, of each row (Koenker & Bassett 1978)."""
    if isinstance(law, Mixture):
        return _weighted([(w, pinball_loss(values, level, part)) for w, part in law.parts()])
    distance, z = _standardised(values, law)
    expected = law.sd * density(z) + distance * (cdf(z) - level)
    return np.where(law.sd > 0, expected, distance * ((distance > 0) - level))


def _weighted(terms: list[tuple[Floats, Floats]]) -> Floats:
    total = np.zeros(len(terms[0][0]))
    for weight, expected in terms:
        total += weight * expected
    return total
