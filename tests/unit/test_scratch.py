"""Folders for a moment: gone at the end of the block, found again when their process was killed."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from tasks import scratch as module
from tasks.cli import main
from tasks.scratch import leftovers, scratch

HOLD = """\
import sys
from pathlib import Path
from tasks.scratch import scratch
with scratch("probe") as folder:
    (folder / "deep" / "er").mkdir(parents=True)
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Make a place for such folders that nobody else uses, where none is too young."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "SETTLED_S", 0)
    return tmp_path


@pytest.fixture
def holder():
    """Start a process that holds such a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.folder = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


def test_the_folder_is_gone_at_the_end_whatever_it_holds(place):
    with scratch("one") as folder:
        (folder / "file").write_text("")
        assert folder.parent == place
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_is_removed_and_what_a_live_one_holds_is_not(place, holder):
    assert list(leftovers()) == []
    assert os.path.isdir(holder.folder)  # noqa: PTH112
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert [str(folder) for folder in leftovers()] == [holder.folder]
    assert list(place.iterdir()) == []


def test_doctor_removes_it_and_says_so(holder, capsys, monkeypatch):
    monkeypatch.setattr("tasks.cli.doctor._runtimes", list)  # nothing is attacked
    holder.kill()
    holder.wait()
    assert main(["doctor", "--clean"]) == 0
    assert f"removed folder {holder.folder}\n" in capsys.readouterr().err
    assert not os.path.exists(holder.folder)  # noqa: PTH110


def test_nothing_else_is_removed(place, tmp_path_factory, monkeypatch):
    precious = tmp_path_factory.mktemp("precious")
    (precious / "file").write_text("")
    (place / f"{module.PREFIX}link").symlink_to(precious)
    (place / f"{module.PREFIX}file").write_text("")
    (place / "aexp-others").mkdir()
    (place / f"{module.PREFIX}theirs").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert list(leftovers()) == []
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    (place / f"{module.PREFIX}theirs").rmdir()
    (place / f"{module.PREFIX}young").mkdir()  # perhaps its owner has still to lock it
    assert list(leftovers()) == []
    assert len(list(place.iterdir())) == 4
    assert (precious / "file").exists()
