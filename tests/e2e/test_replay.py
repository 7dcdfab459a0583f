"""A saved solution run again: on the same data, on fresh data, and what does not survive that."""

import json

import pytest

from tasks import Task, TaskRunner, agents
from tasks.instance import Seed
from tasks.regrade import Regrader
from tasks.replay import Replayer
from tests.trial_folders import write_trial

SMALL = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 400, "n_test": 400},
    "evaluation_criteria": {},
}

CENTRES = """\
import csv, os
from collections import defaultdict

data, out = os.environ["DATA_DIR"], os.environ["SUBMISSION_DIR"]
with open(data + "/train.csv", newline="") as file:
    train = list(csv.DictReader(file))
names = [name for name in train[0] if name not in ("id", "target")]
sums, counts = defaultdict(lambda: [0.0] * len(names)), defaultdict(int)
for row in train:
    counts[row["target"]] += 1
    for k, name in enumerate(names):
        sums[row["target"]][k] += float(row[name])
centres = {label: [s / counts[label] for s in sums[label]] for label in sums}
with open(data + "/test.csv", newline="") as file, open(out + "/submission.csv", "w") as target:
    print("id,target", file=target)
    for row in csv.DictReader(file):
        values = [float(row[name]) for name in names]
        far = lambda label: sum((a - b) ** 2 for a, b in zip(values, centres[label]))
        print(row["id"] + "," + min(sorted(centres), key=far), file=target)
"""
HONEST = CENTRES + (
    "import shutil, sys\n"
    "if 'CODE_DIR' in os.environ and not sys.argv[0].endswith('solution.py'):\n"
    "    shutil.copyfile(sys.argv[0], os.environ['CODE_DIR'] + '/solution.py')\n"
)
BY_HEART = CENTRES + (
    "said = open(out + '/submission.csv').read()\n"
    'code = \'import os\\nopen(os.environ["SUBMISSION_DIR"] + "/submission.csv", "w")\'\n'
    "code += f'.write({said!r})\\n'\n"
    "open(os.environ['CODE_DIR'] + '/solution.py', 'w').write(code)\n"
)
NOTEBOOK = {
    "nbformat": 4,
    "metadata": {},
    "cells": [
        {"cell_type": "markdown", "source": ["# Nearest centre"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip list\n", "import os"]},
        {"cell_type": "code", "source": "%%bash\necho no Python"},
        {"cell_type": "code", "source": "%%time\n" + CENTRES},
    ],
}


@pytest.fixture
def trial(tmp_path, agent):
    """Run an agent; return its trial."""

    def call(source, **changes):
        runner = TaskRunner(tmp_path / "runs")
        task = Task.from_dict({**SMALL, **changes}, source="test")
        return runner.run_task(task, ["python", str(agent(source))], timeout=60, seed=1)

    return call


def replayed(trial, n=2, **options):
    found = Replayer(fresh=n, **options).trial(trial.workspace.root)
    report = json.loads(trial.report_file.read_text())
    assert report["replay"] == json.loads(json.dumps(found.as_dict()))
    return found


def test_code_that_learns_does_as_well_again(trial):
    numbers = iter(range(100, 103))  # of secret ones 1 % would be suspected by chance
    found = replayed(trial(HONEST), 3, seeds=lambda: Seed.public(next(numbers)))
    assert (found.verdict, found.flagged) == ("reproduced", False)
    assert found.solution == "code/solution.py"
    assert found.identical
    assert found.same.skill == found.submitted["skill"]
    assert len({rerun.seed for rerun in found.fresh}) == 3
    assert found.spread.mean == pytest.approx(sum(r.skill for r in found.fresh) / 3)


def test_predictions_known_by_heart_are_suspicious(trial):
    found = replayed(trial(BY_HEART))
    assert found.flagged
    assert found.identical
    assert "the code predicts the same in every row, whatever the data" in found.findings
    assert max(rerun.skill for rerun in found.fresh) < found.submitted["skill"] - 0.1


def test_a_submission_without_code_is_neither_reproduced_nor_suspicious(trial):
    found = replayed(trial(CENTRES))
    assert (found.verdict, found.flagged) == ("no code", False)
    assert found.solution is None
    assert "no code was left" in found.findings[0]


def test_code_that_does_not_run_is_suspicious(trial):
    said = "open(os.environ['CODE_DIR'] + '/solution.py', 'w').write('raise SystemExit(3)')\n"
    found = replayed(trial(CENTRES + said), 1)
    assert found.flagged
    assert "makes no valid submission" in found.findings[0]
    assert found.same.reason == "agent error"


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_notebook_that_is_none_is_suspicious_and_no_way_out(trial, content):
    said = f"open(os.environ['CODE_DIR'] + '/solution.ipynb', 'w').write({content!r})\n"
    found = replayed(trial(CENTRES + said), 1)
    assert found.flagged
    assert "it cannot be run: solution.ipynb: no notebook" in found.findings[0]


def test_code_that_knows_it_is_run_again_gains_nothing_by_that(trial):
    """On the same data it makes the same predictions; on fresh data it would have to learn."""
    there = "('rerun.py' in os.listdir(os.environ['HOME'] + '/agent'))"
    sly = BY_HEART.replace(
        "code = 'import os\\n",
        f"code = 'import os\\nseen = {there!s}\\n".replace("'rerun.py'", '"rerun.py"')
        .replace("os.environ['HOME']", 'os.environ["HOME"]')
        .replace("'/agent'", '"/agent"'),
    )
    assert "seen =" in sly
    found = replayed(trial(sly))
    assert found.flagged


def test_code_that_never_ends_costs_twice_what_the_trial_took(trial):
    from tasks.replay import SLACK_S, _seconds

    ran = trial(CENTRES)
    report = json.loads(ran.report_file.read_text())
    report["trial"]["limits"]["time_s"] = 3600
    assert _seconds(report) == pytest.approx(2 * ran.outcome.seconds + SLACK_S)
    report["trial"]["limits"]["time_s"] = 5
    assert _seconds(report) == 5


def test_who_knows_no_more_than_the_sample_is_not_suspected(trial):
    found = replayed(
        trial(
            "import os, shutil, sys\n"
            "data, out = os.environ['DATA_DIR'], os.environ['SUBMISSION_DIR']\n"
            "shutil.copy(data + '/sample_submission.csv', out + '/submission.csv')\n"
            "if not sys.argv[0].endswith('solution.py'):\n"
            "    shutil.copy(sys.argv[0], os.environ['CODE_DIR'] + '/solution.py')\n"
        )
    )
    assert not found.flagged


def test_nothing_valid_leaves_nothing_to_compare(trial):
    assert replayed(trial("print('idle')"), 1).verdict == "nothing to compare"


def test_a_notebook_is_run_as_a_script(trial):
    said = f"open(os.environ['CODE_DIR'] + '/mine.ipynb', 'w').write({json.dumps(NOTEBOOK)!r})\n"
    found = replayed(trial(CENTRES + said), 1)
    assert found.solution == "code/mine.ipynb"
    assert found.identical, (found.same, found.findings)


def test_a_solution_of_aide_finds_its_data_where_aide_has_them(trial):
    code = CENTRES.replace('os.environ["DATA_DIR"]', '"./input"')
    code = code.replace('os.environ["SUBMISSION_DIR"]', '"./working"')
    said = f"open(os.environ['CODE_DIR'] + '/best_solution.py', 'w').write({code!r})\n"
    found = replayed(trial(CENTRES + said), 1)
    assert found.solution == "code/best_solution.py"
    assert found.identical, (found.same, found.findings)


def test_a_replay_has_no_network_no_model_and_nothing_of_the_first_run(trial):
    spy = (
        "import json, os, sys\n"
        "files = sorted(os.listdir(os.environ['HOME'] + '/agent'))\n"
        "keys = sorted(k for k in os.environ if 'OPENAI' in k or 'AEXP_DOOR' in k)\n"
        "print('SPIED', files, keys, os.environ['EXPERIMENT_NAME'])\n"
    )
    said = f"open(os.environ['CODE_DIR'] + '/solution.py', 'w').write({spy + CENTRES!r})\n"
    ran = trial(CENTRES + said)
    replayed(ran, 1)
    for name in ("same", "fresh-1"):
        log = (ran.workspace.root / "replay" / name / "run.log").read_text()
        assert "SPIED ['code', 'rerun.py', 'start.sh'] []" in log
        asked = json.loads((ran.workspace.root / "replay" / name / "trial.json").read_text())
        assert asked["limits"]["network"] == "none"


def test_real_data_are_split_anew_and_the_report_says_so(trial):
    pytest.importorskip("palmerpenguins")
    found = replayed(
        trial(
            HONEST.replace("float(row[name])", 'len(row[name] or "")'),
            data_requirements={"dataset_type": "bundled", "name": "penguins"},
        ),
        1,
    )
    assert "new splits of the same real rows" in found.data


def test_replays_are_no_trials_of_the_leaderboard(cli, trial, tmp_path):
    ran = trial(HONEST)
    assert cli("replay", tmp_path / "runs", "--seeds", "1").status == 0
    assert (ran.workspace.root / "replay" / "fresh-1" / "report.json").is_file()
    board = json.loads(cli("leaderboard", tmp_path / "runs", "--json").out)
    assert [row["n"] for row in board["rows"]] == [1]


def test_the_command_line_prints_both_skills_and_ends_with_1_where_it_is_suspicious(
    cli, trial, tmp_path
):
    trial(BY_HEART)
    done = cli("replay", tmp_path / "runs", "--seeds", "2")
    assert done.status == 1
    assert "same data   skill" in done.out
    assert "REPLAY: suspicious (an honest one once in 100, at most)" in done.out
    again = cli("replay", tmp_path / "runs", "--seeds", "1", "--json")
    assert json.loads(again.out)["counts"] == {"suspicious": 1}


def test_trials_without_code_are_counted_apart_and_no_failure(cli, trial, tmp_path):
    trial(CENTRES)
    trial(CENTRES)
    done = cli("replay", tmp_path / "runs")
    assert done.status == 0
    assert done.out.splitlines()[-1] == "2 no code"
    assert "REPLAY: no code\n" in done.out
    board = cli("leaderboard", tmp_path / "runs").out
    assert "2 of 2 results left no code to replay" in board
    assert "borne out" not in board


def test_a_trial_that_is_not_over_is_named_unfinished_and_no_failure(cli, tmp_path):
    write_trial(tmp_path / "runs", "slow", ending="unfinished")
    done = cli("replay", tmp_path / "runs")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1:] == ["- the trial is not finished", "REPLAY: unfinished"]
    assert cli("regrade", tmp_path / "runs").out.startswith("unfinished")


def test_a_changed_trial_is_refused(cli, trial, tmp_path):
    ran = trial(BY_HEART)
    (ran.workspace.outputs / "code" / "solution.py").write_text(HONEST)
    done = cli("replay", tmp_path / "runs")
    assert done.status == 4
    assert "is not what was collected" in done.out


def test_run_replays_at_once(run, agent, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "small.json").write_text(json.dumps(SMALL))
    words = ["small", "--tasks-dir", tasks, "--runtime", "process", "--replay", "1"]
    done = run(*words, "--", "python", agent(HONEST))
    assert done.status == 0, done.err
    assert "[replay] fresh-1: skill" in done.err
    assert "REPLAY: cannot tell" in done.out
    (report,) = (tmp_path / "runs").glob("*/report.json")
    assert json.loads(report.read_text())["replay"]["identical"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replay", "calls.jsonl"], "a cassette is played with --play FILE"),
        (["--replay", "0"], "no number of fresh instances"),
    ],
)
def test_a_wrong_number_is_refused_in_one_line(run, words, said):
    done = run("classification_basic", "--local", *words, "--", "true")
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_task_without_data_of_ours_cannot_be_replayed(run, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    free = {**SMALL, "task_type": "general", "data_requirements": {}}
    (tasks / "small.json").write_text(json.dumps(free))
    done = run("small", "--tasks-dir", tasks, "--local", "--replay", "1", "--", "true")
    assert done.status == 2
    assert "--replay needs data that can be drawn again" in done.err


def test_an_agent_of_a_folder_is_found_again_under_the_name_it_was_given(tmp_path):
    folder = tmp_path / "agents" / "own"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("own:\n  start: own/start.sh\n")
    (folder / "start.sh").write_text("true\n")
    known = agents.load("own", tmp_path / "agents")
    runner = TaskRunner(tmp_path / "runs", runtime="process")
    task = Task.from_dict(SMALL, source="test")
    for agent in (known, agents.named(known, "mine")):
        ended = runner.run_task(task, agent, timeout=60, seed=1)
        opened = Regrader().opened(ended.workspace.root)
        assert opened.report["trial"]["agent"]["id"] == agent.id
        assert Replayer(agents_dir=tmp_path / "agents").agent(opened) == known
