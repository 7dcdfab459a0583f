"""The agent `command`: a folder that runs any command."""

import os
import shutil
import subprocess

import pytest

from tasks import Task, TaskRunner, agents
from tasks.agents import SHIPPED
from tests.e2e.test_feedback import SMALL

REGRESSION = {
    **SMALL,
    "task_type": "regression",
    "data_requirements": {"dataset_type": "regression", "n_samples": 300, "n_test": 300},
}


@pytest.mark.parametrize("definition", [SMALL, REGRESSION], ids=["classes", "values"])
def test_its_example_hands_in_something_valid_and_keeps_its_code(tmp_path, definition):
    runner = TaskRunner(tmp_path / "runs", runtime="process")
    task = Task.from_dict(definition, source="test")
    trial = runner.run_task(task, agents.load("command"), timeout=60, seed=1)
    assert trial.outcome.reason == "finished", trial.workspace.log_file.read_text()
    assert trial.evaluation.submission["valid"]
    assert (trial.workspace.outputs / "code" / "solution.py").is_file()


def test_a_copy_of_it_runs_a_command_of_ones_own(tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(SHIPPED / "command", mine / "command")
    config = mine / "command" / "config.yaml"
    said = 'echo "in $PWD" && cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv'
    config.write_text(config.read_text().replace("python agent.py", f"'{said}'"))
    runner = TaskRunner(tmp_path / "runs", runtime="process")
    agent = agents.load("command", mine)
    trial = runner.run_task(Task.from_dict(SMALL, source="test"), agent, timeout=60)
    log = trial.workspace.log_file.read_text()
    assert trial.evaluation.submission["valid"], log
    assert f"in {trial.workspace.home / 'agent'}" in log


@pytest.mark.parametrize(
    ("words", "said"), [([], "no command; put one into config.yaml"), (["--x"], "unknown argument")]
)
def test_what_is_missing_is_said(tmp_path, words, said):
    done = subprocess.run(
        ["bash", SHIPPED / "command" / "start.sh", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "AGENT_DIR": str(tmp_path)},
    )
    assert done.returncode == 2
    assert said in done.stderr
