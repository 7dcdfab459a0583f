"""One figure for one finding."""

from collections.abc import Callable
from typing import Any

import numpy as np
from arrays import Floats
from findings import Finding
from picture import BLUE, GREEN, INK, MOST_POINTS, ORANGE, SOFT, Picture, binned

COLOURS = (BLUE, ORANGE, GREEN, SOFT, INK)


def portrait_name(finding: Finding) -> str:
    """Return a file name, without suffix, that is its own for each finding."""
    named = [finding.args.get(key) for key in ("column", "columns", "group", "level", "levels")]
    words = [word for part in named for word in ([part] if isinstance(part, str) else part or ())]
    kept = ["".join(c if c.isalnum() else "-" for c in word)[:20] for word in words[:4]]
    return "_".join([finding.type, *kept])


def portrait(picture: Picture, finding: Finding) -> Any:
    """Draw a finding; None for a type that the figures on the whole table show."""
    draw = PORTRAITS.get(finding.type)
    column = finding.args.get("column")
    if draw is None or (isinstance(column, str) and not _known(picture, column)):
        return None
    figure, axis = picture.plt.subplots(figsize=(6, 3.8))
    draw(picture, finding, axis)
    title = finding.text if len(finding.text) < 80 else finding.text[:77] + "…"  # noqa: PLR2004 - what fits over a figure
    axis.set_title(title, fontsize=9)
    return figure


def _known(picture: Picture, column: str) -> bool:
    table = picture.table
    return column in {*table.numeric, *table.leaks, *table.groups}


def _along(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw cells and running means along the rows."""
    table, cells = picture.table, picture.cells(finding.args["column"])
    rows = np.flatnonzero(np.isfinite(cells))
    step = -(-len(rows) // MOST_POINTS)
    axis.scatter(table.order[rows][::step], cells[rows][::step], s=4, color=SOFT, alpha=0.5)
    centres, means = binned(table.order, cells, bins=60)
    axis.plot(centres, means, color=BLUE, linewidth=2)
    if "start" in finding.args:
        axis.axvspan(finding.args["start"], finding.args["end"], color=ORANGE, alpha=0.3)
    axis.set_xlabel(table.order_name)
    axis.set_ylabel(finding.args["column"])


def _folded(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw cells over the phase of their season."""
    table, period = picture.table, finding.args["period"]
    phase = (table.order - table.order[0]) % period / period
    cells = picture.cells(finding.args["column"])
    step = -(-len(cells) // MOST_POINTS)
    axis.scatter(phase[::step], cells[::step], s=4, color=SOFT, alpha=0.5)
    axis.plot(*binned(phase, cells, bins=24), color=ORANGE, linewidth=2)
    axis.set_xlabel(f"phase of {period:.4g} {table.order_name}")
    axis.set_ylabel(finding.args["column"])


def _by_level(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw one histogram for each level of the group."""
    table, group = picture.table, finding.args["group"]
    cells = picture.cells(finding.args["column"])
    low, high = np.nanquantile(cells, [0.005, 0.995]).tolist()
    edges = np.linspace(low, high, 31)
    for code, level in enumerate(table.levels[group]):
        own = cells[(table.groups[group] == code) & np.isfinite(cells)]
        colour = COLOURS[code % len(COLOURS)]
        axis.hist(own, edges, density=True, histtype="step", color=colour, linewidth=2, label=level)
    axis.set_xlabel(finding.args["column"])
    axis.legend(title=group)


def _slopes(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw the mean outcome over the column for each level, and over all."""
    table, group = picture.table, finding.args["group"]
    x, y = picture.cells(finding.args["column"]), picture.cells(table.outcome or "")
    step = -(-len(x) // MOST_POINTS)
    axis.scatter(x[::step], y[::step], s=4, color=SOFT, alpha=0.3)
    for code, level in enumerate(table.levels[group]):
        own = np.where(table.groups[group] == code, x, np.nan)
        colour = COLOURS[code % len(COLOURS)]
        axis.plot(*binned(own, y, bins=8), color=colour, linewidth=2, marker="o", label=level)
    axis.plot(*binned(x, y, bins=12), color=INK, linestyle="--", label="all")
    axis.set_xlabel(finding.args["column"])
    axis.set_ylabel(table.outcome)
    axis.legend(title=group)


def _alone(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw the outcome less what the other columns do over the column."""
    j = picture.table.features.index(finding.args["column"])
    x, y = picture.table.raw[j], picture.effects.alone[j]
    step = -(-len(x) // MOST_POINTS)
    axis.scatter(x[::step], y[::step], s=4, color=SOFT, alpha=0.4)
    axis.plot(*binned(x, y, bins=20), color=BLUE, linewidth=2, marker=".")
    axis.set_xlabel(finding.args["column"])
    axis.set_ylabel(f"{picture.table.outcome}, others taken out")


def _plane(picture: Picture, finding: Finding, axis: Any) -> None:
    first, second = finding.args["columns"]
    x, y = picture.cells(first), picture.cells(second)
    step = -(-len(x) // MOST_POINTS)
    axis.scatter(x[::step], y[::step], s=5, color=GREEN, alpha=0.4)
    axis.set_xlabel(first)
    axis.set_ylabel(second)


def _histogram(picture: Picture, finding: Finding, axis: Any) -> None:
    cells = picture.cells(finding.args["column"])
    axis.hist(cells[np.isfinite(cells)], bins=60, color=BLUE, edgecolor="white", linewidth=0.3)
    axis.set_xlabel(finding.args["column"])
    axis.set_ylabel("rows")


def _leak(picture: Picture, finding: Finding, axis: Any) -> None:
    x, y = picture.table.leaks[finding.args["column"]], picture.cells(picture.table.outcome or "")
    step = -(-len(x) // MOST_POINTS)
    axis.scatter(x[::step], y[::step], s=6, color=ORANGE, alpha=0.5, linewidths=0)
    axis.set_xlabel(finding.args["column"])
    axis.set_ylabel(picture.table.outcome)


def _spellings(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw how often each value occurs, those of one category in colour."""
    column = finding.args["column"]
    levels, codes = picture.table.levels[column], picture.table.groups[column]
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    same = finding.args["values"]
    axis.barh(
        [repr(level) for level in levels],
        counts,
        color=[ORANGE if v in same else BLUE for v in levels],
    )
    axis.set_xlabel("rows")


def _spoilt(picture: Picture, finding: Finding, axis: Any) -> None:
    """Draw which columns have repaired or coded cells, beside the column when it is clean."""
    cells: Floats = picture.cells(finding.args["column"])
    wrong = finding.args.get("value", finding.args.get("factor"))
    axis.hist(cells[np.isfinite(cells)], bins=40, color=GREEN, edgecolor="white", linewidth=0.3)
    axis.set_xlabel(f"{finding.args['column']} when it is clean (wrong: {wrong:g})")
    axis.set_ylabel("rows")


PORTRAITS: dict[str, Callable[[Picture, Finding, Any], None]] = {
    "trend": _along,
    "anomaly_window": _along,
    "change_point": _along,
    "seasonality": _folded,
    "shift": _by_level,
    "effect_size": _by_level,
    "simpsons_paradox": _slopes,
    "subgroup_effect": _slopes,
    "effect_direction": _alone,
    "functional_form": _alone,
    "no_effect": _alone,
    "cluster_count": _plane,
    "distribution": _histogram,
    "leakage_column": _leak,
    "category_aliases": _spellings,
    "sentinel_values": _spoilt,
    "unit_errors": _spoilt,
}
