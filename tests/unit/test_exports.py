"""Trials in MLE-bench's formats, as tables and as data frames."""

import json
import uuid

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from tasks.comparison.records import read
from tasks.errors import InvalidInput
from tasks.exports.mlebench import export
from tasks.exports.slugs import slug, task_id
from tasks.spec import ID
from tests.trial_folders import write_trial

MEDALS = ("gold", "silver", "bronze")
KEYS = [
    "competition_id",
    "score",
    *(f"{medal}_threshold" for medal in (*MEDALS, "median")),
    *(f"{medal}_medal" for medal in ("any", *MEDALS)),
    "above_median",
    "submission_exists",
    "valid_submission",
    "is_lower_better",
    "created_at",
    "submission_path",
]
TOTALS = [
    "total_runs",
    "total_runs_with_submissions",
    "total_valid_submissions",
    "total_medals",
    *(f"total_{medal}_medals" for medal in MEDALS),
    "total_above_median",
    "competition_reports",
]
IDS = st.from_regex(ID, fullmatch=True).filter(lambda text: ".." not in text)


@given(IDS)
def test_a_slug_holds_no_underscore_and_leads_back(name):
    assert "_" not in slug(name)
    assert task_id(slug(name)) == name


@given(IDS, IDS)
def test_two_tasks_never_share_a_slug(one, two):
    assert (slug(one) == slug(two)) == (one == two)


def test_the_specs_ids_read_as_on_mle_bench():
    assert slug("classification_basic") == "classification-basic"
    assert task_id("classification-basic") == "classification_basic"


@pytest.fixture
def suite(tmp_path):
    """A suite of two agents, two tasks, two repeats; one trial of no result."""
    root = tmp_path / "suite"
    for agent, skill in (("good/one", 0.95), ("poor", 0.2)):
        for task in ("task_one", "task_two"):
            for repeat in range(2):
                lost = agent == "poor" and task == "task_two" and repeat == 1
                folder = write_trial(
                    root, agent, task=task, suite="s", repeat=repeat, skill=skill,
                    ending="infrastructure" if lost else "finished", started=1e9,
                )  # fmt: skip
                outputs = folder / "outputs"
                for part in ("submission", "logs", "code/deep"):
                    (outputs / part).mkdir(parents=True)
                (outputs / "submission" / "submission.csv").write_text("id,target\n0,1\n")
                (outputs / "code" / "train.py").write_text("pass")
                (outputs / "code" / "deep" / "more.py").write_text("pass")
                (outputs / "code" / "link").symlink_to("/etc/passwd")
                (folder / "run.log").write_text("hello")
    return root


def exported(suite, folder, task_folders=None):
    folder.mkdir()
    return {
        group.agent: group for group in export(read([suite]).records, folder, task_folders or {})
    }


def test_a_run_group_is_laid_out_and_named_as_mle_bench_does(suite, tmp_path):
    group = exported(suite, tmp_path / "out")["good/one"]
    assert group.folder.name == "2001-09-09T01-46-43-GMT_run-group_good-one"
    metadata = json.loads((group.folder / "metadata.json").read_text())
    assert list(metadata) == ["run_group", "created_at", "runs"]
    assert metadata["run_group"] == group.folder.name
    assert len(metadata["runs"]) == 4
    for run, status in metadata["runs"].items():
        competition, number = run.split("_")
        assert competition in {"task-one", "task-two"}
        assert uuid.UUID(number)
        assert status == {"success": True}
        assert (group.folder / run / "submission" / "submission.csv").is_file()
        assert (group.folder / run / "code" / "deep" / "more.py").is_file()
        assert (group.folder / run / "run.log").read_text() == "hello"
        assert not (group.folder / run / "code" / "link").exists()
    assert len(list(group.folder.glob("*grading_report*.json"))) == 1


