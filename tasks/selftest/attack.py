"""What one attack is: a script run as an agent, and what must not come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.outcome import Limits, Mechanisms, Outcome, Reason

PRELUDE = """\
import ctypes, json, os, signal, socket, sys, time
T = json.loads(os.environ["AEXP_TARGETS"])
def gained(what):
    print("GAINED", what, flush=True)
def attempt(what, function, *arguments):
    try:
        function(*arguments)
    except (OSError, ValueError, AttributeError):
        return
    gained(what)
def syscall(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(T["calls"][name], *arguments)
def writable(path):
    attempt("could open for writing: " + path, open, path, "a")
"""
"""In scope of every script: `T` holds the targets of `arena.py`; `gained` owns up to a success."""

TIME_S, GRACE_S = 8.0, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One hostile agent. It is held if it gains, changes and outlives nothing."""

    id: str
    threat: str
    """The family: M1 reach out, M2 the host, M3 outlive, M4 exhaust, M5 outputs, M7 impersonate."""
    script: str
    """Python, after `PRELUDE`; runs in the agent's folder."""
    walls: tuple[str, ...] = ()
    """Guarantees without which it is not promised to be held."""
    mechanism: str = ""
    """A word without which the first wall's mechanism does not promise it, such as `seccomp`."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Of the run, where they differ from `TIME_S` and `GRACE_S`."""
    reason: Reason | None = None
    """How it must end; None: in whatever way."""
    judge: Callable[[Outcome], str] = lambda _: ""
    """Says what is wrong with the outcome; nothing if nothing is."""

    def is_promised(self, enforced: Mechanisms) -> bool:
        """Whether a runtime that enforces this promises to hold it."""
        first = enforced.get(self.walls[0]) if self.walls else ""
        return all(map(enforced.get, self.walls)) and self.mechanism in (first or "")

    def run_limits(self) -> Limits:
        """Return the limits it runs under."""
        return Limits(**{"time_s": TIME_S, "grace_s": GRACE_S, **self.limits})
