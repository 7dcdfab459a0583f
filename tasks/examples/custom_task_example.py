"""Define a task of your own, with an evaluation of your own beside the built-in one.

    python tasks/examples/custom_task_example.py

The task asks for a model no larger than a few kilobytes. What the system measures (accuracy, floor,
ceiling, leaks) stays; the validator adds one criterion and one score.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks import Task, TaskRunner, registry
from tasks.utils import TaskValidator

MODEL_BYTES = 4096

TASK = {
    "id": "tiny_model",
    "name": "A model of four kilobytes",
    "description": "Classify with a model that fits into 4,096 bytes.",
    "task_type": "custom",
    "difficulty": "easy",
    "data_requirements": {
        "generate_synthetic": True,
        "dataset_type": "classification",
        "n_samples": 500,
        "n_features": 6,
        "n_classes": 2,
    },
    "evaluation_criteria": {"min_accuracy": 0.5},
    "instructions": (
        "Predict the class of each row of test.csv into submission/submission.csv, and leave the "
        "model's weights in results/model.bin, at most 4,096 bytes."
    ),
}

AGENT = """\
import csv, os
import numpy as np

def table(name):
    with open(os.path.join(os.environ["DATA_DIR"], name), newline="") as file:
        return list(csv.DictReader(file))

train, test = table("train.csv"), table("test.csv")
features = [name for name in train[0] if name not in ("id", "target")]

def matrix(rows):
    return np.array([[1.0] + [float(row[name]) for name in features] for row in rows])

labels = sorted({row["target"] for row in train})
y = np.array([1.0 if row["target"] == labels[1] else -1.0 for row in train])
x = matrix(train)
weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
with open(os.path.join(os.environ["EXPERIMENT_DIR"], "results", "model.bin"), "wb") as file:
    file.write(weights.astype("<f4").tobytes())
with open(os.path.join(os.environ["SUBMISSION_DIR"], "submission.csv"), "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "target"])
    for row, value in zip(test, matrix(test) @ weights):
        writer.writerow([row["id"], labels[int(value > 0)]])
"""


class TinyModelValidator(TaskValidator):
    """Adds what no built-in criterion measures: the size of the model."""

    def _evaluate_custom_task(self, task: Task, results_dir: Path) -> dict[str, Any]:
        model = results_dir / "model.bin"
        size = model.stat().st_size if model.is_file() else None
        limit = MODEL_BYTES
        return {
            "criteria_met": {"small_model": size is not None and size <= limit},
            "scores": {} if size is None else {"model_bytes": float(size)},
            "feedback": [f"{task.id}: model of {size} bytes, at most {limit} are allowed"],
        }


def main() -> int:
    """Register the task, run an agent on it and print the evaluation; return 0 if graded."""
    task = Task.from_dict(TASK, source="custom_task_example.py")
    registry.register_task(task)
    with tempfile.TemporaryDirectory() as scratch:
        agent = Path(scratch) / "my_agent.py"
        agent.write_text(AGENT)
        runner = TaskRunner(work_dir=Path(scratch) / "runs", validator=TinyModelValidator())
        trial = runner.run_task("tiny_model", ["python", str(agent)], timeout=60)
    evaluation = trial.evaluation
    if evaluation is None:
        print(f"the grader failed: {trial.grader_error}")
        return 1
    for line in evaluation["feedback"]:
        print(line)
    print(f"criteria met: {evaluation['criteria_met']}")
    print(f"skill {evaluation['overall_score']:.2f}, success {evaluation['success']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
