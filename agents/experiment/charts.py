"""Figures of a table and of what was found in it; each shows something of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from columns import Columns, correlations, robust
from effects import Effects
from findings import Finding
from outcome_charts import importance, product, responses
from picture import (
    BLUE,
    GREEN,
    INK,
    MOST_COLUMNS,
    MOST_PANELS,
    MOST_POINTS,
    ORANGE,
    SOFT,
    STYLE,
    Picture,
    binned,
)
from portraits import portrait, portrait_name


def distributions(picture: Picture) -> Any:
    """Histograms of all columns, gross errors cut off."""
    names = picture.table.numeric[-MOST_PANELS:]
    figure, axes = picture.panels(len(names), height=1.7)
    for axis, name in zip(axes, names, strict=True):
        cells = picture.cells(name)
        cells = cells[np.isfinite(cells)]
        middle, spread = robust(cells)
        shown = cells[np.abs(cells - middle) <= 5 * spread]
        colour = ORANGE if name == picture.table.outcome else BLUE
        axis.hist(shown, bins=30, color=colour, edgecolor="white", linewidth=0.3)
        cut = len(cells) - len(shown)
        axis.set_title(f"{name}  ({cut} cells beyond)" if cut else name, fontsize=9)
        axis.set_yticks([])
    figure.suptitle("How each column is distributed", x=0.01, ha="left")
    return figure


def heat_map(picture: Picture) -> Any:
    """Heat map of the correlations of all pairs."""
    names = picture.table.numeric[-MOST_COLUMNS:]
    r, _ = correlations(picture.table.scaled[-len(names) :])
    side = max(4.0, 0.42 * len(names) + 1.4)
    figure, axis = picture.plt.subplots(figsize=(side + 0.9, side))
    image = axis.imshow(r, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.grid(visible=False)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    for i, j in np.argwhere(np.abs(r) > 0.2).tolist():  # noqa: PLR2004 - worth a number
        if i != j:
            tone = "white" if abs(r[i, j]) > 0.6 else INK  # noqa: PLR2004 - dark enough for white letters
            axis.text(j, i, f"{r[i, j]:.1f}", ha="center", va="center", color=tone, fontsize=7)
    axis.set_title("Correlation of each pair of columns")
    figure.colorbar(image, ax=axis, shrink=0.8, label="Pearson r, cells clipped")
    return figure


def boxes(picture: Picture) -> Any:
    """Box plots of all columns in robust standard deviations."""
    names = picture.table.numeric[-MOST_COLUMNS:]
    units = []
    for name in names:
        cells = picture.cells(name)
        cells = cells[np.isfinite(cells)]
        middle, spread = robust(cells)
        units.append((cells - middle) / spread)
    wrong = {finding.args["column"] for finding in picture.findings if finding.type == "outliers"}
    figure, axis = picture.plt.subplots(figsize=(max(6.0, 0.5 * len(names) + 1.5), 4))
    drawn = axis.boxplot(
        units,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 3, "alpha": 0.5},
        medianprops={"color": INK},
    )
    for box, name in zip(drawn["boxes"], names, strict=True):
        box.set(facecolor=ORANGE if name in wrong else "#cfe3f1", edgecolor=INK, linewidth=0.8)
    axis.set_xticks(range(1, len(names) + 1), names, rotation=60, ha="right")
    axis.set_ylabel("robust standard deviations")
    axis.set_title("Spread and extremes" + (" (orange: gross errors)" if wrong else ""))
    return figure


def levels(picture: Picture) -> Any:
    """Running means along the rows, the changing column in colour."""
    table, change = picture.table, picture.first("change_point")
    figure, axis = picture.plt.subplots(figsize=(8, 3.6))
    width = max(5, len(table.order) // 40)
    for name, row in zip(table.numeric, table.scaled, strict=True):
        present = np.flatnonzero(np.isfinite(row))
        sums = np.cumsum(np.concatenate([[0.0], row[present]]))
        means = (sums[width:] - sums[:-width]) / width
        marked = change is not None and name == change.args["column"]
        axis.plot(
            table.order[present][width // 2 :][: len(means)],
            means,
            color=ORANGE if marked else SOFT,
            linewidth=2.0 if marked else 0.5,
            zorder=3 if marked else 2,
        )
    if change is not None:
        axis.axvline(change.args["at"], color=INK, linestyle="--", linewidth=1)
        axis.annotate(
            f"{change.args['column']} from {change.args['at']:.0f}",
            (change.args["at"], axis.get_ylim()[1]),
            xytext=(4, -12),
            textcoords="offset points",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            zorder=4,
        )
    axis.set_xlabel(table.order_name)
    axis.set_ylabel("standard deviations")
    axis.set_title(f"Means of {width} rows, all columns (orange: its level changes)")
    return figure


def missing_cells(picture: Picture) -> Any:
    """Bars of the share of missing cells, and how it depends on the driver."""
    finding = picture.first("missingness")
    if finding is None:
        return None
    figure, (left, right) = picture.plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(3, 2))
    names = picture.table.numeric[-MOST_COLUMNS:]
    left.bar(names, [100 * picture.lost(name).mean() for name in names], color=BLUE)
    left.tick_params(axis="x", rotation=60)
    left.set_ylabel("% missing")
    left.set_title("Missing cells by column")
    lost = np.where(picture.lost(finding.args["column"]), 100.0, 0.0)
    by = finding.args.get("driver")
    centres, shares = binned(picture.cells(by) if by else picture.table.order, lost, bins=10)
    right.plot(centres, shares, marker="o", color=ORANGE)
    right.set_ylim(bottom=0)
    right.set_xlabel(by or picture.table.order_name)
    right.set_ylabel(f"% of {finding.args['column']} missing")
    right.set_title("Depends on the driver" if by else "By chance: the same everywhere")
    return figure


def closest_pair(picture: Picture) -> Any:
    """Scatter plot of the first pair of near-copies, or else of the most correlated features."""
    finding, names = picture.first("redundant_pair"), picture.table.features
    if len(names) < 2:  # noqa: PLR2004 - a pair
        return None
    r, _ = correlations(picture.table.scaled[: len(names)])
    size = np.triu(np.nan_to_num(np.abs(r)), 1)
    i, j = divmod(int(np.argmax(size)), len(names))
    first, second = finding.args["columns"] if finding else (names[i], names[max(j, 1)])
    x, y = picture.cells(first), picture.cells(second)
    step = -(-len(x) // MOST_POINTS)
    figure, axis = picture.plt.subplots(figsize=(4.6, 4.2))
    axis.scatter(x[::step], y[::step], s=6, color=GREEN, alpha=0.4, linewidths=0)
    axis.set_xlabel(first)
    axis.set_ylabel(second)
    axis.set_title("Near-copies of each other" if finding else "The most correlated features")
    return figure


MOST_FIGURES = 24

CHARTS: dict[str, Callable[[Picture], Any]] = {
    "distributions": distributions,
    "correlations": heat_map,
    "boxes": boxes,
    "levels": levels,
    "responses": responses,
    "importance": importance,
    "closest_pair": closest_pair,
    "missing_cells": missing_cells,
    "interaction": product,
}
"""By file name, those that every table has first."""


EVIDENCE = {
    "relevant_features": ("importance", "responses"),
    "interaction": ("interaction",),
    "redundant_pair": ("closest_pair", "correlations"),
    "outliers": ("boxes", "distributions"),
    "missingness": ("missing_cells",),
    "change_point": ("levels",),
    "trend": ("levels",),
    "anomaly_window": ("levels",),
    "distribution": ("distributions",),
    "no_effect": ("correlations", "importance"),
    "effect_direction": ("responses",),
    "functional_form": ("responses",),
    "shift": ("distributions",),
    "constant": ("boxes",),
}
"""Figures on the whole table that show a finding of a type, beside its portrait."""


def evidence(finding: Finding) -> list[str]:
    """Return the names of the files that show a finding, if they were drawn."""
    names = [portrait_name(finding), *EVIDENCE.get(finding.type, ())]
    return [f"{name}.png" for name in names]


def draw_all(
    table: Columns,
    effects: Effects,
    findings: tuple[Finding, ...],
    folder: Path,
    *,
    until: Callable[[], bool],
) -> list[str]:
    """Draw into `folder` while `until()` allows; return the names of the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    picture = Picture(table=table, effects=effects, findings=findings, plt=plt)
    names: list[str] = []

    def _keep(figure: Any, name: str) -> None:
        if figure is not None:
            figure.savefig(folder / f"{name}.png")
            plt.close(figure)
            names.append(f"{name}.png")

    with plt.rc_context(STYLE):
        for name, chart in CHARTS.items():
            if not until():
                break
            _keep(chart(picture), name)
        for finding in findings:
            if not until() or len(names) >= MOST_FIGURES:
                break
            if portrait_name(finding) + ".png" not in names:
                _keep(portrait(picture, finding), portrait_name(finding))
    return names
