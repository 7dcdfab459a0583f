"""Options and lookups that several commands share."""

import re
from pathlib import Path
from typing import Annotated

import typer

from tasks import registry
from tasks.errors import UsageError
from tasks.spec import Task

TasksDir = Annotated[
    list[Path] | None,
    typer.Option("--tasks-dir", help="A folder of task files of your own; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def complete_task(incomplete: str) -> list[str]:
    """Offer task ids to the shell."""
    return [task.id for task in registry.list_tasks() if task.id.startswith(incomplete)]


TaskId = Annotated[
    str,
    typer.Argument(metavar="ID", help="A task id (see `list`).", autocompletion=complete_task),
]
TaskOrFile = Annotated[
    str,
    typer.Argument(
        metavar="ID|FILE", help="A task id, or a task file.", autocompletion=complete_task
    ),
]


def load_folders(folders: list[Path] | None) -> None:
    """Add the folders of `--tasks-dir` to the known tasks; a later one wins."""
    for folder in folders or ():
        registry.load_directory(folder)


def find_task(name: str, folders: list[Path] | None = None) -> Task:
    """Return the task of an id, or the one in a file."""
    load_folders(folders)
    if name.endswith(".json"):
        return Task.load(name)
    return registry.get_task(name)


def with_samples(task: Task, n_samples: int | None) -> Task:
    """Return the task asking for another number of rows.

    Raises:
        UsageError: Its data have no such parameter.
    """
    if n_samples is None:
        return task
    family = task.family
    if family is None or "n_samples" not in type(family).model_fields:
        raise UsageError(f"{task.id}: its data have a fixed size; --n-samples does not apply")
    definition = task.definition()
    definition["data_requirements"] |= {"n_samples": n_samples}
    source = f"{task.id} with --n-samples {n_samples}"
    return Task.from_dict(definition, source=source, folder=task.folder)


SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgt]?)(i?b)?", re.IGNORECASE)
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
"""As docker has them: powers of 1024."""


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `512m` or `4g`.

    Raises:
        typer.BadParameter: It is none, or less than a byte.
    """
    match = SIZE.fullmatch(text.strip())
    size = int(float(match["number"]) * UNITS[match["unit"].lower()]) if match else 0
    if size < 1:
        raise typer.BadParameter(f"{text!r} is no size; write it as 512m or 4g")
    return size
