"""What an agent is told of its score while it works, and what is made of that afterwards."""

import json

import pytest

from tasks import Task, TaskRunner
from tasks.feedback import Feedback
from tasks.regrade import Regrader
from tasks.replay import Replayer
from tests.e2e.test_replay import CENTRES, HONEST

SMALL = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 400, "n_test": 600},
    "evaluation_criteria": {},
}
ASKS = CENTRES + (
    "import json, subprocess\n"
    "home = os.environ['HOME']\n"
    "def ask(*words):\n"
    "    done = subprocess.run(['bash', *words], capture_output=True, text=True)\n"
    # In one piece: several may ask at once.
    "    words = f'{done.stdout.strip()} {done.stderr.strip()[-300:]}'\n"
    "    os.write(1, f'ASKED {done.returncode} {words}\\n'.encode())\n"
    "    return done\n"
)


@pytest.fixture
def trial(tmp_path, agent):
    """Run an agent; return its trial."""

    def call(source, feedback=None, runtime="local"):
        runner = TaskRunner(tmp_path / "runs", runtime=runtime, feedback=feedback)
        task = Task.from_dict(SMALL, source="test")
        return runner.run_task(task, ["python", str(agent(source))], timeout=60, seed=1)

    return call


def report(trial):
    return json.loads(trial.report_file.read_text())


def said(trial):
    log = trial.workspace.log_file.read_text()
    return [line.split(maxsplit=2)[1:] for line in log.splitlines() if line.startswith("ASKED")]


@pytest.mark.parametrize("runtime", ["local", "process"])
def test_validation_answers_on_rows_that_are_not_graded(trial, runtime):
    ran = trial(
        ASKS + "ask(home + '/feedback.sh')\nprint(open(home + '/instructions.txt').read())\n",
        Feedback(mode="validation"),
        runtime,
    )
    ((status, answer),) = said(ran)
    told = json.loads(answer)
    assert (status, told["measure"], told["left"]) == ("0", "accuracy", 19)
    found = report(ran)["feedback"]
    assert (found["mode"], found["rows"], found["allowed"]) == ("validation", 200, 20)
    assert [query["score"] for query in found["queries"]] == [told["score"]]
    # Of other rows: close to what is graded, and not the same.
    graded = ran.evaluation.scores["accuracy"]
    assert told["score"] != round(graded["label_score"], 4)
    assert abs(told["score"] - graded["label_score"]) < 0.2
    assert "20 valid queries are\nanswered in this trial" in ran.workspace.log_file.read_text()
    events = [json.loads(line) for line in ran.workspace.events_file.read_text().splitlines()]
    assert [event["score"] for event in events if event["event"] == "feedback"] == [told["score"]]
    assert report(ran)["trial"]["feedback"] == {"mode": "validation", "queries": 20}
    assert ran.model is None


def test_queries_are_budgeted_and_invalid_ones_do_not_count(trial):
    ran = trial(
        ASKS + "open('bad.csv', 'w').write('id,target\\n')\n"
        "for name in ('bad.csv', '', '', ''):\n"
        "    ask(home + '/feedback.sh', *([name] if name else []))\n",
        Feedback(mode="validation", queries=2),
    )
    answers = said(ran)
    assert [status for status, _ in answers] == ["1", "0", "0", "1"]
    assert "Submission invalid! E07" in answers[0][1]
    assert json.loads(answers[2][1])["left"] == 0
    assert "the 2 queries of this trial are used up" in answers[3][1]
    assert len(report(ran)["feedback"]["queries"]) == 2


def test_without_the_choice_nothing_is_told(trial):
    ran = trial(ASKS + "ask(home + '/feedback.sh')\nprint('ENV', 'AEXP_FEEDBACK' in os.environ)\n")
    ((status, answer),) = said(ran)
    assert status == "1"
    assert "there is none in this trial" in answer
    assert "ENV False" in ran.workspace.log_file.read_text()
    assert report(ran)["feedback"] == {"mode": "none"}


def test_an_agent_that_floods_gets_no_more_than_its_queries(trial):
    flood = (
        "import threading\n"
        "many = [threading.Thread(target=ask, args=(home + '/feedback.sh',)) for _ in range(12)]\n"
        "[one.start() for one in many]\n"
        "[one.join() for one in many]\n"
    )
    ran = trial(ASKS + flood, Feedback(mode="validation", queries=3))
    assert sorted(status for status, _ in said(ran)) == ["0"] * 3 + ["1"] * 9
    assert len(report(ran)["feedback"]["queries"]) == 3


def test_practice_is_told_the_very_score_and_counts_nowhere(cli, trial, tmp_path):
    ran = trial(ASKS + "ask(home + '/feedback.sh')\n", Feedback(mode="score"))
    told = json.loads(said(ran)[0][1])
    assert told["score"] == round(ran.evaluation.scores["accuracy"]["label_score"], 4)
    assert report(ran)["feedback"]["rows"] == 600
    done = cli("leaderboard", tmp_path / "runs")
    assert "1 for practice (--feedback score), left out" in done.out
    (row,) = json.loads(cli("leaderboard", tmp_path / "runs", "--json").out)["rows"]
    assert (row["n"], row["practice"]) == (0, 1)


def test_the_leaderboard_shows_how_often_was_asked(cli, trial, tmp_path):
    trial(ASKS + "ask(home + '/feedback.sh')\n" * 2, Feedback(mode="validation"))
    trial(ASKS)
    done = cli("leaderboard", tmp_path / "runs")
    assert "FEEDBACK" in done.out.splitlines()[0]
    assert "1 of 2 results with --feedback validation, 2 queries" in done.out


