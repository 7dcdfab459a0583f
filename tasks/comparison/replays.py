"""Whether a submission is better than the code that is said to have made it, beyond chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.comparison.distributions import t_quantile, t_tail

FALSE_ALARMS = 0.01
"""How often an honest submission is suspected at most; half of it for either question."""

FEWEST = 2
"""Fresh instances that show a spread; from three on a gross gap can be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What was measured on one instance."""

    value: float
    se: float
    """Standard error over the hidden rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far a submission is above its code, and what chance makes of that."""

    value: float
    se: float
    """Standard error, by the spread between instances and that over rows."""
    p: float
    """How often code that made the submission would show so large a gap, or a larger one."""
    suspicious: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What the code does on fresh instances."""

    n: int
    mean: float
    sd: float
    """Between instances; never less than what the choice of rows alone makes of it."""

    @classmethod
    def of(cls, fresh: Sequence[Skill]) -> "Spread | None":
        """Return the spread of skills on independent instances; None where there is none to see."""
        n = len(fresh)
        if n < FEWEST:
            return None
        mean = math.fsum(one.value for one in fresh) / n
        between = math.fsum((one.value - mean) ** 2 for one in fresh) / (n - 1)
        rows = math.fsum(one.se**2 for one in fresh) / n
        return cls(n=n, mean=mean, sd=math.sqrt(max(between, rows)))

    def from_fresh(self, submitted: Skill) -> Gap:
        """Compare with fresh instances: the submission would be one more draw of the same.

        Source: the prediction interval of a normal sample, Student's t with n - 1 degrees.
        """
        return self._gap(submitted.value - self.mean, self.sd * math.sqrt(1 + 1 / self.n))

    def from_same(self, difference: Skill) -> Gap:
        """Compare with the same instance, row by row.

        Two runs of the same code differ there by less than two instances do, so that the rate of
        false alarms is smaller still.
        """
        return self._gap(
            difference.value, math.sqrt(2 * self.sd**2 + difference.se**2) if self.sd else 0.0
        )

    def _gap(self, value: float, se: float) -> Gap:
        if se == 0.0:  # nothing varies, so that any gap is one
            return Gap(value=value, se=0.0, p=float(value <= 0), suspicious=value > 0)
        t, df = value / se, self.n - 1
        p = t_tail(t, df) / 2
        return Gap(
            value=value,
            se=se,
            p=p if t > 0 else 1 - p,
            suspicious=t > t_quantile(1 - FALSE_ALARMS / 2, df),
        )
