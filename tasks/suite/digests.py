"""Digests of what a result depends on: task, agent, image, and the code that grades."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import tasks
from tasks.agents import AgentSpec
from tasks.errors import TasksError
from tasks.spec import Task

_HASHED_BYTES: Final = 2**20
GRADED_BY: Final = ("evaluation_criteria",)
"""What of a definition is asked after the agent is done."""
UNREAD: Final = ("metadata", "difficulty", "estimated_time")
"""What of a definition no agent and no grader goes by."""
GRADER: Final = ("grading", "measures", "validator", "reference")
"""The modules and packages that grade."""


def task_digest(task: Task) -> str:
    """Return a digest of all that a task's results depend on."""
    return _digest(task.definition(), _version(task))


def met_digest(definition: dict[str, Any], version: int) -> str:
    """Return a digest of what an agent meets: the data and what it is told."""
    left_out = (*GRADED_BY, *UNREAD)
    return _digest({k: v for k, v in definition.items() if k not in left_out}, version)


def criteria_digest(definition: dict[str, Any]) -> str:
    """Return a digest of what is asked of what an agent leaves."""
    return _digest({key: definition.get(key) for key in GRADED_BY}, 0)


def _version(task: Task) -> int:
    return 0 if task.family is None else task.family.version


def _digest(definition: dict[str, Any], version: int) -> str:
    text = json.dumps([definition, version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def agent_digest(agent: AgentSpec) -> str:
    """Return a digest of an agent's command and files; of its variables only the names.

    Their values may be secrets that are renewed.
    """
    digest = hashlib.sha256(json.dumps([list(agent.command), sorted(agent.env)]).encode())
    if agent.folder is not None:
        for file in sorted(agent.folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(agent.folder)}\0".encode())
                _hash(digest, file)
        return digest.hexdigest()
    for file in (Path(argument) for argument in agent.command[1:]):
        if file.is_absolute() and is_file(str(file)):
            _hash(digest, file)
    return digest.hexdigest()


def is_file(argument: str) -> bool:
    """Whether a word of a command line names a file that is there."""
    try:
        return not argument.startswith("-") and Path(argument).is_file()
    except (OSError, ValueError):  # too long, or a NUL: no path
        return False


def _hash(digest: Any, file: Path) -> None:
    with file.open("rb") as stream:
        while piece := stream.read(_HASHED_BYTES):
            digest.update(piece)


@lru_cache(maxsize=1)
def grader_digest() -> str:
    """Return a digest of the code that grades."""
    digest = hashlib.sha256()
    root = Path(tasks.__file__).parent
    for name in GRADER:
        for file in [*sorted((root / name).rglob("*.py")), *root.glob(f"{name}.py")]:
            digest.update(f"{file.relative_to(root)}\0".encode())
            _hash(digest, file)
    return digest.hexdigest()


def image_of(agent: AgentSpec, runtime: str) -> str | None:
    """Return the id of the image an agent runs in; None without one, or where it is not built."""
    if runtime != "docker":
        return None
    from tasks.runtimes.docker import IMAGE
    from tasks.runtimes.engine import Engine

    try:
        told = Engine().ask("image", "inspect", "--format", "{{.Id}}", agent.image or IMAGE)
    except TasksError:  # no Docker here: it was begun elsewhere
        return None
    return told.stdout.strip() or None if told.returncode == 0 else None
