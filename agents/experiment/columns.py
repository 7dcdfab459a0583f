"""A table as numbers: its roles, its cells as they are, and the same clipped and standardised."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from arrays import Booleans, Floats, Ints
from cleaning import LEAK, MAX_LEVELS, Cleaning, inspect, repair

ORDERS = ("time", "row")
OUTCOMES = ("outcome", "target")
IDS = ("id", *ORDERS)
MAX_ROWS = 50_000
"""Rows that are looked at, evenly spaced over the table."""
CLIP = 4.0
"""Robust standard deviations at which cells are clipped, so that gross errors decide nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The numeric columns: p features, then the outcome if there is one; n rows in order."""

    features: tuple[str, ...]
    outcome: str | None
    raw: Floats
    """(p or p + 1, n), NaN where missing."""
    scaled: Floats
    """The same clipped, with mean 0 and standard deviation 1."""
    order: Floats
    """(n,) position of each row: `time`, `row`, or its number."""
    order_name: str
    lost: Booleans
    """(p or p + 1, n) cells that are missing in the file; codes for missing are not."""
    groups: dict[str, Ints]
    """Text columns of few values: (n,) codes, -1 where missing."""
    levels: dict[str, tuple[str, ...]]
    """Their values, sorted."""
    leaks: dict[str, Floats]
    """Columns that can only be made from the outcome; they are no features."""
    cleaning: Cleaning

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the rows of `raw`."""
        return self.features if self.outcome is None else (*self.features, self.outcome)


def read_columns(table: pd.DataFrame) -> Columns:
    """Take the numeric columns that vary, and text columns of few values as groups.

    Codes for missing cells become missing, cells in a wrong unit are repaired; ids, and what can
    only be made from the outcome, are left out.
    """
    cleaning = inspect(table, IDS)
    table = table.iloc[:: -(-len(table) // MAX_ROWS) or 1]
    numbers = _numbers(table)
    clocks = [name for name in ORDERS if name in numbers and np.isfinite(numbers[name]).all()]
    order = numbers[clocks[0]] if clocks else np.arange(len(table), dtype=np.float64)
    rows = np.argsort(order, kind="stable")
    outcome = next((name for name in OUTCOMES if name in numbers), None)
    varying = {
        name: cells[rows]
        for name, cells in numbers.items()
        if name not in {*IDS, *cleaning.ids} and len(np.unique(cells[np.isfinite(cells)])) > 1
    }
    outcome = outcome if outcome in varying else None
    lost = {name: np.isnan(cells) for name, cells in varying.items()}
    cells = {
        name: repair(own, cleaning.codes.get(name), cleaning.factors.get(name))
        for name, own in varying.items()
    }
    leaks = _leaks(cells, outcome)
    features = tuple(name for name in cells if name != outcome and name not in leaks)
    kept = (*features, *([outcome] if outcome else []))
    shape = (len(kept), len(table))
    raw = np.array([cells[name] for name in kept], dtype=np.float64).reshape(shape)
    codes = _codes(table.iloc[rows])
    return Columns(
        features=features,
        outcome=outcome,
        raw=raw,
        scaled=np.array([scale(row) for row in raw]).reshape(shape),
        order=order[rows],
        order_name=clocks[0] if clocks else ORDERS[-1],
        lost=np.array([lost[name] for name in kept], dtype=np.bool_).reshape(shape),
        groups={name: np.asarray(own.codes, dtype=np.int64) for name, own in codes.items()},
        levels={name: tuple(map(str, own.categories)) for name, own in codes.items()},
        leaks=leaks,
        cleaning=cleaning,
    )


def _numbers(table: pd.DataFrame) -> dict[str, Floats]:
    return {
        str(name): _finite(cells.to_numpy(dtype=np.float64, na_value=np.nan))
        for name, cells in table.items()
        if pd.api.types.is_numeric_dtype(cells)
    }


def _codes(table: pd.DataFrame) -> dict[str, pd.Categorical]:
    """Return text columns of few values as groups."""
    return {
        str(name): pd.Categorical(own)
        for name, own in table.items()
        if not pd.api.types.is_numeric_dtype(own) and 1 < own.nunique() <= MAX_LEVELS
    }


def _leaks(cells: dict[str, Floats], outcome: str | None) -> dict[str, Floats]:
    if outcome is None:
        return {}
    y = scale(cells[outcome])
    found = {}
    for name, own in cells.items():
        x = scale(own)
        both = np.isfinite(x) & np.isfinite(y)
        spread = name != outcome and both.sum() > 20 and x[both].std() * y[both].std() > 0  # noqa: PLR2004 - fewer rows correlate by chance
        if spread and abs(np.corrcoef(x[both], y[both])[0, 1]) > LEAK:
            found[name] = own
    return found


def correlations(cells: Floats) -> tuple[Floats, Floats]:
    """Return (k, k) correlations of the rows of `cells`, and on how many pairs each rests."""
    present = np.isfinite(cells).astype(np.float64)
    r = pd.DataFrame(cells.T).corr(min_periods=10).to_numpy()
    return r, present @ present.T


def _finite(cells: Floats) -> Floats:
    return np.where(np.isfinite(cells), cells, np.nan)


def robust(values: Floats) -> tuple[float, float]:
    """Return median and 1.4826 MAD, the standard deviation of a normal column; never 0."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, spread or float(values.std()) or 1.0


def scale(cells: Floats) -> Floats:
    """Clip and standardise, NaN left as it is."""
    present = cells[np.isfinite(cells)]
    if not len(present):
        return cells
    middle, spread = robust(present)
    clipped = np.clip((cells - middle) / spread, -CLIP, CLIP)
    scaled: Floats = (clipped - np.nanmean(clipped)) / (float(np.nanstd(clipped)) or 1.0)
    return scaled
