"""From a table to two matrices: one for trees (missing cells stay), one for linear models."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from arrays import Booleans, Floats

MAX_CATEGORIES = 200
"""What a tree may split on by name; rarer categories become one."""
MAX_ONE_HOT = 40
MOSTLY = 0.95
"""Share of cells that must parse before a text column counts as times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The columns of train and test rows, in two codings."""

    trees: Floats
    """(n, d), NaN where a cell is missing; categories are codes."""
    categorical: Booleans
    """(d,) which of `trees` are categories."""
    dense: Floats
    """(n, e), filled, categories one-hot, with a column per pattern of missing cells."""
    numeric: Booleans
    """(e,) which of `dense` are numbers."""
    n_train: int
    """The first rows are the train rows."""


def encode(train: pd.DataFrame, test: pd.DataFrame, *, without: set[str]) -> Features:
    """Encode the columns that train and test share; statistics come from the train rows."""
    names = [name for name in test.columns if name in train.columns and name not in without]
    both = pd.concat([train[names], test[names]], ignore_index=True)
    coder = _Coder(len(train))
    for name in names:
        coder.add(both[name])
    return coder.features(len(both))


class _Coder:
    """Collects columns."""

    def __init__(self, n_train: int) -> None:
        self.n_train = n_train
        self.trees: list[Floats] = []
        self.categorical: list[bool] = []
        self.dense: list[Floats] = []
        self.numeric: list[bool] = []

    def add(self, column: "pd.Series[Any]") -> None:
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            self._number(column.to_numpy(dtype=np.float64, na_value=np.nan))
            return
        times = as_times(column)
        if times is not None:
            for part in _time_parts(times):
                self._number(part)
        else:
            self._category(column)

    def _number(self, values: Floats) -> None:
        values = np.where(np.isinf(values), np.nan, values)
        known = values[: self.n_train]
        known = known[~np.isnan(known)]
        if len(known) == 0 or known.min() == known.max() == values[0]:
            return
        self.trees.append(values)
        self.categorical.append(False)
        missing = np.isnan(values)
        self._dense(np.where(missing, np.median(known), values), numeric=True)
        if missing[: self.n_train].any():
            self._dense(missing.astype(np.float64), numeric=False)

    def _category(self, column: "pd.Series[Any]") -> None:
        text = column.astype("object").where(column.notna(), None)
        counts = text.iloc[: self.n_train].value_counts()
        if len(counts) == 0:
            return
        kept = {name: code for code, name in enumerate(counts.index[:MAX_CATEGORIES])}
        codes = text.map(kept).to_numpy(dtype=np.float64, na_value=np.nan)
        self.trees.append(codes)
        self.categorical.append(True)
        for code in range(min(len(kept), MAX_ONE_HOT)):
            self._dense((codes == code).astype(np.float64), numeric=False)
        if len(counts) > MAX_ONE_HOT:
            frequency = text.map(counts).to_numpy(dtype=np.float64, na_value=0.0)
            self._dense(np.log1p(frequency), numeric=True)

    def _dense(self, values: Floats, *, numeric: bool) -> None:
        self.dense.append(values)
        self.numeric.append(numeric)

    def features(self, n_rows: int) -> Features:
        def stack(columns: list[Floats]) -> Floats:
            return np.column_stack(columns) if columns else np.zeros((n_rows, 1))

        return Features(
            trees=stack(self.trees),
            categorical=np.array(self.categorical or [False]),
            dense=stack(self.dense),
            numeric=np.array(self.numeric or [False]),
            n_train=self.n_train,
        )


def as_times(column: "pd.Series[Any]") -> "pd.Series[pd.Timestamp] | None":
    """Parse a text column as ISO times; None if it holds something else."""
    known = column.dropna()
    if len(known) == 0 or not known.astype(str).iloc[:50].str.match(r"\d{4}-\d\d-\d\d").all():
        return None
    times = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    return times if times.notna().mean() >= MOSTLY * column.notna().mean() else None


def _time_parts(times: "pd.Series[pd.Timestamp]") -> list[Floats]:
    day = (times - pd.Timestamp("1970-01-01", tz="UTC")).dt.total_seconds() / 86_400
    parts = (day, times.dt.month, times.dt.dayofweek, times.dt.hour, times.dt.dayofyear)
    return [part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts]
