"""Series of one table as arrays: (series, time), the future included."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Floats, Ints

SERIES_NAMES = ("series", "series_id")
TIME_NAMES = ("time", "t", "step", "timestamp", "date", "datetime", "month", "week", "day")
MAX_PERIOD = 400
CLEAR = 0.2
"""Autocorrelation below which there is no season."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """S series over T observed and H future steps, with m columns known into the future."""

    y: Floats
    """(S, T), gaps carried forward."""
    x: Floats
    """(S, T + H, m), standardised."""
    rows: Ints
    """(n_test,) position of each test row in the flattened (S, H) forecast."""
    period: int

    @property
    def horizon(self) -> int:
        """H."""
        return int(self.x.shape[1] - self.y.shape[1])


def read_panel(job: Job, train: pd.DataFrame, test: pd.DataFrame) -> Panel:
    """Arrange the tables by series and time.

    Raises:
        AgentError: There is no time column, or the test rows do not follow the train rows.
    """
    assert_form = job.form
    if assert_form is None:
        raise AgentError("the task asks for no submission")
    target, time = assert_form.target, _time_column(test)
    n_train = len(train)
    both = pd.concat([train, test], ignore_index=True)
    series_name = next((name for name in SERIES_NAMES if name in both), None)
    series = pd.factorize(both[series_name])[0] if series_name else np.zeros(len(both), np.int64)
    step, times = pd.factorize(both[time], sort=True)
    n_observed = int(step[:n_train].max()) + 1
    if step[n_train:].min() < n_observed:
        raise AgentError(f"test rows lie before the last train row, by column {time!r}")
    n_series, n_steps = int(series.max()) + 1, len(times)
    y = np.full((n_series, n_observed), np.nan)
    y[series[:n_train], step[:n_train]] = train[target].to_numpy(dtype=float, na_value=np.nan)
    y = _filled(y)
    known = {assert_form.id_column, target, time, series_name}
    x = _exogenous(
        both, [c for c in test.columns if c not in known], series, step, (n_series, n_steps)
    )
    rows = series[n_train:] * (n_steps - n_observed) + step[n_train:] - n_observed
    return Panel(y=y, x=x, rows=rows.astype(np.int64), period=_period(job, y))


def _time_column(test: pd.DataFrame) -> str:
    for name in TIME_NAMES:
        if name in test:
            return name
    raise AgentError(f"no time column (one of {', '.join(TIME_NAMES)}) in {list(test.columns)}")


def _filled(y: Floats) -> Floats:
    frame = pd.DataFrame(y.T).ffill().bfill().fillna(0.0)
    filled: Floats = frame.to_numpy(dtype=float).T.copy()
    return filled


def _exogenous(
    both: pd.DataFrame,
    names: list[str],
    series: Ints,
    step: Ints,
    shape: tuple[int, int],
) -> Floats:
    columns = []
    for name in names:
        if pd.api.types.is_numeric_dtype(both[name]):
            values = np.full(shape, np.nan)
            values[series, step] = both[name].to_numpy(dtype=float, na_value=np.nan)
            values = _filled(values)
            if values.std() > 0:
                columns.append((values - values.mean()) / values.std())
    return np.stack(columns, axis=2) if columns else np.zeros((*shape, 0))


def _period(job: Job, y: Floats) -> int:
    told = job.parameters.get("period")
    if isinstance(told, int) and 1 < told <= y.shape[1] // 2:
        return told
    return detect_period(y)


def detect_period(y: Floats) -> int:
    """Return the lag of the clearest season of (S, T), by autocorrelation; 1 if there is none."""
    changes = np.diff(y, axis=1)
    changes = changes - changes.mean(axis=1, keepdims=True)
    longest = min(y.shape[1] // 3, MAX_PERIOD)
    power = np.maximum((changes**2).sum(axis=1), 1e-12)
    correlation = np.zeros(longest + 1)
    for lag in range(2, longest + 1):
        correlation[lag] = np.mean((changes[:, lag:] * changes[:, :-lag]).sum(axis=1) / power)
    if longest < 2 or correlation.max() < CLEAR:  # noqa: PLR2004 - no lag to look at
        return 1
    # Multiples of a period correlate as well: take the first that comes close to the best.
    good = np.flatnonzero(correlation >= 0.9 * correlation.max())
    first = int(good[0])
    around = range(max(2, first - 1), min(longest, first + 1) + 1)
    return max(around, key=lambda lag: float(correlation[lag]))
