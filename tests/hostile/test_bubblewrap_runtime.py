"""A box whose keepers are killed: nothing of it may be left."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.outcome import Limits
from tasks.runtimes import cgroups, procfs
from tasks.runtimes.bubblewrap import FIRST_UID, BubblewrapRuntime
from tasks.runtimes.nursery import NURSERY
from tasks.workspace import Workspace
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("bubblewrap_here")

SOON_S = 20.0
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

HARNESS = """
import sys
from pathlib import Path
from tasks.outcome import Limits
from tasks.runtimes.bubblewrap import BubblewrapRuntime
from tasks.workspace import Workspace
workspace = Workspace.create(Path(sys.argv[1]), "lost")
script = "(setsid sleep 300 &); echo ready > started; sleep 300"
env = {"PATH": "/usr/bin:/bin", "LOST": sys.argv[2]}
BubblewrapRuntime().run(["sh", "-c", script], workspace, env, Limits(time_s=300))
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path, "box")


def inside(mark):
    """Return the processes that carry a mark in their environment."""
    return [
        pid
        for pid, process in procfs.processes().items()
        if not process.zombie and mark.encode() in procfs.read(f"/proc/{pid}/environ", 2**17)
    ]


def eventually(condition):
    until = time.monotonic() + SOON_S
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("victim", ["harness", "both"])
def test_a_box_dies_with_its_harness_even_with_its_supervisor_too(tmp_path, victim):
    mark = f"LOST={os.getpid()}-{victim}-{time.monotonic_ns()}"
    command = [sys.executable, "-c", HARNESS, str(tmp_path), mark.removeprefix("LOST=")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env) as harness:
        assert eventually(lambda: [*tmp_path.glob("*_lost_*/home/agent/started")])
        assert len(inside(mark)) >= 2
        doomed = [harness.pid]
        if victim == "both":
            doomed += [p for p in procfs.children(harness.pid) if not procfs.Process(
                procfs.read(f"/proc/{p}/stat")).zombie]  # fmt: skip
        for pid in doomed:
            os.kill(pid, signal.SIGSTOP)  # so that none sees another die
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not inside(mark))
    lost = f"{cgroups.PREFIX}{next(tmp_path.glob('*_lost_*')).name}-*"
    for parent in {*cgroups.usable().values()}:  # as `aexp doctor --clean` does
        for folder in Path(parent).glob(lost):
            assert eventually(lambda folder=str(folder): cgroups.removed(folder))


def test_no_control_group_is_left_behind_and_those_left_by_the_dead_are_found(workspace):
    usable = cgroups.usable()
    if not usable:
        pytest.skip("no control groups here")
    limits = Limits(memory_bytes=10**9, cpus=1, pids=50)
    assert BubblewrapRuntime().run(["true"], workspace, ENV, limits).ok
    name = f"{cgroups.PREFIX}{workspace.root.name}"
    assert not [left for folder in usable.values() for left in Path(folder).glob(f"{name}*")]
    lost = cgroups.Group(usable, f"{name}-lost")
    lost.make(10**9, 1, 50)
    assert {*lost.folders.values()} <= {*cgroups.leftovers(usable)}
    assert lost.remove()


def test_trials_in_folders_of_one_name_run_at_once(tmp_path):
    """So are those of two replays, or of two suites, called."""
    limits = Limits(memory_bytes=10**9, cpus=1, pids=50, time_s=20)

    def ended(store):
        workspace = Workspace.at(tmp_path / store / "same")
        return BubblewrapRuntime().run(["sleep", "1"], workspace, ENV, limits)

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(ended, ("one", "other")))
    assert [outcome.reason for outcome in outcomes] == ["finished", "finished"], outcomes


def test_the_time_of_a_box_that_is_killed_is_counted(workspace):
    busy = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork()\nwhile 1: pass"
    )
    command = [sys.executable, "-I", "-S", "-c", busy]
    outcome = BubblewrapRuntime().run(command, workspace, ENV, Limits(time_s=3, grace_s=0))
    assert outcome.reason == "timed out"
    assert outcome.cpu_seconds > 0.5


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_started_by_root_the_command_is_a_user_of_its_own(workspace):
    script = "echo $$ > pid; cat /proc/self/uid_map > map; touch mine; id -u > id"
    assert BubblewrapRuntime().run(["sh", "-c", script], workspace, ENV, Limits(time_s=20)).ok
    agent = workspace.home / "agent"
    assert (agent / "id").read_text() == "1000\n"
    owner = (agent / "mine").stat().st_uid
    assert owner >= FIRST_UID
    other = Workspace.create(workspace.root.parent, "other")
    assert BubblewrapRuntime().run(["touch", "mine"], other, ENV, Limits(time_s=20)).ok
    assert (other.home / "agent" / "mine").stat().st_uid not in {owner, 0}


def test_all_of_a_box_dies_before_others_where_the_machine_has_no_memory_left(workspace):
    root = os.getuid() == 0  # what others start is offered a moment later
    script = f"sleep {0 if root else 0.3}; cat /proc/self/oom_score_adj /proc/1/oom_score_adj"
    for _ in range(10):
        assert BubblewrapRuntime().run(["sh", "-c", script], workspace, ENV, Limits(time_s=20)).ok
        assert workspace.log_file.read_text() == "500\n500\n"


def test_arguments_that_are_too_long_are_the_commands_own_fault(workspace):
    command = ["echo", "x" * 200_000]
    outcome = BubblewrapRuntime().run(command, workspace, ENV, Limits(time_s=20))
    assert outcome.reason == "never started"
    assert outcome.detail == "cannot start 'echo': Argument list too long"


def test_numerical_libraries_work_behind_the_filter(workspace):
    script = textwrap.dedent(
        """
        import multiprocessing, tempfile, concurrent.futures
        import numpy
        with multiprocessing.Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda n: float(numpy.ones(10**4).sum()), range(4))) == 4e4
        print(numpy.linalg.inv(numpy.eye(50)).trace())
        """
    )
    command = [sys.executable, "-c", script]
    outcome = BubblewrapRuntime().run(command, workspace, ENV, Limits(time_s=60))
    assert outcome.reason == "finished", workspace.log_file.read_text()
    assert workspace.log_file.read_text() == "50.0\n"


def test_secrets_of_an_agents_variables_are_on_no_command_line(workspace):
    script = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done"
    env = {**ENV, "API_KEY": "sk-very-secret"}
    BubblewrapRuntime().run(["sh", "-c", script], workspace, env, Limits(time_s=20))
    assert "sk-very-secret" not in workspace.log_file.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root sees what a supervisor has open")
def test_a_supervisor_keeps_nothing_open_of_the_boxes_it_has_served(tmp_path):
    NURSERY.open()
    try:
        if not NURSERY.opened:
            pytest.skip("no clone for this processor")
        counts = []
        for _ in range(4):
            outcome = BubblewrapRuntime().run(
                ["sleep", "0.1"], Workspace.create(tmp_path, "box"), ENV, Limits(time_s=30)
            )
            assert outcome.ok
            [(child, _, _)] = NURSERY._idle
            counts.append((child.pid, len([*Path(f"/proc/{child.pid}/fd").iterdir()])))
        assert len(set(counts)) == 1
    finally:
        NURSERY.close()
