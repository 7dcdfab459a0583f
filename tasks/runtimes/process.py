"""A command as a plain process: limited, counted and killed as a whole, but not walled in.

It can read what its user can read and reach the network; the report says so (`enforced`).
"""

import sys
from collections.abc import Callable, Mapping, Sequence

from tasks.errors import MissingPart
from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.runtimes.base import Cancel
from tasks.runtimes.watched import supervised
from tasks.workspace import Workspace


class ProcessRuntime:
    """Runs the command as a process of the same user. Linux only."""

    name = "process"
    home: str | None = None
    host_programs = True

    def check(self) -> None:
        """Refuse other systems than Linux."""
        if sys.platform != "linux":
            raise MissingPart("the process runtime needs Linux: run in a Linux container or VM")

    def enforces(self, limits: Limits) -> Mechanisms:
        """Return what `Runtime.enforces` says."""
        return {
            "network": None,
            "filesystem": None,
            "memory": None if limits.memory_bytes is None else "sampled",
            "pids": None,
            "cpu": None,
            "disk": "sampled",
            "time": "supervisor",
        }

    def run(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Run `command` as `Runtime.run` says."""
        self.check()
        return supervised(
            command,
            workspace,
            env,
            limits,
            enforced=self.enforces(limits),
            on_output=on_output,
            cancel=cancel,
        )
