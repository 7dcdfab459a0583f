"""Differences between groups of rows, and effects that depend on the group."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from arrays import Booleans, Floats
from columns import Columns
from effects import Effects
from findings import ALPHA, Finding, confidence, holm, normal_tail

MIN_GROUP = 40
MIN_D, MIN_GAP, MIN_SPREAD = 0.25, 0.6, 0.35
"""Cohen's d; gap in means of one level and the others; gap in log standard deviations."""
CLEAR_T, MIN_SLOPE, ELSEWHERE = 6.0, 0.3, 0.28


def compare(table: Columns, acting: Effects) -> list[Finding]:
    """Name effect sizes, shifted levels, paradoxes and effects in one level only."""
    found = [*_shifts(table), *_effect_sizes(table)]
    if table.outcome is not None:
        found += [*_paradoxes(table), *_subgroups(table, acting)]
    return found


def members(table: Columns, group: str) -> Iterator[tuple[str, Booleans]]:
    """Yield each level of a group that is large enough, and its rows."""
    for code, level in enumerate(table.levels[group]):
        rows = table.groups[group] == code
        if rows.sum() >= MIN_GROUP:
            yield level, rows


def _present(cells: Floats) -> Floats:
    kept: Floats = cells[np.isfinite(cells)]
    return kept


def _shifts(table: Columns) -> list[Finding]:
    tests = []
    for group in table.groups:
        for level, rows in members(table, group):
            for name, cells in zip(table.numeric, table.scaled, strict=True):
                a, b = _present(cells[rows]), _present(cells[~rows])
                if min(len(a), len(b)) >= MIN_GROUP and min(a.std(), b.std()) > 0:
                    tests.append((name, group, level, *_apart(a, b)))
    p = holm(np.array([normal_tail(z) for *_, z, _ in tests]))
    return [
        Finding(
            type="shift",
            args={"column": name, "group": group, "level": level},
            p=float(own),
            confidence=min(0.95, confidence(float(own))),
            text=f"{name} is distributed otherwise where {group} is {level}",
        )
        for (name, group, level, _, large), own in zip(tests, p, strict=True)
        if large and own < ALPHA / 10
    ]


def _apart(a: Floats, b: Floats) -> tuple[float, bool]:
    """Return the larger z of the gaps in level and spread, and whether either is large."""
    gap, spread = abs(float(a.mean() - b.mean())), abs(math.log(float(a.std() / b.std())))
    z = gap / math.sqrt(a.var() / len(a) + b.var() / len(b))
    spread_z = spread / math.sqrt(0.5 / len(a) + 0.5 / len(b))
    return max(z, spread_z), (gap > MIN_GAP and z > 7) or (spread > MIN_SPREAD and spread_z > 7)  # noqa: PLR2004 - z far beyond what many tests give


def _effect_sizes(table: Columns) -> list[Finding]:
    tests = []
    for group in table.groups:
        for (first, rows), (second, others) in combinations(members(table, group), 2):
            for name, cells in zip(table.numeric, table.raw, strict=True):
                a, b = _present(cells[rows]), _present(cells[others])
                if min(len(a), len(b)) < MIN_GROUP:
                    continue
                pooled = math.sqrt((len(a) * a.var() + len(b) * b.var()) / (len(a) + len(b) - 2))
                d = float(a.mean() - b.mean()) / pooled if pooled > 0 else 0.0
                z = d / math.sqrt(1 / len(a) + 1 / len(b))
                tests.append((name, group, (first, second), d, z))
    p = holm(np.array([normal_tail(z) for *_, z in tests]))
    return [
        Finding(
            type="effect_size",
            args={"column": name, "group": group, "levels": list(pair), "d": round(d, 3)},
            p=float(own),
            confidence=confidence(float(own)),
            text=f"{name} differs by d = {d:.2f} between {group} {pair[0]} and {pair[1]}",
        )
        for (name, group, pair, d, _), own in sorted(
            zip(tests, p, strict=True), key=lambda test: -abs(test[0][4])
        )
        if abs(d) > MIN_D and own < ALPHA
    ]


def slope(x: Floats, y: Floats, rows: Booleans) -> tuple[float, float]:
    """Return the slope of y on x in some rows, and its t."""
    own = rows & np.isfinite(x) & np.isfinite(y)
    n = int(own.sum())
    if n < MIN_GROUP or x[own].std() == 0:
        return 0.0, 0.0
    a, b = x[own] - x[own].mean(), y[own] - y[own].mean()
    rise = float(a @ b) / float(a @ a)
    rest = b - rise * a
    return rise, rise / math.sqrt(max(float(rest @ rest), 1e-12) / (n - 2) / float(a @ a))


def _paradoxes(table: Columns) -> list[Finding]:
    found = []
    every = np.ones(len(table.order), dtype=np.bool_)
    for group in table.groups:
        levels = list(members(table, group))
        for name, x in zip(table.features, table.scaled, strict=False):
            overall = slope(x, table.scaled[-1], every)[1]
            inside = [slope(x, table.scaled[-1], rows)[1] for _, rows in levels]
            against = [-t * math.copysign(1, overall) for t in inside]
            if len(inside) > 1 and min(against) > 3.3 and abs(overall) > 5:  # noqa: PLR2004 - t of each part, and of all, beyond many tests
                p = normal_tail(min(against))
                text = f"{table.outcome} goes against its overall slope on {name} within {group}"
                args = {"column": name, "group": group}
                found.append(_finding("simpsons_paradox", args, p, text))
    return found


def _subgroups(table: Columns, acting: Effects) -> list[Finding]:
    found = []
    for group in table.groups:
        levels = list(members(table, group))
        if len(levels) < 2:  # noqa: PLR2004 - nothing to compare with
            continue
        for name, x, y in zip(table.features, table.scaled, acting.alone, strict=False):
            tests = [slope(x, y, rows) for _, rows in levels]
            top = max(range(len(tests)), key=lambda k: abs(tests[k][1]))
            rise, t = tests[top]
            rest = max(abs(b) for k, (b, _) in enumerate(tests) if k != top)
            if abs(t) > CLEAR_T and abs(rise) > MIN_SLOPE and rest < ELSEWHERE * abs(rise):
                level = levels[top][0]
                args = {"column": name, "group": group, "level": level}
                text = f"{name} acts on {table.outcome} only where {group} is {level}"
                found.append(_finding("subgroup_effect", args, normal_tail(t), text))
    return found


def _finding(kind: str, args: dict[str, str], p: float, text: str) -> Finding:
    return Finding(type=kind, args=args, p=p, confidence=min(0.95, confidence(p)), text=text)
