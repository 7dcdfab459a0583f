"""The tools of `aexp mcp`, without the package that serves them."""

import json
import re

import pytest

from tasks import datasets, registry
from tasks.errors import InvalidInput, MissingPart, UnknownName, install
from tasks.instance import Seed
from tasks.mcp_server import Bench, server


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, {})


@pytest.fixture
def in_trial(tmp_path):
    task = registry.get_task("binary_small")
    data, out = tmp_path / "data", tmp_path / "submission"
    data.mkdir()
    out.mkdir()
    datasets.write_public(task, datasets.draw(task, Seed.public(1)), data)
    (tmp_path / "instructions.txt").write_text("do this")
    return Bench(
        tmp_path / "practice",
        {
            "HOME": str(tmp_path),
            "DATA_DIR": str(data),
            "SUBMISSION_DIR": str(out),
            "COMPETITION_ID": task.id,
        },
    )


def test_all_tasks_are_listed_outside_of_a_trial_and_its_own_within(bench, in_trial):
    assert {one["id"] for one in bench.list_tasks()} == {t.id for t in registry.list_tasks()}
    assert [one["id"] for one in in_trial.list_tasks()] == ["binary_small"]


def test_a_task_is_practised_on_data_that_are_made_once(bench, tmp_path):
    told = bench.get_task("binary_small")
    assert "sample_submission.csv" in told["files"]
    assert "submission.csv" in told["prompt"]
    made = (tmp_path / "binary_small" / "data" / "train.csv").stat().st_mtime_ns
    assert bench.get_task("binary_small") == told
    assert (tmp_path / "binary_small" / "data" / "train.csv").stat().st_mtime_ns == made
    assert not (tmp_path / "binary_small" / "data" / "private").exists()


def test_within_a_trial_the_task_is_that_of_the_trial(in_trial, tmp_path):
    told = in_trial.get_task()
    assert told["prompt"] == "do this"
    assert told["data"] == str(tmp_path / "data")


def test_only_a_valid_file_is_submitted_and_the_last_one_counts(in_trial, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,target\n")
    said = in_trial.submit(str(bad))
    assert not said["submitted"]
    assert said["problems"][0].startswith("E07")
    assert not (tmp_path / "submission" / ".marked").exists()
    good = tmp_path / "data" / "sample_submission.csv"
    assert in_trial.validate(str(good))["valid"]
    assert in_trial.submit(str(good))["submitted"]
    marked = tmp_path / "submission" / ".marked" / "submission.csv"
    assert marked.read_bytes() == good.read_bytes()


def test_what_is_wrong_is_said(bench, in_trial):
    with pytest.raises(UnknownName):
        bench.get_task("nothing")
    with pytest.raises(InvalidInput, match="no such file"):
        in_trial.validate()
    with pytest.raises(InvalidInput, match="there is no feedback here"):
        in_trial.feedback()


def test_on_a_desk_no_file_of_elsewhere_is_looked_at(bench, tmp_path):
    (tmp_path / "binary_small").mkdir()
    link = tmp_path / "binary_small" / "link.csv"
    link.symlink_to("/etc/passwd")
    for name in ("/etc/passwd", str(link)):
        with pytest.raises(InvalidInput, match="a submission has to lie in"):
            bench.validate(name, "binary_small")


def test_feedback_is_offered_only_where_it_is_allowed(in_trial):
    names = [tool.__name__ for tool in in_trial.tools()]
    assert names == ["list_tasks", "get_task", "validate", "submit", "budget"]
    in_trial.environ = {**in_trial.environ, "AEXP_FEEDBACK": "validation"}
    assert in_trial.tools()[-1].__name__ == "feedback"


def test_without_the_package_the_command_says_what_brings_it(bench, monkeypatch, cli):
    monkeypatch.setitem(__import__("sys").modules, "mcp.server", None)
    with pytest.raises(MissingPart, match=re.escape(install("mcp"))):
        server(bench)
    done = cli("mcp")
    assert (done.status, len(done.err.splitlines())) == (5, 1)


def test_answers_are_json(in_trial):
    for tool in (in_trial.list_tasks, in_trial.get_task):
        assert json.loads(json.dumps(tool())) == tool()
