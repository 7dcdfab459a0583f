"""A tracker that is down, slow or broken is a warning, and the trial learns nothing of it."""

import json
import re
import sys
import time

import pytest

from tasks import Task, TaskRunner
from tasks.errors import InvalidInput, MissingPart, UnknownName, install
from tasks.trackers import Feed
from tasks.trackers.words import plain
from tests.contracts.test_trackers import ASKED, EVENTS, REPORT, folder_of

BROKEN = """
import os, time

class Tracker:
    def __init__(self, store): self.store = store
    def start(self, trial): pass
    def event(self, event): pass
    def finish(self, report): return "here"

class Failing(Tracker):
    def event(self, event): raise RuntimeError("the server said no\\nand more")

class Crashing(Tracker):
    def event(self, event): os._exit(3)

class Hanging(Tracker):
    def event(self, event): time.sleep(600)

class Chatty(Tracker):
    def start(self, trial): print("hello from a library"); os.write(1, b"and from its C code")

class Counting(Tracker):
    count = 0
    def event(self, event): self.count += 1
    def finish(self, report): return str(self.count)
"""


@pytest.fixture
def feed(tmp_path, monkeypatch):
    (tmp_path / "broken_trackers.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(*names, close_s=60):
        full = [f"broken_trackers:{name}" for name in names]
        return Feed(full, tmp_path / "store", close_s=close_s)

    return make


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "trials" / "one", ASKED, REPORT)


def tell(feed, folder):
    feed.start(folder, ASKED)
    for event in EVENTS:
        feed.event(folder, json.dumps(event) + "\n")
    feed.finish(folder, REPORT)


def test_a_failing_tracker_is_one_warning_and_the_others_go_on(feed, folder):
    with feed("Failing", "Counting") as both:
        tell(both, folder)
    assert both.where == {"broken_trackers:Counting": str(len(EVENTS))}
    assert both.warnings == ["broken_trackers:Failing: the server said no (trial one)"]


def test_a_crashing_tracker_is_a_warning_with_its_status(feed, folder):
    with feed("Crashing") as crashing:
        tell(crashing, folder)
        tell(crashing, folder)
    assert "its process ended with 3" in crashing.warnings[0]
    assert "aexp export RUN --to" in crashing.warnings[0]


def test_a_hanging_tracker_holds_nobody_up_and_is_ended(feed, folder):
    begin = time.monotonic()
    hanging = feed("Hanging", close_s=3)
    tell(hanging, folder)
    assert time.monotonic() - begin < 2
    hanging.close()
    assert time.monotonic() - begin < 30
    assert "too slow" in hanging.warnings[0]


def test_what_waits_for_a_slow_tracker_is_bounded(feed, folder, monkeypatch):
    monkeypatch.setattr("tasks.trackers.feed.MOST_WAITING", 10_000)
    hanging = feed("Hanging", close_s=3)
    hanging.start(folder, ASKED)
    for _ in range(1000):
        hanging.event(folder, json.dumps({**EVENTS[0], "text": "x" * 1000}))
    outlet = hanging._outlets[0]
    assert outlet._waiting <= 10_000
    hanging.close()
    assert outlet._left_out > 800


def test_what_a_library_prints_is_no_answer(feed, folder):
    with feed("Chatty") as chatty:
        tell(chatty, folder)
    assert chatty.warnings == []
    assert chatty.where == {"broken_trackers:Chatty": "here"}


def test_the_trial_of_a_dead_tracker_is_as_good_as_any(feed, tmp_path):
    task = Task.from_dict(
        {
            "id": "small",
            "name": "Small",
            "task_type": "classification",
            "data_requirements": {"dataset_type": "classification", "n_samples": 100},
        },
        source="test",
    )
    with feed("Crashing", "Counting") as both:
        runner = TaskRunner(tmp_path / "runs", runtime="process", feed=both)
        trial = runner.run_task(task, [sys.executable, "-c", "pass"], timeout=60)
    assert trial.outcome.reason == "finished"
    told = trial.workspace.events_file.read_text().splitlines()
    assert both.where["broken_trackers:Counting"] == str(len(told))
    assert len(both.warnings) == 1


def test_trials_whose_runner_died_are_ended_without_a_report(feed, folder):
    with feed("Counting") as counting:
        counting.start(folder, ASKED)
        counting.event(folder, json.dumps(EVENTS[0]))
    assert counting.where == {"broken_trackers:Counting": "1"}


def test_a_folder_without_a_report_cannot_be_replayed(feed, tmp_path):
    with feed("Counting") as counting, pytest.raises(InvalidInput, match=r"no report\.json"):
        counting.replay(tmp_path)


def test_a_feed_that_was_told_nothing_starts_nothing(feed):
    with feed("Hanging", close_s=0) as hanging:
        pass
    assert hanging.warnings == []


def test_a_tracker_that_there_is_not_is_named_before_the_trial(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'mlflow'"):
        Feed(["mflow"], tmp_path)


def test_a_missing_library_is_named_with_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name in ("mlflow", "wandb"):
        with pytest.raises(MissingPart, match=re.escape(install(name))):
            Feed([name], tmp_path)


def test_metric_names_are_made_of_letters_that_all_trackers_take():
    names = ["loss", "a/b", "../../x", "a//b", "ä\n", "", ".", "/etc"]
    assert [plain(name) for name in names] == ["loss", "a/b", "x", "a/b", "__", "_", "_", "etc"]


def test_track_and_export_say_where_the_trial_is(run, cli, feed, tmp_path):
    feed("Counting")
    name = "broken_trackers:Counting"
    ended = run("classification_basic", "--local", "--track", name, "--", "true")
    assert ended.status == 0, ended.err
    assert f"{name}: " in ended.err
    (trial,) = [path for path in (tmp_path / "runs").iterdir() if (path / "trial.json").exists()]
    count = len((trial / "events.jsonl").read_text().splitlines())
    exported = cli("export", trial, "--to", name)
    assert exported.out == f"1 trial → {count}\n"
    all_of_them = cli("export", tmp_path / "runs", "--to", name)
    assert (all_of_them.out, all_of_them.err) == (exported.out, "")
    assert cli("export", tmp_path / "store", "--to", name).status == 3
    assert (tmp_path / "runs" / "trackers").is_dir()
