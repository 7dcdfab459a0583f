"""Worker processes on this machine: one that dies takes its own call along and no other."""

import os
import pickle
import queue
import selectors
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from tasks.errors import InfrastructureError, UsageError
from tasks.executors.base import WorkerLost

HEADER: Final = 8
_START: Final = "from tasks.executors.worker import main; main()"
_ENDING_S: Final = 10.0
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""There is a worker a core; threads of its linear algebra would only spin beside the others."""


@dataclass(slots=True)
class _Call:
    payload: bytes
    future: "Future[Any]"


@dataclass(slots=True)
class _Worker:
    process: "subprocess.Popen[bytes]"
    link: socket.socket
    call: _Call | None = None
    inbox: bytearray = field(default_factory=bytearray)


class PoolExecutor:
    """`submit` to processes of their own, each a fresh interpreter.

    One thread of ours starts them and talks to them: they end with the thread that started
    them, so that none outlives a killed runner.
    """

    name = "pool"

    def __init__(self, *, workers: int) -> None:
        """Start the thread; a process is started when there is a call for it.

        Raises:
            UsageError: Less than one worker.
        """
        if workers < 1:
            raise UsageError(f"{workers} workers can do nothing; give at least 1")
        self.workers = workers
        self._inbox: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._waiting: deque[_Call] = deque()
        self._crew: list[_Worker] = []
        self._closing = self._kill = False
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="pool", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        """Call `fn(*args)` in a worker, as soon as one is free."""
        if self._closing:
            raise RuntimeError("the pool is shut down")
        payload = pickle.dumps((fn, args), protocol=pickle.HIGHEST_PROTOCOL)
        future: Future[Any] = Future()
        self._inbox.put(_Call(payload, future))
        self._waker.send(b".")
        return future

    def shutdown(self, *, now: bool = False) -> None:
        """Wait for what was submitted, or kill the workers `now`."""
        self._kill = self._kill or now
        if not self._closing:
            self._closing = True
            self._inbox.put(None)
        if self._thread.is_alive():
            self._waker.send(b".")
            self._thread.join()
            self._waker.close()

    # --- the thread ----------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self._over():
                for key, _ in self._selector.select():
                    if key.data is None:
                        self._wake.recv(4096)
                    else:
                        self._hear(key.data)
                self._take_in()
                self._place()
        finally:
            for worker in list(self._crew):
                self._part_from(worker)
            self._selector.close()
            self._wake.close()

    def _over(self) -> bool:
        if self._kill:
            self._take_in()
            for call in self._waiting:
                call.future.cancel()
            return True
        busy = self._waiting or any(worker.call for worker in self._crew)
        return self._closing and self._inbox.empty() and not busy

    def _take_in(self) -> None:
        while not self._inbox.empty():
            call = self._inbox.get()
            if call is not None:
                self._waiting.append(call)

    def _place(self) -> None:
        while self._waiting and not self._kill:
            worker = next((one for one in self._crew if one.call is None), None)
            if worker is None:
                if len(self._crew) >= self.workers:
                    return
                try:
                    worker = self._hire()
                except OSError as error:
                    fault = InfrastructureError(f"cannot start {sys.executable}: {error}")
                    self._waiting.popleft().future.set_exception(fault)
                    continue
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                worker.call = call
                try:
                    worker.link.sendall(len(call.payload).to_bytes(HEADER, "little") + call.payload)
                except OSError:
                    self._lose(worker)

    def _hire(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_ONE_THREAD | os.environ,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the runner, which ends trials gently
            )
        worker = _Worker(process, ours)
        self._crew.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: _Worker) -> None:
        try:
            piece = worker.link.recv(2**18)
        except OSError:
            piece = b""
        if not piece:
            self._lose(worker)
            return
        worker.inbox += piece
        size = int.from_bytes(worker.inbox[:HEADER], "little")
        if len(worker.inbox) < HEADER or len(worker.inbox) < HEADER + size:
            return
        answer = bytes(worker.inbox[HEADER : HEADER + size])
        worker.inbox.clear()
        call, worker.call = worker.call, None
        if call is not None:
            settle(call.future, answer)

    def _lose(self, worker: _Worker) -> None:
        call, worker.call = worker.call, None
        self._part_from(worker)
        if call is not None:
            status = worker.process.returncode
            call.future.set_exception(WorkerLost(f"the worker died (status {status})"))

    def _part_from(self, worker: _Worker) -> None:
        self._crew.remove(worker)
        self._selector.unregister(worker.link)
        worker.link.close()  # which it takes as the order to end
        if worker.call is not None:
            worker.process.kill()
            worker.call.future.set_exception(WorkerLost("the worker was stopped"))
        try:
            worker.process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def settle(future: "Future[Any]", answer: bytes) -> None:
    """Give a future what `worker.answer` returned."""
    try:
        worked, value = pickle.loads(answer)  # noqa: S301 - our own worker wrote it
    except Exception as error:  # noqa: BLE001 - whatever unpickling a stranger's object raises
        worked, value = False, InfrastructureError(f"an answer that cannot be read: {error!r}")
    if worked:
        future.set_result(value)
    else:
        future.set_exception(value)
