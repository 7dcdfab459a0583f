"""Supervisors forked from a seed are the harness's own children, whatever becomes of the seed."""

import os
import resource
import signal
import subprocess
import time

import pytest

from tasks.outcome import Limits
from tasks.runtimes import nursery
from tasks.runtimes.base import Cancel
from tasks.runtimes.nursery import NURSERY, Forked
from tasks.runtimes.process import ProcessRuntime
from tasks.workspace import Workspace
from tests.contracts.test_runtimes import ENV


@pytest.fixture(autouse=True)
def _opened():
    NURSERY.open()
    if not NURSERY.opened:
        pytest.skip("no clone for this processor")
    yield
    NURSERY.close()


@pytest.fixture
def run(tmp_path):
    def run(script, *, cancel=None, **limits):
        workspace = Workspace.create(tmp_path, "trial")
        chosen = Limits(**{"time_s": 30.0, "grace_s": 0.3} | limits)
        command = ["sh", "-c", script]
        return ProcessRuntime().run(command, workspace, ENV, chosen, cancel=cancel)

    return run


def seed():
    return NURSERY._seed.pid


def test_the_supervisor_is_a_child_of_the_harness_and_not_of_the_seed(run, monkeypatch):
    parents = []
    start = NURSERY.start

    def noting(stdin, stdout):
        child = start(stdin, stdout)
        assert isinstance(child, Forked)
        with open(f"/proc/{child.pid}/stat") as stat:  # noqa: PTH123
            parents.append(int(stat.read().rpartition(")")[2].split()[1]))
        return child

    monkeypatch.setattr(NURSERY, "start", noting)
    assert run("exit 0").reason == "finished"
    assert parents == [os.getpid()]


def test_many_runs_share_one_seed(run):
    assert run("exit 0").reason == "finished"
    first = seed()
    assert [run(f"exit {n}").exit_code for n in range(3)] == [0, 1, 2]
    assert seed() == first


def test_a_dead_seed_is_replaced(run):
    run("exit 0")
    first = seed()
    os.kill(first, signal.SIGKILL)
    assert run("exit 0").reason == "finished"
    assert seed() != first


def test_a_stopped_seed_is_replaced(run, monkeypatch):
    monkeypatch.setattr(nursery, "ANSWER_S", 0.3)
    run("exit 0")
    first = seed()
    os.kill(first, signal.SIGSTOP)
    assert run("exit 0").reason == "finished"
    assert seed() != first


def test_a_seed_whose_limits_were_changed_is_replaced(run):
    run("exit 0")
    first = seed()
    soft, hard = resource.prlimit(first, resource.RLIMIT_NOFILE)
    resource.prlimit(first, resource.RLIMIT_NOFILE, (soft - 1, hard))
    assert run("exit 0").reason == "finished"
    assert seed() != first


def test_limits_and_cancelling_hold_as_without_a_nursery(run):
    assert run("sleep 60", time_s=0.3).reason == "timed out"
    cancel = Cancel()
    cancel.stop()
    assert run("sleep 60", cancel=cancel).reason == "cancelled"


def test_an_agent_that_kills_its_supervisor_leaves_nothing_running(run, tmp_path):
    outcome = run(f"setsid sleep 97.{os.getpid()} & kill -9 $PPID; sleep 60")
    assert outcome.reason == "agent error"
    assert outcome.breach
    left = subprocess.run(["pgrep", "-f", f"sleep 97.{os.getpid()}"], check=False,
                          capture_output=True)  # fmt: skip
    assert left.stdout == b""


def test_where_the_clone_does_not_work_supervisors_are_started_as_ever(run, monkeypatch):
    monkeypatch.setattr(nursery, "CLONE", dict.fromkeys(nursery.CLONE, 999_999))
    assert run("exit 3").exit_code == 3
    assert not NURSERY.opened


def test_closing_ends_the_seed(run):
    run("exit 0")
    first = seed()
    NURSERY.close()
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{first}"):  # noqa: PTH110
        assert time.monotonic() < until
        time.sleep(0.01)
