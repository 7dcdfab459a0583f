"""What every executor keeps.

Runs over the pool. The author of another one subclasses `ExecutorContract` and overrides the
fixture `make`, which returns a new executor of so many workers.
"""

import os
import signal
import threading
import time
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from tasks.errors import UnknownName, UsageError
from tasks.executors import WorkerLost, executor_named

WAIT_S = 60


def double(number):
    return 2 * number


def fail(message):
    raise UsageError(message)


def whoami():
    return os.getpid()


def touch_and_wait(file):
    """Say who runs this, and wait to be killed."""
    Path(file).write_text(str(os.getpid()))
    time.sleep(WAIT_S)


def unpicklable():
    return threading.Lock()


def appears(file):
    until = time.monotonic() + WAIT_S
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(file.read_text())


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class ExecutorContract:
    """The cases; `make` says of whom."""

    @pytest.fixture
    def make(self):
        raise NotImplementedError("return a function of `workers` that makes the executor")

    @pytest.fixture
    def executor(self, make):
        made = make(workers=2)
        yield made
        made.shutdown(now=True)

    def test_a_call_answers_with_what_the_function_returns(self, executor):
        futures = [executor.submit(double, n) for n in range(10)]
        assert all(isinstance(future, Future) for future in futures)
        assert [future.result(WAIT_S) for future in futures] == [2 * n for n in range(10)]

    def test_what_a_function_raises_is_raised_with_its_message(self, executor):
        with pytest.raises(UsageError, match="on purpose"):
            executor.submit(fail, "on purpose").result(WAIT_S)
        assert executor.submit(double, 1).result(WAIT_S) == 2

    def test_calls_run_in_processes_of_their_own(self, executor):
        assert executor.submit(whoami).result(WAIT_S) != os.getpid()

    def test_an_answer_that_cannot_be_sent_is_an_error_and_not_a_hang(self, executor):
        with pytest.raises(Exception, match="lock"):
            executor.submit(unpicklable).result(WAIT_S)

    def test_a_killed_worker_takes_its_own_call_along_and_no_other(self, executor, tmp_path):
        lost = executor.submit(touch_and_wait, str(tmp_path / "pid"))
        os.kill(appears(tmp_path / "pid"), signal.SIGKILL)
        with pytest.raises(WorkerLost):
            lost.result(WAIT_S)
        assert [executor.submit(double, n).result(WAIT_S) for n in range(4)] == [0, 2, 4, 6]

    def test_a_lost_call_is_not_run_again(self, executor, tmp_path):
        lost = executor.submit(touch_and_wait, str(tmp_path / "pid"))
        first = appears(tmp_path / "pid")
        os.kill(first, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            lost.result(WAIT_S)
        executor.submit(double, 1).result(WAIT_S)
        assert appears(tmp_path / "pid") == first

    def test_a_call_that_waits_can_be_cancelled(self, make, tmp_path):
        executor = make(workers=1)
        try:
            executor.submit(touch_and_wait, str(tmp_path / "pid"))
            appears(tmp_path / "pid")
            waiting = executor.submit(double, 1)
            assert waiting.cancel()
            with pytest.raises(CancelledError):
                waiting.result(WAIT_S)
        finally:
            executor.shutdown(now=True)

    def test_shutdown_waits_for_what_was_submitted(self, make):
        executor = make(workers=2)
        futures = [executor.submit(double, n) for n in range(5)]
        executor.shutdown()
        assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]

    def test_shutdown_now_ends_what_runs_and_leaves_no_process(self, make, tmp_path):
        executor = make(workers=1)
        running = executor.submit(touch_and_wait, str(tmp_path / "pid"))
        pid = appears(tmp_path / "pid")
        begun = time.monotonic()
        executor.shutdown(now=True)
        assert time.monotonic() - begun < WAIT_S / 2
        with pytest.raises(WorkerLost):
            running.result(0)
        assert not is_running(pid)

    def test_shutdown_may_be_called_twice(self, make):
        executor = make(workers=1)
        executor.shutdown(now=True)
        executor.shutdown()

    def test_no_worker_is_an_error_that_says_so(self, make):
        with pytest.raises(UsageError, match="0 workers"):
            make(workers=0)


class TestPool(ExecutorContract):
    @pytest.fixture
    def make(self):
        def make(*, workers):
            return executor_named("pool", workers=workers)

        return make


def test_an_unknown_executor_is_named():
    with pytest.raises(UnknownName, match="pool"):
        executor_named("poll", workers=1)
