"""Series as a table: each row beside what its series was some steps before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Contract, Floats, Ints

SPANS = 4
"""Lags go from the horizon, before which nothing is known, to less than so many horizons."""
MOST_ROWS = 100_000
"""The latest rows of all series together that are learnt from."""

Columns = Mapping[str, NDArray[Any]]


def matrices(contract: Contract, known: Columns, asked: Columns) -> tuple[Floats, Floats]:
    """Return the features of known rows and of those to be forecast.

    They are lagged values of the series, the time and the columns that are known ahead; the last
    two columns are mean and standard deviation of the series, by which values are to be scaled.
    Cells of which nothing is known are NaN.
    """
    horizon = max(1, int(asked["time"].max() - known["time"].max()))
    length = int(known["time"].max() - known["time"].min()) + 1
    lags = np.arange(horizon, max(horizon + 1, min(SPANS * horizon, length // 2)))
    ahead = [n for n in asked if n in known and n != contract.id_column and _numeric(known[n])]
    sides = [np.full((len(side["time"]), len(lags) + len(ahead) + 2), np.nan)
             for side in (known, asked)]  # fmt: skip
    for name in np.unique(_series(known)):
        rows = [np.flatnonzero(_series(side) == name) for side in (known, asked)]
        values = known[contract.target][rows[0]].astype(np.float64)
        mean, sd = float(np.nanmean(values)), float(np.nanstd(values)) or 1.0
        first = int(known["time"][rows[0]].min())
        path = np.full(length + horizon, np.nan)
        path[known["time"][rows[0]] - first] = (values - mean) / sd
        for x, side, own in zip(sides, (known, asked), rows, strict=True):
            place = side["time"][own][:, None] - first - lags
            x[own, : len(lags)] = np.where(place >= 0, path[np.maximum(place, 0)], np.nan)
            x[own, -2], x[own, -1] = mean, sd
    for x, side in zip(sides, (known, asked), strict=True):
        x[:, len(lags) : -2] = np.column_stack([side[column] for column in ahead])
    return sides[0], sides[1]


def latest(known: Columns) -> Ints:
    """Return the positions of the rows that are learnt from."""
    return np.sort(np.argsort(known["time"], kind="stable")[-MOST_ROWS:])


def _series(side: Columns) -> NDArray[Any]:
    return side["series"] if "series" in side else np.zeros(len(side["time"]), dtype=np.int64)


def _numeric(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "if"
