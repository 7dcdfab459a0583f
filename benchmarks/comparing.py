"""What it costs to rank ten thousand trials; the floor is to read and parse their reports."""

import json
import random
from pathlib import Path

from tasks import TaskRunner, registry
from tests.conftest import COPY_SAMPLE

TRIALS = 10_000
AGENTS = 5
TASKS = 40
PARSE = """
import json, pathlib, sys
for file in pathlib.Path(sys.argv[1]).glob("*/report.json"):
    json.loads(file.read_bytes())
"""


def write_trials(scratch: Path) -> Path:
    """Run one real trial and write its report again and again, of other agents and tasks."""
    agent = scratch / "agent.py"
    agent.write_text(COPY_SAMPLE)
    done = TaskRunner(scratch / "one").run_task("binary_small", ["python", str(agent)], 60)
    text = done.report_file.read_text(encoding="utf-8")
    definitions = registry.list_tasks()[:TASKS]
    rng = random.Random(1)
    root = scratch / "many"
    for k in range(TRIALS):
        repeat, rest = divmod(k, AGENTS * TASKS)
        task, number = definitions[rest // AGENTS], rest % AGENTS
        report = json.loads(text)
        report["trial"] |= {
            "task": task.definition(),
            "agent": {"id": f"agent{number}", "command": []},
            "commitment": f"{task.id} {repeat}",
            "suite": {"id": "s", "repeat": repeat, "agent": f"agent{number}", "attempt": 1},
        }
        report["evaluation"]["overall_score"] = rng.betavariate(2 + number, 3)
        folder = root / f"{k:06d}"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return root
