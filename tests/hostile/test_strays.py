"""When harness and supervisor are killed at once, `aexp doctor --clean` ends what they leave."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tasks.errors import MissingPart
from tasks.runtimes import cgroups, procfs
from tasks.runtimes.named import runtime_named
from tasks.runtimes.strays import ended, strays
from tests.conftest import ROOT

HARNESS = """
import sys
from pathlib import Path
from tasks.outcome import Limits
from tasks.runtimes.named import runtime_named
from tasks.workspace import Workspace
workspace = Workspace.create(Path(sys.argv[1]), "lost")
script = "(setsid sleep 300 &); echo ready > started; exec sleep 300"
env = {"PATH": "/usr/bin:/bin"}
limits = Limits(time_s=300, memory_bytes=2**30)
runtime_named(sys.argv[2]).run(["sh", "-c", script], workspace, env, limits)
"""


@pytest.fixture
def harness(tmp_path):
    """Return what starts a harness whose command runs, by the name of the runtime."""
    there = []

    def start(runtime):
        try:
            runtime_named(runtime)
        except MissingPart as error:
            if runtime in os.environ.get("AEXP_REQUIRE", ""):
                raise
            pytest.skip(str(error))
        command = [sys.executable, "-c", HARNESS, str(tmp_path), runtime]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        there.append(process)
        until = time.monotonic() + 20
        while not [*tmp_path.glob("*_lost_*/home/agent/started")]:
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.1)  # so that bubblewrap, too, has told of its first process
        return process

    yield start
    for process in there:
        process.kill()
        process.wait()


def tree(pid):
    return {pid: found for pid, found in procfs.descendants([pid]).items() if not found.zombie}


def alive(pids):
    stats = {pid: procfs.read(f"/proc/{pid}/stat") for pid in pids}
    return {pid for pid, stat in stats.items() if stat and not procfs.Process(stat).zombie}


@pytest.mark.parametrize("runtime", ["process", "bubblewrap"])
def test_the_processes_of_a_trial_that_is_kept_are_no_strays(harness, runtime):
    running = tree(harness(runtime).pid)
    assert len(running) >= 3
    assert not strays().keys() & running.keys()


@pytest.mark.parametrize("runtime", ["process", "bubblewrap"])
def test_what_is_left_when_both_were_killed_is_ended(harness, runtime):
    process = harness(runtime)
    supervisors = [*procfs.children(process.pid)]
    running = tree(process.pid).keys() - set(supervisors)
    for pid in (process.pid, *supervisors):
        os.kill(pid, signal.SIGSTOP)  # so that none sees another die
    for pid in (process.pid, *supervisors):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    if runtime == "process":  # a box dies by itself
        assert alive(running) == running
        assert running <= {*ended()}
    until = time.monotonic() + 20
    while alive(running):
        assert time.monotonic() < until
        time.sleep(0.02)
    for folder in cgroups.leftovers(cgroups.usable()):
        assert cgroups.removed(folder)


def test_a_process_that_only_has_a_variable_of_that_name_is_left_alone():
    env = {**os.environ, "AEXP_TRIAL": "mine"}
    with subprocess.Popen(["sleep", "60"], env=env) as process:
        try:
            assert process.pid not in strays()
            assert process.pid not in {*ended()}
        finally:
            process.kill()
