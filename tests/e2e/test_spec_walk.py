"""The code blocks of the specification that need no Docker and no account, run as written."""

import shlex
import shutil
import subprocess
import sys

import pytest

from tasks import agents
from tests.conftest import COPY_SAMPLE, ROOT


@pytest.fixture
def checkout(tmp_path):
    """An empty folder that holds the checkout's names, as the spec's commands expect them."""
    for name in ("run_task.py", "tasks", "agents"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def shell(line, folder, timeout=120):
    words = shlex.split(line)
    assert words[0] == "python"
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def test_list_available_tasks(checkout):
    done = shell("python -m tasks.cli list", checkout)
    assert done.returncode == 0
    assert "classification_basic" in done.stdout


def test_run_locally_for_development(checkout):
    done = shell("python run_task.py classification_basic --local", checkout)
    assert done.returncode == 0, done.stderr
    assert "success" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "python run_task.py classification_basic",
        "python run_task.py classification_basic --time-limit 1800 --validate",
    ],
)
def test_the_docker_commands_parse_and_say_what_would_do_without_a_daemon(
    checkout, line, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout}/no-daemon.sock")
    done = shell(line, checkout)
    assert done.returncode == 5
    assert "--local" in done.stderr


def test_generate_validate_and_show(checkout):
    assert shell(
        "python -m tasks.cli generate-data classification_basic ./data/", checkout
    ).returncode == (0)
    (checkout / "results").mkdir()
    shutil.copy(
        checkout / "data" / "sample_submission.csv", checkout / "results" / "predictions.csv"
    )
    done = shell("python -m tasks.cli validate classification_basic ./results/", checkout)
    assert done.returncode == 1
    assert "FAILED: criteria not met" in done.stdout
    line = "python -m tasks.cli generate-data classification_basic ./test_data/"
    assert shell(line, checkout).returncode == 0
    assert shell("python -m tasks.cli show classification_basic", checkout).returncode == 0


def test_troubleshooting_commands(checkout):
    done = shell("python run_task.py task_id --verbose", checkout)
    assert done.returncode == 3
    assert "task_id" in done.stderr


def test_custom_agent_development():
    namespace = {}
    exec(
        """
from tasks import registry, TaskRunner

class CustomExperimentHandler:
    def __init__(self, task_config):
        self.task_config = task_config
        self.task = registry.get_task(task_config['task']['id'])

    def run_experiment(self):
        # Custom experiment logic
        pass
""",
        namespace,
    )
    handler = namespace["CustomExperimentHandler"]({"task": {"id": "regression_basic"}})
    assert handler.task.id == "regression_basic"


def test_data_generation_and_multi_modal_data():
    namespace = {}
    exec(
        """
from tasks.utils import DataGenerator

generator = DataGenerator()

# Classification data
df = generator.generate_classification_dataset(
    n_samples=1000,
    n_features=10,
    n_classes=3
)

# Time series data
ts_df = generator.generate_time_series_dataset(
    n_samples=1000,
    n_features=5,
    trend=True,
    seasonality=True
)

# Imbalanced data
imb_df = generator.generate_imbalanced_dataset(
    n_samples=1000,
    imbalance_ratio=0.1
)
# Generate multi-modal dataset
multi_modal = generator.generate_multi_modal_dataset(
    n_samples=1000,
    image_size=(28, 28),
    n_text_features=100,
    n_classes=3
)
""",
        namespace,
    )
    assert len(namespace["df"]) == 1000
    assert len(namespace["imb_df"]) == 1000
    assert len(namespace["ts_df"]) % 1000 == 0
    found = namespace["multi_modal"]
    assert found["images"].shape[:3] == (1000, 28, 28)
    assert found["text_features"].shape == (1000, 100)
    assert set(found) >= {"images", "text_features", "labels", "metadata"}


EVALUATION = """
from tasks.utils import TaskValidator

validator = TaskValidator()
evaluation = validator.evaluate_task(task, results_dir)

print(f"Overall Score: {evaluation['overall_score']}")
print(f"Success: {evaluation['success']}")
"""


def test_automatic_evaluation(tmp_path, capsys, cli):
    from tasks import registry

    cli("generate-data", "classification_basic", tmp_path / "data")
    task, results = registry.get_task("classification_basic"), tmp_path / "results"
    results.mkdir()
    (tmp_path / "data" / "sample_submission.csv").rename(results / "submission.csv")
    exec(EVALUATION, {"task": task, "results_dir": results})
    assert "Success: False" in capsys.readouterr().out


def test_custom_evaluation(tmp_path):
    from tasks import Task
    from tasks.utils import TaskValidator

    namespace = {"TaskValidator": TaskValidator}
    exec(
        """
class CustomValidator(TaskValidator):
    def _evaluate_custom_task(self, task, results_dir):
        # Custom evaluation logic
        return {
            'criteria_met': {'custom_criterion': True},
            'scores': {'custom_score': 0.85},
            'feedback': ['Custom evaluation completed']
        }
""",
        namespace,
    )
    task = Task.from_dict({"id": "c", "name": "C", "task_type": "custom"}, source="test")
    evaluation = namespace["CustomValidator"]().evaluate_task(task, tmp_path)
    assert evaluation["criteria_met"] == {"custom_criterion": True}
    assert evaluation["scores"] == {"custom_score": 0.85}
    assert "Custom evaluation completed" in evaluation["feedback"]
    assert evaluation["success"] is True


def test_aide_integration(tmp_path):
    folder = tmp_path / "aide"
    folder.mkdir()
    (folder / "start.sh").write_text("echo aide\n")
    (folder / "config.yaml").write_text(
        """
# agents/aide/config.yaml
aide/experiment:
  start: aide/start.sh
  dockerfile: aide/Dockerfile
  kwargs:
    agent.task_type: experiment
    agent.experiment_mode: true
  env_vars:
    EXPERIMENT_MODE: "true"
    TASK_TYPE: "general"
"""
    )
    spec = agents.load("aide/experiment", tmp_path)
    assert spec.env == {"EXPERIMENT_MODE": "true", "TASK_TYPE": "general"}
    assert spec.start(tmp_path)[2:] == ["agent.task_type=experiment", "agent.experiment_mode=True"]


def test_run_task_with_a_timeout_and_evaluate_results(tmp_path, agent):
    from tasks import TaskRunner

    agent(COPY_SAMPLE, "my_agent.py")
    runner = TaskRunner(work_dir=tmp_path / "w", data_dir=tmp_path / "d", output_dir=tmp_path / "o")
    command = ["python", str(tmp_path / "my_agent.py")]
    trial = runner.run_task("classification_basic", command, timeout=3600)
    evaluation = runner.evaluate_task_results(
        "classification_basic", trial.workspace.outputs / "submission"
    )
    assert evaluation["submission"]["valid"] is False or evaluation["sealed"] is False


@pytest.mark.parametrize(
    "path",
    [
        "tasks/README.md",
        "agents/README.md",
        "docs/api_reference.md",
        "tasks/examples/classification_example.py",
        "tasks/examples/data_analysis_example.py",
        "tasks/examples/custom_task_example.py",
    ],
)
def test_the_files_the_spec_links_to_are_there(path):
    assert (ROOT / path).stat().st_size > 1000
