"""The checkout's door: `python run_task.py ID --local` runs an agent on a task and grades it."""

import sys

try:
    from tasks.cli import app, run_task  # noqa: F401 - app, to miss its libraries here
except ModuleNotFoundError as error:
    print(
        f"run_task.py: {error.name} is not installed: `make setup`, then "
        "`source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(5)

if __name__ == "__main__":
    sys.exit(run_task())
