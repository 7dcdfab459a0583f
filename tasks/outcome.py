"""How one run of a command ended, and whose fault that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tasks.errors import MissingPart, UsageError, brief, counted, suggestion
from tasks.spec import GUARANTEES

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
"""By guarantee (see `spec.GUARANTEES`): the name of what enforces it, or None."""

Network = Literal["none", "host", "bridge"]
"""Nothing to reach; all that the host reaches; a network of its own behind the host's address."""

NETWORKS: Final[tuple[Network, ...]] = ("none", "host", "bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use."""

    time_s: float = 3600.0
    grace_s: float = 10.0
    """Seconds between SIGTERM at the time limit and the end of the whole tree."""
    memory_bytes: int | None = None
    cpus: float | None = None
    """Cores' worth of time, such as 1.5."""
    pids: int | None = 4096
    """Processes and threads at once."""
    disk_bytes: int = 20 * 2**30
    """All that the trial may leave in its workspace."""
    disk_wall: bool = False
    """Whether the agent's home is a file system of that size, which needs root, instead of being
    watched only; what is not collected of it is gone afterwards."""
    shm_bytes: int = 2**30
    """Shared memory: /dev/shm, and /tmp where it is kept in memory; counts as memory too."""
    gpus: str | None = None
    """`all`, a count, or ids separated by commas."""
    network: Network = "none"
    """What may be reached, where the runtime has walls at all."""
    log_bytes: int = 64 * 2**20
    """What run.log keeps; the rest is drained and counted."""
    output_bytes: int = 2 * 2**30
    """What is collected, all files together."""
    output_files: int = 10_000


LEAST_MEMORY: Final = 16 * 2**20
"""No interpreter starts in less."""
LEAST_DISK: Final = 2**20
"""In less not even a C library starts: its caches count."""
LEAST_CPUS: Final = 0.01
"""The kernel divides a core no finer."""


def refuse_impossible(limits: Limits, cores: int | None, named: str) -> None:
    """Refuse limits in which nothing can run, before anything is started.

    Only limits that a person asks for are checked; a program may have its reasons.

    Args:
        limits: What was asked for.
        cores: How many there are, or None where trials run on machines that are not known.
        named: What stands before a limit's name where it was asked for: `--`, `limits.`.

    Raises:
        UsageError: A limit is too small for any agent.
        MissingPart: More cores are asked for than there are.
    """
    if limits.memory_bytes is not None and limits.memory_bytes < LEAST_MEMORY:
        raise UsageError(f"{named}memory {limits.memory_bytes:,} bytes: give at least 16m")
    if limits.disk_bytes < LEAST_DISK:
        raise UsageError(f"{named}disk {limits.disk_bytes:,} bytes: give at least 1m")
    if limits.cpus is None:
        return
    if not limits.cpus >= LEAST_CPUS:
        raise UsageError(f"{named}cpus {limits.cpus:g}: give at least {LEAST_CPUS}")
    if cores is not None and limits.cpus > cores:
        there = counted(cores, "core")
        raise MissingPart(
            f"{named}cpus {limits.cpus:g}: this machine has {there}; give at most {cores}"
        )


def isolation(enforced: Mechanisms) -> str:
    """Say in two words whether the agent was kept off the network and off the host's files."""
    walls = enforced.get("network") and enforced.get("filesystem")
    return "isolated" if walls else "not isolated"


def demanded(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Return guarantees that are asked for, checked.

    Raises:
        UsageError: There is no such guarantee; `where` begins the message.
    """
    for name in names:
        if name not in GUARANTEES:
            message = f"{where}: no guarantee {brief(name)}{suggestion(name, GUARANTEES)}"
            raise UsageError(message)
    return tuple(names)


def refuse_unmet(demands: Sequence[str], enforced: Mechanisms, runtime: str) -> None:
    """Refuse a trial of which more is demanded than the runtime enforces here.

    Raises:
        MissingPart: The message names the first demand that is not met, and what would meet it.
    """
    for name in demands:
        if enforced.get(name) is None:
            would = _WOULD_MEET.get(name, "a tighter runtime, such as --runtime docker")
            raise MissingPart(
                f"{name} must be enforced, and the {runtime} runtime does not do that here: "
                f"try {would} (`aexp doctor` shows what each one enforces)"
            )


_WOULD_MEET: Final = {
    "memory": "--memory 4g and a runtime that has cgroups",
    "cpu": "--cpus 1 and a runtime that has cgroups",
    "network": "--network none and --runtime bubblewrap or docker",
    "filesystem": "--runtime bubblewrap or docker",
}


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
    breach: str = ""
    """What the agent did to escape its limits; voids success."""
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
