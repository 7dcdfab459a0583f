"""Ray: the cluster of `RAY_ADDRESS`, or one of our own on this machine."""

import os
from collections.abc import Callable
from typing import Any

from tasks.errors import InfrastructureError, MissingPart, install
from tasks.executors import worker
from tasks.executors.base import Needs
from tasks.executors.engine import EngineExecutor

ADDRESS = "RAY_ADDRESS"


class RayExecutor(EngineExecutor):
    """Calls as Ray tasks that are never repeated; Ray keeps their cores, memory and GPUs apart."""

    name = "ray"

    def __init__(self, *, workers: int, needs: Needs | None = None) -> None:
        """Connect to the cluster, or start one.

        Raises:
            MissingPart: Ray is not installed.
            InfrastructureError: There is no cluster at the address.
        """
        super().__init__(workers=workers, needs=needs)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingPart(f"the executor ray needs Ray: {install('ray')}") from error
        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        cpus = self.needs.cpus or 1
        own: dict[str, Any] = {
            "num_cpus": max(1, round(workers * cpus)),
            "include_dashboard": False,
        }
        address = os.environ.get(ADDRESS)
        if self._ours:
            try:
                # Without a runtime_env, which on one machine would rebuild environments.
                ray.init(
                    address=address or "local", log_to_driver=False, **({} if address else own)
                )
            except (ConnectionError, OSError) as error:
                raise InfrastructureError(f"no Ray cluster at {address}: {error}") from error
        options: dict[str, Any] = {"num_cpus": cpus, "max_retries": 0}
        if self.needs.gpus:
            options["num_gpus"] = self.needs.gpus
        if self.needs.memory_bytes:
            options["memory"] = self.needs.memory_bytes
        self._answer: Any = ray.remote(**options)(worker.answer)

    def _place(self, payload: bytes, done: Callable[[bytes | None, str], None]) -> Any:
        def ended(future: Any) -> None:
            error = future.exception()
            if error is None:
                done(future.result(), "")
            else:
                done(None, f"Ray lost the worker ({type(error).__name__})")

        reference = self._answer.remote(payload)
        reference.future().add_done_callback(ended)
        return reference

    def _drop(self, handle: Any) -> None:
        self._ray.cancel(handle, force=True)

    def _close(self) -> None:
        if self._ours:
            self._ray.shutdown()
