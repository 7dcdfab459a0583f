"""Supervisors forked from a seed are the harness's own children, whatever becomes of the seed.

One that served a command which ended by itself serves the next one, as good as new.
"""

import ctypes
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tasks.outcome import Limits
from tasks.runtimes import cgroups, nursery
from tasks.runtimes.base import Cancel
from tasks.runtimes.nursery import NURSERY, Forked
from tasks.runtimes.process import ProcessRuntime
from tasks.workspace import Workspace
from tests.contracts.test_runtimes import ENV

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


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

    def noting(output, limits):
        child, link = start(output, limits)
        assert isinstance(child, Forked)
        with open(f"/proc/{child.pid}/stat") as stat:  # noqa: PTH123
            parents.append(int(stat.read().rpartition(")")[2].split()[1]))
        return child, link

    monkeypatch.setattr(NURSERY, "start", noting)
    assert run("exit 0").reason == "finished"
    assert parents == [os.getpid()]


def waiting():
    """Return the supervisors that wait for a trial."""
    return [child.pid for child, _, _ in NURSERY._idle]


def test_many_runs_share_one_seed(run):
    assert run("exit 0").reason == "finished"
    first = seed()
    assert [run(f"sleep 60 & exit {n}").exit_code for n in range(3)] == [0, 1, 2]
    assert seed() == first


def test_a_supervisor_serves_one_trial_after_another(run):
    assert run("exit 0").reason == "finished"
    [first] = waiting()
    handles = len(os.listdir(f"/proc/{first}/fd"))  # noqa: PTH208
    assert [run(f"exit {n}").exit_code for n in (3, 4, 5)] == [3, 4, 5]
    assert waiting() == [first]
    assert len(os.listdir(f"/proc/{first}/fd")) == handles  # noqa: PTH208


def test_what_one_trial_used_is_not_counted_for_the_next(run):
    burn = "import time; x = bytearray(300 << 20); t = time.process_time()\n"
    burn += "while time.process_time() < t + 0.6: pass"
    heavy = run(f"{sys.executable} -I -S -c '{burn}'")
    light = run("exit 0")
    assert heavy.cpu_seconds >= 0.5
    assert heavy.peak_memory_bytes > 300 << 20
    assert light.cpu_seconds < 0.2
    assert light.peak_memory_bytes < 100 << 20


def test_what_one_trial_prints_is_not_in_the_log_of_the_next(tmp_path):
    for word in ("first", "second"):
        workspace = Workspace.create(tmp_path, word)
        ProcessRuntime().run(["echo", word], workspace, ENV, Limits(time_s=30.0))
        assert workspace.log_file.read_text() == f"{word}\n"


@pytest.mark.parametrize(
    ("script", "limits"),
    [
        ("sleep 60 & exit 0", {}),
        ("sleep 60", {"time_s": 0.3}),
        ("kill -9 $PPID; sleep 60", {}),
    ],
    ids=["left something", "was stopped by us", "killed it"],
)
def test_a_supervisor_that_had_to_end_something_serves_no_more(run, script, limits):
    run(script, **limits)
    assert waiting() == []
    assert run("exit 7").exit_code == 7


def test_a_supervisor_that_was_told_to_stop_serves_no_more(run):
    cancel = Cancel()
    threading.Timer(0.3, cancel.stop).start()
    assert run("trap 'exit 0' TERM; sleep 60 & wait", cancel=cancel).reason == "cancelled"
    assert waiting() == []


def stopped(pid):
    os.kill(pid, signal.SIGSTOP)


def killed(pid):
    os.kill(pid, signal.SIGKILL)


def limited(pid):
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft - 1, hard))


def slowed(pid):
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid) + 5)


def put_last(pid):
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def put_last_at_the_disk(pid):
    assert ctypes.CDLL(None).syscall(_IOPRIO_SET[platform.machine()], 1, pid, 3 << 13) == 0


