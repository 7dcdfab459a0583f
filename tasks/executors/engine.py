"""What the executors on a cluster share: an engine gets as many calls as it has workers.

The others wait here, where they can be cancelled for certain: engines cannot say whether a call
has begun.
"""

import pickle
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tasks.errors import UsageError
from tasks.executors.base import Needs, WorkerLost
from tasks.executors.pool import settle


class EngineExecutor(ABC):
    """Hands calls to an engine, one a worker, and never twice."""

    name: str

    def __init__(self, *, workers: int, needs: Needs | None = None) -> None:
        """Take the numbers; a subclass finds its engine.

        Raises:
            UsageError: Less than one worker.
        """
        if workers < 1:
            raise UsageError(f"{workers} workers can do nothing; give at least 1")
        self.workers = workers
        self.needs = needs or Needs()
        self._waiting: deque[tuple[bytes, Future[Any]]] = deque()
        self._placed: dict[Future[Any], Any] = {}
        """By call that an engine has, what the engine calls it."""
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._closing = self._closed = False

    @abstractmethod
    def _place(self, payload: bytes, done: Callable[[bytes | None, str], None]) -> Any:
        """Have the engine call `worker.answer(payload)` once.

        Args:
            payload: What `answer` is given.
            done: To be called from any thread with its answer, or with None and what was lost.

        Returns:
            What the engine calls it.
        """

    @abstractmethod
    def _drop(self, handle: Any) -> None:
        """End a call, if the engine can."""

    @abstractmethod
    def _close(self) -> None:
        """Leave the engine; end it if it is ours."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        """Call `fn(*args)` in a worker, as soon as one is free."""
        if self._closing:
            raise RuntimeError(f"the executor {self.name} is shut down")
        payload = pickle.dumps((fn, args), protocol=pickle.HIGHEST_PROTOCOL)
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append((payload, future))
        self._fill()
        return future

    def shutdown(self, *, now: bool = False) -> None:
        """Wait for what was submitted, or end it `now` as far as the engine can."""
        self._closing = True
        with self._lock:
            if now:
                while self._waiting:
                    self._waiting.popleft()[1].cancel()
                placed = list(self._placed.items())
            else:
                self._idle.wait_for(lambda: not self._waiting and not self._placed)
                placed = []
        for future, handle in placed:
            self._drop(handle)
            self._settle(future, None, "the worker was stopped")
        if not self._closed:
            self._closed = True
            self._close()

    def _fill(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or len(self._placed) >= self.workers:
                    return
                payload, future = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                self._placed[future] = None
            self._start(payload, future)

    def _start(self, payload: bytes, future: "Future[Any]") -> None:
        def done(answer: bytes | None, lost: str) -> None:
            self._settle(future, answer, lost)
            self._fill()

        try:
            handle = self._place(payload, done)
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, this call is lost
            self._settle(future, None, f"{self.name} did not take the call: {error}")
            return
        with self._lock:
            if future in self._placed:
                self._placed[future] = handle

    def _settle(self, future: "Future[Any]", answer: bytes | None, lost: str) -> None:
        """Give a call its end; the first one counts."""
        with self._lock:
            if self._placed.pop(future, self) is self:
                return
        if answer is None:
            future.set_exception(WorkerLost(lost))
        else:
            settle(future, answer)
        with self._lock:
            self._idle.notify_all()
