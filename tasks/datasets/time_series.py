"""Panels of state-space series; the forecast law is the Kalman filter's (tier B).

A series is a level, a damped slope about a constant drift, harmonics that turn slowly for each of
its seasons, perhaps an autoregressive part, effects of columns known into the future, and noise.
Given the hidden parameters, the law of a future value is Gaussian, with the mean and standard
deviation that the filter predicts from the train rows. With regimes, level and seasons stand still
about a line, the noise switches with a hidden Markov chain, and the filter is Hamilton's.

Public values come of IEEE-exact operations in a fixed order (no sum, no matmul), then of rounding;
the filter, which only makes the law, is free of that rule. It reads the values as printed: rounding
to 4 decimals adds a variance of 1e-9 to an observation variance of at least 0.09, and is left out.
A series is a recursion, so an instance is simulated whole; `TimeSeries` bounds its size.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import kalman, states
from tasks.datasets import regimes as switching
from tasks.datasets.kalman import State
from tasks.datasets.regimes import Regimes
from tasks.families import TimeSeries
from tasks.instance import (
    CHUNK_ROWS,
    Answers,
    Contract,
    Floats,
    Gaussian,
    Instance,
    Ints,
    Mixture,
    Streams,
    Table,
    on_grid,
)

MEAN_GAP = 4
"""Steps that are missing in a row, on average."""

BENT_EVERY = 3
"""One column in three acts by its distance from 0, as temperature does on demand for power."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """Everything hidden about S series with k exogenous columns."""

    states: tuple[State, ...]
    """With regimes they add no noise after their start, so that they are a curve."""
    noise_sd: Floats
    """(S,) of the observations; of the calmest regime."""
    regimes: Regimes | None
    effects: Floats
    """(k, S) what one unit of a column, or of its distance from 0, adds to a series."""
    bent: tuple[int, ...]
    """The columns that act by their distance from 0."""
    memory: Floats
    """(k,) autocorrelation of each column from one step to the next."""

    @property
    def n_series(self) -> int:
        """S."""
        return len(self.noise_sd)

    def explained(self, x: Floats) -> Floats:
        """Return what the columns (k, S, n_steps), as printed, add to the series, (S, n_steps)."""
        total = np.zeros(x.shape[1:])
        for j, (effect, column) in enumerate(zip(self.effects, x, strict=True)):
            total += effect[:, None] * (np.abs(column) if j in self.bent else column)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """The values as printed, future included."""

    x: Floats
    """(k, S, T + H)"""
    y: Floats
    """(S, T + H)"""
    curve: Floats
    """(S, T + H) the part that the law knows: what the columns add, and with regimes the states."""
    seen: Bools
    """(S, T) which train rows there are."""

    @property
    def n_observed(self) -> int:
        """T."""
        return int(self.seen.shape[1])

    @property
    def past(self) -> Floats:
        """(S, T) what the agent may see; NaN in the gaps."""
        return np.where(self.seen, self.y[:, : self.n_observed], np.nan)

    @property
    def future(self) -> Floats:
        """(S, H) what it may not."""
        return self.y[:, self.n_observed :]


def draw(params: TimeSeries, streams: Streams) -> Instance:
    """Draw `n_series` series; the last `horizon` steps of each are hidden.

    Residuals within a series share the error of its state, so they are one group of `Answers`.
    """
    model = _random_model(params, streams.child("model"))
    panel = _simulate(model, params, streams)
    names = _names(params.n_series)
    n_train, n_test = int(panel.seen.sum()), params.n_series * params.horizon
    return Instance(
        public={
            "train": _train(panel, names),
            "test": _test(panel, names, first_id=n_train),
        },
        notes=_notes(params, names, n_train),
        contract=Contract(
            kind="values",
            ids=np.arange(n_train, n_train + n_test, dtype=np.int64),
            quantiles=params.quantiles,
        ),
        answers=Answers(
            labels=panel.future.ravel(),
            law=_forecast(model, panel),
            trivial=_trivial(panel.past, params),
            scale=np.repeat(_seasonal_scale(panel.past, params.lag), params.horizon),
            groups=np.repeat(np.arange(params.n_series, dtype=np.int64), params.horizon),
        ),
        details=_details(model, names),
    )


# --- the hidden parameters ---------------------------------------------------------------------


def _random_model(params: TimeSeries, streams: Streams) -> _Model:
    """Draw the parameters of every series; a part that is switched off shifts no other part."""
    n, k = params.n_series, params.n_features
    unit = 1 + 19 * streams.stream("unit").random(n)
    rng = streams.stream("effects")
    common = states.between(rng.random(k), 0.4, 0.9) * states.sign(rng.random(k))
    own = states.between(rng.random((k, n)), -0.4, 0.4)
    bent = tuple(sorted(int(j) for j in streams.stream("bent").permutation(k)[: k // BENT_EVERY]))
    noise_sd = unit * states.between(streams.stream("noise").random(n), 0.3, 0.6)
    parts, regimes = states.of(params, streams, unit), None
    if params.regimes > 1:
        parts = [replace(state, noise_sd=np.zeros(n)) for state in parts]
        regimes = switching.random_regimes(params.regimes, unit, noise_sd, streams)
    return _Model(
        states=tuple(parts),
        noise_sd=noise_sd,
        regimes=regimes,
        effects=unit * (common[:, None] + own),
        bent=bent,
        memory=0.9 * streams.stream("memory").random(k),
    )


# --- the public values -------------------------------------------------------------------------


def _simulate(model: _Model, params: TimeSeries, streams: Streams) -> _Panel:
    n_steps = params.n_samples + params.horizon
    x = np.empty((params.n_features, model.n_series, n_steps))
    for j, memory in enumerate(model.memory):
        x[j] = _exogenous(float(memory), x.shape[1:], streams, f"x{j + 1}")
    explained = model.explained(x)
    y = kalman.signal(model.states, n_steps, streams) + explained
    noise = streams.stream("observations").standard_normal(y.shape)
    if model.regimes is None:
        curve = explained
        y += model.noise_sd[:, None] * noise
    else:
        curve = y.copy()
        path, each = switching.paths(model.regimes, n_steps, streams), np.arange(len(y))[:, None]
        y += model.regimes.levels[path, each] + model.regimes.noise_sd[path, each] * noise
    return _Panel(x=x, y=on_grid(y), curve=curve, seen=_seen(params, streams))


def _seen(params: TimeSeries, streams: Streams) -> Bools:
    """Return which train rows there are, (S, T): gaps come and go with a Markov chain.

    The first step and the one a season later are always there, so that MASE has a scale; the last
    one is, so that the test rows follow the train rows of every series.
    """
    seen = np.ones((params.n_series, params.n_samples), dtype=np.bool_)
    if not params.gap_rate:
        return seen
    opens = params.gap_rate / (1 - params.gap_rate) / MEAN_GAP
    uniform = streams.stream("gaps").random(seen.T.shape)
    seen[:, 0] = uniform[0] >= params.gap_rate
    for t in range(1, params.n_samples):
        bound = np.where(seen[:, t - 1], opens, 1 - 1 / MEAN_GAP)
        seen[:, t] = uniform[t] >= bound
    seen[:, [0, params.lag, -1]] = True
    return seen


def _exogenous(memory: float, shape: tuple[int, ...], streams: Streams, name: str) -> Floats:
    """Return a column (S, n_steps): autoregressive of order 1, with mean 0 and variance 1."""
    x = streams.stream(name).standard_normal(shape)
    fresh = np.sqrt(1 - memory * memory)
    for t in range(1, shape[1]):
        x[:, t] = memory * x[:, t - 1] + fresh * x[:, t]
    return on_grid(x)


# --- the law -----------------------------------------------------------------------------------


def _forecast(model: _Model, panel: _Panel) -> Gaussian | Mixture:
    """Return the law of the future (S · H rows) given the past as printed."""
    known, horizon = panel.curve[:, : panel.n_observed], panel.future.shape[1]
    curve = panel.curve[:, panel.n_observed :].ravel()
    unexplained = panel.past - known
    if model.regimes is not None:
        mixture = switching.forecast(model.regimes, unexplained, horizon)
        return replace(mixture, means=curve[:, None] + mixture.means)
    gaussian = kalman.forecast(model.states, model.noise_sd, unexplained, horizon)
    return replace(gaussian, mean=curve + gaussian.mean)


# --- what the others need ----------------------------------------------------------------------


def _trivial(past: Floats, params: TimeSeries) -> dict[str, Floats]:
    """Return forecasts that look at nothing but the series itself, each (S · H,)."""
    steps = np.arange(1, params.horizon + 1)
    first, last = past[:, :1], past[:, -1:]
    forecasts = {
        "mean": _mean(past)[:, None] + 0.0 * steps,
        "last value": last + 0.0 * steps,
        "drift": last + (last - first) / (past.shape[1] - 1) * steps,
    }
    named = "seasonal naive" if len(params.seasons) == 1 else "seasonal naive {}"
    for period in params.seasons:
        season = _last_season(past, period)
        forecasts[named.format(period)] = season[:, (steps - 1) % period]
    return {name: forecast.ravel() for name, forecast in forecasts.items()}


def _last_season(past: Floats, period: int) -> Floats:
    """Return the latest observed value of each of the next `period` steps' phases, (S, period)."""
    season = np.repeat(_mean(past)[:, None], period, axis=1)
    n_steps = past.shape[1]
    for t in range(n_steps % period, n_steps, period):
        values = past[:, t : t + period]
        season = np.where(np.isnan(values), season, values)
    return season


