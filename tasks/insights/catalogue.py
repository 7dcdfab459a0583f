"""All types of claims, by name."""

from collections.abc import Mapping

from tasks.insights import groups, ordered, outcome, quality, shapes, traps
from tasks.insights.kind import Kind

_LATE = {"leakage_column", "duplicates"}
"""Planted last: made of the outcome, or of all other columns."""

_EVERY = (
    *outcome.KINDS,
    *groups.KINDS,
    *shapes.KINDS,
    *ordered.KINDS,
    *quality.KINDS,
    *traps.KINDS,
)

KINDS: Mapping[str, Kind] = {
    kind.type: kind for kind in sorted(_EVERY, key=lambda kind: kind.type in _LATE)
}
"""In the order in which they are planted."""
