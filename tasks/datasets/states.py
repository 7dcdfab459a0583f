"""The parts of a state-space series: level and slope, seasons, what forgets.

Each is one or more hidden states, whose noise and whose share in the next step are drawn per
series. A part has streams of its own, so that one that is switched off shifts no other.
"""

from dataclasses import replace

import numpy as np

from tasks.datasets.kalman import State
from tasks.families import TimeSeries
from tasks.instance import Floats, Streams, on_grid

HARMONICS = 2
"""Of a season, at most."""


def of(params: TimeSeries, streams: Streams, unit: Floats) -> list[State]:
    """Draw the parts of S series, whose units are `unit`, (S,)."""
    states = _level_and_slope(params, streams, unit)
    for period in params.seasons:
        # The first season's streams have the names that they had when there was but one.
        prefix = "season " if period == params.period else f"season {period}/"
        for harmonic in range(1, min(HARMONICS, period // 2) + 1):
            name = f"{prefix}{harmonic}"
            first = len(states)
            states += _harmonic(
                name, harmonic, first=first, period=period, streams=streams, unit=unit
            )
    if params.ar:
        states.append(_autoregressive(len(states), params.ar, streams, unit))
    return states


def _level_and_slope(params: TimeSeries, streams: Streams, unit: Floats) -> list[State]:
    n, none = len(unit), np.zeros(len(unit))
    rng = streams.stream("level")
    level = State(
        name="level",
        observed=True,
        start=between(rng.random(n), -100.0, 100.0),
        start_sd=unit,
        noise_sd=unit * between(rng.random(n), 0.05, 0.15),
        drift=none,
        feeds={0: np.ones(n)},
    )
    if not params.trend:
        return [level]
    rng = streams.stream("trend")
    rise = between(rng.random(n), 2.0, 6.0) * sign(rng.random(n))
    damping = between(rng.random(n), 0.9, 0.98)
    slope_sd = unit * between(rng.random(n), 0.005, 0.01)
    slope = State(
        name="slope",
        observed=False,
        start=none,
        start_sd=2 * slope_sd,
        noise_sd=slope_sd,
        drift=none,
        feeds={0: np.ones(n), 1: damping},
    )
    return [replace(level, drift=unit * rise / params.n_samples), slope]


def _harmonic(
    name: str, k: int, *, first: int, period: int, streams: Streams, unit: Floats
) -> list[State]:
    """Return the two states that turn by k / period of a circle at each step."""
    n = len(unit)
    angle = 2 * np.pi * k / period
    cos, sin = on_grid(np.array([np.cos(angle), np.sin(angle)]), 9)
    rng = streams.stream(name)
    size = unit * between(rng.random(n), 0.7, 1.4) / k
    noise_sd = unit * between(rng.random(n), 0.005, 0.02)
    turns = ({first: cos, first + 1: -sin}, {first: sin, first + 1: cos})
    return [
        State(
            name=f"{name}{part}",
            observed=part == "a",
            start=np.zeros(n),
            start_sd=size,
            noise_sd=noise_sd,
            drift=np.zeros(n),
            feeds={to: np.full(n, share) for to, share in turn.items()},
        )
        for part, turn in zip("ab", turns, strict=True)
    ]


def _autoregressive(place: int, ar: float, streams: Streams, unit: Floats) -> State:
    """Return a state that forgets at the rate `ar`, stationary from the start."""
    n = len(unit)
    size = unit * between(streams.stream("ar").random(n), 0.5, 1.0)
    return State(
        name="ar",
        observed=True,
        start=np.zeros(n),
        start_sd=size,
        noise_sd=size * np.sqrt(1 - ar * ar),
        drift=np.zeros(n),
        feeds={place: np.full(n, ar)},
    )


def between(uniform: Floats, low: float, high: float) -> Floats:
    """Return uniform numbers stretched to [low, high)."""
    return low + (high - low) * uniform


def sign(uniform: Floats) -> Floats:
    """Return -1 or 1 for each uniform number, as often."""
    return np.where(uniform < 0.5, -1.0, 1.0)  # noqa: PLR2004 - a fair coin
