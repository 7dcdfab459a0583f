"""`leaderboard`, `compare`, `power`, `export`, `regrade` as a user calls them."""

import csv
import io
import json

import polars as pl
import pytest

from tasks import Task, TaskRunner
from tasks.prepared import prepare
from tasks.trial import reveal
from tests.trial_folders import write_trial

SMALL = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 300, "n_test": 200},
    "evaluation_criteria": {"min_accuracy": 0.2},
}
FAMILIES = ("classification", "regression", "time_series", "text_classification")


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    for t in range(8):
        for repeat in range(2):
            for k, agent in enumerate(("weak", "strong")):
                late = agent == "weak" and t == 0 and repeat == 0
                write_trial(
                    root, agent, task=f"task{t}", family=FAMILIES[t % 4], suite="s",
                    repeat=repeat, skill=0.4 + 0.35 * k + 0.01 * (((3 + k) * t + repeat) % 5),
                    ending="timed out" if late else "finished",
                )  # fmt: skip
    return root


def test_the_leaderboard_shows_intervals_and_who_beats_whom(cli, runs):
    done = cli("leaderboard", runs)
    assert done.status == 0
    head, first, second, *_ = done.out.splitlines()
    assert head.split()[:4] == ["AGENT", "N", "TASKS", "SCORE"]
    assert first.startswith("strong")
    assert first.rstrip().endswith("weak")
    assert second.rstrip().endswith("nobody, as far as known")
    assert first.count("[") == 6  # score, rates, skill, pass@2, pass^2: each with its interval
    assert "weak failed: 1 timed out" in done.out
    assert "1 of 1 pairs of agents are settled" in done.out


def test_an_unknown_format_is_answered_with_all_that_are_known(cli, runs, tmp_path):
    refused = cli("export", runs, tmp_path / "x", "--to", "excel")
    assert refused.status == 3
    for name in ("csv", "parquet", "mlebench", "mlflow", "trackio", "wandb"):
        assert name in refused.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("by", ["task", "family"])
def test_the_leaderboard_can_be_broken_down(cli, runs, by):
    done = cli("leaderboard", runs, "--by", by)
    assert done.out.splitlines()[0].split()[0] == by.upper()
    assert ("task7" in done.out) == (by == "task")
    assert ("time_series" in done.out) == (by == "family")


def test_the_leaderboard_is_a_table_for_spreadsheets_pages_and_programs(cli, runs):
    rows = list(csv.DictReader(io.StringIO(cli("leaderboard", runs, "--format", "csv").out)))
    assert [row["agent"] for row in rows] == ["strong", "weak"]
    assert float(rows[0]["score_low"]) < float(rows[0]["score"]) < float(rows[0]["score_high"])
    assert rows[0]["score_n"] == "8"
    page = cli("leaderboard", runs, "--format", "md").out.splitlines()
    assert page[1].startswith("| --- |")
    table = page[: page.index("")]
    assert len({line.count("|") for line in table}) == 1
    found = json.loads(cli("leaderboard", runs, "--json").out)
    assert found["rows"][0]["beats"] == ["weak"]
    assert found["rows"][1]["failed"] == {"timed out": 1}


def test_what_stands_below_the_leaderboard_is_a_list_on_a_page(cli, runs):
    below = cli("leaderboard", runs, "--format", "md").out.partition("\n\n")[2].splitlines()
    text = cli("leaderboard", runs).out.partition("\n\n")[2].splitlines()
    assert "weak failed: 1 timed out" in text
    assert below == [f"- {line}" for line in text]


def test_pass_at_none_is_refused(cli, runs):
    assert cli("leaderboard", runs, "--k", 0).status == 2
    assert "pass@1" not in cli("leaderboard", runs, "--k", 1).out


def test_two_agents_are_compared_part_by_part(cli, runs):
    done = cli("compare", "weak", "strong", "--runs", runs)
    assert done.status == 0
    assert "16 pairs of trials on the same instances; 8 tasks of 4 families" in done.out
    assert "VERDICT: strong is better" in done.out
    assert "skill if both completed +0.3" in done.out.replace("  ", " ")
    assert "cannot tell" in done.out  # whether one completes more
    tasks = [line.split()[0] for line in done.out.splitlines() if line.startswith("task")]
    flipped = [line for line in done.out.splitlines() if "missed → met" in line]
    assert tasks[0] == "task0~"
    assert len(flipped) == 8