def moved(pid):
    """Let it lie in another control group than the harness, until the groups are tidied up."""
    parent = next(iter(cgroups.usable().values()), None)
    if parent is None:
        pytest.skip("no control groups can be made here")
    group = Path(parent, f"aexp-moved-{pid}")
    group.mkdir()
    (group / "cgroup.procs").write_text(str(pid))


@pytest.mark.parametrize(
    "change", [stopped, killed, limited, slowed, put_last, put_last_at_the_disk, moved]
)
def test_a_waiting_supervisor_that_is_not_as_it_was_is_replaced(run, change):
    run("exit 0")
    [first] = waiting()
    change(first)
    try:
        assert run("exit 9").exit_code == 9
    finally:
        for parent in set(cgroups.usable().values()):
            cgroups.removed(f"{parent}/aexp-moved-{first}")
    [second] = waiting()
    assert second != first
    assert not os.path.exists(f"/proc/{first}")  # noqa: PTH110


@pytest.mark.parametrize(("next_bytes", "stays"), [(10**7, True), (2 * 10**7, False)])
def test_a_supervisor_that_is_under_its_commands_limits_for_good_serves_such_commands_only(
    run, next_bytes, stays
):
    run("exit 0", disk_bytes=10**7)
    [first] = waiting()
    resource.prlimit(
        first, resource.RLIMIT_FSIZE, (10**7, 10**7)
    )  # as it is for who may not raise it
    assert run("exit 9", disk_bytes=next_bytes).exit_code == 9
    assert (waiting() == [first]) == stays


def test_a_supervisor_keeps_nothing_open_of_what_it_has_served(run):
    run("sleep 0.1")
    [first] = waiting()
    before = len([*Path(f"/proc/{first}/fd").iterdir()])
    for _ in range(4):
        run("sleep 0.1")
    assert waiting() == [first]
    assert len([*Path(f"/proc/{first}/fd").iterdir()]) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_that_the_end_of_the_output_sends_hits_no_other_trial(run, number, monkeypatch):
    monkeypatch.setattr(nursery, "ANSWER_S", 0.3)
    code = f"""
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid()); fcntl.fcntl(1, 10, {int(number)})
fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_ASYNC)
"""
    for _ in range(6):
        assert run(f"exec {sys.executable} -I -S -c '{code}'").reason == "finished"
        after = run("exit 0")
        assert (after.reason, after.breach) == ("finished", "")


def test_waiting_supervisors_end_with_their_harness(run):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from tests.unit.test_nursery import NURSERY, ProcessRuntime, Workspace, Limits, ENV, Path
NURSERY.open()
ProcessRuntime().run(["true"], Workspace.create(Path(sys.argv[1]), "trial"), ENV, Limits(time_s=9))
print(NURSERY._idle[0][0].pid, flush=True)
os.kill(os.getpid(), 9)
"""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", code, folder], check=False,
                              capture_output=True, text=True)  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{int(done.stdout)}"):  # noqa: PTH110
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_fork_of_the_harness_takes_none_of_its_supervisors(run):
    run("exit 0")
    before = waiting()
    child = os.fork()
    if child == 0:
        os._exit(0 if run("exit 5").exit_code == 5 and waiting() != before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run("exit 6").exit_code == 6
    assert waiting() == before


def test_a_dead_seed_is_replaced(run):
    run("sleep 60 & exit 0")
    first = seed()
    os.kill(first, signal.SIGKILL)
    assert run("exit 0").reason == "finished"
    assert seed() != first


def test_a_stopped_seed_is_replaced(run, monkeypatch):
    monkeypatch.setattr(nursery, "ANSWER_S", 0.3)
    run("sleep 60 & exit 0")
    first = seed()
    os.kill(first, signal.SIGSTOP)
    assert run("exit 0").reason == "finished"
    assert seed() != first


def test_a_seed_whose_limits_were_changed_is_replaced(run):
    run("sleep 60 & exit 0")
    first = seed()
    limited(first)
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