def test_grading_again_and_replay_look_at_the_same_rows(trial):
    ran = trial(HONEST, Feedback(mode="validation"))
    assert Regrader().trial(ran.workspace.root).verdict == "unchanged"
    found = Replayer(fresh=1).trial(ran.workspace.root)
    assert found.identical
    assert found.same.skill == pytest.approx(found.submitted["skill"])


def test_a_marked_answer_counts_whatever_is_written_later(trial):
    ran = trial(
        ASKS + "ask(home + '/submit.sh')\n"
        "open(out + '/submission.csv', 'w').write('id,target\\n')\n"
    )
    assert said(ran)[-1][0] == "0"
    assert report(ran)["marked"] == "submission/submission.csv"
    assert ran.evaluation.submission["valid"]
    assert (ran.workspace.outputs / "submission/unmarked/submission.csv").is_file()


def test_what_is_not_valid_cannot_be_marked(trial):
    ran = trial(
        ASKS + "open('bad.csv', 'w').write('id,target\\n')\nask(home + '/submit.sh', 'bad.csv')\n"
    )
    assert said(ran)[0][0] == "1"
    assert report(ran)["marked"] is None
    assert ran.evaluation.submission["valid"]


def test_a_mark_that_is_a_link_is_no_mark(trial):
    ran = trial(
        ASKS + "os.mkdir(out + '/.marked')\n"
        "os.symlink('/etc/passwd', out + '/.marked/submission.csv')\n"
        "os.mkdir(out + '/unmarked')\n"
    )
    assert report(ran)["marked"] is None
    assert ran.evaluation.submission["valid"]
    assert "submission/.marked/submission.csv" in report(ran)["collected"]["refused"]


def test_a_mark_stands_though_a_link_comes_into_its_place(trial):
    ran = trial(
        ASKS + "ask(home + '/submit.sh')\n"
        "os.remove(out + '/submission.csv')\n"
        "os.symlink('/etc/passwd', out + '/submission.csv')\n"
    )
    assert report(ran)["marked"] == "submission/submission.csv"
    assert ran.evaluation.submission["valid"]
    assert report(ran)["collected"]["refused"] == {
        "submission/unmarked/submission.csv": "a symbolic link"
    }


def test_who_has_not_the_key_of_the_trial_is_told_nothing(trial):
    """In the process runtime an agent may find the door of another trial."""
    ran = trial(
        ASKS + "os.environ['AEXP_DOOR_KEY'] = 'another'\nask(home + '/feedback.sh')\n",
        Feedback(mode="validation"),
        "process",
    )
    ((status, answer),) = said(ran)
    assert status == "1"
    assert "not the key of this trial" in answer
    assert report(ran)["feedback"]["queries"] == []


def test_an_agent_is_told_what_is_left(trial):
    ran = trial(ASKS + "ask(home + '/budget.sh')\n", Feedback(mode="validation"))
    left = json.loads(said(ran)[0][1])
    assert 0 < left["seconds"] <= 60
    assert left["feedback"] == {"mode": "validation", "measure": "accuracy", "left": 20}
    plain = trial(ASKS + "ask(home + '/budget.sh')\n")
    assert set(json.loads(said(plain)[0][1])) == {"seconds"}


def test_the_command_line_takes_the_choice(run, agent, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "small.json").write_text(json.dumps(SMALL))
    words = ["small", "--tasks-dir", tasks, "--runtime", "process"]
    words += ["--feedback", "validation", "--feedback-queries", "3"]
    done = run(*words, "--", "python", agent(ASKS + "ask(home + '/feedback.sh')\n"))
    assert done.status == 0, done.err
    assert "feedback: 1 of 3 queries on 200 hidden rows that are not graded" in done.out
    wrong = run("small", "--tasks-dir", tasks, "--local", "--feedback", "scores", "--", "true")
    assert (wrong.status, len(wrong.err.splitlines())) == (2, 1)
    assert "--feedback 'scores'; did you mean 'score'?" in wrong.err


def test_a_task_without_predictions_is_refused_before_anything_starts(run, tmp_path):
    words = ["data_analysis_exploratory", "--local", "--feedback", "validation", "--", "true"]
    done = run(*words)
    assert done.status == 4
    assert "--feedback needs a task that asks for predictions" in done.err
    assert not list((tmp_path / "runs").glob("*"))


def test_the_agents_of_a_suite_ask_too(cli, agent, tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    source = (
        "import os, shutil, subprocess\n"
        "out = os.environ['SUBMISSION_DIR'] + '/submission.csv'\n"
        "shutil.copy(os.environ['DATA_DIR'] + '/sample_submission.csv', out)\n"
        "subprocess.run(['bash', os.environ['HOME'] + '/feedback.sh'], check=True)\n"
    )
    done = cli(
        "suite", "run", "--tasks", "binary_small",
        "--agents", f"asks=command:python {agent(source)}",
        "--runtime", "process", "--feedback", "validation", "--feedback-queries", 2,
        "--workers", 1, "--out", tmp_path / "suites", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    (found,) = (tmp_path / "suites").glob("*/trials/*/report.json")
    told = json.loads(found.read_text())["feedback"]
    assert (told["mode"], told["allowed"], len(told["queries"])) == ("validation", 2, 1)
    (row,) = json.loads(cli("leaderboard", tmp_path / "suites", "--json").out)["rows"]
    assert (row["n"], row["queries"], row["feedback"]) == (1, 1, {"validation": 1})
    wrong = cli(
        "suite", "run", "--tasks", "binary_small", "--agents", "command:true",
        "--feedback", "score", "--out", tmp_path / "others",
    )  # fmt: skip
    assert (wrong.status, len(wrong.err.splitlines())) == (4, 1)
    assert "feedback.mode" in wrong.err
