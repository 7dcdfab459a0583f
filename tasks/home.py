"""The agent's world: folders, files and variables, as the spec and MLE-bench draw it."""

import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

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

DEADLINE = "deadline"
"""A file in the agent's home: when its time is over, in seconds since 1970."""

HELPERS = ("budget", "feedback", "submit")
"""What an agent may ask its trial, each by a script `$HOME/<name>.sh`."""

HELPER = """\
#!/bin/bash
# {what}: see ask.py beside the harness; MLE-bench has no such script.
exec {python} -I -S {ask} {what} "$@"
"""
ASK = "tasks/runtimes/inside/ask.py"

CHECKER = """\
#!/bin/bash
# Checks the form of a submission; it knows no answers and measures nothing.
exec {python} -I {root}/tasks/cli/checker.py "${{1:-$SUBMISSION_DIR}}" --data "$DATA_DIR"
"""


def seen(workspace: Workspace, inside: str | None) -> PurePath:
    """Return where the agent sees its home: `inside` a sandbox, else where it lies."""
    return workspace.home if inside is None else PurePosixPath(inside)


def lay_out(workspace: Workspace, inside: str | None = None, *, host_programs: bool = True) -> None:
    """Make the agent's folders, the links between them, and its copies of the instructions.

    Args:
        workspace: Its `public` must be written already.
        inside: As `Runtime.home`; there `data` is a folder to be mounted on, not a link.
        host_programs: As `Runtime.host_programs`; without them the image checks submissions.
    """
    home = workspace.home
    home.mkdir(exist_ok=True)  # there is one where it is a file system of its own
    # By strings and plain calls: this is done for each of thousands of trials.
    for name in _folders(str(home), str(workspace.experiments)):
        os.mkdir(name)  # noqa: PTH102 - as above
    if inside is None:
        (home / "data").symlink_to(f"../{workspace.public.name}")
    else:
        (home / "data").mkdir()
    for name in LINKS:
        os.symlink(f"../{name}", f"{workspace.experiments}/{name}")  # noqa: PTH211
    _copy(f"{workspace.public}/description.md", f"{home}/instructions.txt")
    _copy(f"{workspace.public}/task_config.json", f"{home}/task_config.json")
    if host_programs:
        _write_checker(home / "validate_submission.sh")
        write_helpers(home, _quoted(sys.executable), _quoted(PACKAGE_ROOT / ASK))


def _folders(home: str, experiments: str) -> Iterator[str]:
    """Yield the folders of the agent's world, each after the one it is in."""
    yield from (f"{home}/{name}" for name in ("submission", "logs", "code", "agent", "tmp"))
    yield experiments
    yield from (f"{experiments}/{name}" for name in EXPERIMENT_FOLDERS)


def _copy(source: str, target: str) -> None:
    """Copy a short file of ours to where there is none: `shutil.copyfile` takes twice as long."""
    with open(source, "rb") as file, open(target, "xb") as copy:  # noqa: PTH123 - a `Path` for each takes longer
        copy.write(file.read())


def _write_checker(script: Path) -> None:
    words = CHECKER.format(python=_quoted(sys.executable), root=_quoted(PACKAGE_ROOT))
    _write_script(script, words)


def _write_script(script: Path, words: str) -> None:
    handle = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    try:
        os.fchmod(handle, 0o755)  # whatever the umask
        os.write(handle, words.encode())
    finally:
        os.close(handle)


def write_helpers(home: Path, python: str, ask: str) -> None:
    """Write the scripts by which an agent asks its trial.

    Args:
        home: The agent's.
        python: What runs them, as a shell takes it.
        ask: Where the agent sees `ask.py`, likewise.
    """
    for what in HELPERS:
        _write_script(home / f"{what}.sh", HELPER.format(what=what, python=python, ask=ask))


def instruct(workspace: Workspace, words: str) -> None:
    """Add to what the agent is told beside the task's own description."""
    with (workspace.home / "instructions.txt").open("a", encoding="utf-8") as file:
        file.write(words)


def write_deadline(workspace: Workspace, limits: Limits) -> None:
    """Tell the agent when its time will be over, by the clock it can read itself.

    The limit itself is kept by a clock that no agent reaches.
    """
    (workspace.home / DEADLINE).write_text(f"{time.time() + limits.time_s:.3f}\n")


