"""The tracking and distribution snippets of the specification, unchanged, inside a trial."""

import json
import sys

import pytest

from tasks import Task, TaskRunner
from tests.contracts.test_trackers import needs

SMALL = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 100, "n_test": 100},
}
MLFLOW = """
import mlflow

mlflow.start_run()
mlflow.log_param("model_type", "random_forest")
mlflow.log_metric("accuracy", 0.85)
mlflow.end_run()
"""
WANDB = """
import wandb

wandb.init(project="mle-bench-experiments")
wandb.log({"accuracy": 0.85})
"""
RAY = """
import ray

@ray.remote
def train_model(config):
    # Distributed training logic
    return config["depth"] + 1

print("trained", ray.get([train_model.remote({"depth": n}) for n in range(3)]))
"""
DASK = """
import dask
from dask.distributed import Client

if __name__ == "__main__":
    client = Client()
    print("trained", client.gather(client.map(lambda n: n + 1, range(3))))
"""


@pytest.fixture
def trial(tmp_path, agent):
    def run(source, runtime="process"):
        runner = TaskRunner(tmp_path / "runs", runtime=runtime)
        command = [sys.executable, str(agent(source))]
        return runner.run_task(Task.from_dict(SMALL, source="test"), command, timeout=150)

    return run


def logged(trial):
    text = trial.workspace.log_file.read_text(errors="replace")
    assert trial.outcome.reason == "finished", text
    return json.loads(trial.report_file.read_text())["logged"]


@pytest.mark.timeout(200)
def test_mlflow_in_a_trial_ends_up_in_its_report(trial):
    needs("mlflow", "mlflow")
    found = logged(trial(MLFLOW))
    assert found["metrics"] == {"accuracy": {"last": 0.85, "step": 0, "points": 1}}
    assert found["params"] == {"model_type": "random_forest"}
    assert found["problems"] == []


@pytest.mark.timeout(200)
def test_wandb_in_a_trial_ends_up_in_its_report(trial):
    needs("wandb", "wandb")
    found = logged(trial(WANDB))
    assert found["metrics"] == {"accuracy": {"last": 0.85, "step": 0, "points": 1}}
    assert found["problems"] == []


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("name", "module", "source"), [("ray", "ray", RAY), ("dask", "distributed", DASK)]
)
def test_ray_and_dask_work_behind_walls(trial, name, module, source):
    """A plain process has them too, but Ray's sockets need a home with a short name."""
    needs(name, module)
    ended = trial(source, runtime="bubblewrap")
    printed = ended.workspace.log_file.read_text(errors="replace")
    assert "trained [1, 2, 3]" in printed
    assert ended.outcome.reason == "finished", printed
    assert ended.outcome.breach == ""
