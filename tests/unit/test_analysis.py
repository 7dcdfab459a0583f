"""The experiment agent's analysis: it passes its template, and claims nothing where nothing is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import datasets
from tasks.grading import insights
from tasks.grading.figures import count_figures
from tasks.grading.insights import grade_insights
from tasks.instance import Seed
from tasks.registry import TaskRegistry, default_folders

AGENT = Path(__file__).resolve().parents[2] / "agents" / "experiment"
SCRIPT = """
import sys, time
from pathlib import Path
import pandas as pd
from analysis import analyse
for folder in map(Path, sys.argv[2:]):
    table = pd.read_csv(folder / "data.csv")
    limit = time.monotonic() + float(sys.argv[1])
    print(analyse(table, folder, deadline=limit, log=lambda line: None))
"""


def analyse(*folders, seconds=60.0):
    """Run the analysis on data.csv of each folder, results beside it; warnings are errors."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folders[0]),
        "PYTHONPATH": str(AGENT),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "error::RuntimeWarning,error::UserWarning",
    }
    command = [sys.executable, "-c", SCRIPT, str(seconds), *map(str, folders)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def claims(folder):
    return json.loads((folder / "insights.json").read_text(encoding="utf-8"))["claims"]


REGISTRY = TaskRegistry(*default_folders())
TEMPLATES = [
    "data_analysis_exploratory",
    "data_quality_audit",
    "time_ordered_exploration",
    "subgroup_analysis",
    "group_comparison",
]


@pytest.fixture(scope="module")
def task():
    return REGISTRY.get_task("data_analysis_exploratory")


@pytest.fixture(autouse=True)
def _few_guessers(monkeypatch):
    monkeypatch.setattr(insights, "GUESSERS", 2)  # the floor is not looked at here


def prepare(task, seed, folder):
    folder.mkdir()
    instance = datasets.draw(task, Seed.public(seed))
    datasets.write_public(task, instance, folder)
    return instance


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_passed_with_claims_and_the_figures_they_cite(name, tmp_path):
    task, folder = REGISTRY.get_task(name), tmp_path / "data"
    instance = prepare(task, 100, folder)
    analyse(folder)
    wanted = task.evaluation_criteria
    report = grade_insights(folder, instance.facts)
    assert report.verified >= wanted["required_insights"]
    assert report.problems == ()
    assert count_figures(folder, report.evidence).counted >= wanted["required_visualizations"]
    assert count_figures(folder).kinds >= 3
    said = claims(folder)
    assert all((folder / name).is_file() for claim in said for name in claim["evidence"])
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert all(claim["text"] in text for claim in said)


@pytest.mark.parametrize("name", TEMPLATES)
def test_nearly_all_planted_facts_are_found_on_eight_seeds_and_hardly_any_false(name, tmp_path):
    """No figures: the time for them is over before it begins."""
    task = REGISTRY.get_task(name)
    folders = [tmp_path / str(seed) for seed in range(8)]
    instances = [prepare(task, int(folder.name), folder) for folder in folders]
    analyse(*folders, seconds=0.0)
    reports = [
        grade_insights(folder, instance.facts)
        for folder, instance in zip(folders, instances, strict=True)
    ]
    assert (
        min(report.verified for report in reports) >= task.evaluation_criteria["required_insights"]
    )
    assert np.mean([report.score for report in reports]) > 0.9
    assert np.mean([report.brier for report in reports]) < 0.03


def test_pure_noise_gives_no_claims_and_still_figures(tmp_path):
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(800, 9)), columns=[*"abcdefgh", "outcome"])
    table.to_csv(tmp_path / "data.csv", index=False)
    analyse(tmp_path)
    assert claims(tmp_path) == []
    assert count_figures(tmp_path).counted >= 5
    assert "nothing beyond chance" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_heavy_tails_and_trends_are_not_taken_for_errors_and_steps(tmp_path):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"row": np.arange(2000), "t": rng.standard_t(3, 2000)})
    table["skew"] = np.exp(rng.normal(size=2000))
    table["trend"] = table["row"] / 500 + rng.normal(size=2000)
    table.to_csv(tmp_path / "data.csv", index=False)
    analyse(tmp_path, seconds=0.0)
    said = {(claim["type"], claim["args"]["column"]) for claim in claims(tmp_path)}
    assert said == {("trend", "trend"), ("distribution", "skew")}


def odd_tables():
    rng = np.random.default_rng(0)
    base = pd.DataFrame(rng.normal(size=(300, 6)), columns=list("abcdef"))
    holes = rng.random((300, 6)) < 0.6
    return {
        "text": pd.DataFrame({"s": ["x", "y"] * 50}),
        "no rows": pd.DataFrame({"a": [], "outcome": []}, dtype=float),
        "one row": base.head(1),
        "three rows": base.head(3),
        "one column": base[["a"]],
        "constants": base.assign(b=1.0, c=np.nan, outcome=2),
        "holes": base.mask(holes).assign(outcome=base["a"]),
        "huge": base.assign(a=base["a"] * 1e200, b=np.where(base["b"] > 0, np.inf, 1.0)),
        "binary": (base > 0).astype(int).assign(target=(base["a"] > 0).astype(int)),
        "holes in time": base.assign(time=base["a"].where(base["a"] > 0)),
    }


@pytest.mark.slow
def test_odd_tables_are_analysed_without_a_warning(tmp_path):
    folders = []
    for name, table in odd_tables().items():
        folder = tmp_path / name
        folder.mkdir()
        table.to_csv(folder / "data.csv", index=False)
        folders.append(folder)
    said = analyse(*folders)
    assert len(said) == len(folders)
    for folder in folders:
        assert all(0 <= claim["confidence"] <= 1 for claim in claims(folder))
        assert (folder / "report.md").is_file()
