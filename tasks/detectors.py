"""Reference detectors: what a careful analyst finds in a table, in the words of insights/1.

They are used twice: on a new data-analysis table, to plant only what can be found in it, and on a
fresh large sample, to test claims that match nothing planted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Floats, on_grid

ROW, TIME, OUTCOME = "row", "time", "outcome"
"""Columns with a role; all others are features."""

Args = Mapping[str, Any]
"""Arguments of a claim: column names, tuples of them, a mechanism, a position."""

RELEVANT_WALD, RELEVANT_SHARE = 30.0, 0.01
"""A column matters: Wald statistic of x and x² given all others (χ² with 2 degrees of freedom
under no effect, so p = 3e-7), and its share of what the others leave unexplained."""
INTERACTION_Z, INTERACTION_SHARE = 5.0, 0.02
"""A product matters: z of its correlation with what x and x² leave over, and that squared."""
REDUNDANT = 0.95
"""Absolute correlation from which two columns are near-copies."""
OUTLYING, OUTLIER_SHARE = 6.0, 0.005
"""Robust standard deviations from the median, and the share of cells beyond."""
MISSING_SHARE, DRIVER_Z, DRIVER_GAP = 0.01, 4.5, 0.2
"""Share of missing cells; z and size, in standard deviations, of the difference in means of
another column between rows with and without the cell."""
CHANGE_Z, CHANGE_SIZE = 6.0, 0.5
"""Largest standardised CUSUM, and the difference in levels, in standard deviations."""
CHANGE_TOLERANCE = 0.03
"""Share of the observed span by which a change point may be missed."""
COMPLETE = 0.75
"""Share of the relevant columns that a claim must name to count as having found them."""
CLIP = 4.0
"""Cells are clipped at so many robust standard deviations before anything linear is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the detectors found: by type, the arguments, the strongest first."""

    facts: Mapping[str, Sequence[Args]]
    first: float
    """Smallest value of `time` (or of `row`)."""
    span: float
    """Range of `time` (or of `row`), the unit of a change point's tolerance."""

    def strongest(self, kind: str, args: Args) -> bool:
        """Say whether `args` agree with the strongest finding of this type."""
        facts = self.facts[kind]
        return bool(facts) and agree(kind, args, facts[0], self.span)

    def holds(self, kind: str, args: Args) -> bool:
        """Say whether a claim agrees with any finding; a part of the relevant columns is true."""
        if kind == "relevant_features":
            return any(set(args["columns"]) <= set(fact["columns"]) for fact in self.facts[kind])
        return any(agree(kind, args, fact, self.span) for fact in self.facts[kind])


def agree(kind: str, claim: Args, fact: Args, span: float) -> bool:
    """Say whether a claim states the fact of the same type.

    Columns must be the same; of the relevant ones a quarter may be missing, but none may be wrong.
    A change point may be off by `CHANGE_TOLERANCE` of `span`.
    """
    if kind == "relevant_features":
        named, true = set(claim["columns"]), set(fact["columns"])
        return named <= true and len(named) >= COMPLETE * len(true)
    if kind in {"interaction", "redundant_pair"}:
        return set(claim["columns"]) == set(fact["columns"])
    if kind == "change_point":
        near = abs(claim["at"] - fact["at"]) <= CHANGE_TOLERANCE * span
        return bool(claim["column"] == fact["column"] and near)
    return dict(claim) == dict(fact)


def find(table: Mapping[str, NDArray[Any]]) -> Found:
    """Search a table of numbers, rows in order of time, for all six types of facts.

    Missing cells are NaN. The outcome is the column `outcome`; nothing is looked for in `row` and
    `time`.
    """
    names = [name for name in table if name not in {ROW, TIME, OUTCOME}]
    order = table[TIME if TIME in table else ROW].astype(np.float64)
    raw = {name: table[name].astype(np.float64) for name in [*names, OUTCOME]}
    scaled = {name: _scaled(values) for name, values in raw.items()}
    features = np.array([scaled[name] for name in names])
    complete = np.isfinite(features).all(axis=0) & np.isfinite(scaled[OUTCOME])
    x, y = features[:, complete], scaled[OUTCOME][complete]
    relevant, left = _effects(x, y)
    return Found(
        facts={
            "relevant_features": _relevant(names, relevant),
            "interaction": _interactions(names, x, left),
            "redundant_pair": _redundant(names, x),
            "outliers": _outliers(raw),
            "missingness": _missingness(raw, scaled),
            "change_point": _changes(scaled, order),
        },
        first=float(order.min()),
        span=float(order.max() - order.min()) or 1.0,
    )


# --- the outcome's drivers ----------------------------------------------------------------------


