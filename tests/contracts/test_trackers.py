"""What every tracker keeps: what a trial is worth can be read back with the tracker's own means.

Runs over all trackers whose library is here. The author of another one subclasses
`TrackerContract` and overrides the fixtures `tracker` and `stored`.
"""

import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.trackers import Feed, Tracked, tracker_named

REQUIRED = os.environ.get("AEXP_REQUIRE", "").split(",")


@pytest.fixture(autouse=True)
def _nothing_of_the_users_own(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)


def needs(name, module):
    """Skip where a library is not here, unless it is required."""
    if name in REQUIRED:
        __import__(module)
    else:
        pytest.importorskip(module, reason=f"the extra {name} is not installed")


@dataclass
class Stored:
    """What a tracker holds of one trial, read back."""

    params: dict
    tags: dict
    summary: dict
    series: dict
    """By metric, its steps and values in their order."""
    status: str
    group: str | None
    files: dict = field(default_factory=dict)


def asked(name="2026-01-01_small_a_1", **more):
    return {
        "trial": name,
        "task": {
            "id": "small",
            "task_type": "classification",
            "difficulty": "easy",
            "data_requirements": {"n_samples": 300},
            "evaluation_criteria": {"min_accuracy": 0.2},
        },
        "agent": {"id": "aide/dev", "command": ["sh"]},
        "runtime": "process",
        "limits": {"time_s": 60.0},
        "sealed": True,
        "started": 1_700_000_000.0,
        **more,
    }


EVENTS = [
    {"time": 1_700_000_000.0, "event": "created", "task": "small"},
    {
        "time": 1_700_000_060.0,
        "event": "metrics",
        "claimed": True,
        "count": 5,
        "points": [
            ["loss", 0.5, 0, 1_700_000_001.0],
            ["acc", 0.25, 0, 1_700_000_001.0],
            ["loss", 0.25, 7, 1_700_000_002.0],
            ["strange: name\u2028", -1e9, 0, 0.0],
            ["../../up", 1.0, 0, 0.0],
        ],
    },
    {"time": 1_700_000_061.0, "event": "graded", "success": True},
]


def report(**more):
    return {
        "outcome": {
            "reason": "finished",
            "seconds": 1.5,
            "cpu_seconds": 1.25,
            "peak_memory_bytes": 1000,
        },
        "evaluation": {
            "success": True,
            "overall_score": 0.75,
            "scores": {"accuracy": {"score": 0.875, "skill": 0.75, "floor": 0.5, "ceiling": None}},
        },
        "logged": {"params": {"model": "forest"}, "metrics": {}},
        "finished": 1_700_000_062.0,
        **more,
    }


ASKED, REPORT = asked(), report()


