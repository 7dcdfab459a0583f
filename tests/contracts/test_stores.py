"""What every store does, be its index an SQLite file or a PostgreSQL database."""

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from tasks.errors import InfrastructureError, InvalidInput, UsageError
from tasks.store import Owner, Row, Standing, Store
from tasks.store.folders import Product
from tasks.store.index import Index
from tasks.store.rebuild import opened, rebuild
from tests.conftest import ROOT
from tests.engines import postgres
from tests.suite_folders import PRODUCT, begun, graded

DONE = Row(state="done", success=True, score=0.5, seconds=1.0, tokens=10, cost_usd=0.25)
FAULT = Row(state="failed", reason="infrastructure", tokens=5, cost_usd=0.5)
REQUIRED = "postgres" in os.environ.get("AEXP_REQUIRE", "").split(",")
CP = 'command:sh -c "cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv"'


@pytest.fixture(scope="module")
def server():
    try:
        import psycopg  # noqa: F401

        missing = "" if postgres.binaries() else "PostgreSQL's server is not installed"
    except ImportError as error:
        missing = str(error)
    if missing:
        assert not REQUIRED, missing
        pytest.skip(missing)
    with postgres.server() as made:
        yield made


@pytest.fixture
def database(server, request):
    """A database of its own for each test, so that none sees another's suites."""
    import psycopg

    name = "t" + re.sub(r"\W", "_", request.node.name.lower())[-40:] + str(time.time_ns())
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request):
    return None if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def store(tmp_path, url):
    made = Store(tmp_path, url)
    made.plan("suite", 0.0, PRODUCT)
    yield made
    made.close()


@pytest.fixture
def owner(store):
    me = Owner.me()
    store.enlist(me, "suite")
    return me


def rows(store):
    """All that an index says of suites and trials, whoever it is."""
    with store.index.reading() as db:
        trials = db.execute("SELECT * FROM trials ORDER BY suite, n").fetchall()
        suites = db.execute("SELECT * FROM suites ORDER BY id").fetchall()
    return [tuple(row) for row in (*suites, *trials)]


def test_a_claimed_trial_is_nobody_elses(store, owner):
    other = Owner.me()
    store.enlist(other, "suite")
    mine = store.exchange(owner, "suite", [], 5)
    theirs = store.exchange(other, "suite", [], 50)
    assert [claim.n for claim in mine] == [0, 1, 2, 3, 4]
    assert [claim.n for claim in theirs] == [5, 6, 7, 8, 9, 10, 11]
    store.exchange(other, "suite", [(0, Standing(attempt=1, row=DONE), 0.0)], 0)
    assert store.counts("suite").over == 0
    store.exchange(owner, "suite", [(0, Standing(attempt=1, row=DONE), 0.0)], 0)
    assert store.counts("suite").over == 1


def test_many_processes_claim_each_trial_once(tmp_path, url):
    store = Store(tmp_path, url)
    store.plan("suite", 0.0, Product(tasks=("t",), agents=("a",), repeats=300))
    code = (
        "import sys; from pathlib import Path; from tasks.store import Owner, Store\n"
        "store, me, found = Store(Path(sys.argv[1]), sys.argv[2] or None), Owner.me(), []\n"
        "store.enlist(me, 'suite')\n"
        "while claims := store.exchange(me, 'suite', [], 3):\n"
        "    found += [claim.n for claim in claims]\n"
        "print(*found)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), url or ""]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    crew = [subprocess.Popen(command, stdout=subprocess.PIPE, env=env) for _ in range(4)]
    claimed = [int(word) for one in crew for word in one.communicate()[0].split()]
    store.close()
    assert sorted(claimed) == list(range(300))


def test_writers_wait_for_each_other(tmp_path, url, store):
    claimed = []

    def claim():
        mine, me = Store(tmp_path, url), Owner.me()
        claimed.extend(c.n for c in mine.exchange(me, "suite", [], 3))
        mine.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(12))