def test_submission_lines_are_those_of_make_submission(suite, tmp_path):
    group = exported(suite, tmp_path / "out")["good/one"]
    lines = [json.loads(x) for x in (group.folder / "submission.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert list(line) == ["competition_id", "submission_path", "logs_path", "code_path"]
        assert line["submission_path"].startswith(str(group.folder))
        assert line["submission_path"].endswith("submission/submission.csv")
        assert line["logs_path"] is None
        assert line["code_path"].endswith("code/train.py")


def test_a_grading_report_has_mle_benchs_keys_in_their_order(suite, tmp_path):
    group = exported(suite, tmp_path / "out")["good/one"]
    report = json.loads(group.report.read_text())
    assert list(report) == TOTALS
    assert report["total_runs"] == report["total_gold_medals"] == report["total_above_median"] == 4
    assert all(list(one) == KEYS for one in report["competition_reports"])
    one = report["competition_reports"][0]
    assert one["score"] == round(0.3 + 0.6 * 0.95, 5)
    assert one["gold_threshold"] == pytest.approx(0.3 + 0.6 * 0.905)
    assert one["gold_medal"] is True
    assert one["silver_medal"] is False
    assert one["is_lower_better"] is False
    assert "T" in one["created_at"]
    assert "+" not in one["created_at"]


def test_what_is_nobodys_result_is_left_out_and_listed(suite, tmp_path):
    group = exported(suite, tmp_path / "out")["poor"]
    assert (group.runs, group.left_out) == (3, 1)
    assert json.loads(group.report.read_text())["total_runs"] == 3
    beside = json.loads((group.folder / "aexp.json").read_text())
    assert list(beside["left_out"].values()) == ["infrastructure"]
    assert beside["slugs"] == {"task-one": "task_one", "task-two": "task_two"}
    assert beside["leaderboards"] == {"task-one": "synthetic", "task-two": "synthetic"}
    assert group.seeds == 1  # only complete ones


def test_percentages_over_seeds_are_the_aggregators(suite, tmp_path):
    groups = exported(suite, tmp_path / "out")
    assert groups["good/one"].metrics["any_medal_percentage"].mean == 100
    assert groups["poor"].metrics["any_medal_percentage"].mean == 0
    assert groups["poor"].metrics["valid_submissions_percentage"].mean == 100


def test_a_given_leaderboard_is_ranked_on_and_one_that_is_nowhere_is_named(tmp_path):
    extra = {"metadata": {"leaderboard": "board.csv"}}
    write_trial(tmp_path / "runs", "a", skill=0.5, task_extra=extra)
    (tmp_path / "board.csv").write_text("score\n0.7\n0.6\n0.5\n0.4\n")
    with pytest.raises(InvalidInput, match="--tasks-dir"):
        exported(tmp_path / "runs", tmp_path / "one")
    group = exported(tmp_path / "runs", tmp_path / "two", {"alpha": tmp_path})["a"]
    (one,) = json.loads(group.report.read_text())["competition_reports"]
    assert (one["gold_threshold"], one["median_threshold"]) == (0.7, 0.55)
    assert one["above_median"]
    assert not one["any_medal"]


def test_submissions_elsewhere_are_brought_to_where_mle_bench_looks(tmp_path):
    flat, table = (write_trial(tmp_path / "runs", agent) for agent in ("flat", "table"))
    (flat / "outputs" / "results").mkdir(parents=True)
    (flat / "outputs" / "results" / "predictions.csv").write_text("id,target\n0,1\n")
    (table / "outputs" / "submission").mkdir(parents=True)
    pl.DataFrame({"id": [0], "target": [1]}).write_parquet(
        table / "outputs" / "submission" / "submission.parquet"
    )
    for group in exported(tmp_path / "runs", tmp_path / "out").values():
        (file,) = group.folder.glob("*/submission/submission.csv")
        assert file.read_text() == "id,target\n0,1\n"


def test_trials_without_a_result_are_no_run_group(tmp_path):
    write_trial(tmp_path / "runs", "a", ending="infrastructure")
    with pytest.raises(InvalidInput, match="none of these trials is a result"):
        exported(tmp_path / "runs", tmp_path / "out")


def test_agents_whose_names_look_alike_get_folders_of_their_own(tmp_path):
    for agent in ("a/b", "a b", "a-b"):
        write_trial(
            tmp_path / "runs", agent, task=f"t{len(agent)}{agent[1]!r}"[:2], repeat=ord(agent[1])
        )
    groups = exported(tmp_path / "runs", tmp_path / "out")
    assert len({group.folder for group in groups.values()}) == 3


# --- frames and tables ----------------------------------------------------------------------------


def test_results_are_tidy_frames_joined_by_trial(tmp_path):
    write_trial(tmp_path, "a", suite="s", ending="infrastructure", attempt=1)
    write_trial(tmp_path, "a", suite="s", attempt=2, skill=0.8)
    write_trial(tmp_path, "b", task="beta", ending="timed out")
    found = tasks.results(tmp_path)
    assert len(found.trials) == 3
    assert found.trials["current"].sum() == 2
    assert found.trials["trial"].is_unique
    row = found.trials[(found.trials.agent == "a") & found.trials.current].iloc[0]
    assert (row["overall_score"], row["kind"], row["attempt"]) == (0.8, "completed", 2)
    assert found.trials["overall_score"].isna().sum() == 1  # the lost one is no zero
    score = found.scores[found.scores.trial == row["trial"]].iloc[0]
    assert (score["name"], score["skill"], score["tier"]) == ("accuracy", 0.8, "law")
    joined = found.trials.merge(found.criteria, on="trial")
    assert set(joined["criterion"]) == {"min_accuracy"}
    assert list(found.events["event"].unique()) == ["created"]
    assert json.loads(found.events["fields"].iloc[0]) == {"task": "alpha"}


def test_a_torn_last_event_is_left_out(tmp_path):
    folder = write_trial(tmp_path, "a")
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "eve')
    assert len(tasks.results(tmp_path).events) == 1


def test_an_empty_table_has_its_columns_and_types(tmp_path):
    write_trial(tmp_path, "a", ending="unfinished")
    found = tasks.results(tmp_path)
    assert found.scores.empty
    assert str(found.scores["score"].dtype) == "float64"
    assert str(found.trials["repeat"].dtype) == "Int64"


def test_every_column_of_the_frames_is_documented():
    from tasks.comparison.frames import SCHEMAS
    from tests.conftest import ROOT

    page = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    for name, schema in SCHEMAS.items():
        assert f"`{name}`" in page
        missing = [column for column in schema if f"`{column}`" not in page]
        assert not missing, (name, missing)
