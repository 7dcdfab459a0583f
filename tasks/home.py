"""The agent's world: folders, files and variables, as the spec and MLE-bench draw it."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.errors import InvalidInput
from tasks.outcome import Limits
from tasks.spec import Task
from tasks.workspace import Workspace

PACKAGE_ROOT = Path(__file__).resolve().parent.parent

EXPERIMENT_FOLDERS = ("workspace", "models", "results", "notebooks", "scripts", "configs")
LINKS = ("data", "code", "logs", "submission")
"""Folders of `/home` that the spec's tree reaches by a link."""

COPIED_BYTES = 2**30
"""What may be copied into the agent's folder: its code, not its data."""

CHECKER = """\
#!/bin/bash
# Checks the form of a submission; it knows no answers and measures nothing.
exec {python} -I {root}/tasks/cli/checker.py "${{1:-$SUBMISSION_DIR}}" --data "$DATA_DIR"
"""


def lay_out(workspace: Workspace) -> None:
    """Make the agent's folders, the links between them, and its copies of the instructions.

    `workspace.public` must be written already.
    """
    home = workspace.home
    for name in ("submission", "logs", "code", "agent", "tmp"):
        (home / name).mkdir(parents=True)
    for name in EXPERIMENT_FOLDERS:
        (workspace.experiments / name).mkdir(parents=True)
    (home / "data").symlink_to(Path("..") / workspace.public.name)
    for name in LINKS:
        (workspace.experiments / name).symlink_to(Path("..") / name)
    for name, target in {"instructions.txt": "description.md"}.items():
        shutil.copyfile(workspace.public / target, home / name)
    shutil.copyfile(workspace.public / "task_config.json", home / "task_config.json")
    script = home / "validate_submission.sh"
    script.write_text(CHECKER.format(python=_quoted(sys.executable), root=_quoted(PACKAGE_ROOT)))
    script.chmod(0o755)


def environment(
    workspace: Workspace, task: Task, limits: Limits, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return every variable the agent sees; of the host's own only the search path passes.

    Args:
        workspace: Whose folders are named.
        task: Its id and type are named.
        limits: The time limit is named.
        extra: What the agent's own entry asks for; wins.
    """
    home = workspace.home
    python = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{python}{os.pathsep}{path}",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "EXPERIMENT_NAME": workspace.root.name,
        "TASK_TYPE": task.task_type,
        "TIME_LIMIT_SECS": f"{limits.time_s:g}",
        "STEP_LIMIT": "500",
        "COMPETITION_ID": task.id,
        "EXPERIMENT_DIR": str(workspace.experiments),
        "DATA_DIR": str(home / "data"),
        "CODE_DIR": str(home / "code"),
        "LOGS_DIR": str(home / "logs"),
        "SUBMISSION_DIR": str(home / "submission"),
        "AGENT_DIR": str(home / "agent"),
        "TASK_CONFIG": str(home / "task_config.json"),
        **extra,
    }


def copy_agent(folder: Path, workspace: Workspace) -> None:
    """Copy an agent's folder into its world, so that it can spoil only its own copy.

    Raises:
        InvalidInput: The folder is no agent's: larger than 1 GiB.
    """
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    if size > COPIED_BYTES:
        raise InvalidInput(f"{folder}: {size:,} bytes; an agent's folder holds at most 1 GiB")
    shutil.copytree(
        folder,
        workspace.home / "agent",
        symlinks=True,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
    )


def copy_data(folder: Path, workspace: Workspace) -> None:
    """Copy a user's own files for one task beside the generated ones; no folder, no files.

    Raises:
        InvalidInput: A file would replace a generated one.
    """
    for source in sorted(folder.iterdir()) if folder.is_dir() else ():
        target = workspace.public / source.name
        if target.exists():
            raise InvalidInput(f"{source}: the task makes a file of this name itself")
        if source.is_file():
            shutil.copyfile(source, target)


def copy_results(workspace: Workspace, output_dir: Path) -> Path:
    """Copy report and outputs to `<output_dir>/<trial>/`; return that folder."""
    target = output_dir / workspace.root.name
    shutil.copytree(workspace.outputs, target / "outputs")
    shutil.copyfile(workspace.report_file, target / workspace.report_file.name)
    return target


def copy_named_files(command: Sequence[str], workspace: Workspace) -> list[str]:
    """Copy files that a command names, such as `my_agent.py`, and point the command at the copies.

    The program itself stays where it is. Files of the same name get folders of their own.
    """
    rewritten = list(command[:1])
    for number, argument in enumerate(command[1:], start=1):
        source = Path(argument)
        if not argument.startswith("-") and _is_file(source):
            target = workspace.home / "agent" / source.name
            if target.exists():
                target = workspace.home / "agent" / str(number) / source.name
                target.parent.mkdir()
            shutil.copy(source, target)
            rewritten.append(str(target))
        else:
            rewritten.append(argument)
    program = Path(rewritten[0])
    if len(program.parts) > 1 and not program.is_absolute():
        rewritten[0] = str(program.absolute())
    return rewritten


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= COPIED_BYTES
    except (OSError, ValueError):  # an argument need not be a path at all: too long, a NUL
        return False


def _quoted(path: str | Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
