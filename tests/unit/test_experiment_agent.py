"""The experiment agent, run as it is run in earnest: a process, files and variables."""

import ast
import importlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

AGENT = Path(__file__).resolve().parents[2] / "agents" / "experiment"


@dataclass
class World:
    """What an agent is given, and what it leaves."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    def prepare(self, task, form, **tables):
        self.data.mkdir()
        for name, table in tables.items():
            table.to_csv(self.data / f"{name}.csv", index=False)
        if form is not None:
            sample = pd.DataFrame({"id": tables["test"]["id"]})
            sample["target"] = form["classes"][0] if form["kind"] == "classes" else 0
            sample.to_csv(self.data / "sample_submission.csv", index=False)
        config = {"task": {"id": "t", **task}, "submission": form}
        (self.data / "task_config.json").write_text(json.dumps(config))
        return self

    def run(self, *, seconds=120, **variables):
        env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.root),
            "DATA_DIR": str(self.data),
            "TIME_LIMIT_SECS": str(seconds),
            "EXPERIMENT_DIR": str(self.root / "experiments"),
            **{f"{n.upper()}_DIR": str(self.root / n) for n in ("submission", "logs", "code")},
            **variables,
        }
        command = ["bash", str(AGENT / "start.sh")]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    @property
    def submission(self):
        return pd.read_csv(self.root / "submission" / "submission.csv", dtype={"id": str})

    @property
    def metrics(self):
        return json.loads((self.root / "experiments" / "results" / "metrics.json").read_text())

    @property
    def log(self):
        return (self.root / "logs" / "experiment.log").read_text()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def form(kind, classes=(), quantiles=()):
    return {
        "file": "submission.csv",
        "kind": kind,
        "id_column": "id",
        "target": "target",
        "classes": list(classes),
        "probabilities": False,
        "quantiles": list(quantiles),
    }


def split(table, n_train, target="target"):
    table = table.reset_index(drop=True)
    table.insert(0, "id", np.arange(len(table)))
    return table[:n_train], table[n_train:].drop(columns=target), table[n_train:][target].to_numpy()


def numbers(n=500, d=5, seed=1):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return pd.DataFrame(x, columns=[f"f{j}" for j in range(d)])


def assert_answers_every_id(world, test, finished):
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    assert sorted(world.submission["id"]) == sorted(test["id"].astype(str))
    assert not world.submission.isna().to_numpy().any()
    assert "task t" in world.log
    assert world.log in finished.stdout


# --- every kind of task ------------------------------------------------------------------------


def test_classes_are_told_far_better_than_by_guessing(world):
    table = numbers()
    table["target"] = 2 * (table["f0"] + abs(table["f1"]) > 0.8) + (table["f2"] > 0.5)
    train, test, truth = split(table, 300)
    task = {"task_type": "classification", "evaluation_criteria": {"min_accuracy": 0.7}}
    world.prepare(task, form("classes", "0123"), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    said = world.submission
    assert (said["target"].to_numpy() == truth).mean() > 0.8
    sums = said[[f"proba_{k}" for k in range(4)]].sum(axis=1)
    assert np.allclose(sums, 1, atol=1e-3)
    assert abs(world.metrics["accuracy"] - (said["target"].to_numpy() == truth).mean()) < 0.1


def test_named_classes_text_columns_and_missing_cells_are_no_obstacle(world):
    table = numbers()
    rng = np.random.default_rng(3)
    colour = rng.choice(["red", "green", "None", "NA"], len(table))
    table["target"] = np.where((table["f0"] > 0) ^ (colour == "red"), "yes", "no")
    table["colour"] = colour
    table["empty"] = np.nan
    table["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, 500), "D")
    table.loc[rng.random(500) < 0.2, "f0"] = np.nan
    train, test, truth = split(table, 350)
    task = {"task_type": "classification"}
    world.prepare(task, form("classes", ["no", "yes"]), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    assert (world.submission["target"].to_numpy() == truth).mean() > 0.8


def test_rare_classes_are_named_when_the_mark_is_balanced_accuracy(world):
    table = numbers(1500)
    noise = np.random.default_rng(5).normal(size=1500)
    table["target"] = (table["f0"] + noise > 2.4).astype(int)
    train, test, truth = split(table, 700)
    task = {"task_type": "classification", "evaluation_criteria": {"min_balanced_accuracy": 0.6}}
    world.prepare(task, form("classes", "01"), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    said = world.submission["target"].to_numpy()
    recalls = [(said[truth == k] == k).mean() for k in (0, 1)]
    assert np.mean(recalls) > 0.7
    assert "balanced_accuracy" in world.metrics


def test_numbers_are_told_with_their_quantiles(world):
    table = numbers()
    noise = np.random.default_rng(4).normal(size=500)
    table["target"] = 50 + 10 * table["f0"] - 8 * abs(table["f1"]) + 3 * noise
    train, test, truth = split(table, 300)
    task = {"task_type": "regression"}
    world.prepare(task, form("values", quantiles=[0.1, 0.9]), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    said = world.submission
    assert 1 - ((said["target"] - truth) ** 2).mean() / truth.var() > 0.8
    covered = (said["q0.1"] <= truth) & (truth <= said["q0.9"])
    assert 0.65 < covered.mean() < 0.95
    assert world.metrics["r2"] > 0.8


def series_table(n_series=6, n_steps=260, period=12):
    rng = np.random.default_rng(7)
    step = np.arange(n_steps)
    rows = []
    for s in range(n_series):
        x = rng.normal(size=n_steps)
        y = 5 * np.sin(2 * np.pi * step / period + s) + 0.05 * step + 2 * x
        y += rng.normal(size=n_steps)
        rows.append(pd.DataFrame({"series": s, "time": step, "x0": x, "target": y}))
    return pd.concat(rows, ignore_index=True)


def test_series_are_forecast_better_than_by_the_last_season(world):
    table = series_table()
    future = table["time"] >= 248
    table = pd.concat([table[~future], table[future]], ignore_index=True)
    train, test, truth = split(table, int((~future).sum()))
    world.prepare({"task_type": "time_series"}, form("values"), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    error = np.abs(world.submission["target"] - truth).mean()
    last_season = train[train["time"] >= 236]["target"].to_numpy()
    assert error < 0.5 * np.abs(last_season - truth).mean()
    assert "period 12" in world.log
    assert 0 < world.metrics["mase"] < 0.6


def test_series_with_gaps_and_two_seasons_are_told_with_their_quantiles(world):
    table = series_table(n_steps=420, period=6)
    table["target"] += 8 * np.sin(2 * np.pi * table["time"] / 42)
    future = table["time"] >= 408
    gap = ~future & (np.random.default_rng(1).random(len(table)) < 0.3)
    table = pd.concat([table[~future & ~gap], table[future]], ignore_index=True)
    train, test, truth = split(table, int((~future & ~gap).sum()))
    task = {"task_type": "time_series", "data_requirements": {"periods": [6, 42]}}
    world.prepare(task, form("values", quantiles=[0.1, 0.9]), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    said = world.submission
    assert "period 6 and 42" in world.log
    assert np.abs(said["target"] - truth).mean() < 1.6  # the noise alone gives 0.8
    covered = (said["q0.1"] <= truth) & (truth <= said["q0.9"])
    assert 0.6 < covered.mean() < 0.97


@pytest.fixture
def panel_module(monkeypatch):
    monkeypatch.syspath_prepend(str(AGENT))
    return importlib.import_module("panel")


@pytest.mark.parametrize("period", [2, 3, 7, 24, 52])
def test_a_season_is_found_under_noise_and_a_wandering_level(panel_module, period):
    rng, angle = np.random.default_rng(period), 2 * np.pi * np.arange(600) / period
    season = np.cos(angle + 1) + (0.5 * np.cos(2 * angle) if period > 3 else 0)
    y = 2 * season + rng.normal(size=(4, 600)) + 0.1 * rng.normal(size=(4, 600)).cumsum(axis=1)
    assert panel_module.detect_period(y) == period


def test_a_smooth_year_of_weeks_is_no_season_of_three_weeks(panel_module):
    week = np.arange(1040)
    rng = np.random.default_rng(2)
    y = 0.03 * week + 3 * np.sin(2 * np.pi * week / 52.18) + np.sin(4 * np.pi * week / 52.18)
    assert panel_module.detect_period((y + 0.3 * rng.normal(size=1040))[None]) == 52


@pytest.mark.parametrize("n_series", [1, 20])
def test_noise_and_wandering_levels_have_no_season(panel_module, n_series):
    rng = np.random.default_rng(n_series)
    for _ in range(5):
        noise = rng.normal(size=(n_series, 400))
        assert panel_module.detect_period(noise) == 1
        assert panel_module.detect_period(noise.cumsum(axis=1)) == 1


def test_texts_are_told_apart_by_their_words(world):
    rng = np.random.default_rng(8)
    words = np.array([f"w{k}" for k in range(60)])
    target = rng.integers(0, 3, 500)
    texts = [" ".join(rng.choice(words[10 * k : 10 * k + 40], 20)) for k in target]
    train, test, truth = split(pd.DataFrame({"text": texts, "target": target}), 300)
    task = {"task_type": "text_classification"}
    world.prepare(task, form("classes", "012"), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    assert (world.submission["target"].to_numpy() == truth).mean() > 0.85


def test_clusters_are_found_without_being_told_their_number(world):
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 3, 600)
    points = rng.normal(size=(600, 4)) + 6 * rng.normal(size=(3, 4))[truth]
    table = pd.DataFrame(points, columns=list("abcd"))
    table["target"] = truth
    train, test, truth = split(table, 300)
    train = train.drop(columns="target")
    world.prepare({"task_type": "clustering"}, form("clusters"), train=train, test=test)
    assert_answers_every_id(world, test, world.run())
    counts = pd.crosstab(truth, world.submission["target"].to_numpy()).to_numpy()
    assert counts.max(axis=1).sum() > 0.95 * len(truth)
    assert world.metrics["clusters"] == 3


def test_columns_and_images_are_used_together(world):
    rng = np.random.default_rng(10)
    target = rng.integers(0, 3, 400)
    images = rng.normal(size=(400, 6, 6)).astype(np.float32)
    images[target == 1, 2:4, 2:4] += 1.0
    table = pd.DataFrame(rng.poisson(2, size=(400, 5)), columns=[f"n{k}" for k in range(5)])
    table.loc[target == 2, "n0"] += 4
    table["target"] = target
    train, test, truth = split(table, 250)
    task = {"task_type": "multi_modal"}
    world.prepare(task, form("classes", "012"), train=train, test=test)
    np.savez(world.data / "train.npz", id=np.arange(250), image=images[:250])
    np.savez(world.data / "test.npz", id=np.arange(250, 400), image=images[250:])
    assert_answers_every_id(world, test, world.run())
    assert (world.submission["target"].to_numpy() == truth).mean() > 0.75


def test_pictures_in_an_archive_are_found_by_their_names(world):
    rng = np.random.default_rng(11)
    target = rng.integers(0, 2, 300)
    pictures = rng.integers(60, 120, size=(300, 8, 8, 3), dtype=np.uint8)
    pictures[target == 1, 3:5, 3:5, 0] += 80
    table = pd.DataFrame({"file": [f"{k:03}.png" for k in rng.permutation(300)], "target": target})
    train, test, truth = split(table, 200)
    world.prepare({"task_type": "deep_learning"}, form("classes", "01"), train=train, test=test)
    for part, rows in (("train", range(200)), ("test", range(200, 300))):
        with zipfile.ZipFile(world.data / f"{part}.zip", "w") as archive:
            for row in reversed(rows):
                with archive.open(f"pictures/{table['file'][row]}", "w") as file:
                    Image.fromarray(pictures[row]).save(file, format="png")
    assert_answers_every_id(world, test, world.run())
    assert (world.submission["target"].to_numpy() == truth).mean() > 0.95


def test_an_unknown_task_gets_an_honest_report(world):
    world.prepare({"task_type": "general"}, None, notes=numbers(20, 2))
    finished = world.run()
    assert finished.returncode == 0
    report = (world.root / "experiments" / "results" / "report.md").read_text()
    assert "`notes.csv`: 20 rows" in report
    assert "Handed in: nothing" in report
    assert world.metrics == {}


# --- without a task config, as in MLE-bench ---------------------------------------------------


def test_a_competition_without_task_config_is_read_off_its_sample_submission(world):
    table = numbers(300)
    table["target"] = 3 * table["f0"] + table["f1"]
    train, test, truth = split(table, 200)
    world.prepare({}, form("values"), train=train, test=test)
    (world.data / "task_config.json").unlink()
    finished = world.run()
    assert finished.returncode == 0, finished.stderr
    assert 1 - ((world.submission["target"] - truth) ** 2).mean() / truth.var() > 0.9


# --- limits and faults ---------------------------------------------------------------------------


def test_three_seconds_still_leave_a_valid_submission(world):
    table = numbers(60_000, 20)
    table["target"] = (table["f0"] * table["f1"] > 0).astype(int)
    train, test, _ = split(table, 50_000)
    task = {"task_type": "classification"}
    world.prepare(task, form("classes", "01"), train=train, test=test)
    finished = world.run(seconds=3)
    assert_answers_every_id(world, test, finished)
    assert "time is up" in world.log


def test_a_missing_test_file_is_named_and_fails_the_run(world):
    table = numbers(50)
    table["target"] = 0
    train, test, _ = split(table, 30)
    world.prepare({"task_type": "classification"}, form("classes", "0"), train=train, test=test)
    (world.data / "test.csv").unlink()
    finished = world.run()
    assert finished.returncode == 1
    assert "error: cannot find test.csv in" in finished.stderr
    assert "train.csv" in finished.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATA_DIR": "/nowhere"}, "no data folder /nowhere"),
        ({"TIME_LIMIT_SECS": "soon"}, "TIME_LIMIT_SECS is no number: 'soon'"),
        ({"TASK_CONFIG": "/nowhere.json"}, "cannot read the task config /nowhere.json"),
    ],
    ids=["data", "limit", "config"],
)
def test_a_wrong_environment_is_named_and_fails_the_run(world, variables, message):
    world.prepare({"task_type": "general"}, None)
    finished = world.run(**variables)
    assert finished.returncode == 1
    assert f"error: {message}" in finished.stderr


def test_the_tree_of_the_spec_is_made_and_the_code_is_kept(world):
    world.prepare({"task_type": "general"}, None)
    world.run()
    experiment = world.root / "experiments"
    for name in ("workspace", "models", "results", "notebooks", "scripts", "configs"):
        assert (experiment / name).is_dir()
    for name in ("data", "code", "logs", "submission"):
        assert (experiment / name).resolve() == world.root / name
    kept = {path.name for path in (world.root / "code").iterdir()}
    assert kept == {path.name for path in AGENT.glob("*.py")} | {"solution.py"}


# --- the agent as a part -----------------------------------------------------------------------


def test_the_agent_imports_nothing_of_the_harness():
    for source in AGENT.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "tasks"], source.name


def test_the_config_is_an_mle_bench_entry_whose_start_exists():
    entry = yaml.safe_load((AGENT / "config.yaml").read_text())["experiment"]
    assert entry["start"] == "experiment/start.sh"
    assert entry["dockerfile"] == "experiment/Dockerfile"
    assert entry["kwargs"] == {}
    assert (AGENT.parent / entry["start"]).is_file()
