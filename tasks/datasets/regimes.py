"""Series whose level and volatility switch with a hidden Markov chain; Hamilton's (1989) filter.

Given its regime and a curve that is fixed for ever, a value is Gaussian and independent of all
others, so the filter is exact and the law of a future value is a mixture of as many normal laws as
there are regimes, at any distance. An autoregressive noise would need a term per path of regimes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.datasets.kalman import keeps_joint
from tasks.instance import Floats, Ints, Mixture, Streams

DURATION = (20.0, 60.0)
"""Steps that a regime lasts on average, from a series to the next."""
STEP = (1.5, 3.0)
"""How far the levels of two regimes lie apart, in units of the series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regimes:
    """The hidden chains of S series with R regimes each; all regimes are as likely at the start."""

    levels: Floats
    """(R, S) what a regime adds to the curve."""
    noise_sd: Floats
    """(R, S) of the observations."""
    moves: Floats
    """(R, R, S) probability of a move from the first to the second at each step."""

    @property
    def n_regimes(self) -> int:
        """R."""
        return len(self.levels)

    @property
    def n_series(self) -> int:
        """S."""
        return int(self.levels.shape[1])


def random_regimes(n_regimes: int, unit: Floats, noise_sd: Floats, streams: Streams) -> Regimes:
    """Draw the levels, volatilities and durations of every series.

    Args:
        n_regimes: R, 2 or 3.
        unit: (S,) the size of things in each series.
        noise_sd: (S,) of the calmest regime.
        streams: For the purpose `regimes` alone.
    """
    rng, n = streams.stream("regimes"), len(unit)
    levels, louder = [np.zeros(n)], [np.ones(n)]
    for _ in range(1, n_regimes):
        levels.append(levels[-1] + unit * (STEP[0] + (STEP[1] - STEP[0]) * rng.random(n)))
        louder.append(louder[-1] * (1.2 + 0.8 * rng.random(n)))
    # The first regime is the middle one of three, and calm: the wild ones lie on either side.
    if n_regimes > 2:  # noqa: PLR2004 - regimes
        levels[-1] = levels[1] - levels[-1]
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - a fair coin
    moves = np.empty((n_regimes, n_regimes, n))
    for here in range(n_regimes):
        leave = 1 / (DURATION[0] + (DURATION[1] - DURATION[0]) * rng.random(n))
        split = 0.3 + 0.4 * rng.random(n)
        others = [k for k in range(n_regimes) if k != here]
        shares = [np.ones(n)] if len(others) == 1 else [split, 1 - split]
        moves[here, here] = 1 - leave
        for other, share in zip(others, shares, strict=True):
            moves[here, other] = leave * share
    return Regimes(
        levels=np.stack([sign * level for level in levels]),
        noise_sd=np.stack([noise_sd * factor for factor in louder]),
        moves=moves,
    )


def paths(regimes: Regimes, n_steps: int, streams: Streams) -> Ints:
    """Draw the regime of every step, (S, n_steps), by comparisons only."""
    uniform = streams.stream("regimes").random((n_steps, regimes.n_series))
    n, series = regimes.n_regimes, np.arange(regimes.n_series)
    path = np.empty((regimes.n_series, n_steps), dtype=np.int64)
    bounds = np.repeat(np.arange(1, n)[:, None] / n, regimes.n_series, axis=1)
    for t, u in enumerate(uniform):
        path[:, t] = np.sum(u >= bounds, axis=0)
        chances = regimes.moves[path[:, t], :, series].T
        bounds = np.array([_running(chances, k) for k in range(1, n)])
    return path


def _running(chances: Floats, n_terms: int) -> Floats:
    """Add up the first terms in their order, so that every build gets the same bits."""
    total: Floats = chances[0]
    for k in range(1, n_terms):
        total = total + chances[k]
    return total


def forecast(regimes: Regimes, past: Floats, horizon: int) -> Mixture:
    """Return the law of the next `horizon` steps (S · horizon rows), less the curve.

    Args:
        regimes: Of S series.
        past: (S, T) less the curve; NaN where nothing was observed.
        horizon: Steps ahead.

    Source: Hamilton (1989), eq. 5; Hamilton (1994), Time Series Analysis, 22.4.
    """
    chances = np.stack(list(_predicted(regimes, past, horizon)), axis=1)
    levels, sds = regimes.levels.T, regimes.noise_sd.T
    n_series, _, n_regimes = chances.shape
    rows = (n_series * horizon, n_regimes)
    joint = _joint(regimes, chances) if keeps_joint(n_series, horizon) else None
    return Mixture(
        weights=chances.reshape(rows),
        means=np.repeat(levels, horizon, axis=0),
        sds=np.repeat(sds, horizon, axis=0),
        covariance=joint,
    )


def _predicted(regimes: Regimes, past: Floats, horizon: int) -> Iterator[Floats]:
    """Yield p(regime | past) of each step ahead, (S, R)."""
    levels, sds = regimes.levels.T, regimes.noise_sd.T
    moves = regimes.moves.transpose(2, 0, 1)
    chance = np.full(levels.shape, 1 / regimes.n_regimes)
    for value in past.T:
        z = (value[:, None] - levels) / sds
        fits = -0.5 * z * z - np.log(sds)
        fits = np.exp(fits - fits.max(axis=1, keepdims=True))
        chance = chance * np.where(np.isnan(value)[:, None], 1.0, fits)
        chance = chance / chance.sum(axis=1, keepdims=True)
        chance = (chance[:, None, :] @ moves)[:, 0, :]
    for _ in range(horizon):
        yield chance
        chance = (chance[:, None, :] @ moves)[:, 0, :]


def _joint(regimes: Regimes, chances: Floats) -> Floats:
    """Return the covariance (S, H, H) of the steps ahead: they share the regime they come from."""
    levels, sds = regimes.levels.T, regimes.noise_sd.T
    moves = regimes.moves.transpose(2, 0, 1)
    n_series, horizon, _ = chances.shape
    mean = np.sum(chances * levels[:, None, :], axis=2)
    joint = np.empty((n_series, horizon, horizon))
    for step in range(horizon):
        here = chances[:, step]
        second = np.sum(here * (levels**2 + sds**2), axis=1)
        joint[:, step, step] = second - mean[:, step] ** 2
        lean = here * levels
        for later in range(step + 1, horizon):
            lean = (lean[:, None, :] @ moves)[:, 0, :]
            both = np.sum(lean * levels, axis=1) - mean[:, step] * mean[:, later]
            joint[:, step, later] = joint[:, later, step] = both
    return joint
