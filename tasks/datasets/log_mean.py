"""The log of a mean of many exponentials, in the memory of a few."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Floats


@dataclass(slots=True, kw_only=True)
class LogMean:
    """The log of a mean of exp, over terms that come a few at a time."""

    top: Floats
    """The greatest exponent so far."""
    total: Floats
    """Sum of exp(exponent - top)."""
    n_terms: int = 0

    @classmethod
    def of_nothing(cls, n: int, k: int) -> "LogMean":
        """Return the mean of no terms yet, (n, k)."""
        return cls(top=np.full((n, k), -np.inf), total=np.zeros((n, k)))

    def add(self, logs: NDArray[np.floating]) -> None:
        """Add the terms of the last axis."""
        top = np.maximum(self.top, logs.max(axis=-1))
        self.total *= np.exp(self.top - top)
        self.total += np.exp(logs - top[..., None].astype(logs.dtype)).sum(axis=-1)
        self.top = top
        self.n_terms += logs.shape[-1]

    def value(self) -> Floats:
        """Return the log of the mean, (n, k)."""
        found: Floats = np.log(self.total / self.n_terms) + self.top
        return found