def test_two_folders_can_be_compared(cli, tmp_path):
    for name, skill in (("before", 0.5), ("after", 0.5)):
        write_trial(tmp_path / name, "same", suite="s", skill=skill)
    done = cli("compare", tmp_path / "before", tmp_path / "after")
    assert f"{tmp_path / 'before'} (A)" in done.out
    assert "VERDICT: cannot tell" in done.out


def test_single_runs_of_one_task_are_said_to_count_once_and_to_make_no_pairs(cli, tmp_path):
    for k, agent in enumerate(("weak", "strong")):
        for repeat in range(6):
            skill = 0.5 + 0.2 * k + 0.01 * repeat
            write_trial(tmp_path / "runs", agent, repeat=repeat, skill=skill)
    said = cli("compare", "weak", "strong", "--runs", tmp_path / "runs").out
    (line,) = [one for one in said.splitlines() if one.startswith("skill if both completed")]
    assert "n = 1 (tasks of classification)" in line
    assert "make no pairs" in line
    assert "aexp suite run" in line
    assert "too few" not in line


def test_an_early_look_asks_for_more(cli, runs):
    final = json.loads(cli("compare", "weak", "strong", "--runs", runs, "--json").out)
    early = json.loads(
        cli("compare", "weak", "strong", "--runs", runs, "--json", "--looks", 5, "--look", 1).out
    )
    assert final["alpha"] == pytest.approx(0.05)
    assert early["alpha"] < 1e-5
    assert cli("compare", "weak", "strong", "--runs", runs, "--looks", 5, "--look", 6).status == 2


def test_an_agent_that_is_not_there_is_named_with_the_nearest(cli, runs):
    done = cli("compare", "weak", "stronk", "--runs", runs)
    assert done.status == 3
    assert "did you mean 'strong'?" in done.err
    assert cli("leaderboard", runs / "nowhere").status == 3


def test_a_plan_says_how_many_tasks_and_runs(cli):
    rows = list(csv.DictReader(io.StringIO(cli("power", "--gap", 0.05, "--format", "csv").out)))
    once, thrice = rows[0], rows[2]
    assert int(thrice["tasks"]) < int(once["tasks"])
    assert int(once["runs_of_each_agent"]) == int(once["tasks"])
    assert int(once["runs_if_not_on_the_same_instances"]) > 3 * int(once["tasks"])
    assert "stop at p" in cli("power").out
    assert json.loads(cli("power", "--tasks", 20, "--json").out)["plans"][0]["gap_found"] > 0.05
    assert cli("power", "--gap", 0).status == 2
    assert cli("power", "--sd-run", -1).status == 2


def test_a_plan_can_be_made_of_what_was_measured(cli, runs, tmp_path):
    found = json.loads(cli("power", "--from", runs, "--json").out)["spread"]
    assert found["failures"] == pytest.approx(1 / 32)
    assert 0 < found["run"] < 0.05
    write_trial(tmp_path / "one", "a")
    done = cli("power", "--from", tmp_path / "one")
    assert done.status == 2
    assert "no agent completed any task twice" in done.err


def test_a_plan_says_which_numbers_are_assumed_and_which_were_measured(cli, runs, tmp_path):
    for repeat in range(3):
        write_trial(tmp_path / "one", "a", repeat=repeat, skill=0.5 + 0.1 * repeat)
    told = cli("power", "--from", tmp_path / "one").out
    assert (
        "SD from run to run 0.100, of an agent's leaning to a task 0.060 (assumed), "
        "of tasks 0.200 (assumed); 0% fail\n"
    ) in told
    assert "two agents completed the same two tasks" in told
    given = ("power", "--from", tmp_path / "one", "--sd-task", 0.1)
    assert "leaning to a task 0.100, of tasks 0.200 (assumed)" in cli(*given).out
    assert json.loads(cli(*given, "--json").out)["spread"]["assumed"] == ["task"]
    assert cli("power").out.count("(assumed)") == 4
    assert "assumed" not in cli("power", "--from", runs).out


