"""A home that is a file system of its own: as large as the limit, and gone with the trial."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import TaskRunner
from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes import disk_wall
from tasks.runtimes.bubblewrap import BubblewrapRuntime

MIB = 2**20
ROOT = Path(__file__).resolve().parents[2]
FILL = """
import os, shutil, sys
print("TOTAL", shutil.disk_usage("/home").total)
for number in range(1000):
    with open(f"/home/code/{number}", "wb") as file:
        file.write(b"x" * 2**20)
"""


@pytest.fixture(autouse=True)
def _possible():
    try:
        disk_wall.check()
    except MissingPart as error:
        if "disk_wall" in os.environ.get("AEXP_REQUIRE", "").split(","):
            raise
        pytest.skip(str(error))


def mounted(below):
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(str(below))]


def test_an_agent_can_write_what_it_is_given_and_nothing_is_left(tmp_path):
    limits = Limits(disk_bytes=64 * MIB, disk_wall=True, time_s=60)
    runner = TaskRunner(tmp_path, runtime="bubblewrap", limits=limits)
    trial = runner.run_task("classification_basic", [sys.executable, "-c", FILL], 60)
    said = trial.workspace.log_file.read_text()
    total = int(said.split("TOTAL ")[1].split()[0])
    assert total <= 64 * MIB + disk_wall.SLACK_BYTES
    assert trial.outcome.reason == "disk full"
    assert trial.outcome.enforced["disk"] == "file system"
    assert 0 < len([*(trial.workspace.outputs / "code").iterdir()]) <= 128
    assert mounted(tmp_path) == []
    assert [*trial.workspace.home.iterdir()] == []


def test_a_submission_from_behind_the_wall_is_graded(tmp_path):
    runner = TaskRunner(tmp_path, runtime="bubblewrap", limits=Limits(disk_wall=True))
    copy = 'cp "$DATA_DIR/sample_submission.csv" "$SUBMISSION_DIR/submission.csv"'
    trial = runner.run_task("classification_basic", ["sh", "-c", copy], 60)
    assert trial.evaluation.submission["valid"] is True


def test_a_killed_runner_leaves_a_mount_that_is_taken_down_by_the_next(tmp_path):
    words = [sys.executable, "run_task.py", "classification_basic", "--local", "--disk-wall"]
    words += ["--disk", "64m", "--out", str(tmp_path), "--", "sleep", "600"]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as runner:
        until = time.monotonic() + 60
        while not mounted(tmp_path):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(runner.pid, signal.SIGKILL)
    (home,) = mounted(tmp_path)
    assert home in disk_wall.reap()
    assert mounted(tmp_path) == []
    assert disk_wall.reap() == []


def test_a_living_runners_wall_is_let_stand(tmp_path):
    workspace = type("Workspace", (), {"root": tmp_path, "home": tmp_path / "home"})()
    with disk_wall.raised(workspace, Limits(disk_bytes=64 * MIB, disk_wall=True)):
        assert disk_wall.reap() == []
        assert mounted(tmp_path) == [str(workspace.home)]
    assert mounted(tmp_path) == []


def test_a_wall_that_goes_while_others_are_looked_for_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_wall, "MARKS", tmp_path)
    (tmp_path / "gone.json").symlink_to("nowhere")  # listed, and not there when it is read
    assert disk_wall.reap() == []


def test_without_root_it_is_refused_with_what_would_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    limits = Limits(disk_wall=True)
    runner = TaskRunner(tmp_path, runtime=BubblewrapRuntime(), limits=limits)
    with pytest.raises(MissingPart, match="--disk-wall needs root"):
        runner.run_task("classification_basic", ["true"])
    assert [*tmp_path.iterdir()] == []
