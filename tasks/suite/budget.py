"""What a whole suite may spend on models, divided so that trials together never pass it."""

from dataclasses import dataclass, replace
from typing import Self

from tasks.gateway import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Tokens and money; None is no bound, or nothing known to be bounded."""

    tokens: float | None = None
    cost_usd: float | None = None

    def __bool__(self) -> bool:
        """Whether it bounds anything."""
        return self.tokens is not None or self.cost_usd is not None

    def less(self, other: "Amount") -> "Amount":
        """Return what is left of it when `other` is taken."""
        return Amount(
            tokens=None if self.tokens is None else self.tokens - (other.tokens or 0),
            cost_usd=None if self.cost_usd is None else self.cost_usd - (other.cost_usd or 0.0),
        )

    def share(self, parts: int, cap: "Amount") -> "Amount":
        """Return one of so many equal parts, or the smaller `cap`."""
        return Amount(
            tokens=_least(_part(self.tokens, parts), cap.tokens),
            cost_usd=_least(None if self.cost_usd is None else self.cost_usd / parts, cap.cost_usd),
        )

    @property
    def spent(self) -> bool:
        """Whether nothing is left of one of them."""
        return any(left is not None and left <= 0 for left in (self.tokens, self.cost_usd))

    def words(self, used: "Amount") -> str:
        """Say how much of it is used."""
        said = []
        if self.tokens is not None:
            said.append(f"{used.tokens or 0:,.0f} of {self.tokens:,.0f} tokens")
        if self.cost_usd is not None:
            said.append(f"{used.cost_usd or 0:.4f} of {self.cost_usd:g} US dollars")
        return ", ".join(said)

    def __add__(self, other: "Amount") -> "Amount":
        """Add two that were used."""
        return Amount(
            tokens=(self.tokens or 0) + (other.tokens or 0),
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0),
        )


NOTHING = Amount()


def _part(tokens: float | None, parts: int) -> float | None:
    return None if tokens is None else max(min(tokens, 1), tokens // parts)


def _least(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What one trial may spend."""

    amount: Amount = NOTHING
    """Its own budget, or its part of what the suite has left."""
    by_suite: bool = False
    """Whether the suite has less left than the trial's own budget: a trial that runs out of this
    was cut short by us, so that it is no result."""

    @classmethod
    def of(cls, left: Amount, parts: int, policy: Policy) -> Self:
        """Grant a trial its own budget where the suite has that much left; else its part.

        Args:
            left: What the suite has left and nobody was granted.
            parts: How many trials are to share it.
            policy: What a trial may spend.
        """
        cap = Amount(tokens=policy.tokens, cost_usd=policy.cost_usd)
        parts = parts if not _covers(cap, left) else 1
        amount = left.share(parts, cap)
        return cls(amount=amount, by_suite=amount != cap)

    def bound(self, policy: Policy) -> Policy:
        """Return the rules of the trial's door."""
        tokens, cost = self.amount.tokens, self.amount.cost_usd
        return replace(policy, tokens=None if tokens is None else int(tokens), cost_usd=cost)


def _covers(cap: Amount, left: Amount) -> bool:
    """Whether a trial's own budget bounds all that is bounded."""
    return all(
        mine is not None or bound is None
        for mine, bound in ((cap.tokens, left.tokens), (cap.cost_usd, left.cost_usd))
    )
