"""What an agent may ask of its models, and how much of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one door. A budget of None is none."""

    models: Mapping[str, str] = field(default_factory=dict)
    """Names the agent may use, to the names the upstream knows; empty: any."""
    requests: int | None = None
    tokens: int | None = None
    """Input and output, all calls together."""
    cost_usd: float | None = None
    seconds: float | None = None
    """Wall time from the start of the door."""
    concurrency: int = 16
    """Calls that are upstream at once; others wait."""
    waiting: int = 64
    """Calls that may wait; more are told to come again."""
    requests_per_minute: int | None = None
    connections: int = 256
    request_bytes: int = 32 * 2**20
    answer_bytes: int = 64 * 2**20
    hosted: bool = False
    """Whether the provider may run tools, fetch links and keep state for the agent."""
    retries: int = 2
    """How often the door itself tries again where an upstream is busy or down."""
    patience_s: float = 60.0
    """The longest `Retry-After` that the door sits out; a longer one is the agent's to wait."""
    silence_s: float = 600.0
    """An upstream that says nothing for so long is given up."""
    kept_bytes: int = 256 * 1024
    """Bytes of each request and of each answer that are recorded."""
    recorded_bytes: int = 512 * 2**20
    """Bytes of all records together; from there on only numbers are recorded."""
