"""The same trivial trial as a task of Harbor: its oracle copies the sample, its tests compare."""

import json
from pathlib import Path

SAMPLE = "id,target\n" + "".join(f"{n},{n % 3}\n" for n in range(2000))
SOLVE = "#!/bin/sh\ncp /solution/sample_submission.csv /logs/artifacts/submission.csv\n"
TEST = """#!/bin/sh
paste -d '|' /tests/answers.csv /logs/artifacts/submission.csv |
  awk -F '|' '$1 == $2 { right++ } END { print right / NR }' > /logs/verifier/reward.txt
"""
COMPOSE = """services:
  main:
    entrypoint: []
    network_mode: none
    init: {init}
"""


def write_task(folder: Path, image: str, *, init: bool) -> Path:
    """Write the task; `init` gives its containers a first process that ends when it is asked to."""
    files = {
        "task.toml": f'[environment]\ndocker_image = "{image}"\n',
        "instruction.md": "Copy the sample.\n",
        "environment/docker-compose.yaml": COMPOSE.format(init=json.dumps(init)),
        "solution/solve.sh": SOLVE,
        "solution/sample_submission.csv": SAMPLE,
        "tests/test.sh": TEST,
        "tests/answers.csv": SAMPLE,
    }
    for name, text in files.items():
        file = folder / "copy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "copy"


def all_right(store: Path, trials: int) -> bool:
    """Tell whether every trial of the one job in a store ended with the full reward."""
    (result,) = store.glob("*/result.json")
    stats = json.loads(result.read_text())["stats"]
    (ran,) = stats["evals"].values()
    done = stats["n_completed_trials"] == trials and stats["n_errored_trials"] == 0
    return done and ran["metrics"] == [{"mean": 1.0}]
