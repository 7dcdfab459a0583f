"""A number with its bounds."""

from dataclasses import asdict, dataclass
from typing import Any

TOO_FEW = 3
"""Numbers on fewer units are greyed: they say next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with its uncertainty; nothing here is ever shown without it."""

    estimate: float | None
    """None where there is nothing to estimate from."""
    low: float | None
    high: float | None
    """None where one unit alone says nothing of the spread."""
    n: int
    """Independent units behind it: trials, tasks or families of tasks."""
    method: str

    @property
    def greyed(self) -> bool:
        """Whether there are too few units to believe it."""
        return self.n < TOO_FEW

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {"greyed": self.greyed}


def nothing(method: str) -> Interval:
    """Return the interval of no data."""
    return Interval(estimate=None, low=None, high=None, n=0, method=method)
