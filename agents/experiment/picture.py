"""What all figures share: the look, the panels, means in bins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from arrays import Booleans, Floats
from columns import Columns
from effects import Effects
from findings import Finding

INK, SOFT, BLUE, ORANGE, GREEN = "#333333", "#9a9a9a", "#0072b2", "#d55e00", "#009e73"
"""The colours of Okabe and Ito, told apart by everybody."""
STYLE: dict[Any, Any] = {
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
MOST_PANELS, MOST_COLUMNS, MOST_POINTS = 16, 40, 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that a figure may need, and the library, which takes a second to load."""

    table: Columns
    effects: Effects
    findings: tuple[Finding, ...]
    plt: Any

    def first(self, kind: str) -> Finding | None:
        """Return the first finding of a type."""
        return next((finding for finding in self.findings if finding.type == kind), None)

    def cells(self, name: str) -> Floats:
        """Return a column as it stands in the file."""
        cells: Floats = self.table.raw[self.table.numeric.index(name)]
        return cells

    def lost(self, name: str) -> Booleans:
        """Return which cells of a column are missing in the file."""
        lost: Booleans = self.table.lost[self.table.numeric.index(name)]
        return lost

    def panels(self, n: int, width: float = 2.6, height: float = 2.0) -> tuple[Any, list[Any]]:
        """Return a figure and n axes in a grid."""
        wide = min(n, 3 if n in {5, 6, 9} else 4)  # fills the last line
        high = -(-n // wide)
        size = (max(width * wide, 4.5), max(height * high, 3.2))
        figure, grid = self.plt.subplots(high, wide, figsize=size, squeeze=False)
        axes = list(grid.ravel())
        for unused in axes[n:]:
            unused.set_visible(False)
        return figure, axes[:n]


def binned(x: Floats, y: Floats, bins: int = 15) -> tuple[Floats, Floats]:
    """Return medians of x and means of y in bins of equal counts."""
    present = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    parts = np.array_split(present[np.argsort(x[present])], bins)
    parts = [part for part in parts if len(part)]
    return np.array([np.median(x[p]) for p in parts]), np.array([y[p].mean() for p in parts])
