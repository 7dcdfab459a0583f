"""Tokens, and what they cost."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.errors import InvalidInput, brief

LITELLM_MAP = "model_prices_and_context_window_backup.json"
CHARACTERS_A_TOKEN = 4
"""A guess, used only where an upstream does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call."""

    input: int = 0
    """All of the prompt's, those read from or written to a cache among them."""
    output: int = 0
    cache_read: int = 0
    cache_written: int = 0
    estimated: bool = False
    """Whether the upstream did not say, and this is a guess by length."""

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars a token."""

    input: float
    output: float
    cache_read: float
    cache_written: float

    def cost(self, usage: Usage) -> float:
        """Return what a call costs."""
        plain = max(0, usage.input - usage.cache_read - usage.cache_written)
        return (
            plain * self.input
            + usage.output * self.output
            + usage.cache_read * self.cache_read
            + usage.cache_written * self.cache_written
        )


def litellm_map() -> Path | None:
    """Return LiteLLM's table of prices, where that package is installed; nothing is imported."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / LITELLM_MAP
        if path.is_file():
            return path
    return None


class Prices:
    """A table of prices: a user's own, then LiteLLM's where it is installed."""

    def __init__(self, own: Mapping[str, Any] | None = None, fallback: Path | None = None) -> None:
        self._own = dict(own or {})
        self._fallback = fallback
        self._loaded: dict[str, Any] | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> "Prices":
        """Read a user's table, in LiteLLM's form: `input_cost_per_token` and so on by model.

        Raises:
            InvalidInput: It cannot be read, or a price in it is no number.
        """
        own: Any = {}
        if path is not None:
            try:
                own = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise InvalidInput(f"{path}: no table of prices: {error}") from error
            if not isinstance(own, dict):
                raise InvalidInput(f"{path}: must map names of models to prices")
            for model, entry in own.items():
                if _price(entry) is None:
                    raise InvalidInput(
                        f"{path}: {brief(model)} needs input_cost_per_token and "
                        "output_cost_per_token, US dollars"
                    )
        return cls(own, litellm_map())

    def of(self, model: str) -> Price | None:
        """Return the price of a model, also under its name without `provider/`; None if unknown."""
        for name in (model, model.rpartition("/")[2]):
            entry = self._own[name] if name in self._own else self._installed().get(name)
            price = _price(entry)
            if price is not None:
                return price
        return None

    def _installed(self) -> dict[str, Any]:
        if self._loaded is None:
            text = "{}" if self._fallback is None else self._fallback.read_text(encoding="utf-8")
            self._loaded = json.loads(text)
        return self._loaded


def _price(entry: Any) -> Price | None:
    if not isinstance(entry, dict):
        return None
    given = _dollars(entry.get("input_cost_per_token"))
    written = _dollars(entry.get("output_cost_per_token", 0))
    if given is None or written is None:
        return None
    read = _dollars(entry.get("cache_read_input_token_cost"))
    made = _dollars(entry.get("cache_creation_input_token_cost"))
    return Price(
        input=given,
        output=written,
        cache_read=given if read is None else read,
        cache_written=given if made is None else made,
    )


def _dollars(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
