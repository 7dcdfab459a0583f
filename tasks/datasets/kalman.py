"""Linear-Gaussian state-space models of many series, and their law of the future.

A series is the sum of its observed states and of white noise; each state passes shares of itself
on to the states of the next step (Harvey 1989; Durbin & Koopman 2012). `signal` draws it by
IEEE-exact operations in a fixed order, as public values need; `forecast` only makes the law, and
is free of that rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.instance import Floats, Gaussian, Streams

COVARIANCE_CELLS = 4_000_000
"""Up to so many numbers the joint covariance of the hidden steps is kept, for the leak test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of every series; S series. What it passes to which state is in `feeds`."""

    name: str
    observed: bool
    """Whether it adds to the series itself."""
    start: Floats
    """(S,) mean before the first step."""
    start_sd: Floats
    """(S,)"""
    noise_sd: Floats
    """(S,) of what is added at each step."""
    drift: Floats
    """(S,) constant part of what is added at each step."""
    feeds: Mapping[int, Floats]
    """By state: (S,) what one unit of this state adds to that one at the next step."""


def signal(states: Sequence[State], n_steps: int, streams: Streams) -> Floats:
    """Draw the sum of the observed states, (S, n_steps); one stream per state."""
    n_series = len(states[0].start)
    total = np.zeros((n_series, n_steps))
    noises = [streams.stream(state.name) for state in states]
    now = [
        state.start + state.start_sd * noise.standard_normal(n_series)
        for state, noise in zip(states, noises, strict=True)
    ]
    for t in range(n_steps):
        for state, value in zip(states, now, strict=True):
            if state.observed:
                total[:, t] += value
        then = [
            state.drift + state.noise_sd * noise.standard_normal(n_series)
            for state, noise in zip(states, noises, strict=True)
        ]
        for state, value in zip(states, now, strict=True):
            for to, share in state.feeds.items():
                then[to] += share * value
        now = then
    return total


def forecast(states: Sequence[State], noise_sd: Floats, past: Floats, horizon: int) -> Gaussian:
    """Return the law of the next `horizon` steps (S · horizon rows) given the past.

    Args:
        states: Of S series.
        noise_sd: (S,) of the observations.
        past: (S, T); NaN where nothing was observed, and the filter only predicts.
        horizon: Steps ahead.

    Source: the Kalman filter and its prediction steps, Durbin & Koopman (2012), 4.3, 4.10, 4.11.
    """
    transition = _transition(states)
    observed = np.array([float(state.observed) for state in states])
    drift = _stack([state.drift for state in states])
    added = _diagonal(_stack([state.noise_sd for state in states]) ** 2)
    mean = _stack([state.start for state in states])
    cov = _diagonal(_stack([state.start_sd for state in states]) ** 2)
    n_series, n_observed = past.shape
    ahead, variance = np.empty((n_series, horizon)), np.empty((n_series, horizon))
    joint = np.zeros((n_series, horizon, horizon)) if keeps_joint(n_series, horizon) else None
    for t in range(n_observed + horizon):
        shared = cov @ observed
        expected, var = mean @ observed, shared @ observed + noise_sd**2
        if t < n_observed:
            there = ~np.isnan(past[:, t])
            surprise = np.where(there, past[:, t] - expected, 0.0)
            gain = np.where(there[:, None], shared / var[:, None], 0.0)
            mean = mean + gain * surprise[:, None]
            cov = cov - gain[:, :, None] * shared[:, None, :]
        else:
            step = t - n_observed
            ahead[:, step], variance[:, step] = expected, var
            if joint is not None:
                joint[:, step, step] = var
                after = _later(shared, transition, observed, horizon - step - 1)
                joint[:, step, step + 1 :] = joint[:, step + 1 :, step] = after
        mean = (transition @ mean[:, :, None])[:, :, 0] + drift
        cov = transition @ cov @ transition.transpose(0, 2, 1) + added
    return Gaussian(mean=ahead.ravel(), sd=np.sqrt(variance).ravel(), covariance=joint)


def keeps_joint(n_series: int, horizon: int) -> bool:
    """Return whether the joint covariance of the hidden steps is small enough to be kept."""
    return n_series * horizon * horizon <= COVARIANCE_CELLS


def _later(shared: Floats, transition: Floats, observed: Floats, n_steps: int) -> Floats:
    """Return the covariance (S, n_steps) of one hidden step with the steps after it."""
    found = np.empty((len(shared), n_steps))
    for step in range(n_steps):
        shared = (transition @ shared[:, :, None])[:, :, 0]
        found[:, step] = shared @ observed
    return found


def _stack(parts: Sequence[Floats]) -> Floats:
    """Return (S, d), given (S,) of each of d states."""
    return np.stack(parts, axis=1)


def _transition(states: Sequence[State]) -> Floats:
    """Return (S, d, d): row `to`, column `from`."""
    matrix = np.zeros((len(states[0].start), len(states), len(states)))
    for j, state in enumerate(states):
        for to, share in state.feeds.items():
            matrix[:, to, j] = share
    return matrix


def _diagonal(variances: Floats) -> Floats:
    """Return (S, d, d) of (S, d)."""
    matrices: Floats = variances[:, :, None] * np.eye(variances.shape[1])
    return matrices