def test_trials_are_exported_as_tables_and_run_groups(cli, runs, tmp_path):
    assert cli("export", runs, tmp_path / "csv", "--to", "csv").status == 0
    with (tmp_path / "csv" / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 32
    assert cli("export", runs, tmp_path / "parquet", "--to", "parquet").status == 0
    frame = pl.read_parquet(tmp_path / "parquet" / "scores.parquet")
    assert frame["skill"].dtype == pl.Float64
    done = cli("export", runs, tmp_path / "mle", "--to", "mlebench")
    assert "any medal" in done.out
    assert len(list((tmp_path / "mle").glob("*/*_grading_report.json"))) == 2
    again = cli("export", runs, tmp_path / "mle", "--to", "mlebench")
    assert again.status == 2
    assert "not empty" in again.err


# --- grading again --------------------------------------------------------------------------------


@pytest.fixture
def trial(tmp_path, agent):
    task = Task.from_dict(SMALL, source="test")
    return TaskRunner(tmp_path / "runs").run_task(task, ["python", str(agent())], timeout=30)


def stricter(folder, **changes):
    folder.mkdir(exist_ok=True)
    changed = {**SMALL, "evaluation_criteria": {"min_accuracy": 0.99}, **changes}
    (folder / "small.json").write_text(json.dumps(changed))
    return folder


def test_grading_again_with_nothing_changed_changes_nothing(cli, trial):
    before = trial.report_file.read_bytes()
    done = cli("regrade", trial.workspace.root)
    assert (done.status, done.out.splitlines()[-1]) == (0, "1 unchanged")
    assert trial.report_file.read_bytes() == before
    assert not list(trial.workspace.root.glob("report.*.json"))


def test_new_criteria_are_held_against_what_was_left_and_the_old_report_is_kept(
    cli, trial, tmp_path
):
    before = trial.report_file.read_bytes()
    assert json.loads(before)["evaluation"]["success"]
    done = cli("regrade", tmp_path / "runs", "--tasks-dir", stricter(tmp_path / "tasks"))
    assert done.status == 0
    assert "(success) -> " in done.out
    assert "(no success), was kept as report.1.json" in done.out
    assert (trial.workspace.root / "report.1.json").read_bytes() == before
    report = json.loads(trial.report_file.read_text())
    assert report["evaluation"]["criteria_met"] == {"min_accuracy": False}
    assert report["evaluation"]["scores"] == json.loads(before)["evaluation"]["scores"]
    assert report["regraded"]["previous"] == "report.1.json"
    assert report["regraded"]["task"]["evaluation_criteria"] == {"min_accuracy": 0.99}
    back = cli("regrade", tmp_path / "runs")  # by the trial's own definition
    assert "was kept as report.2.json" in back.out
    assert json.loads(trial.report_file.read_text())["evaluation"]["success"]
    events = trial.workspace.events_file.read_text().splitlines()
    assert [json.loads(line)["event"] for line in events][-2:] == ["regraded", "regraded"]


def test_a_void_trial_is_graded_when_its_grader_works_again(cli, tmp_path, agent):
    from tasks.utils import TaskValidator

    class Broken(TaskValidator):
        def _evaluate_classification(self, task, results_dir):
            return 1 / 0

    runner = TaskRunner(tmp_path / "runs", validator=Broken())
    trial = runner.run_task(Task.from_dict(SMALL), ["python", str(agent())], timeout=30)
    done = cli("regrade", tmp_path / "runs")
    assert "void -> " in done.out
    report = json.loads(trial.report_file.read_text())
    assert report["grader_error"] is None
    assert report["evaluation"]["submission"]["valid"]


def test_an_instance_that_is_not_revealed_yet_is_left_alone(cli, tmp_path, agent):
    task = Task.from_dict(SMALL)
    ready = prepare(task)
    trial = TaskRunner(tmp_path / "runs").run_task(
        task, ["python", str(agent())], timeout=30, prepared=ready
    )
    files = sorted(trial.workspace.root.rglob("*"))
    before = trial.report_file.read_bytes()
    done = cli("regrade", tmp_path / "runs", "--tasks-dir", stricter(tmp_path / "tasks"))
    assert (done.status, done.out.splitlines()[-1]) == (0, "1 withheld")
    assert "untouched" in done.out
    assert trial.report_file.read_bytes() == before
    assert sorted(trial.workspace.root.rglob("*")) == files
    reveal(ready, [trial])
    again = cli("regrade", tmp_path / "runs", "--tasks-dir", tmp_path / "tasks")
    assert again.out.splitlines()[-1] == "1 changed"


def test_a_real_suite_is_ranked_compared_and_graded_again(cli, tmp_path, agent, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    stricter(tmp_path / "tasks", evaluation_criteria={"min_accuracy": 0.2})
    none = agent("raise SystemExit(1)", name="none.py")
    done = cli(
        "suite", "run", "--tasks", "small", "--tasks-dir", tmp_path / "tasks", "--repeats", 3,
        "--agents", f"command:python {agent()}", "--agents", f"command:python {none}",
        "--runtime", "process", "--out", tmp_path / "store",
    )  # fmt: skip
    assert done.status in {0, 6}, done.err
    board = json.loads(cli("leaderboard", tmp_path / "store", "--json").out)
    good, bad = board["rows"]
    assert (good["n"], bad["n"]) == (3, 3)
    assert (good["completed"]["estimate"], bad["completed"]["estimate"]) == (1, 0)
    pair = cli("compare", good["agent"], bad["agent"], "--runs", tmp_path / "store", "--json")
    found = json.loads(pair.out)
    assert (found["matched"], found["pairs"]) == ("instance", 3)
    assert found["verdict"] == "cannot tell"  # three failures in a row are no proof
    again = cli("regrade", tmp_path / "store")
    assert again.out.splitlines()[-1] == "6 unchanged"
    changed = cli("regrade", tmp_path / "store", "--tasks-dir", stricter(tmp_path / "tasks"))
    assert changed.out.splitlines()[-1] == "3 changed, 3 unchanged"


def tamper_seed(root):
    report = json.loads((root / "report.json").read_text())
    report["trial"]["seed"] = "00" * 32
    (root / "report.json").write_text(json.dumps(report))


def tamper_outputs(root):
    with (root / "outputs" / "submission" / "submission.csv").open("a") as file:
        file.write("\n")


def tamper_commitment(root):
    asked = json.loads((root / "trial.json").read_text())
    asked["commitment"] = "0" * 64
    (root / "trial.json").write_text(json.dumps(asked))


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (tamper_seed, "do not match the commitment"),
        (tamper_outputs, "not what was collected"),
        (tamper_commitment, "two stories"),
        (lambda root: (root / "report.json").write_text("{"), "cannot be read"),
        (lambda root: (root / "report.json").write_text("{}"), "no report of a trial"),
    ],
)
def test_what_was_tampered_with_is_refused_and_spoils_no_other(cli, trial, agent, tamper, said):
    runs = trial.workspace.root.parent
    TaskRunner(runs).run_task(Task.from_dict(SMALL), ["python", str(agent())], timeout=30)
    tamper(trial.workspace.root)
    before = trial.report_file.read_bytes()
    done = cli("regrade", runs)
    assert done.status == 4
    assert said in done.out
    assert done.out.splitlines()[-1] in {"1 refused, 1 unchanged", "1 unchanged, 1 refused"}
    assert trial.report_file.read_bytes() == before


def test_a_definition_with_other_data_is_no_change_of_criteria(cli, trial, tmp_path):
    other = {"dataset_type": "classification", "n_samples": 301, "n_test": 200}
    folder = stricter(tmp_path / "tasks", data_requirements=other)
    done = cli("regrade", tmp_path / "runs", "--tasks-dir", folder)
    assert done.status == 4
    assert "asks for other data" in done.out
    assert trial.report_file.is_file()


def test_an_agent_that_tampered_is_still_without_success(cli, tmp_path, agent):
    from tests.conftest import COPY_SAMPLE

    source = COPY_SAMPLE + "open(os.environ['HOME'] + '/../report.json', 'w').write('x')\n"
    trial = TaskRunner(tmp_path / "runs", runtime="process").run_task(
        Task.from_dict(SMALL), ["python", str(agent(source))], timeout=30
    )
    assert cli("regrade", tmp_path / "runs", "--json").status == 0
    assert not json.loads(trial.report_file.read_text())["evaluation"]["success"]
    assert not list(trial.workspace.root.glob("report.1.json"))
