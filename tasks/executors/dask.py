"""Dask: a cluster at `DASK_SCHEDULER_ADDRESS`, or worker processes of our own on this machine."""

import os
import uuid
from collections.abc import Callable
from typing import Any

from tasks.errors import InfrastructureError, MissingPart, install
from tasks.executors import worker
from tasks.executors.base import Needs
from tasks.executors.engine import EngineExecutor

CONNECT_S = 30
ADDRESS = "DASK_SCHEDULER_ADDRESS"


class DaskExecutor(EngineExecutor):
    """Calls in Dask workers. Dask cannot end a running call: `shutdown(now=True)` leaves it."""

    name = "dask"

    def __init__(self, *, workers: int, needs: Needs | None = None) -> None:
        """Connect to the cluster, or start one.

        Raises:
            MissingPart: Dask is not installed.
            InfrastructureError: The scheduler does not answer.
        """
        super().__init__(workers=workers, needs=needs)
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise MissingPart(f"the executor dask needs Dask: {install('dask')}") from error
        address = os.environ.get(ADDRESS)
        # A call whose worker died is not to be repeated: the caller decides.
        dask.config.set({"distributed.scheduler.allowed-failures": 0})
        self._cluster: Any = None
        if not address:
            self._cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # the trial's own limits hold, not Dask's guess
                dashboard_address=None,
            )
        try:
            self._client: Any = Client(address or self._cluster, timeout=CONNECT_S)
        except OSError as error:
            raise InfrastructureError(f"no Dask scheduler at {address}: {error}") from error
        self._resources = {"GPU": self.needs.gpus} if self.needs.gpus else None

    def _place(self, payload: bytes, done: Callable[[bytes | None, str], None]) -> Any:
        def ended(future: Any) -> None:
            if future.status == "finished":
                done(future.result(), "")
            else:
                done(None, f"Dask lost the worker ({future.status})")

        future = self._client.submit(
            worker.answer,
            payload,
            key=f"aexp-{uuid.uuid4().hex}",
            pure=False,
            retries=0,
            resources=self._resources,
        )
        future.add_done_callback(ended)
        return future

    def _drop(self, handle: Any) -> None:
        handle.cancel()

    def _close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