def _effects(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Regress y (n,) on x (p, n) and x²; return each column's Wald statistic, share and the rest.

    Returns:
        (2, p) statistics and shares; (n,) residuals.
    """
    squares = x * x
    squares -= squares.mean(axis=1, keepdims=True)
    design = np.concatenate([np.ones((1, len(y))), x, squares])
    inverse = np.linalg.pinv(design @ design.T, hermitian=True)
    weights = inverse @ (design @ y)
    left = y - weights @ design
    freedom = max(len(y) - len(design), 1)
    variance = float(left @ left) / freedom
    p = len(x)
    wald = np.empty(p)
    for j in range(p):
        pair = [1 + j, 1 + p + j]
        effect = weights[pair]
        block = inverse[np.ix_(pair, pair)]
        wald[j] = float(effect @ np.linalg.pinv(block, hermitian=True) @ effect) / variance
    return np.array([wald, wald / (wald + freedom)]), left


def _relevant(names: Sequence[str], effects: Floats) -> list[Args]:
    wald, share = on_grid(effects, 6)
    chosen = (wald > RELEVANT_WALD) & (share > RELEVANT_SHARE)
    columns = tuple(sorted(name for name, own in zip(names, chosen, strict=True) if own))
    return [{"columns": columns}] if columns else []


def _interactions(names: Sequence[str], x: Floats, left: Floats) -> list[Args]:
    n = len(left)
    rest = left / (np.sqrt(float(left @ left) / n) or 1.0)
    found: list[tuple[float, Args]] = []
    for i in range(len(names) - 1):
        products = x[i + 1 :] * x[i]
        products -= products.mean(axis=1, keepdims=True)
        spread = np.sqrt((products * products).mean(axis=1)) * n
        correlation = on_grid(np.abs(products @ rest) / np.where(spread > 0, spread, 1.0), 6)
        strong = (correlation * np.sqrt(n) > INTERACTION_Z) & (correlation**2 > INTERACTION_SHARE)
        found += [
            (float(correlation[k]), _pair(names[i], names[i + 1 + k]))
            for k in np.flatnonzero(strong).tolist()
        ]
    return _ranked(found)


# --- single columns and pairs -------------------------------------------------------------------


def _redundant(names: Sequence[str], x: Floats) -> list[Args]:
    correlation = on_grid(np.abs(np.corrcoef(x)), 6)
    found: list[tuple[float, Args]] = [
        (float(correlation[i, j]), _pair(names[i], names[j]))
        for i, j in np.argwhere(np.triu(correlation > REDUNDANT, 1)).tolist()
    ]
    return _ranked(found)


def _outliers(raw: Mapping[str, Floats]) -> list[Args]:
    found: list[tuple[float, Args]] = []
    for name, values in raw.items():
        present = values[np.isfinite(values)]
        middle, spread = _robust(present)
        share = float((np.abs(present - middle) > OUTLYING * spread).mean())
        if share > OUTLIER_SHARE:
            found.append((share, {"column": name}))
    return _ranked(found)


def _missingness(raw: Mapping[str, Floats], scaled: Mapping[str, Floats]) -> list[Args]:
    found: list[tuple[float, Args]] = []
    for name, values in raw.items():
        gone = np.isnan(values)
        if gone.mean() < MISSING_SHARE:
            continue
        drivers = [
            (gap, {"column": name, "mechanism": "MAR", "driver": other})
            for other, cells in scaled.items()
            if other != name and (gap := _gap(cells, gone)) is not None
        ]
        found += drivers or [(0.0, {"column": name, "mechanism": "MCAR", "driver": None})]
    return _ranked(found)


def _gap(cells: Floats, gone: NDArray[np.bool_]) -> float | None:
    """Return the difference in means if it is there beyond doubt, in standard deviations."""
    with_it, without = cells[~gone], cells[gone]
    with_it, without = with_it[np.isfinite(with_it)], without[np.isfinite(without)]
    if not (len(with_it) and len(without)):
        return None
    gap = abs(float(with_it.mean() - without.mean()))
    z = gap / np.sqrt(1 / len(with_it) + 1 / len(without))
    return gap if z > DRIVER_Z and gap > DRIVER_GAP else None


def _changes(scaled: Mapping[str, Floats], order: Floats) -> list[Args]:
    found: list[tuple[float, Args]] = []
    for name, cells in scaled.items():
        present = np.isfinite(cells)
        values, times = cells[present], order[present]
        z, size, at = _level_shift(values)
        if z > CHANGE_Z and size > CHANGE_SIZE:
            found.append((z, {"column": name, "at": int(times[at])}))
    return _ranked(found)


def _level_shift(values: Floats) -> tuple[float, float, int]:
    """Return the largest CUSUM, the difference in means there, and the first row after it."""
    n = len(values)
    centred = values - values.mean()
    before = np.arange(1, n)
    total = np.abs(np.cumsum(centred)[:-1])
    statistic = on_grid(total * np.sqrt(n / (before * (n - before))), 6)
    at = int(np.argmax(statistic))
    size = total[at] * n / (before[at] * (n - before[at]))
    return float(statistic[at]), float(size), at + 1


# --- arithmetic ---------------------------------------------------------------------------------


def _robust(values: Floats) -> tuple[float, float]:
    """Return median and 1.4826 MAD, which is the standard deviation of a normal column."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle))) or 1.0


def _scaled(values: Floats) -> Floats:
    """Clip and standardise, NaN left as it is."""
    present = np.isfinite(values)
    middle, spread = _robust(values[present])
    clipped = np.clip(values, middle - CLIP * spread, middle + CLIP * spread)
    kept = clipped[present]
    scaled: Floats = (clipped - kept.mean()) / (kept.std() or 1.0)
    return scaled


def _pair(first: str, second: str) -> Args:
    return {"columns": tuple(sorted((first, second)))}


def _ranked(found: list[tuple[float, Args]]) -> list[Args]:
    return [args for _, args in sorted(found, key=lambda item: -item[0])]
