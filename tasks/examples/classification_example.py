"""Run an agent of your own on a task, from Python, and read what it is worth.

    python tasks/examples/classification_example.py

The agent below is a few lines of NumPy: a class is the one whose mean is nearest. Any command can
stand in its place.
"""

import sys
import tempfile
from pathlib import Path

from tasks import TaskRunner, registry

AGENT = """\
import csv, os
import numpy as np

def table(name):
    with open(os.path.join(os.environ["DATA_DIR"], name), newline="") as file:
        return list(csv.DictReader(file))

train, test = table("train.csv"), table("test.csv")
features = [name for name in train[0] if name not in ("id", "target")]
x = np.array([[float(row[name]) for name in features] for row in train])
y = np.array([row["target"] for row in train])
z = np.array([[float(row[name]) for name in features] for row in test])

centre, spread = x.mean(axis=0), x.std(axis=0)
classes = sorted(set(y))
means = [((x[y == label] - centre) / spread).mean(axis=0) for label in classes]
distance = [(((z - centre) / spread - mean) ** 2).sum(axis=1) for mean in means]
answers = [classes[k] for k in np.argmin(distance, axis=0)]

with open(os.path.join(os.environ["SUBMISSION_DIR"], "submission.csv"), "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "target"])
    writer.writerows(zip((row["id"] for row in test), answers))
print(f"predicted {len(test)} rows with the nearest of {len(classes)} class means")
"""


def main() -> int:
    """Run the agent on `classification_basic`; return 0 if it was graded."""
    task = registry.get_task("classification_basic")
    print(f"{task.name}: {task.evaluation_criteria}")
    with tempfile.TemporaryDirectory() as scratch:
        agent = Path(scratch) / "my_agent.py"
        agent.write_text(AGENT)
        runner = TaskRunner(work_dir=Path(scratch) / "runs")
        trial = runner.run_task(task.id, ["python", str(agent)], timeout=60)
    evaluation = trial.evaluation
    if evaluation is None:
        print(f"the grader failed: {trial.grader_error}")
        return 1
    mark = evaluation["scores"]["accuracy"]
    print(f"agent {trial.outcome.reason} after {trial.outcome.seconds:.1f} s")
    print(f"accuracy {mark['score']:.3f} ± {mark['se']:.3f}")
    print(f"floor {mark['floor']:.3f}, ceiling {mark['ceiling']:.3f}, skill {mark['skill']:.2f}")
    print(f"Overall Score: {evaluation['overall_score']}")
    print(f"Success: {evaluation['success']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
