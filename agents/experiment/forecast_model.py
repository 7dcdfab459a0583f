"""Forecasts of many series: four linear methods, weighed by back-tests."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from agent_io import Job
from arrays import Floats, Ints
from blending import Blend, Member
from panel import Panel, read_panel

Forecaster = Callable[[Floats, Floats, int], Floats]
"""(y (S, T), x (S, T + H, m), period) to the forecast (S, H)."""

BACK_TESTS = 4
MAX_LAG_ROWS = 60_000


def run(job: Job) -> None:
    """Forecast the test rows; hand in the best blend after each method."""
    test, train = job.table("test"), job.table("train")
    panel = read_panel(job, train, test)
    job.log(f"{panel.y.shape[0]} series of {panel.y.shape[1]} steps, period {named(panel.periods)}")
    cuts = back_tests(panel)
    scale = seasonal_scale(panel)
    truth = np.concatenate([_future(panel, cut) / scale for cut in cuts])
    blend = Blend(truth=truth.reshape(-1, 1), classes=False)
    for name, method in METHODS.items():
        past = np.concatenate([_forecast(method, panel, cut) / scale for cut in cuts])
        future = _forecast(method, panel, panel.y.shape[1])
        blend.members.append(
            Member(name=name, held_out=past.reshape(-1, 1), test=future.reshape(-1, 1))
        )
        best = blend.best()
        errors = truth - best.held_out.reshape(truth.shape)
        whole = best.test.reshape(future.shape)
        submit(job, test, panel, forecast=whole, errors=errors, scale=scale)
        job.claim(mase=float(np.abs(errors).mean()))
        job.log(f"{name}: mase {job.claims['mase']:.4f}; blend {blend.weights}")
    job.write_json(job.experiment / "models" / "blend.json", blend.weights)


def named(periods: Sequence[int]) -> str:
    """Return the periods for the log."""
    return " and ".join(map(str, periods))


def back_tests(panel: Panel) -> list[int]:
    """Return the last observed step of each back-test, the latest first."""
    n_steps, horizon = panel.y.shape[1], panel.horizon
    shortest = max(2 * panel.period, n_steps // 2, 4)
    cuts = [n_steps - horizon * (k + 1) for k in range(BACK_TESTS)]
    return [cut for cut in cuts if cut >= shortest] or [max(n_steps - horizon, n_steps // 2)]


def seasonal_scale(panel: Panel) -> Floats:
    """Return the mean absolute seasonal difference of each series, (S, 1)."""
    lag = min(panel.period, panel.y.shape[1] - 1)
    scale = np.abs(panel.y[:, lag:] - panel.y[:, :-lag]).mean(axis=1, keepdims=True)
    floored: Floats = np.maximum(scale, 1e-9)
    return floored


def _future(panel: Panel, cut: int) -> Floats:
    future: Floats = panel.y[:, cut : cut + panel.horizon]
    return future


def _forecast(method: Forecaster, panel: Panel, cut: int) -> Floats:
    last = min(cut + panel.horizon, panel.x.shape[1])
    if cut < panel.y.shape[1]:
        last = min(last, panel.y.shape[1])
    return method(panel.y[:, :cut], panel.x[:, :last], panel.period)


def submit(
    job: Job, test: pd.DataFrame, panel: Panel, *, forecast: Floats, errors: Floats, scale: Floats
) -> None:
    """Hand in (S, H) forecasts; `errors` are back-test errors in units of `scale`."""
    form = job.form
    if form is None:
        return
    columns = {form.id_column: test[form.id_column], form.target: forecast.ravel()[panel.rows]}
    by_step = np.sqrt((errors**2).mean(axis=0))
    by_step = np.resize(np.maximum(by_step, 1e-12), forecast.shape[1])
    standard = (errors / by_step[: errors.shape[1]]).ravel()
    for level in form.quantiles:
        shift = np.quantile(standard, level) * by_step * scale
        columns[f"q{level:g}"] = (forecast + shift).ravel()[panel.rows]
    job.submit(pd.DataFrame(columns))


# --- the methods ---------------------------------------------------------------------------------


def seasonal_naive(y: Floats, x: Floats, period: int) -> Floats:
    """Repeat the last season."""
    horizon = x.shape[1] - y.shape[1]
    period = min(period, y.shape[1])
    return y[:, -period:][:, np.arange(horizon) % period]


def harmonic(y: Floats, x: Floats, period: int) -> Floats:
    """Regress on trend, harmonics and exogenous columns; let the last residual fade out."""
    n_steps, horizon = y.shape[1], x.shape[1] - y.shape[1]
    fixed = _calendar(x.shape[1], period, trend=True)
    out = np.empty((len(y), horizon))
    for s, series in enumerate(y):
        design = np.hstack([fixed, x[s]])
        weights = _ridge(design[:n_steps], series[:, None], 1e-3)[:, 0]
        residual = series - design[:n_steps] @ weights
        phi = _fading(residual)
        out[s] = design[n_steps:] @ weights + residual[-1] * phi ** np.arange(1, horizon + 1)
    return out


def direct(y: Floats, x: Floats, period: int) -> Floats:
    """Ridge per step ahead on the lags of all series, after the exogenous effects are removed."""
    n_steps, horizon = y.shape[1], x.shape[1] - y.shape[1]
    adjusted, effect = without_exogenous(y, x, period)
    lags = _lags(n_steps, horizon, period)
    ends = np.arange(lags.max() + 1, n_steps - horizon + 1)
    every = max(1, len(ends) * len(y) // MAX_LAG_ROWS)
    ends = ends[::-every][::-1]
    past = np.concatenate([_window(adjusted, end, lags) for end in ends])
    now = _window(adjusted, n_steps, lags)
    out = np.empty((len(y), horizon))
    for h in range(horizon):
        ahead = np.concatenate([adjusted[:, end + h] - adjusted[:, end - 1] for end in ends])
        weights = _ridge(past, ahead[:, None], 1.0)
        out[:, h] = (now @ weights)[:, 0] + adjusted[:, -1]
    return out + effect[:, n_steps:]


def smoothing(y: Floats, x: Floats, period: int) -> Floats:
    """Damped Holt-Winters after the exogenous effects are removed; one setting for all series."""
    n_steps, horizon = y.shape[1], x.shape[1] - y.shape[1]
    adjusted, effect = without_exogenous(y, x, period)
    best, forecast = np.inf, adjusted[:, -1:] + np.zeros((1, horizon))
    for alpha in (0.1, 0.3, 0.6):
        for beta in (0.0, 0.02):
            for gamma in (0.05, 0.2):
                error, ahead = _holt_winters(adjusted, period, horizon, (alpha, beta, gamma))
                if error < best:
                    best, forecast = error, ahead
    return forecast + effect[:, n_steps:]


METHODS: dict[str, Forecaster] = {
    "seasonal naive": seasonal_naive,
    "harmonic regression": harmonic,
    "direct ridge": direct,
    "damped smoothing": smoothing,
}


# --- parts ---------------------------------------------------------------------------------------


def _ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Return (d, k) weights; `penalty` counts rows of unit columns."""
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty
    return np.linalg.solve(gram, x.T @ y)