def test_counts_and_questions_are_answered_alike(store, owner):
    store.exchange(owner, "suite", [], 4)
    failed = Row(state="failed", reason="agent error", score=0.0, seconds=1.0)
    ends = [(0, DONE), (1, failed), (2, FAULT)]
    store.exchange(owner, "suite", [(n, Standing(attempt=1, row=r), 0.0) for n, r in ends], 0)
    counts = store.counts("suite")
    assert (counts.passed, counts.failed, counts.infrastructure) == (1, 1, 1)
    assert (counts.score, counts.tokens, counts.cost_usd) == (0.25, 15, 0.75)
    assert counts.states == {"done": 1, "failed": 2, "queued": 9}
    assert store.groups_over("suite", 2) == [0]
    assert store.all_over("suite", range(3))
    assert not store.all_over("suite", range(4))
    assert store.find("suite") == [(1, 1), (2, 1)]
    assert store.find("suite", "agent error") == [(1, 1)]
    assert [(row["n"], row["owner"]) for row in store.running("suite")] == [(3, owner.name)]
    assert store.held_by(owner) == [(3, 0)]
    assert store.waiting("suite") == (8, 0.0)
    store.advance(owner, "suite", {3: "running"})
    assert store.running("suite")[0]["state"] == "running"
    assert store.suites() == ["suite"]


def test_a_trial_waits_after_a_fault_and_what_it_spent_stays_spent(store, owner):
    (claim,) = store.exchange(owner, "suite", [], 1)
    after = claim.before.after(claim.attempt, FAULT, 3)
    store.exchange(owner, "suite", [(claim.n, after, 3600.0)], 0)
    assert [c.n for c in store.exchange(owner, "suite", [], 20)] == list(range(1, 12))
    store.discharge(owner)
    again = store.exchange(owner, "suite", [], 1)[0]
    assert (again.n, again.attempt, again.faults, again.tokens) == (0, 2, 1, 5)
    store.requeue("suite", [(0, 2)])
    assert store.counts("suite").tokens == 5


def test_a_dead_runner_is_told_from_one_that_lives(store, owner):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    dead = Owner(name="dead", host=owner.host, pid=child.pid, born=1)
    child.wait()
    store.enlist(dead, "suite")
    assert store.runners("suite") == ([owner], [dead])


def test_a_runner_of_another_machine_lives_as_long_as_it_is_heard_of(store, monkeypatch):
    far = Owner(name="far", host="elsewhere boot 1", pid=1, born=1)
    store.enlist(far, "suite")
    assert store.runners("suite") == ([far], [])
    monkeypatch.setattr("tasks.store.ledger.PATIENCE_S", 0.2)
    time.sleep(0.3)
    assert store.runners("suite") == ([], [far])
    assert store.beat(far)
    assert store.runners("suite") == ([far], [])
    store.discharge(far)
    assert not store.beat(far), "it was given up, and is told"


def test_of_an_earlier_boot_nobody_lives_on_a_disk_of_this_machine():
    me = Owner.me()
    name, boot, view = me.host.split()
    before = Owner(name="x", host=f"{name} {'0' * len(boot)} {view}", pid=me.pid, born=me.born)
    assert not before.lives(100.0, 100.0, 60.0, local=True)
    assert before.lives(100.0, 100.0, 60.0, local=False)


def test_the_index_is_a_function_of_the_folders(tmp_path, url):
    folder = begun(tmp_path)
    for n in (3, 1, 0):
        graded(folder, n)
    store = opened(tmp_path, url)
    first = rows(store)
    store.close()
    assert rebuild(tmp_path, url) == 1
    again = Store(tmp_path, url)
    assert rows(again) == first
    assert again.counts("suite").states["done"] == 3
    again.close()


def test_an_index_in_use_is_not_rebuilt(tmp_path, url):
    begun(tmp_path)
    store = opened(tmp_path, url)
    store.enlist(Owner.me(), "suite")
    with pytest.raises(UsageError, match="is being run"):
        rebuild(tmp_path, url)
    store.close()


# --- PostgreSQL alone --------------------------------------------------------------------------


def test_suites_of_other_folders_share_a_database_and_outlive_a_rebuild(tmp_path, database):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        begun(tmp_path / name, name=name)
        opened(tmp_path / name, database).close()
    rebuild(tmp_path / "one", database)
    store = Store(tmp_path, database)
    assert sorted(store.suites()) == ["one", "two"]
    store.close()


def test_a_suite_is_not_run_from_two_indexes(cli, tmp_path, database):
    begun(tmp_path)
    opened(tmp_path, database).close()
    ended = cli("suite", "status", "--out", tmp_path)
    assert ended.status == 4
    assert "is kept in postgresql:///t" in ended.err
    assert "WORD" not in ended.err
    assert "WORD" not in (tmp_path / "suite" / "events.jsonl").read_text()
    assert cli("suite", "status", "--out", tmp_path, "--store", database).status == 0
    assert cli("index", "rebuild", "--out", tmp_path).status == 0
    assert cli("suite", "status", "--out", tmp_path).status == 0


