"""Series of one table as arrays: (series, time), the future included."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Floats, Ints

SERIES_NAMES = ("series", "series_id")
TIME_NAMES = ("time", "t", "step", "timestamp", "date", "datetime", "month", "week", "day")
MAX_PERIOD = 400
NOISE, OF_ONE = 3.0, 10.0
"""A season's least score, and how much more it must have in a single series; noise has about 2."""
MOST_SERIES = 200
"""Series that are looked at for a season."""
WAVES = 3
"""Harmonics of each further season."""
MAX_STEPS = 4
"""Times as many steps as there are values beyond which a time is a label, not a count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """S series over T observed and H future steps, with m columns known into the future."""

    y: Floats
    """(S, T), gaps filled along straight lines."""
    x: Floats
    """(S, T + H, m), standardised; waves of the further seasons among them."""
    rows: Ints
    """(n_test,) position of each test row in the flattened (S, H) forecast."""
    periods: tuple[int, ...]
    """Steps of each season, shortest first; (1,) where there is none."""

    @property
    def period(self) -> int:
        """Steps of the first season."""
        return self.periods[0]

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
    step, n_steps = _steps(both[time])
    n_observed = int(step[:n_train].max()) + 1
    if step[n_train:].min() < n_observed:
        raise AgentError(f"test rows lie before the last train row, by column {time!r}")
    n_series = int(series.max()) + 1
    y = np.full((n_series, n_observed), np.nan)
    y[series[:n_train], step[:n_train]] = train[target].to_numpy(dtype=float, na_value=np.nan)
    y = _filled(y)
    known = {assert_form.id_column, target, time, series_name}
    x = _exogenous(
        both, [c for c in test.columns if c not in known], series, step, (n_series, n_steps)
    )
    rows = series[n_train:] * (n_steps - n_observed) + step[n_train:] - n_observed
    periods = _periods(job, y)
    waves = np.repeat(_waves(n_steps, periods[1:])[None], n_series, axis=0)
    x = np.concatenate([x, waves], axis=2)
    return Panel(y=y, x=x, rows=rows.astype(np.int64), periods=periods)


def _time_column(test: pd.DataFrame) -> str:
    for name in TIME_NAMES:
        if name in test:
            return name
    raise AgentError(f"no time column (one of {', '.join(TIME_NAMES)}) in {list(test.columns)}")


def _steps(time: "pd.Series[Any]") -> tuple[Ints, int]:
    """Return the position of each row in time, and how many there are; whole numbers may skip."""
    if pd.api.types.is_integer_dtype(time):
        step = time.to_numpy(dtype=np.int64) - int(time.min())
        n_steps = int(step.max()) + 1
        if n_steps <= MAX_STEPS * time.nunique():
            return step, n_steps
    codes, times = pd.factorize(time, sort=True)
    return codes.astype(np.int64), len(times)


def _filled(y: Floats) -> Floats:
    frame = pd.DataFrame(y.T).interpolate(limit_area="inside").ffill().bfill().fillna(0.0)
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


def _waves(n_steps: int, periods: Sequence[int]) -> Floats:
    """Return cosines and sines that are known into the future, (T + H, 6 per period)."""
    angles = [
        2 * np.pi * k * np.arange(n_steps) / period
        for period in periods
        for k in range(1, WAVES + 1)
    ]
    waves = [wave for angle in angles for wave in (np.cos(angle), np.sin(angle))]
    return np.sqrt(2) * np.stack(waves, axis=1) if waves else np.zeros((n_steps, 0))


def _periods(job: Job, y: Floats) -> tuple[int, ...]:
    """Return the seasons that the task tells, if the rows hold two of them, or a guess."""
    told = job.parameters.get("periods") or [job.parameters.get("period")]
    listed = told if isinstance(told, list) else []
    known = [p for p in listed if isinstance(p, int) and 1 < p <= y.shape[1] // 2]
    return tuple(sorted(known)) or (detect_period(y),)


def detect_period(y: Floats) -> int:
    """Return the period of the clearest season of (S, T); 1 if there is none.

    The score of a period is the periodogram of the changes at its first two harmonics, in units
    of what white noise would have there: changes, so that slow levels have no long periods, less
    what each tells of the next, so that mere noise, whose changes alternate, has no short ones.
    """
    changes = np.diff(y[:MOST_SERIES], axis=1)
    changes = changes - changes.mean(axis=1, keepdims=True)
    longest = min(y.shape[1] // 3, MAX_PERIOD)
    told = (changes[:, 1:] * changes[:, :-1]).sum() / max(float((changes**2).sum()), 1e-12)
    changes = changes[:, 1:] - told * changes[:, :-1]
    changes = changes / np.maximum(np.sqrt((changes**2).sum(axis=1, keepdims=True)), 1e-12)
    score = np.zeros(longest + 2)
    for period in range(2, longest + 1):
        waves = np.exp(2j * np.pi * np.arange(changes.shape[1]) / period)
        harmonics = [changes @ waves, *([changes @ waves**2] if period > 3 else [])]  # noqa: PLR2004 - of shorter periods it is the wave itself, or none
        score[period] = sum(float(np.mean(np.abs(found) ** 2)) for found in harmonics)
    if score.max() < NOISE + OF_ONE / np.sqrt(len(changes)):
        return 1
    # Multiples of a period score as well: take the first peak that comes close to the best.
    inner = score[1:-1]
    peaks = (inner >= score[:-2]) & (inner >= score[2:]) & (inner >= 0.8 * score.max())
    return 1 + int(np.flatnonzero(peaks)[0])
