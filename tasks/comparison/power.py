"""How many runs a difference takes: planned before, and what is still missing after."""

import math
from dataclasses import dataclass

from tasks.comparison.distributions import normal_quantile, t_power
from tasks.comparison.intervals import ALPHA

POWER = 0.8
"""The chance of finding a true difference that a plan asks for."""
MOST_UNITS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where scores of one agent differ by, each a standard deviation of skill.

    The defaults are what trials of two capable agents showed; `measured` takes your own.
    """

    interaction: float = 0.06
    """An agent's leaning towards a task, beyond how hard it is for everybody."""
    run: float = 0.10
    """From trial to trial of one agent on one task."""
    task: float = 0.20
    """How hard tasks are; drops out where both agents meet the same instances."""
    failures: float = 0.05
    """The share of trials that leave nothing to grade."""
    assumed: tuple[str, ...] = ()
    """Which of these nobody measured or gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to spend runs."""

    tasks: int
    repeats: int
    power: float

    @property
    def runs(self) -> int:
        """Trials of each agent."""
        return self.tasks * self.repeats


def per_task_sd(spread: Spread, repeats: int, *, paired: bool = True) -> float:
    """Return the standard deviation of one task's difference of two agents' mean skills."""
    both = (1.0 - spread.failures) ** 2 if paired else 1.0 - spread.failures
    variance = spread.interaction**2 + spread.run**2 / max(1.0, repeats * both)
    if not paired:
        variance += spread.task**2
    return math.sqrt(2.0 * variance)


def plan(
    gap: float,
    *,
    repeats: int,
    spread: Spread,
    power: float = POWER,
    alpha: float = ALPHA,
    paired: bool = True,
) -> Plan | None:
    """Return the smallest number of tasks that finds a true gap in skill; None if beyond reach.

    Args:
        gap: Mean skill of one agent above the other's, given that both completed.
        repeats: Trials of each agent on each task.
        spread: How much scores vary.
        power: The wanted chance of finding it.
        alpha: The accepted chance of finding one where there is none.
        paired: Whether both agents meet the same instances.
    """
    both = (1.0 - spread.failures) ** 2
    usable = 1.0 - (1.0 - both) ** repeats  # a task counts if both completed it once
    sd = per_task_sd(spread, repeats, paired=paired)
    units = units_needed(gap, sd, power=power, alpha=alpha)
    if units is None or usable <= 0.0:
        return None
    reached = t_power(gap * math.sqrt(units) / sd, units - 1, alpha)
    return Plan(tasks=math.ceil(units / usable), repeats=repeats, power=reached)


def units_needed(
    gap: float, sd: float, *, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Return how many differences of this spread find a mean of `gap`; None beyond 100,000."""
    if gap == 0.0:
        return None
    if sd == 0.0:
        return 2
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    least = (z * sd / abs(gap)) ** 2
    if least > MOST_UNITS:
        return None
    n = max(2, math.floor(least))
    while t_power(abs(gap) * math.sqrt(n) / sd, n - 1, alpha) < power:
        n += 1
    return n


def detectable(
    tasks: int, *, repeats: int, spread: Spread, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the smallest true gap that so many tasks and repeats find."""
    low, high = 0.0, 1.0
    sd = per_task_sd(spread, repeats)
    usable = max(2, round(tasks * (1.0 - (1.0 - (1.0 - spread.failures) ** 2) ** repeats)))
    while t_power(high * math.sqrt(usable) / sd, usable - 1, alpha) < power:
        high *= 2.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        found = t_power(middle * math.sqrt(usable) / sd, usable - 1, alpha)
        low, high = (low, middle) if found >= power else (middle, high)
    return high
