"""Arithmetic on the cells of one column."""

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Floats

CLIP = 4.0
"""Cells are clipped at so many robust standard deviations before anything linear is fitted."""
SENTINEL_SHARE, SENTINEL_FAR, CONTINUOUS = 0.008, 4.0, 0.5
"""A code for "missing": share of the cells with that very value, robust standard deviations from
the median, and the least share of distinct values among the other cells."""
FACTORS = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
"""Factors by which cells in a wrong unit may be off."""
UNIT_SHARE, UNIT_PURITY, UNIT_WIDTH = 0.008, 0.9, 3.0
"""Cells in a wrong unit: their share; their share among all cells away from the bulk; and the
ratio to the median within which the bulk, or its image under the factor, lies."""

_FEW = 5


def robust(values: Floats) -> tuple[float, float]:
    """Return median and 1.4826 MAD, which is the standard deviation of a normal column."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle))) or 1.0


def scaled(values: Floats) -> Floats:
    """Clip and standardise, NaN left as it is."""
    present = np.isfinite(values)
    if not present.any():
        return values
    middle, spread = robust(values[present])
    clipped = np.clip(values, middle - CLIP * spread, middle + CLIP * spread)
    kept = clipped[present]
    result: Floats = (clipped - kept.mean()) / (kept.std() or 1.0)
    return result


def sentinel(values: Floats) -> float | None:
    """Return the value that stands for missing cells in a column of measurements, if there is one.

    It is repeated, far from the median, and all other values hardly ever repeat.
    """
    present = values[np.isfinite(values)]
    if not len(present):
        return None
    distinct, counts = np.unique(present, return_counts=True)
    top = int(np.argmax(counts))
    count, value = int(counts[top]), float(distinct[top])
    others = len(present) - count
    if count < max(_FEW, SENTINEL_SHARE * len(present)) or len(distinct) <= CONTINUOUS * others:
        return None
    middle, spread = robust(present)
    return value if abs(value - middle) > SENTINEL_FAR * spread else None


def unit_factor(values: Floats) -> float | None:
    """Return the factor by which some cells of a positive column are off, if there is one."""
    present = values[np.isfinite(values)]
    if not len(present) or present.min() <= 0:
        return None
    ratio = present / float(np.median(present))
    away = int(((ratio > UNIT_WIDTH) | (ratio < 1 / UNIT_WIDTH)).sum())
    if away < max(_FEW, UNIT_SHARE * len(present)):
        return None
    hits = {factor: int(off_by(ratio, factor).sum()) for factor in FACTORS}
    best = max(hits, key=lambda factor: hits[factor])
    return best if hits[best] >= UNIT_PURITY * away else None


def off_by(ratio: Floats, factor: float) -> NDArray[np.bool_]:
    """Say which cells, given as ratios to the median, lie where `factor` puts the bulk."""
    image: NDArray[np.bool_] = (ratio > factor / UNIT_WIDTH) & (ratio < factor * UNIT_WIDTH)
    return image


def cleaned(values: Floats) -> Floats:
    """Return the cells with sentinels and those in a wrong unit as missing."""
    code = sentinel(values)
    kept = values if code is None else np.where(values == code, np.nan, values)
    factor = unit_factor(kept)
    if factor is None:
        return kept
    middle = float(np.median(kept[np.isfinite(kept)]))
    return np.where(off_by(kept / middle, factor), np.nan, kept)
