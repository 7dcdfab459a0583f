"""From the options of `run` to `Limits`."""

import os
from typing import TYPE_CHECKING, Any

from tasks.errors import UsageError, brief, suggestion

if TYPE_CHECKING:
    from tasks.outcome import Limits


def limits_of(**given: Any) -> "Limits":
    """Return limits, those left out as they are by default.

    Raises:
        UsageError: A network or a choice of GPUs that there is not, or too little for any agent.
        MissingPart: More cores than there are.
    """
    from tasks.outcome import NETWORKS, Limits, refuse_impossible

    network, gpus = given["network"], given["gpus"]
    if network not in NETWORKS:
        raise UsageError(f"--network {brief(network)}{suggestion(network, NETWORKS)}")
    if gpus is not None and not all(word and word.isalnum() for word in _words(gpus)):
        raise UsageError(f"--gpus {brief(gpus)}: write all, a count such as 2, or ids such as 0,2")
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    refuse_impossible(limits, os.cpu_count(), "--")
    return limits


def _words(gpus: str) -> list[str]:
    """Split ids such as `0,2` or `GPU-3faa8-219`."""
    return [word.replace("-", "") for word in gpus.split(",")]