def _seasonal_scale(past: Floats, lag: int) -> Floats:
    """Return the denominator of MASE, (S,): Hyndman & Koehler (2006), seasonal form."""
    return _mean(np.abs(past[:, lag:] - past[:, :-lag]))


def _mean(values: Floats) -> Floats:
    """Return the mean of each row without its gaps."""
    there = ~np.isnan(values)
    mean: Floats = np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)
    return mean


def _names(n_series: int) -> NDArray[Any]:
    width = max(2, len(str(n_series)))
    return np.array([f"s{s + 1:0{width}d}" for s in range(n_series)], dtype=object)


def _train(panel: _Panel, names: NDArray[Any]) -> Table:
    """Return the rows of the past, series after series, without the gaps."""
    cells = np.flatnonzero(panel.seen)  # (n_rows,) positions in (S, T)

    def chunk(k: int) -> dict[str, NDArray[Any]]:
        rows = slice(k * CHUNK_ROWS, (k + 1) * CHUNK_ROWS)
        series, time = np.divmod(cells[rows], panel.n_observed)
        columns = _columns(panel, names, series, time, first_id=k * CHUNK_ROWS)
        return columns | {"target": panel.y[series, time]}

    return Table(n_rows=len(cells), chunk=chunk)


def _test(panel: _Panel, names: NDArray[Any], *, first_id: int) -> Table:
    """Return the rows of the future, series after series."""
    horizon = panel.future.shape[1]
    n_rows = len(names) * horizon

    def chunk(k: int) -> dict[str, NDArray[Any]]:
        row = np.arange(k * CHUNK_ROWS, min((k + 1) * CHUNK_ROWS, n_rows), dtype=np.int64)
        series, step = np.divmod(row, horizon)
        first = first_id + k * CHUNK_ROWS
        return _columns(panel, names, series, panel.n_observed + step, first_id=first)

    return Table(n_rows=n_rows, chunk=chunk)


