"""Run by an agent's `validate_submission.sh`: checks a submission's form, knows no answers."""

import sys
from pathlib import Path


def check() -> int:
    """Run `check-submission` with the code this file belongs to, whatever folder we are in."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tasks.cli import main

    return main(["check-submission", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(check())
