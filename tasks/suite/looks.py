"""Looking at a suite before it is over: which trials a look is at, and whether it settles it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.comparison import paired, records
from tasks.comparison.records import Record
from tasks.comparison.sequential import Boundary
from tasks.errors import UnknownName, UsageError, counted, suggestion
from tasks.store.folders import Product


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look, taken."""

    number: int
    """From 1."""
    trials: int
    """It was at the first so many trials of the order."""
    level: float
    """P values up to here settle a pair of agents."""
    verdicts: dict[str, str]
    """By each agent that is compared with the baseline."""

    @property
    def settled(self) -> bool:
        """Whether all pairs are."""
        return all(verdict != paired.UNSETTLED for verdict in self.verdicts.values())

    def words(self, looks: int) -> str:
        """Say what was seen."""
        told = "; ".join(f"{name}: {verdict}" for name, verdict in self.verdicts.items())
        return f"look {self.number} of {looks}, at {counted(self.trials, 'trial')}: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The looks that were planned before the first trial; no other ones are taken."""

    product: Product
    baseline: str
    boundary: Boundary
    sizes: tuple[int, ...]
    """Trials of the order that each look waits for."""

    @classmethod
    def planned(cls, product: Product, looks: int, baseline: str | None = None) -> Self:
        """Spread the looks evenly, at whole repeats of all tasks where there are enough.

        Args:
            product: The suite's.
            looks: How many, the one at its end included.
            baseline: The agent that all others are compared with; by default the first.

        Raises:
            UsageError: There is nobody to compare, or too few instances for so many looks.
            UnknownName: There is no such agent.
        """
        chosen = baseline or product.agents[0]
        if chosen not in product.agents:
            raise UnknownName(f"no agent {chosen!r}{suggestion(chosen, product.agents)}")
        if len(product.agents) == 1:
            raise UsageError(
                "a suite is decided between agents, and this one has only one: name another"
            )
        units, each = product.repeats, len(product.tasks) * len(product.agents)
        if units < looks:
            units, each = units * len(product.tasks), len(product.agents)
        if units < looks:
            raise UsageError(
                f"{looks} looks at {units} instances: plan at most {units} looks, or more repeats"
            )
        sizes = [math.ceil(look * units / looks) * each for look in range(1, looks + 1)]
        return cls(
            product=product, baseline=chosen, boundary=Boundary.of(looks), sizes=tuple(sizes)
        )

    def __len__(self) -> int:
        """Count them."""
        return len(self.sizes)

    def take(self, number: int, trials: Path) -> Look:
        """Look at the folders of a suite's trials; those after the look's are not seen."""
        size = self.sizes[number - 1]
        found = records.read([trials]).records
        return self.at(number, [one for one in found if _number(one) < size])

    def at(self, number: int, seen: Sequence[Record]) -> Look:
        """Compare each agent with the baseline, at a level that looking so often allows.

        With several agents the level is divided among them (Bonferroni), so that the chance of
        any false winner at any look stays what it is.
        """
        rivals = [name for name in self.product.agents if name != self.baseline]
        level = Boundary.of(len(self), self.boundary.alpha / len(rivals)).level(number)
        sides = {name: [one for one in seen if one.agent == name] for name in self.product.agents}
        verdicts = {
            name: paired.verdict(sides[self.baseline], sides[name], (self.baseline, name), level)
            for name in rivals
        }
        return Look(number=number, trials=self.sizes[number - 1], level=level, verdicts=verdicts)


def _number(record: Record) -> int:
    return int(record.folder.name.partition(".")[0])
