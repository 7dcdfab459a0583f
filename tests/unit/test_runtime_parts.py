"""The parts of runtimes that no agent reaches: failures of ours, and small machinery."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InfrastructureError, MissingPart
from tasks.outcome import Limits
from tasks.runtimes import growth as growth_module
from tasks.runtimes import procfs
from tasks.runtimes.base import Cancel
from tasks.runtimes.growth import Growth
from tasks.runtimes.log import RunLog
from tasks.runtimes.process import ProcessRuntime
from tasks.runtimes.request import as_json
from tasks.workspace import Workspace

LIMITS = Limits(time_s=30, grace_s=0.2)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path, "parts")


def run(workspace):
    return ProcessRuntime().run(["true"], workspace, {"PATH": "/usr/bin:/bin"}, LIMITS)


def test_another_system_is_told_what_is_missing(workspace, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MissingPart, match="needs Linux"):
        run(workspace)


def test_a_supervisor_that_fails_by_itself_is_our_fault(workspace, monkeypatch):
    monkeypatch.setattr("tasks.runtimes.nursery.START", "raise SystemExit(1)")
    outcome = run(workspace)
    assert outcome.reason == "infrastructure"
    assert outcome.detail == "the supervisor of the command failed"
    assert outcome.exit_status() == 8


def test_a_supervisor_that_cannot_be_started_is_our_fault(workspace, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(InfrastructureError, match="cannot start /no/such/python"):
        run(workspace)


def test_a_workspace_that_cannot_be_written_is_our_fault(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="file/home/agent: Not a directory"):
        run(Workspace(tmp_path / "file"))


def test_a_kill_stays_a_kill_when_a_stop_follows():
    cancel = Cancel()
    assert cancel.wanted == ""
    cancel.stop()
    assert cancel.wanted == "stop"
    cancel.kill()
    cancel.stop()
    assert cancel.wanted == "kill"


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1]


def settled(pid):
    """Wait for a signal on its way: it is acted on when the process is next scheduled."""
    deadline = time.monotonic() + 30
    while state(pid) != "T" and time.monotonic() < deadline:
        time.sleep(0.005)
    return state(pid)


def test_what_is_to_be_killed_is_stopped_before_it_is_looked_for_again(monkeypatch):
    monkeypatch.setattr(procfs, "_FREEZE_S", 60)
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        states = []

        def find():
            table = procfs.processes()
            states.append(settled(first.pid) if states else state(first.pid))
            seen = [first.pid] if len(states) == 1 else [first.pid, second.pid]
            return {pid: table[pid] for pid in seen}

        assert procfs.freeze_and_kill(find) == {first.pid, second.pid}
    assert states == [states[0], "T", "T"]
    assert states[0] != "T"
    assert (first.returncode, second.returncode) == (-9, -9)


def test_a_look_that_takes_longer_than_there_is_time_still_kills(monkeypatch):
    monkeypatch.setattr(procfs, "_FREEZE_S", -1)
    with subprocess.Popen(["sleep", "60"]) as process:
        table = procfs.processes()
        procfs.freeze_and_kill(lambda: {process.pid: table[process.pid]})
        assert process.wait(30) == -9


@pytest.mark.parametrize("listed", [True, False], ids=["lists of children", "none"])
def test_descendants_are_found_at_any_depth(monkeypatch, listed):
    monkeypatch.setattr(procfs, "_LISTED", listed)
    script = "sh -c 'sleep 60 & echo $!; wait' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        deepest = int(process.stdout.readline())
        found = procfs.descendants([process.pid])
        assert deepest in found
        assert process.pid not in found
        assert os.getpid() not in found
        assert process.pid in procfs.children(os.getpid())
        procfs.freeze_and_kill(lambda: procfs.descendants([process.pid]))
        process.kill()


def test_children_of_every_thread_are_descendants():
    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(subprocess.Popen, ["sleep", "60"]).result()
        found = procfs.descendants([os.getpid()])
        process.kill()
        process.wait()
    assert process.pid in found


def test_growth_counts_blocks_once_and_follows_no_link(tmp_path):
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"x" * 10**6)
    (root / "run.log").touch()
    growth = Growth(str(root), str(root / "run.log"))
    (root / "deep" / "er" / "file").write_bytes(b"x" * 10**5)
    (root / "hard").hardlink_to(root / "deep" / "er" / "file")
    (root / "soft").symlink_to(tmp_path / "outside")
    (root / "run.log").write_bytes(b"x" * 10**6)
    growth.finish(10)
    assert 10**5 <= growth.bytes < 2 * 10**5


def test_growth_counts_what_is_put_in_the_place_of_the_log(tmp_path):
    log = tmp_path / "run.log"
    log.touch()
    growth = Growth(str(tmp_path), str(log))
    with log.open():  # the harness holds it open, so its number is not used again
        log.unlink()
        log.mkdir()
        (log / "file").write_bytes(b"x" * 10**5)
        growth.finish(10)
    assert growth.bytes >= 10**5


def test_growth_reaches_below_the_longest_name(tmp_path):
    growth = Growth(str(tmp_path), "")
    before = len(list(Path("/proc/self/fd").iterdir()))
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 200, dir_fd=folder)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    os.write(file, b"x" * 10**6)
    os.close(file)
    os.close(folder)
    growth.finish(10)
    assert growth.bytes >= 10**6
    assert not growth.hidden
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_growth_is_measured_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.runtimes.growth.SLICE", 4)
    growth = Growth(str(tmp_path), "")
    for number in range(7):
        (tmp_path / str(number)).write_bytes(b"x" * 5000)
    assert [growth.advance() for _ in range(3)] == [False, False, True]
    assert growth.bytes >= 7 * 5000


@pytest.fixture
def taken(monkeypatch):
    """Bytes and files of a file system that nobody else uses, in slices of four files."""
    taken = [10**9, 10**6]
    monkeypatch.setattr(growth_module, "_taken", lambda _: tuple(taken))
    monkeypatch.setattr(growth_module, "SLICE", 4)
    return taken


def many(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / str(number)).touch()


def test_the_file_system_is_asked_what_it_holds(tmp_path):
    size, files = growth_module._taken(str(tmp_path))
    assert size > 0
    assert files >= 0
    assert growth_module._taken(str(tmp_path / "gone")) == (0, 0)


def test_a_walk_pauses_until_the_limit_may_be_passed(tmp_path, taken):
    growth = Growth(str(tmp_path), "", 10**6)
    many(tmp_path / "many", 50)
    taken[0] += 10**6
    assert not growth.advance()
    assert not growth.urgent
    taken[0] += 1
    assert not growth.advance()
    assert growth.urgent


def test_a_walk_in_haste_begins_again_and_sees_what_is_behind_it(tmp_path, taken):
    growth = Growth(str(tmp_path), "", 10**6)
    many(tmp_path / "many", 200)
    while growth._count < 100:
        growth.advance()
    for entry in (tmp_path / "many").iterdir():
        entry.write_bytes(b"x" * 10**4)
    taken[0] += 2 * 10**6
    while not growth.advance():
        assert growth.urgent
    assert growth.full
    growth.advance()
    assert not growth.urgent  # what is known needs no haste
    assert growth.detail.startswith("at least 1,0")
    assert growth.detail.endswith(" bytes written; the limit is 1,000,000")


def test_a_walk_in_haste_that_finds_room_is_not_repeated(tmp_path, taken):
    growth = Growth(str(tmp_path), "", 10**6)
    many(tmp_path / "many", 50)
    taken[0] += 2 * 10**6  # somebody else's
    while not growth.advance():
        pass
    assert not growth.full
    growth.advance()
    assert not growth.urgent


def test_a_walk_is_not_longer_than_it_may_be(tmp_path, taken, monkeypatch):
    growth = Growth(str(tmp_path), "", 10**6)
    many(tmp_path / "many", 50)
    monkeypatch.setattr(growth_module, "UNHURRIED_S", 0)
    growth.advance()
    assert growth.urgent
    assert growth._count > 0


@pytest.mark.parametrize("folders", [False, True], ids=["files", "folders"])
def test_more_files_than_may_be_are_noticed(tmp_path, taken, monkeypatch, folders):
    monkeypatch.setattr(growth_module, "MOST_FILES", 100)
    many(tmp_path / "before", 200)
    growth = Growth(str(tmp_path), "", 10**9)
    taken[1] += 40
    if folders:
        for number in range(26):
            (tmp_path / str(number)).mkdir()
    else:
        many(tmp_path / "many", 97)
    while not growth.advance():
        assert growth.urgent
    assert growth.full
    assert growth.detail == "more than 100 files; a folder counts as 4"
    assert growth.ended(10) == growth.detail


def test_as_many_files_as_may_be_are_not_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(growth_module, "MOST_FILES", 100)
    growth = Growth(str(tmp_path), "", 10**9)
    many(tmp_path / "many", 96)
    growth.finish(10)
    assert growth.files - growth.files_before == 100
    assert not growth.full


def test_a_full_disk_is_told_as_it_was_left(tmp_path, taken):
    growth = Growth(str(tmp_path), "", 10**5)
    many(tmp_path / "many", 50)
    for entry in (tmp_path / "many").iterdir():
        entry.write_bytes(b"x" * 10**4)
    while not growth.advance():
        pass
    assert growth.detail.startswith("at least ")
    written = sum(entry.stat().st_blocks * 512 for entry in (tmp_path / "many").iterdir())
    folders = (tmp_path / "many").stat().st_blocks * 512
    detail = growth.ended(10)
    assert detail == f"{written + folders:,} bytes written; the limit is 100,000"
    for entry in (tmp_path / "many").iterdir():
        entry.unlink()
    assert growth.ended(10) == f"{detail}; {folders:,} at the end"


def test_a_last_walk_that_takes_too_long_tells_what_it_saw(tmp_path, taken):
    growth = Growth(str(tmp_path), "", 10**4)
    many(tmp_path / "many", 50)
    for entry in (tmp_path / "many").iterdir():
        entry.write_bytes(b"x" * 10**5)
    while growth.used == 0:
        growth.finish(0)
    assert growth.detail.startswith("at least ")
    growth.finish(10)
    assert growth.bytes >= 5 * 10**6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_cuts_the_log_but_not_the_count():
    seen = []
    log = RunLog(Path("/dev/full"), 100, seen.append)
    reads, writes = os.pipe()
    os.write(writes, b"hello")
    os.close(writes)
    assert log.take(reads)
    assert not log.take(reads)
    os.close(reads)
    log.close()
    assert log.seen == 5
    assert seen == [b"hello"]
    assert log.failure == "full is cut: No space left on device"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
    )
)
def test_what_a_supervisor_tells_is_read_as_it_was_meant(value):
    assert json.loads(as_json(value)) == value
    assert b"\n" not in as_json(value)
