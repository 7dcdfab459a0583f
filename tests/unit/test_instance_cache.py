"""Public files that processes share: once written, often copied, never trusted, without answers."""

import json
import os
import subprocess
import sys
import time

import pytest

from tasks import datasets
from tasks.instance import Seed
from tasks.prepared import Prepared
from tasks.spec import Task
from tasks.suite import cache
from tasks.suite.cache import Shared
from tests.conftest import ROOT

DEFINITION = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 60, "n_test": 30},
    "evaluation_criteria": {"min_accuracy": 0.01},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tasks.prepared.KEPT_BYTES", 0)  # so that a small instance is a large one


def instance(secret=b"s" * 32, **changes):
    task, seed = (
        Task.from_dict({**DEFINITION, **changes}, source="test"),
        Seed(secret=secret, sealed=True),
    )
    return Shared(task=task, seed=seed, instance=datasets.draw(task, seed))


def written(ready, folder):
    folder.mkdir()
    digests = ready.write_public(folder)
    assert digests == datasets.digests(folder)
    return digests


@pytest.fixture
def counted(monkeypatch):
    """How often files were made and not copied."""
    calls = []
    make = Prepared.write_public

    def counting(self, folder):
        calls.append(folder)
        return make(self, folder)

    monkeypatch.setattr(Prepared, "write_public", counting)
    return calls


def test_files_are_made_once_and_copied_for_every_other_trial(tmp_path, counted):
    first = written(instance(), tmp_path / "a")
    assert written(instance(), tmp_path / "b") == first
    assert len(counted) == 1
    times = [{path.stat().st_mtime for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert times[0] == times[1], "a copy tells nothing of its own"


def test_another_seed_or_another_task_is_another_entry(tmp_path):
    written(instance(), tmp_path / "a")
    written(instance(secret=b"t" * 32), tmp_path / "b")
    written(instance(name="Other"), tmp_path / "c")
    assert len(cache.entries()) == 3


def test_small_files_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.prepared.KEPT_BYTES", 2**20)
    written(instance(), tmp_path / "a")
    assert cache.entries() == []


def test_no_answer_and_no_seed_is_in_it(tmp_path):
    ready = instance()
    public = set(written(ready, tmp_path / "a"))
    (entry,) = cache.entries()
    kept = {path.name for path in (entry.folder / "public").iterdir()}
    assert kept == public
    contents = b"".join(path.read_bytes() for path in entry.folder.rglob("*") if path.is_file())
    assert ready.seed.secret not in contents
    assert ready.seed.secret.hex().encode() not in contents
    assert ready.instance.commitment(ready.seed) not in entry.folder.name


@pytest.mark.parametrize("damage", ["changed", "added", "linked", "torn", "relabelled"])
def test_what_an_agent_did_to_it_reaches_no_trial(tmp_path, counted, damage):
    ready = instance()
    good = written(ready, tmp_path / "a")
    (entry,) = cache.entries()
    file = entry.folder / "public" / "train.csv"
    if damage == "changed":
        file.write_text("id,target\n")
    elif damage == "added":
        (entry.folder / "public" / "hint.txt").write_text("look")
    elif damage == "linked":
        file.unlink()
        file.symlink_to("/etc/passwd")
    elif damage == "torn":
        (entry.folder / "about.json").write_text('{"task": ')
    else:
        file.write_text("id,target\n")
        about = json.loads((entry.folder / "about.json").read_text())
        about["files"] = datasets.digests(entry.folder / "public")
        (entry.folder / "about.json").write_text(json.dumps(about))
    assert written(instance(), tmp_path / "b") == good
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(good)
    assert len(counted) == (1 if damage == "added" else 2)


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AEXP_CACHE", str(tmp_path / "file" / "below"))
    assert written(instance(), tmp_path / "a")
    assert cache.entries() == []


def test_many_writers_at_a_time_leave_one_whole_entry(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; import tasks.prepared; tasks.prepared.KEPT_BYTES = 0\n"
        "from tests.unit.test_instance_cache import instance, written\n"
        "for turn in range(5): print(sorted(written(instance(), Path(f'{sys.argv[1]}-{turn}'))"
        ".items()))\n"
    )
    crew = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / f"w{n}"), str(ROOT)],
                         stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]  # fmt: skip
    told = {line for one in crew for line in one.communicate(timeout=100)[0].splitlines()}
    assert all(one.returncode == 0 for one in crew)
    assert len(told) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1, "nothing is left aside"


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    """Three entries, the first unused for an hour."""
    readies = [instance(secret=bytes([n]) * 32) for n in range(3)]
    for n, ready in enumerate(readies):
        written(ready, tmp_path / str(n))
        os.utime(ready.entry, (time.time() - 3600 // (n + 1),) * 2)
    return readies


def test_the_command_lists_and_prunes(cli, three):
    said = json.loads(cli("cache", "list", "--json").out)
    assert [entry["task"] for entry in said["entries"]] == ["small"] * 3
    assert said["entries"][0]["key"] == three[0].entry.name
    assert "3 instances" in cli("cache", "list").out
    removed = cli("cache", "prune", "--unused", "50m")
    assert removed.out.startswith("removed 1 instance,")
    assert not three[0].entry.exists()
    size = said["entries"][0]["bytes"]
    assert json.loads(cli("cache", "prune", "--max-size", size + 10, "--json").out)["removed"] == 1
    assert [entry.folder for entry in cache.entries()] == [three[2].entry]
    assert cli("cache", "prune").status == 0
    assert cache.entries() == []
    assert cli("cache", "prune", "--unused", "soon").status == 2


def test_a_suite_leaves_none_of_its_instances(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    (tmp_path / "tasks").mkdir()
    definition = {**DEFINITION, "data_requirements": {
        "dataset_type": "classification", "n_samples": 700_000, "n_test": 1000}}  # fmt: skip
    (tmp_path / "tasks" / "small.json").write_text(json.dumps(definition))
    copy = 'command:sh -c "cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv"'
    ended = cli("suite", "run", "--tasks-dir", tmp_path / "tasks", "--tasks", "small", "--agents",
                copy, "--agents", f"b={copy}", "--runtime", "process", "--workers", 2, "--out",
                tmp_path / "out", "--json")  # fmt: skip
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["states"] == {"done": 2}
    reports = [json.loads(file.read_text()) for file in tmp_path.glob("out/*/trials/*/report.json")]
    assert reports[0]["hashes"]["public"] == reports[1]["hashes"]["public"]
    assert (tmp_path / "cache").is_dir(), "it was used"
    assert list((tmp_path / "cache").iterdir()) == []
