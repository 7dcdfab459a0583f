"""Which runtime a name stands for on this machine."""

import logging
from collections.abc import Sequence

from tasks import plugins
from tasks.agents import AgentSpec
from tasks.errors import MissingPart
from tasks.runtimes.base import InImages, Runtime

log = logging.getLogger(__name__)

LOCAL = ("bubblewrap", "process")
"""Runtimes `--local` may use, the tightest first."""


def runtime_named(name: str) -> Runtime:
    """Return a runtime; `local` is the tightest one that works without a container.

    Raises:
        MissingPart: It is not there, or does not work on this machine.
        UnknownName: There is no such runtime.
    """
    if name == "local":
        return _tightest(LOCAL)
    runtime: Runtime = plugins.load("runtime", name)()
    runtime.check()
    return runtime


def _tightest(names: Sequence[str]) -> Runtime:
    """Return the first of these that works here; of the last, why it does not is the error."""
    for name in names[:-1]:
        try:
            return runtime_named(name)
        except MissingPart as error:
            log.info("not the %s runtime: %s", name, error)
    return runtime_named(names[-1])


def fitting(runtime: Runtime, agent: AgentSpec) -> Runtime:
    """Return the runtime with the agent's image, where there are images at all."""
    return runtime.in_image(agent.image) if isinstance(runtime, InImages) else runtime