def environment(
    workspace: Workspace,
    task: Task,
    limits: Limits,
    extra: Mapping[str, str],
    inside: str | None = None,
    *,
    host_programs: bool = True,
) -> dict[str, str]:
    """Return every variable the agent sees; of the host's own only the search path passes.

    Args:
        workspace: Whose folders are named.
        task: Its id and type are named.
        limits: The time limit is named.
        extra: What the agent's own entry asks for; wins, but for a longer time limit.
        inside: As `Runtime.home`.
        host_programs: As `Runtime.host_programs`; an image has a search path of its own.
    """
    home = seen(workspace, inside)
    python = str(Path(sys.executable).parent)
    path = f"{python}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        **({"PATH": path} if host_programs else {}),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "EXPERIMENT_NAME": workspace.root.name,
        "TASK_TYPE": task.task_type,
        "DEADLINE_FILE": f"{home}/{DEADLINE}",
        "STEP_LIMIT": "500",
        "COMPETITION_ID": task.id,
        "EXPERIMENT_DIR": f"{home}/{workspace.experiments.name}",
        "DATA_DIR": f"{home}/data",
        "CODE_DIR": f"{home}/code",
        "LOGS_DIR": f"{home}/logs",
        "SUBMISSION_DIR": f"{home}/submission",
        "AGENT_DIR": f"{home}/agent",
        "TASK_CONFIG": f"{home}/task_config.json",
        **_own_trackers(home / "logs"),
        **extra,
        "TIME_LIMIT_SECS": f"{_seconds(extra.get('TIME_LIMIT_SECS'), limits):g}",
    }


def _own_trackers(logs: PurePath) -> dict[str, str]:
    """Return what makes `mlflow.log_metric` and `wandb.log` write where `tasks.logged` reads."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{logs / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(logs),
        "DO_NOT_TRACK": "1",
    }


def _seconds(wanted: str | None, limits: Limits) -> float:
    """Return the time an agent is told: what its entry says, or the limit if that is shorter."""
    try:
        return min(limits.time_s, float(wanted or limits.time_s))
    except ValueError:
        return limits.time_s


def copy_agent(folder: Path, workspace: Workspace) -> None:
    """Copy an agent's folder into its world, so that it can spoil only its own copy.

    Links stay links; FIFOs, sockets, devices and compiled Python are left out.

    Raises:
        InvalidInput: The folder is no agent's: larger than 1 GiB.
    """
    # The trials may lie in the agent's own folder: a copy of them would hold itself.
    ours = {workspace.root, workspace.root.parent} - {folder.resolve()}

    def left_out(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if _is_no_code(Path(directory, name), ours)}

    size = sum(path.lstat().st_size for path in _files_below(folder, left_out))
    if size > COPIED_BYTES:
        raise InvalidInput(f"{folder}: {size:,} bytes; an agent's folder holds at most 1 GiB")
    target = workspace.home / "agent"
    shutil.copytree(folder, target, symlinks=True, dirs_exist_ok=True, ignore=left_out)


def _is_no_code(path: Path, ours: set[Path]) -> bool:
    mode = path.lstat().st_mode
    copied = stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
    compiled = path.name == "__pycache__" or path.suffix == ".pyc"
    return not copied or compiled or (stat.S_ISDIR(mode) and path.resolve() in ours)


def _files_below(folder: Path, left_out: Callable[[str, list[str]], set[str]]) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        without = left_out(directory, [*folders, *files])
        folders[:] = [name for name in folders if name not in without]
        yield from (Path(directory, name) for name in files if name not in without)


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


def copy_named_files(
    command: Sequence[str], workspace: Workspace, inside: str | None = None
) -> list[str]:
    """Copy files that a command names, such as `my_agent.py`, and point the command at the copies.

    Files of the same name get folders of their own. The program itself stays where it is, unless
    a sandbox hides it: there a program given by a relative path is copied as well.
    """
    rewritten = list(command)
    for number, argument in enumerate(command):
        if number == 0 and (inside is None or os.sep not in argument or argument[0] == os.sep):
            continue
        if argument.startswith("-") or not _is_file(Path(argument)):
            continue
        if not _is_laid_out(argument, workspace, inside):
            copy = _copied(Path(argument), number, workspace)
            rewritten[number] = str(seen(workspace, inside) / copy.relative_to(workspace.home))
    if inside is None and os.sep in rewritten[0]:  # no name to be searched; it starts elsewhere
        rewritten[0] = str(Path(rewritten[0]).absolute())
    return rewritten


def _is_laid_out(argument: str, workspace: Workspace, inside: str | None) -> bool:
    """Whether this names a file that was put into the agent's world with its folder."""
    path, home = Path.cwd() / argument, seen(workspace, inside)
    return path.is_relative_to(home) and _is_file(workspace.home / path.relative_to(home))


def _copied(source: Path, number: int, workspace: Workspace) -> Path:
    target = workspace.home / "agent" / source.name
    if target.exists():
        target = workspace.home / "agent" / f"argument-{number}" / source.name
        target.parent.mkdir()
    shutil.copy(source, target)
    return target


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= COPIED_BYTES
    except (OSError, ValueError):  # an argument need not be a path at all: too long, a NUL
        return False


def _quoted(path: str | Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
