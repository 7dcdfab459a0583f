"""What a user grants the agents of a run: where models are, what may be spent, which cassette."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.errors import InvalidInput, MissingPart, UsageError, brief
from tasks.gateway.door import Service
from tasks.gateway.policy import Policy
from tasks.gateway.server import Setup
from tasks.gateway.upstream import DEFAULTS, Upstream
from tasks.gateway.usage import Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A grant; each trial gets a door of its own from it, with a token of its own."""

    urls: Mapping[str, str] = field(default_factory=dict)
    """By wire, `openai` or `anthropic`; by default the providers' own, where a key is set."""
    key_env: Mapping[str, str] = field(default_factory=dict)
    """By wire, the variable that holds the key."""
    policy: Policy = field(default_factory=Policy)
    prices: Path | None = None
    """A table of prices in LiteLLM's form; where it is silent, LiteLLM's own, if installed."""
    record: Path | None = None
    replay: Path | None = None
    loose: bool = False
    """Whether a request that was not recorded gets the next answer in order."""

    def setup(
        self,
        models: Mapping[str, str],
        *,
        ledger: Path | None = None,
        places: Mapping[str, str] | None = None,
        services: Mapping[tuple[str, str], Service] | None = None,
        keyed: Mapping[tuple[str, str], Service] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Setup:
        """Return what a gateway is made of.

        Args:
            models: Names that the agent may use, to the names upstream; empty for any.
            ledger: Where calls are recorded.
            places: As `Setup.places`.
            services: As `Setup.services`.
            keyed: As `Setup.keyed`.
            environ: Where keys are looked up.

        Raises:
            MissingPart: No key is set.
            InvalidInput: A URL, a key or the table of prices cannot be used.
            UsageError: Both a record and a replay are asked for, or the price of a model whose
                cost is limited is not known.
        """
        if self.record is not None and self.replay is not None:
            raise UsageError("a cassette is recorded or replayed, not both at once")
        prices = Prices.load(self.prices)
        if self.policy.cost_usd is not None and self.replay is None:
            _priced(models, prices)
        return Setup(
            policy=replace(self.policy, models=dict(models)),
            upstreams={} if self.replay is not None else self._upstreams(environ),
            prices=prices,
            ledger=ledger,
            record=self.record,
            replay=self.replay,
            loose=self.loose,
            places=dict(places or {}),
            services=dict(services or {}),
            keyed=dict(keyed or {}),
        )

    def _upstreams(self, environ: Mapping[str, str]) -> dict[str, Upstream]:
        unknown = sorted({*self.urls, *self.key_env} - DEFAULTS.keys())
        if unknown:
            known = ", ".join(DEFAULTS)
            raise InvalidInput(f"no wire {brief(unknown[0])}; known: {known}")
        wanted = [
            wire
            for wire, (_, usual) in DEFAULTS.items()
            if wire in self.urls or environ.get(self.key_env.get(wire, usual), "").strip()
        ]
        if not wanted:
            names = " or ".join(self.key_env.get(w, usual) for w, (_, usual) in DEFAULTS.items())
            raise MissingPart(
                f"no model: set {names} on this machine (it stays outside the sandbox), "
                "name a server with --upstream URL, or play a cassette with --play FILE"
            )
        return {
            wire: Upstream.named(wire, self.urls.get(wire), self.key_env.get(wire), environ)
            for wire in wanted
        }


def _priced(models: Mapping[str, str], prices: Prices) -> None:
    for name, upstream in models.items():
        if prices.of(upstream) is None:
            raise UsageError(
                f"the cost of {name} cannot be limited, its price is not known: give --prices "
                "FILE, or install litellm, which brings a table"
            )


def by_wire(words: Iterable[str], source: str) -> dict[str, str]:
    """Read `value` and `anthropic=value`: which wire each is for, OpenAI's if none is named.

    Raises:
        UsageError: Two are for one wire.
    """
    found: dict[str, str] = {}
    for word in words:
        named = word.startswith(tuple(f"{wire}=" for wire in DEFAULTS))
        wire, _, value = word.partition("=") if named else ("openai", "", word)
        if wire in found:
            raise UsageError(f"{source} is given twice for {wire}; anthropic=… is the other wire")
        found[wire] = value
    return found


def named_models(words: Iterable[str]) -> dict[str, str]:
    """Read `name` and `name=upstream-name`, as an agent may call a model by another name."""
    pairs = (word.partition("=") for word in words)
    return {name: upstream or name for name, _, upstream in pairs}