def _columns(
    panel: _Panel, names: NDArray[Any], series: Ints, time: Ints, *, first_id: int
) -> dict[str, NDArray[Any]]:
    ids = first_id + np.arange(len(series), dtype=np.int64)
    columns = {"id": ids, "series": names[series], "time": time}
    return columns | {f"x{j + 1}": x[series, time] for j, x in enumerate(panel.x)}


def _details(model: _Model, names: NDArray[Any]) -> dict[str, object]:
    details: dict[str, object] = {
        "series": list(names),
        "noise_sd": model.noise_sd,
        "effects": {f"x{j + 1}": effect for j, effect in enumerate(model.effects)},
        "drift_per_step": model.states[0].drift,
        "state_noise_sd": {state.name: state.noise_sd for state in model.states},
    }
    if model.regimes is not None:
        details["regime_levels"] = model.regimes.levels
        details["regime_noise_sd"] = model.regimes.noise_sd
        details["regime_moves"] = model.regimes.moves
    return details


# --- what is told ------------------------------------------------------------------------------


def _notes(params: TimeSeries, names: NDArray[Any], n_train: int) -> str:
    last = params.n_samples + params.horizon - 1
    k = params.n_features
    listed = ", ".join(f"`x{j}`" for j in range(1, k + 1)) if k <= 3 else f"`x1` … `x{k}`"  # noqa: PLR2004 - a list of more is no easier to read
    known = f", {listed}" if k else ""
    return (
        f"- `train.csv`: {n_train:,} rows, columns `id`, `series`, "
        f"`time`{known}, `target`: {params.n_series:,} series (`{names[0]}` … `{names[-1]}`), "
        f"each at the steps 0 to {params.n_samples - 1}.\n"
        f"- `test.csv`: {params.n_series * params.horizon:,} rows, the same columns without "
        f"`target`: the steps {params.n_samples} to {last} of each series.\n\n"
        f"Rows are ordered by series and time; {_gaps_told(params)}.{_seasons_told(params)} The "
        "series are independent of each other, each with a level, a spread and a pace of its own. "
        + (f"{listed} may act on the target and are known for the test steps." if k else "")
        + _regimes_told(params)
        + "\n\n"
        + _measures_told(params)
    )


def _gaps_told(params: TimeSeries) -> str:
    if not params.gap_rate:
        return "no step is missing"
    return (
        f"about {params.gap_rate:.0%} of the train steps are missing, {MEAN_GAP} in a row on "
        "average, whatever their values; the first and the last one are always there"
    )


def _seasons_told(params: TimeSeries) -> str:
    if len(params.seasons) > 1:
        periods = ", ".join(map(str, params.seasons[:-1]))
        return f" There are seasons of {periods} and {params.seasons[-1]} steps."
    return f" One season is {params.period} steps." if params.seasonality else ""


def _regimes_told(params: TimeSeries) -> str:
    if params.regimes == 1:
        return ""
    return (
        f" Each series switches between {params.regimes} regimes, which differ in level and in "
        "spread and last some dozens of steps; which one rules when is not told."
    )


def _measures_told(params: TimeSeries) -> str:
    pairs = " that are both there" if params.gap_rate else ""
    mase = (
        "MASE is the mean over test rows of |target - forecast| / scale, where the scale of a "
        f"series is the mean |target(t) - target(t - {params.lag})| over its train rows{pairs}."
    )
    if not params.quantiles:
        return mase
    return (
        f"{mase}\n\nPinball loss is the mean over test rows and quantile levels a of "
        "a · (target - q) where target ≥ q and of (1 - a) · (q - target) elsewhere, where q is the "
        "quantile that you forecast."
    )
