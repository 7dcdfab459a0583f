"""How one run of a command ended, and whose fault that is."""

from dataclasses import dataclass, field
from typing import Literal

Reason = Literal[
    "finished",
    "agent error",
    "timed out",
    "out of memory",
    "disk full",
    "cancelled",
    "never started",
    "infrastructure",
]
"""How the agent's command ended. Only `finished` is clean; all but the last two are results."""

Mechanisms = dict[str, str | None]
"""By guarantee (network, filesystem, memory, pids, cpu, disk, time): what enforced it, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use."""

    time_s: float = 3600.0
    grace_s: float = 10.0
    """Seconds between SIGTERM at the time limit and the end of the whole tree."""
    memory_bytes: int | None = None
    disk_bytes: int = 20 * 2**30
    """All that the trial may leave in its workspace."""
    log_bytes: int = 64 * 2**20
    """What run.log keeps; the rest is drained and counted."""
    output_bytes: int = 2 * 2**30
    """What is collected, all files together."""
    output_files: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended, measured by the harness and never told by the agent."""

    reason: Reason
    exit_code: int | None
    """None when stopped by us or never started; minus the number of a signal that ended it."""
    seconds: float
    """Wall time on the host's monotonic clock."""
    cpu_seconds: float = 0.0
    """User and system time of the whole tree."""
    peak_memory_bytes: int = 0
    killed_processes: int = 0
    """Processes still alive when the command had ended, or when it was stopped."""
    log_bytes: int = 0
    """Bytes the command printed, kept or not."""
    detail: str = ""
    enforced: Mechanisms = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the command ended by itself with status 0."""
        return self.reason == "finished"

    def exit_status(self) -> int:
        """Return the exit status of the command line for this ending."""
        if self.reason == "finished":
            return 0
        if self.reason in {"timed out", "out of memory", "disk full"}:
            return 7
        if self.reason == "cancelled":
            return 130
        return 6 if self.reason in {"agent error", "never started"} else 8
