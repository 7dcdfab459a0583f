"""The meter: what was used, what is held for calls under way, and when it is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from tasks.gateway.policy import Policy
from tasks.gateway.usage import Usage
from tasks.gateway.wires import Refusal


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a trial has used so far."""

    requests: int = 0
    """Calls that went upstream, or were replayed."""
    refused: int = 0
    over_budget: int = 0
    """Those of the refused that found a budget used up."""
    failed: int = 0
    """Calls that went upstream and brought no answer."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    """Whether a number of tokens in it is a guess."""
    cost_usd: float | None = 0.0
    """None once a call had no known price."""
    model_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Hold:
    """What a call under way may come to use."""

    tokens: int
    cost_usd: float


class Meter:
    """Counts calls against a policy; used by one thread."""

    def __init__(self, policy: Policy, clock: Callable[[], float] = monotonic) -> None:
        self.policy = policy
        self.spent = Spent()
        self._clock = clock
        self._begin = clock()
        self._held: dict[int, Hold] = {}
        self._calls = 0
        self._allowance = float(policy.requests_per_minute or 0)
        self._refilled = self._begin

    def admit(self, hold: Hold) -> int:
        """Let a call begin; return its number, to be settled.

        Raises:
            Refusal: A budget is used up, or the calls come too fast.
        """
        policy, spent = self.policy, self.spent
        tokens = spent.input_tokens + spent.output_tokens + sum(h.tokens for h in self._others())
        cost = (spent.cost_usd or 0.0) + sum(h.cost_usd for h in self._others())
        try:
            _within("requests", self._calls, policy.requests)
            _within("tokens", tokens, policy.tokens)
            _within("US dollars", cost, policy.cost_usd)
            _within("seconds", self._clock() - self._begin, policy.seconds)
        except Refusal:
            spent.over_budget += 1
            raise
        self._pace()
        self._calls += 1
        self._held[self._calls] = hold
        return self._calls

    def settle(self, call: int, usage: Usage, cost_usd: float | None, seconds: float) -> None:
        """Book what a call has used."""
        self._held.pop(call)
        spent = self.spent
        spent.requests += 1
        spent.input_tokens += usage.input
        spent.output_tokens += usage.output
        spent.cached_tokens += usage.cache_read
        spent.estimated = spent.estimated or usage.estimated
        known = spent.cost_usd is not None and cost_usd is not None
        spent.cost_usd = (spent.cost_usd or 0.0) + (cost_usd or 0.0) if known else None
        spent.model_seconds += seconds

    def left(self) -> dict[str, float | None]:
        """Return what is left of each budget; None where there is none."""
        policy, spent = self.policy, self.spent
        used = {
            "requests": (policy.requests, self._calls),
            "tokens": (policy.tokens, spent.input_tokens + spent.output_tokens),
            "cost_usd": (policy.cost_usd, spent.cost_usd or 0.0),
            "seconds": (policy.seconds, self._clock() - self._begin),
        }
        return {
            name: None if most is None else max(0, most - now) for name, (most, now) in used.items()
        }

    def _others(self) -> list[Hold]:
        return list(self._held.values())

    def _pace(self) -> None:
        """Keep to the calls a minute, in bursts of at most a minute's worth."""
        rate = self.policy.requests_per_minute
        if rate is None:
            return
        now = self._clock()
        grown = self._allowance + (now - self._refilled) * rate / 60
        self._allowance, self._refilled = min(float(rate), grown), now
        if self._allowance < 1:
            wait = (1 - self._allowance) * 60 / rate
            raise Refusal("rate", f"more than {rate} requests a minute", retry_s=wait)
        self._allowance -= 1


def _within(what: str, used: float, most: float | None) -> None:
    if most is not None and used >= most:
        raise Refusal("budget", f"the budget of {most:g} {what} of this trial is used up")