def test_tables_of_a_newer_version_are_refused_and_older_ones_made_anew(tmp_path, database):
    import psycopg

    graded(begun(tmp_path), 0)
    opened(tmp_path, database).close()
    for version, expected in ((99, "update aexp"), (1, None)):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE aexp.about SET version = %s", (version,))
        if expected:
            with pytest.raises(InvalidInput, match=expected):
                Store(tmp_path, database)
    store = opened(tmp_path, database)
    assert store.counts("suite").states["done"] == 1
    store.close()


def test_a_server_that_starts_again_is_waited_for(server, tmp_path, database):
    store = Store(tmp_path, database)
    store.plan("suite", 0.0, PRODUCT)
    server.stop()
    server.start()
    assert store.counts("suite").total == 12
    store.close()


@pytest.mark.usefixtures("server")
def test_a_database_that_is_not_there_is_told_without_its_password(cli, tmp_path):
    url = f"postgresql://me:secret@/none?host={tmp_path}"
    ended = cli("suite", "run", "--tasks", "classification_basic", "--agents", CP, "--runtime",
                "process", "--out", tmp_path / "out", "--store", url)  # fmt: skip
    assert ended.status == 8
    assert "postgresql:///none" in ended.err
    assert "secret" not in ended.err
    assert not (tmp_path / "out").exists()


def test_several_runners_on_several_machines_run_a_suite_once(tmp_path, database, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "AEXP_STORE": database}
    command = [sys.executable, "-m", "tasks.cli", "suite"]
    slow = CP.replace("cp ", "sleep 0.3; cp ")
    words = ["run", "--tasks", "classification_basic", "--agents", slow, "--repeats", "24",
             "--runtime", "process", "--workers", "2", "--out", str(tmp_path / "out")]  # fmt: skip
    first = subprocess.Popen([*command, *words], env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/trials/*/report.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    # By another name of the machine it is one of which only the heartbeat is known.
    elsewhere = "import socket; socket.gethostname = lambda: 'elsewhere'; import tasks.cli, sys; "
    resume = ["suite", "resume", "--workers", "2", "--json", "--out", str(tmp_path / "out")]
    second = subprocess.run(
        [sys.executable, "-c", f"{elsewhere}sys.exit(tasks.cli.main({resume!r}))"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert first.wait(100) == 0
    assert second.returncode == 0, second.stderr
    reports = sorted(tmp_path.glob("out/*/trials/*/report.json"))
    numbers = [path.parent.name.split(".")[0] for path in reports]
    assert len(numbers) == len(set(numbers)) == 24
    done = subprocess.run([*command, "status", "--json", "--out", str(tmp_path / "out")], env=env,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert json.loads(done.stdout)["states"] == {"done": 24}
    assert not list(tmp_path.glob("out/index.sqlite"))


def test_a_killed_runners_trials_are_taken_over(tmp_path, database, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "AEXP_STORE": database}
    command = [sys.executable, "-m", "tasks.cli", "suite"]
    slow = CP.replace("cp ", "sleep 0.2; cp ")
    words = ["run", "--tasks", "classification_basic", "--agents", slow, "--repeats", "8",
             "--runtime", "process", "--workers", "2", "--out", str(tmp_path / "out")]  # fmt: skip
    runner = subprocess.Popen([*command, *words], env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/trials/*/report.json")):
        assert time.monotonic() < until
        time.sleep(0.02)
    runner.kill()
    runner.wait()
    done = subprocess.run([*command, "resume", "--json", "--out", str(tmp_path / "out")], env=env,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert json.loads(done.stdout)["states"] == {"done": 8}
    store, (folder,) = Store(tmp_path, database), [*tmp_path.glob("out/*/suite.json")]
    before = rows(store)
    store.close()
    assert rebuild(folder.parent.parent, database) == 1
    store = Store(tmp_path, database)
    assert rows(store) == before
    store.close()


def test_a_url_of_something_else_is_refused(cli, tmp_path):
    ended = cli("suite", "status", "--out", tmp_path, "--store", "mysql://me:secret@host/db")
    assert ended.status in {2, 3}
    ended = cli("index", "rebuild", "--out", tmp_path, "--store", "mysql://me:secret@host/db")
    assert ended.status == 2
    assert "postgresql://user@host/database" in ended.err
    assert "secret" not in ended.err


def test_an_sqlite_file_is_seen_by_one_machine_and_a_database_by_many(tmp_path):
    index = Index(tmp_path)
    assert index.local
    index.close()
    with pytest.raises((UsageError, InfrastructureError)):
        Store(tmp_path, "postgresq://typo")
