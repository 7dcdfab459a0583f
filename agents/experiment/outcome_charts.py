"""Figures of the outcome and what it depends on."""

from typing import Any

import numpy as np
from picture import BLUE, MOST_COLUMNS, MOST_POINTS, ORANGE, SOFT, Picture, binned


def importance(picture: Picture) -> Any:
    """Bars of the partial R² of each feature."""
    if picture.table.outcome is None or not picture.effects.shares.any():
        return None
    order = np.argsort(picture.effects.shares)[-MOST_COLUMNS:]
    figure, axis = picture.plt.subplots(figsize=(6, 0.26 * len(order) + 1.4))
    colours = [BLUE if picture.effects.relevant[j] else SOFT for j in order]
    names = [picture.table.features[j] for j in order]
    axis.barh(names, picture.effects.shares[order], color=colours)
    axis.set_xlabel("partial R² of x and x², given all other columns")
    axis.set_title(f"What {picture.table.outcome} depends on (blue: beyond chance)")
    axis.grid(visible=False, axis="y")
    return figure


def responses(picture: Picture) -> Any:
    """Scatter plots of the outcome over each relevant feature (or any), with means in bins."""
    table, relevant = picture.table, picture.effects.relevant
    chosen = np.flatnonzero(relevant | (not relevant.any()))[:8]
    if table.outcome is None or not len(chosen):
        return None
    figure, axes = picture.panels(len(chosen), width=2.8, height=2.4)
    y = picture.cells(table.outcome)
    step = -(-len(y) // MOST_POINTS)
    for axis, j in zip(axes, chosen, strict=True):
        x = table.raw[j]
        axis.scatter(x[::step], y[::step], s=4, color=BLUE, alpha=0.25, linewidths=0)
        centres, means = binned(x, y)
        axis.plot(centres, means, color=ORANGE, linewidth=2)
        axis.set_xlabel(table.features[j])
    axes[0].set_ylabel(table.outcome)
    over = "what it depends on" if relevant.any() else "features, none of which matters"
    figure.suptitle(f"{table.outcome} over {over} (line: mean)", x=0.01, ha="left")
    return figure


def product(picture: Picture) -> Any:
    """Lines of the outcome over one column of the pair, for low, middle and high other."""
    table = picture.table
    if table.outcome is None or not picture.effects.pairs:
        return None
    i, j = picture.effects.pairs[0]
    figure, axis = picture.plt.subplots(figsize=(6, 4))
    rows = np.flatnonzero(np.isfinite(table.raw[[i, j, -1]]).all(axis=0))
    thirds = np.array_split(rows[np.argsort(table.raw[j, rows])], 3)
    for part, label, colour in zip(
        thirds, ("low", "middle", "high"), (BLUE, SOFT, ORANGE), strict=True
    ):
        centres, means = binned(table.raw[i, part], table.raw[-1, part], bins=8)
        axis.plot(centres, means, marker="o", color=colour, label=f"{label} {table.features[j]}")
    axis.set_xlabel(table.features[i])
    axis.set_ylabel(f"mean {table.outcome}")
    axis.set_title("Not parallel: the two act by their product")
    axis.legend()
    return figure
