"""What stands in a table and is no measurement: codes, wrong units, copies, spellings, ids."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arrays import Floats

MIN_CELLS, MIN_SHARE = 5, 0.006
"""Cells with a code or in a wrong unit: their number, and their share of the column."""
FAR = 4.5
"""Robust standard deviations beyond which a number that is repeated is a code."""
FACTORS = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
BULK, PURE = 3.0, 0.9
"""Ratio to the median of cells in the right unit; share of all others that one factor explains."""
MAX_LEVELS = 20
LEAK = 0.96
"""Absolute correlation with the outcome that no honest feature has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What was found while the table was read."""

    codes: dict[str, float]
    """Number that stands for missing cells, by column."""
    factors: dict[str, float]
    """Factor by which some cells are off, by column."""
    spellings: dict[str, tuple[tuple[str, ...], ...]]
    """Values that are the same category, by text column."""
    ids: tuple[str, ...]
    constants: tuple[str, ...]
    repeated: float
    """Share of the rows that repeat an earlier one."""


def inspect(table: pd.DataFrame, roles: tuple[str, ...]) -> Cleaning:
    """Look at a table as it stands in the file.

    Args:
        table: Any table.
        roles: Columns that are no features: ids, the clock.
    """
    own = table[[name for name in table if name not in roles]]
    again = own.duplicated() if own.shape[1] else pd.Series(data=False, index=table.index)
    kept = own[~again]
    numbers = own.select_dtypes("number").astype(np.float64)
    texts = own.select_dtypes(exclude="number").astype("object")
    codes = _each(numbers, sentinel)
    without = numbers.assign(
        **{name: numbers[name].mask(numbers[name] == codes[name]) for name in codes}
    )
    return Cleaning(
        codes=codes,
        factors=_each(without, unit_factor),
        spellings={str(name): same for name in texts if (same := _same(texts[name]))},
        ids=tuple(str(name) for name in kept if _numbers_rows(kept[name])),
        constants=tuple(str(name) for name in own if len(own[name].dropna().unique()) == 1),
        repeated=round(float(again.mean()), 4) if len(again) else 0.0,
    )


def _each(numbers: pd.DataFrame, search: Callable[[Floats], float | None]) -> dict[str, float]:
    found = {str(name): search(cells.to_numpy()) for name, cells in numbers.items()}
    return {name: value for name, value in found.items() if value is not None}


def sentinel(cells: Floats) -> float | None:
    """Return a far number that is repeated in a column where nothing else is."""
    present = cells[np.isfinite(cells)]
    if len(present) < MIN_CELLS:
        return None
    values, counts = np.unique(present, return_counts=True)
    top = int(np.argmax(counts))
    others = len(present) - counts[top]
    if counts[top] < max(MIN_CELLS, MIN_SHARE * len(present)) or 2 * len(values) < others:
        return None
    middle = float(np.median(present))
    spread = 1.4826 * float(np.median(np.abs(present - middle)))
    return float(values[top]) if abs(values[top] - middle) > FAR * spread else None


def unit_factor(cells: Floats) -> float | None:
    """Return the factor that explains nearly all cells away from the bulk."""
    present = cells[np.isfinite(cells)]
    if not len(present) or present.min() <= 0:
        return None
    ratio = present / np.median(present)
    away = ratio[(ratio > BULK) | (ratio < 1 / BULK)]
    if len(away) < max(MIN_CELLS, MIN_SHARE * len(present)):
        return None
    for factor in FACTORS:
        if ((away > factor / BULK) & (away < factor * BULK)).mean() >= PURE:
            return factor
    return None


def repair(cells: Floats, code: float | None, factor: float | None) -> Floats:
    """Return a column with codes as missing and every cell in the same unit."""
    kept = cells if code is None else np.where(cells == code, np.nan, cells)
    if factor is None:
        return kept
    ratio = kept / np.nanmedian(kept)
    return np.where((ratio > factor / BULK) & (ratio < factor * BULK), kept / factor, kept)


def _same(cells: "pd.Series[str]") -> tuple[tuple[str, ...], ...]:
    """Return the sets of values that differ only in case, blanks and punctuation."""
    values = [value for value in cells.dropna().unique() if isinstance(value, str)]
    if len(values) > MAX_LEVELS:
        return ()
    by_letters: dict[str, list[str]] = {}
    for value in values:
        by_letters.setdefault(re.sub(r"[^a-z0-9]", "", value.lower()), []).append(value)
    return tuple(tuple(sorted(same)) for same in by_letters.values() if len(same) > 1)


def _numbers_rows(cells: "pd.Series[float]") -> bool:
    if len(cells) < 50 or not cells.is_unique:  # noqa: PLR2004 - few rows differ by chance
        return False
    if not pd.api.types.is_numeric_dtype(cells):
        return True
    numbers = cells.to_numpy(dtype=np.float64)
    return bool(np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all())