def folder_of(place, asked, report):
    """Lay a finished trial out as it lies on disk."""
    (place / "outputs" / "submission").mkdir(parents=True)
    (place / "outputs" / "submission" / "submission.csv").write_text("id,target\n1,2\n")
    (place / "trial.json").write_text(json.dumps(asked))
    (place / "report.json").write_text(json.dumps(report))
    (place / "run.log").write_text("hello\n")
    (place / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    return place


class TrackerContract:
    """The cases; `tracker` is its name, `stored` reads its store back: trial's name → `Stored`."""

    @pytest.fixture
    def tracker(self):
        raise NotImplementedError("return the name of the tracker under test")

    @pytest.fixture
    def stored(self):
        raise NotImplementedError("return a function of the store")

    @pytest.fixture
    def store(self, tmp_path):
        path = tmp_path / "store"
        path.mkdir()
        return path

    @pytest.fixture
    def write(self, tracker, store, tmp_path):
        """Write a trial as a sink does."""

        def write(asked=ASKED, report=REPORT):
            place = tmp_path / "trials" / asked["trial"]
            if not place.exists():
                folder_of(place, asked, report)
            made = tracker_named(tracker)(store)
            made.start(Tracked(folder=place, asked=asked))
            for event in EVENTS:
                made.event(event)
            return made.finish(report)

        return write

    def test_what_was_asked_and_what_it_is_worth_is_read_back(self, write, store, stored):
        where = write()
        (trial,) = stored(store).values()
        assert "\n" not in where
        assert where
        assert trial.params["task"] == "small"
        assert trial.params["agent"] == "aide/dev"
        assert trial.params["data.n_samples"] == "300"
        assert trial.params["claimed/model"] == "forest"
        assert trial.tags["aexp.success"] == "true"
        assert trial.tags["aexp.outcome"] == "finished"
        assert trial.summary["accuracy"] == 0.875
        assert trial.summary["accuracy.skill"] == 0.75
        assert trial.summary["overall_score"] == 0.75
        assert trial.summary["seconds"] == 1.5
        assert "accuracy.ceiling" not in trial.summary
        assert trial.status == "finished"

    def test_what_the_agent_claims_is_read_back_over_time_under_a_name_of_its_own(
        self, write, store, stored
    ):
        write()
        (trial,) = stored(store).values()
        assert trial.series["claimed/loss"] == [(0, 0.5), (7, 0.25)]
        assert trial.series["claimed/acc"] == [(0, 0.25)]
        assert trial.series["claimed/strange_ name_"] == [(0, -1e9)]
        assert trial.series["claimed/up"] == [(0, 1.0)]
        assert "loss" not in trial.series

    def test_the_files_are_kept(self, write, store, stored):
        write()
        (trial,) = stored(store).values()
        assert trial.files["outputs/submission/submission.csv"] == b"id,target\n1,2\n"
        assert json.loads(trial.files["report.json"])["evaluation"]["success"] is True
        assert "run.log" in trial.files

    def test_trials_of_a_suite_are_below_it(self, write, store, stored):
        for number in range(2):
            write(asked(f"t{number}", suite={"id": "nightly", "repeat": 0, "attempt": 1}))
        write(asked("alone"))
        groups = {name: trial.group for name, trial in stored(store).items()}
        assert groups == {"nightly/t0": "nightly", "nightly/t1": "nightly", "alone": None}

    def test_a_failed_agent_is_a_failed_run(self, write, store, stored):
        bad = report()
        bad["outcome"] = {**bad["outcome"], "reason": "timed out"}
        write(report=bad)
        (trial,) = stored(store).values()
        assert trial.status == "failed"
        assert trial.tags["aexp.outcome"] == "timed out"

    def test_a_void_trial_has_no_scores(self, write, store, stored):
        write(report=report(evaluation=None))
        (trial,) = stored(store).values()
        assert trial.tags["aexp.success"] == "void"
        assert "overall_score" not in trial.summary

    def test_a_trial_without_a_report_is_ended_and_says_so(self, write, store, stored):
        write(report=None)
        (trial,) = stored(store).values()
        assert trial.tags["aexp.outcome"] == "no report"
        assert trial.status != "finished"

    def test_writing_a_trial_again_replaces_it(self, write, store, stored):
        write()
        before = stored(store)
        write()
        assert stored(store) == before

    @pytest.mark.timeout(240)
    def test_a_feed_writes_live_what_it_writes_afterwards(
        self, tracker, stored, store, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        place = folder_of(tmp_path / "trials" / "one", asked("one"), report())
        with Feed([tracker], store, close_s=200) as live:
            live.start(place, asked("one"))
            for event in EVENTS:
                live.event(place, json.dumps(event) + "\n")
            live.finish(place, report())
        assert live.warnings == []
        assert live.where[tracker]
        with Feed([tracker], tmp_path / "after", close_s=200) as after:
            after.replay(place)
        assert after.warnings == []
        assert stored(tmp_path / "after") == stored(store)


@pytest.mark.filterwarnings("default")  # what other people's code warns of is theirs
@pytest.mark.timeout(240)
class TestMlflow(TrackerContract):
    @pytest.fixture
    def tracker(self):
        needs("mlflow", "mlflow")
        return "mlflow"

    @pytest.fixture
    def stored(self):
        return read_mlflow


def read_mlflow(store):
    """Read the store with MLflow's client."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("aexp").experiment_id
    runs = client.search_runs([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    trials = [run for run in runs if run.data.tags.get("aexp.kind") != "suite"]
    return {run.info.run_name: _mlflow_trial(client, run, names) for run in trials}


def _mlflow_trial(client, run, names):
    def history(name):
        found = client.get_metric_history(run.info.run_id, name)
        return [(point.step, point.value) for point in sorted(found, key=lambda p: p.timestamp)]

    tags = run.data.tags
    parent = tags.get("mlflow.parentRunId")
    claimed = [name for name in run.data.metrics if name.startswith("claimed/")]
    return Stored(
        params=run.data.params,
        tags={key: value for key, value in tags.items() if key.startswith("aexp.")},
        summary={k: v for k, v in run.data.metrics.items() if k not in claimed},
        series={name: history(name) for name in claimed},
        status={"FINISHED": "finished", "FAILED": "failed"}.get(run.info.status, "killed"),
        group=None if parent is None else names[parent],
        files=dict(_mlflow_files(client, run.info.run_id, None)),
    )


def _mlflow_files(client, run, path):
    for entry in client.list_artifacts(run, path):
        if entry.is_dir:
            yield from _mlflow_files(client, run, entry.path)
        else:
            yield entry.path, Path(client.download_artifacts(run, entry.path)).read_bytes()


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(240)
class TestWandb(TrackerContract):
    @pytest.fixture
    def tracker(self):
        needs("wandb", "wandb")
        return "wandb"

    @pytest.fixture
    def stored(self):
        return read_wandb


def read_wandb(store):
    """Read the offline files with W&B's own messages."""
    import wandb

    wandb.teardown()  # its service writes the end of a file some time after `finish`
    found = {}
    for file in sorted((store / "wandb").glob("offline-run-*/run-*.wandb")):
        name, trial = _wandb_trial(file)
        found[name] = trial
    return found


def _wandb_trial(file):
    records = list(_wandb_records(file.read_bytes()))
    config, summary, series = {}, {}, {}
    run = next(record.run for record in records if record.HasField("run"))
    for record in records:
        updates = [*record.config.update, *record.run.config.update]
        config |= {item.key: json.loads(item.value_json) for item in updates}
        for item in record.summary.update:
            summary[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        row = {
            ".".join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for name, value in row.items():
            if not name.startswith("_") and name != "claimed/step":
                series.setdefault(name, []).append((row["claimed/step"], value))
    files = dict(_wandb_files(records))
    code = next((record.exit.exit_code for record in records if record.HasField("exit")), None)
    return run.display_name, Stored(
        params={key: value for key, value in config.items() if not key.startswith(("aexp.", "_"))},
        tags={key: value for key, value in config.items() if key.startswith("aexp.")},
        summary={k: v for k, v in summary.items() if not k.startswith(("_", "claimed/"))},
        series=series,
        status={0: "finished"}.get(code, "failed"),
        group=run.run_group or None,
        files=files,
    )


def _wandb_files(records):
    for record in records:
        sent = record.HasField("artifact")
        artifact = record.artifact if sent else record.request.log_artifact.artifact
        for entry in artifact.manifest.contents:
            yield entry.path, Path(entry.local_path).read_bytes()


def _wandb_records(data):
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


MODULE = '''
import json
from pathlib import Path
from tasks.trackers import words


class Notes:
    """A tracker of one file a trial."""

    def __init__(self, store):
        self.store = Path(store)

    def start(self, trial):
        self.trial = trial
        self.kept = {"params": words.params(trial), "tags": words.tags(trial), "series": {}}
        self.kept |= {"group": trial.suite, "summary": {}, "files": {}}

    def event(self, event):
        for point in words.points(event):
            self.kept["series"].setdefault(point.name, []).append([point.step, point.value])

    def finish(self, report):
        self.kept["tags"] |= words.verdict(report)
        self.kept["status"] = "failed"
        if report is not None:
            self.kept["params"] |= words.claimed_params(report)
            self.kept["summary"] = words.summary(report)
            if report["outcome"]["reason"] == "finished":
                self.kept["status"] = "finished"
            for path, place in words.artefacts(self.trial.folder):
                self.kept["files"][f"{place}/{path.name}".lstrip("/")] = path.read_text()
        self.store.mkdir(exist_ok=True)
        file = self.store / (self.trial.name.replace("/", "~") + ".json")
        file.write_text(json.dumps(self.kept))
        return str(file)
'''


class TestTrackio(TrackerContract):
    @pytest.fixture
    def tracker(self, monkeypatch, store):
        needs("trackio", "trackio")
        # The library reads it once, when it is imported.
        monkeypatch.delenv("TRACKIO_DIR", raising=False)
        for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
            monkeypatch.delitem(sys.modules, name)
        return "trackio"

    @pytest.fixture
    def stored(self):
        return read_trackio


def read_trackio(store):
    """Read the store with Trackio, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _READ_TRACKIO],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TRACKIO_DIR": str(store / "trackio"), "HF_HUB_OFFLINE": "1"},
    )
    return {
        name: _trackio_trial(store, name, run["config"], run["logs"])
        for name, run in json.loads(done.stdout).items()
    }


_READ_TRACKIO = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
runs = trackio.Api().runs("aexp")
logs = {run.name: SQLiteStorage.get_logs("aexp", run.name) for run in runs}
print(json.dumps({r.name: {"config": r.config, "logs": logs[r.name]} for r in runs}))
"""


def _trackio_trial(store, name, config, logs):
    series, summary = {}, {}
    for row in logs:
        for key, value in row.items():
            if key.startswith("claimed/"):
                series.setdefault(key, []).append((row["step"], value))
            elif key not in {"step", "timestamp", "over"}:
                summary[key] = value
    place = store / "trackio" / "media" / "aexp" / "files" / name
    files = {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }
    outcome = config["aexp.outcome"]
    return Stored(
        params=config,
        tags=config,
        summary=summary,
        series=series,
        status={"finished": "finished", "no report": "killed"}.get(outcome, "failed"),
        group=config.get("_Group"),
        files=files,
    )


class TestNotes(TrackerContract):
    """One that a user brings as `module:Class`."""

    @pytest.fixture
    def tracker(self, tmp_path, monkeypatch):
        (tmp_path / "notes_tracker.py").write_text(MODULE)
        monkeypatch.syspath_prepend(tmp_path)
        return "notes_tracker:Notes"

    @pytest.fixture
    def stored(self):
        def read(store):
            found = {}
            for file in store.glob("*.json"):
                kept = json.loads(file.read_text())
                kept["series"] = {
                    name: [tuple(point) for point in points]
                    for name, points in kept["series"].items()
                }
                kept["files"] = {name: text.encode() for name, text in kept["files"].items()}
                found[file.stem.replace("~", "/")] = Stored(**kept)
            return found

        return read
