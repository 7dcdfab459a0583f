"""What an executor is: it calls functions elsewhere, and says when it lost one."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from tasks import plugins


class WorkerLost(Exception):  # noqa: N818 - named for what the caller reads
    """Whoever ran a call died or vanished before it had answered; the call may have begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one call is given room for by an engine; None: as the engine thinks fit."""

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: float = 0
    time_s: float | None = None
    """Seconds after which a site may end it; the call keeps limits of its own."""


class Executor(Protocol):
    """Places calls. Plug-ins pass the cases of `tests/contracts/test_executors.py`.

    A call is never repeated by the engine: what is lost is told, and the caller decides.
    """

    name: str
    workers: int
    """How many calls run at a time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        """Call a function of an importable module with picklable arguments, some time.

        Returns:
            A future of what it returns or raises; `WorkerLost` where nobody can tell. One that
            has not begun can be cancelled.
        """
        ...

    def shutdown(self, *, now: bool = False) -> None:
        """Wait for what was submitted, or end it `now`; nothing is left running after that."""
        ...


def executor_named(name: str, *, workers: int, needs: Needs | None = None) -> Executor:
    """Return an executor of so many workers.

    Args:
        name: `pool`, `dask`, `ray`, `slurm`, or a plug-in's.
        workers: How many calls run at a time.
        needs: What each call needs, for engines that place by that.

    Raises:
        UnknownName: There is no such executor.
        MissingPart: Its engine is not installed; the message holds what would bring it.
    """
    kind = plugins.load("executor", name)
    made: Executor = kind(workers=workers) if needs is None else kind(workers=workers, needs=needs)
    return made
