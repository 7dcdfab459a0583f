"""Folders for a moment: gone at the end of the block, found again when their process was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

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
    said = capsys.readouterr().err
    assert f"removed folder {holder.folder}\n" in said
    assert "nothing to remove" not in said
    assert not os.path.exists(holder.folder)  # noqa: PTH110


def test_doctor_says_so_where_nothing_was_left(capsys, monkeypatch):
    monkeypatch.setattr("tasks.cli.doctor._runtimes", list)  # nothing is attacked
    monkeypatch.setattr("tasks.cli.doctor._cleaned", lambda: iter(()))
    assert main(["doctor", "--clean"]) == 0
    assert capsys.readouterr().err == "nothing to remove\n"
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err == ""


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


def left(place, name="one-abcd_123"):
    folder = place / f"{module.PREFIX}{name}"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "file").write_text("")
    return folder


def as_nobody(function):
    """Call a function in a process without rights, and return whether it held."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def test_folders_that_an_agent_has_closed_are_removed_like_others(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        folders = [left(place, f"{what}-abcd_123") for what in ("one", "two")]
        for path in (place, *place.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        (folders[0] / "deep" / "er").chmod(0)
        (folders[0] / "deep").chmod(0)
        monkeypatch.setattr(tempfile, "tempdir", name)
        assert as_nobody(lambda: list(leftovers()) == folders)
        assert list(place.iterdir()) == []


def test_what_is_mounted_in_a_folder_stays_and_the_folders_after_it_go(place, tmp_path, caplog):
    first, second, kept = left(place), left(place, "two-abcd_123"), tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis").write_text("")
    done = subprocess.run(["mount", "--bind", kept, first / "deep"], check=False)
    if done.returncode:
        pytest.skip("no mounts here")
    try:
        assert list(leftovers()) == [second]
        assert "mounted in it" in caplog.text
        assert (kept / "thesis").exists()
    finally:
        subprocess.run(["umount", first / "deep"], check=True)
    assert list(leftovers()) == [first]


def test_a_folder_that_is_only_called_alike_is_left_alone(place):
    mine = left(place, "mynotes")
    assert list(leftovers()) == []
    assert mine.is_dir()
