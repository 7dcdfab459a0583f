"""What is mounted into a container, and whose it is."""

import os
from pathlib import Path
from typing import Final

from tasks.home import write_helpers
from tasks.runtimes.docker_command import INSIDE
from tasks.workspace import Workspace

USER: Final = 1000
"""Who the agent is in a container if we are root; `nonroot` in our images."""

CHECKER: Final = f"""\
#!/bin/bash
# Checks the form of a submission; it knows no answers and measures nothing.
exec python3 -I -S {INSIDE}/grading_server.py "${{1:-$SUBMISSION_DIR/submission.csv}}"
"""


def user() -> str:
    """Return the container's user: ours, whose files are then ours too, but never root."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else f"{USER}:{USER}"


def prepare(workspace: Workspace) -> None:
    """Make what is mounted, and give it to the container's user."""
    for folder in (workspace.home / "agent", workspace.home / "data", workspace.public):
        folder.mkdir(parents=True, exist_ok=True)
    checker = workspace.home / "validate_submission.sh"
    if not checker.exists():
        checker.write_text(CHECKER)
        checker.chmod(0o755)
        write_helpers(workspace.home, "python3", f"{INSIDE}/ask.py")
    if os.getuid() == 0:
        for directory, folders, files in os.walk(workspace.home):
            for entry in (".", *folders, *files):
                os.chown(Path(directory, entry), USER, USER, follow_symlinks=False)
        for directory, folders, files in os.walk(workspace.public):
            for entry in (".", *folders, *files):
                path = Path(directory, entry)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
