"""The index over run folders: claims, leases, rebuilding, and what it refuses."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from tasks.errors import InvalidInput
from tasks.store import Owner, Row, Standing, Store, read_attempt, standing
from tasks.store.filesystems import file_system_of, refuse_shared
from tasks.store.folders import Product, append_event
from tasks.store.rebuild import opened, rebuild
from tasks.store.states import read_events, row_of, state_of
from tests.suite_folders import PRODUCT, begun, graded, report

DONE = Row(state="done", success=True, score=0.5, seconds=1.0, cpu_seconds=0.5)
FAULT = Row(state="failed", reason="infrastructure", finished=1.0)


def dump(root):
    connection = sqlite3.connect(root / "index.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.plan("suite", 0.0, PRODUCT)
    yield made
    made.close()


@pytest.fixture
def owner(store):
    me = Owner.me()
    store.enlist(me, "suite")
    return me


# --- endings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"outcome": {"reason": "timed out", "seconds": 1, "cpu_seconds": 1}}, "timed out"),
        ({"outcome": {"reason": "agent error", "seconds": 1, "cpu_seconds": 1}}, "agent error"),
        ({"outcome": {"reason": "never started", "seconds": 0, "cpu_seconds": 0}}, "agent error"),
        ({"outcome": {"reason": "cancelled", "seconds": 0, "cpu_seconds": 0}}, "cancelled"),
        ({"evaluation": None, "grader_error": "boom"}, "grader error"),
    ],
)
def test_a_report_is_one_state_and_one_reason(changes, reason):
    row = row_of(report(**changes))
    assert (row.state, row.reason) == ("failed" if reason else "done", reason)


@pytest.mark.parametrize(
    ("file", "reason"), [(None, "no submission"), ("s.csv", "invalid submission")]
)
def test_a_missing_submission_is_told_from_an_invalid_one(file, reason):
    evaluation = {
        "success": False,
        "overall_score": 0.0,
        "submission": {"valid": False, "file": file},
    }
    assert row_of(report(evaluation=evaluation)).reason == reason


def test_a_torn_report_counts_as_not_written(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report())[:-40])
    assert read_attempt(tmp_path) is None


def test_a_torn_last_line_is_no_event_and_spoils_no_later_one(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"time": 1, "event": "started"}\n{"time": 2, "ev')
    assert [event["event"] for event in read_events(file)] == ["started"]
    append_event(file, "given up", reason="infrastructure")
    assert [event["event"] for event in read_events(file)] == ["started", "given up"]
    assert read_attempt(tmp_path).reason == "infrastructure"


def test_the_state_of_what_runs_is_its_latest_hop():
    hops = [{"event": name} for name in ("created", "prepared", "started", "ended")]
    assert [state_of(hops[:n]) for n in range(5)] == [
        "queued", "queued", "prepared", "running", "running",
    ]  # fmt: skip


def test_infrastructure_faults_are_queued_again_until_there_were_too_many():
    once = standing([(1, FAULT)], most_faults=2)
    assert (once.attempt, once.faults, once.row.state) == (1, 1, "queued")
    twice = standing([(1, FAULT), (2, FAULT)], most_faults=2)
    assert (twice.row.state, twice.row.reason) == ("failed", "infrastructure")


def test_an_attempt_whose_runner_died_is_nobodys_fault():
    found = standing([(1, None), (2, None), (3, None), (4, DONE)], most_faults=2)
    assert (found.attempt, found.faults, found.row) == (4, 0, DONE)


def test_what_a_person_queues_again_starts_with_no_faults():
    found = standing([(1, FAULT), (2, FAULT)], queued_after=2, most_faults=2)
    assert (found.attempt, found.faults, found.row.state) == (2, 0, "queued")


# --- the product -------------------------------------------------------------------------------


def test_half_a_suite_has_met_each_instance_with_all_agents():
    cells = [PRODUCT.cell(n) for n in range(len(PRODUCT))]
    assert len({(c.task, c.agent, c.repeat) for c in cells}) == len(PRODUCT) == 12
    for first in range(0, len(PRODUCT), 2):
        pair = cells[first : first + 2]
        assert {c.agent for c in pair} == {"a", "b"}
        assert len({(c.task, c.repeat) for c in pair}) == 1
        assert PRODUCT.meeting(pair[0].task, pair[0].repeat) == range(first, first + 2)


def test_counts_tell_three_rates_and_never_average_a_fault_in(store, owner):
    store.exchange(owner, "suite", [], 3)
    failed = Row(state="failed", reason="agent error", score=0.0, seconds=1.0)
    rows = [(0, DONE), (1, failed), (2, FAULT)]
    store.settle("suite", [(n, Standing(attempt=1, row=row)) for n, row in rows])
    counts = store.counts("suite")
    assert (counts.passed, counts.failed, counts.infrastructure) == (1, 1, 1)
    assert counts.score == 0.25
    assert counts.states == {"done": 1, "failed": 2, "queued": 9}


def test_a_process_that_has_got_the_number_of_a_dead_runner_is_not_it(store):
    me = Owner.me()
    store.enlist(Owner(name="old", host=me.host, pid=os.getpid(), born=me.born - 1), "suite")
    assert [one.name for one in store.runners("suite")[1]] == ["old"]


# --- rebuilding --------------------------------------------------------------------------------


def test_the_index_is_a_function_of_the_folders(tmp_path):
    folder = begun(tmp_path)
    for n in (3, 1, 0):
        graded(folder, n)
    lost = folder.attempt(PRODUCT.cell(2), 1)
    lost.mkdir()
    (lost / "trial.json").write_text("")
    opened(tmp_path).close()
    first = dump(tmp_path)
    assert rebuild(tmp_path) == 1
    assert dump(tmp_path) == first
    store = Store(tmp_path)
    counts = store.counts("suite")
    claim = store.exchange(Owner.me(), "suite", [], 1)[0]
    store.close()
    assert (counts.states["done"], counts.states["queued"]) == (3, 9)
    assert (claim.n, claim.attempt) == (2, 2)


def test_two_rebuilt_indexes_are_the_same_bytes(tmp_path):
    folder = begun(tmp_path)
    for n in range(8):
        graded(folder, n)
    contents = []
    for _ in range(2):
        rebuild(tmp_path)
        contents.append((tmp_path / "index.sqlite").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("damage", [b"no index at all", b""], ids=["other", "empty"])
def test_a_broken_index_is_made_anew(tmp_path, damage):
    folder = begun(tmp_path)
    graded(folder, 0)
    opened(tmp_path).close()
    (tmp_path / "index.sqlite").write_bytes(damage * 100)
    store = opened(tmp_path)
    assert store.counts("suite").states["done"] == 1
    store.close()


def test_an_index_damaged_in_the_middle_is_made_anew(tmp_path):
    folder = begun(tmp_path, product=Product(tasks=("t",), agents=("a",), repeats=500))
    opened(tmp_path).close()
    file = tmp_path / "index.sqlite"
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 4] = b"\xff" * (4096 * 3)
    file.write_bytes(content)
    store = opened(tmp_path)
    assert store.counts(folder.id).total == 500
    store.close()


def test_an_index_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "index.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InvalidInput, match=r"version 99.*update aexp"):
        Store(tmp_path)


# --- file systems ------------------------------------------------------------------------------

MOUNTS = """\
20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
21 20 0:30 / /home rw - nfs4 server:/home rw
22 21 8:2 / /home/local\\040disk rw - xfs /dev/sdb1 rw
"""


@pytest.fixture
def mounts(tmp_path):
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    return file


def test_a_network_file_system_is_refused_with_the_reason(mounts):
    with pytest.raises(InvalidInput, match=r"/home/me/runs is on a network file system \(nfs4\)"):
        refuse_shared(Path("/home/me/runs"), mounts)


def test_a_local_disk_below_a_network_mount_is_local(mounts):
    assert file_system_of(Path("/home/local disk/runs"), mounts) == "xfs"
    refuse_shared(Path("/home/local disk/runs"), mounts)
    refuse_shared(Path("/homes"), mounts)


# --- what a long queue costs -------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["exchange", "waiting", "running"])
def test_what_is_over_is_not_looked_through_again(tmp_path, ask):
    store, me = Store(tmp_path), Owner.me()
    store.plan("suite", 0.0, Product(tasks=("t",), agents=("a",), repeats=20_000))
    store.enlist(me, "suite")
    questions = {
        "exchange": lambda: store.exchange(me, "suite", [], 2),
        "waiting": lambda: store.waiting("suite"),
        "running": lambda: store.running("suite"),
    }

    def effort():
        steps = []
        store.index.connection.set_progress_handler(lambda: steps.append(1), 100)
        questions[ask]()
        store.index.connection.set_progress_handler(None, 0)
        return len(steps)

    def left(few):
        with store.index.transaction() as db:
            db.execute("UPDATE trials SET state = 'done' WHERE n < ?", (20_000 - few,))
        return effort()

    assert left(10) < 20, "of 20,000 trials 10 are left"
    store.close()