def _calendar(n_steps: int, period: int, *, trend: bool) -> Floats:
    t = np.arange(n_steps)
    columns = [np.ones(n_steps)]
    if trend:
        columns.append(t / n_steps - 0.5)
    for k in range(1, min(period // 2, 6) + 1 if period > 1 else 1):
        columns += [np.cos(2 * np.pi * k * t / period), np.sin(2 * np.pi * k * t / period)]
    return np.stack(columns, axis=1)


def _fading(residual: Floats) -> float:
    power = float(residual[:-1] @ residual[:-1])
    return float(np.clip(residual[1:] @ residual[:-1] / max(power, 1e-12), 0.0, 0.995))


def without_exogenous(y: Floats, x: Floats, period: int) -> tuple[Floats, Floats]:
    """Return y less the effect of x, (S, T), and that effect, (S, T + H).

    The effect is estimated on quasi-differences, so that slow levels do not pass for it
    (Cochrane & Orcutt 1949).
    """
    effect = np.zeros(x.shape[:2])
    if x.shape[2] == 0:
        return y, effect
    n_steps = y.shape[1]
    fixed = _calendar(n_steps, period, trend=True)
    for s, series in enumerate(y):
        design = np.hstack([fixed, x[s, :n_steps]])
        residual = series - design @ _ridge(design, series[:, None], 1e-3)[:, 0]
        phi = _fading(residual)
        weights = _ridge(
            design[1:] - phi * design[:-1], (series[1:] - phi * series[:-1])[:, None], 1e-3
        )
        effect[s] = x[s] @ weights[fixed.shape[1] :, 0]
    return y - effect[:, :n_steps], effect


def _lags(n_steps: int, horizon: int, period: int) -> Ints:
    """Return how far back to look: the last season and the same steps of the two before."""
    room = max(n_steps - horizon - 2, 1)
    recent = np.arange(min(max(period + 2, 12), 60))
    seasons = period * np.arange(1, 4)[:, None] + np.arange(-min(horizon, 24) + 1, 1)[None, :]
    lags = np.unique(np.concatenate([recent, seasons.ravel() if period > 1 else recent]))
    return lags[(lags >= 0) & (lags < room // 2 + 1)]


def _window(y: Floats, end: int, lags: Ints) -> Floats:
    """Return the lagged values before step `end`, less the last one, (S, len(lags))."""
    last = y[:, end - 1 : end]
    return np.hstack([y[:, end - 1 - lags[1:]] - last, np.ones((len(y), 1))])


def _holt_winters(
    y: Floats, period: int, horizon: int, rates: tuple[float, float, float]
) -> tuple[float, Floats]:
    """Return the mean squared one-step error and the forecast (S, H)."""
    alpha, beta, gamma = rates
    damping = 0.97
    period = period if 2 * period <= y.shape[1] else 1
    level = y[:, :period].mean(axis=1)
    season = [y[:, k] - level for k in range(period)] if period > 1 else [np.zeros(len(y))]
    slope = np.zeros(len(y))
    total = 0.0
    for t in range(y.shape[1]):
        k = t % period
        base = level + damping * slope
        error = y[:, t] - base - season[k]
        total += float((error**2).sum()) if t >= y.shape[1] // 4 else 0.0
        level = base + alpha * error
        slope = damping * slope + beta * error
        if period > 1:
            season[k] = season[k] + gamma * (1 - alpha) * error
    steps = np.arange(1, horizon + 1)
    fade = np.cumsum(damping**steps)
    ahead = np.stack([season[(y.shape[1] + h) % period] for h in range(horizon)], axis=1)
    return total, level[:, None] + slope[:, None] * fade + ahead
