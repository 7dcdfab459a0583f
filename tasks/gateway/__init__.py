"""The door: a model's endpoint that holds the key, counts, limits, records and replays."""

from tasks.gateway.access import Access, by_wire, named_models
from tasks.gateway.policy import Policy
from tasks.gateway.server import Gateway, Setup
from tasks.gateway.upstream import Upstream
from tasks.gateway.usage import Prices

__all__ = [
    "Access",
    "Gateway",
    "Policy",
    "Prices",
    "Setup",
    "Upstream",
    "by_wire",
    "named_models",
]
