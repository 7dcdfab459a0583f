"""Whether a data folder holds the draw that it is taken for."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tasks.datasets.folders import (
    ANSWERS_FILE,
    CONFIG_FILE,
    DESCRIPTION_FILE,
    PRIVATE_FOLDER,
    digests,
    write_public,
)
from tasks.datasets.writer import Format
from tasks.errors import InvalidInput
from tasks.instance import Instance, Table
from tasks.scratch import scratch
from tasks.spec import Task

FORMATS: Final[tuple[Format, ...]] = ("csv", "parquet")
WORDS = frozenset({CONFIG_FILE, DESCRIPTION_FILE})
"""Files that tell of a task, not of a draw of it."""


def has_answers(folder: Path) -> bool:
    """Whether a data folder was made with its answers."""
    return (folder / PRIVATE_FOLDER / ANSWERS_FILE).is_file()


def check_same(task: Task, instance: Instance, folder: Path, draw: str) -> None:
    """Ask that the public files in `folder` are those of `instance`; others there do not matter.

    Args:
        task: The task.
        instance: What was drawn.
        folder: Made by `generate-data`, and since then in anybody's hands.
        draw: What a message calls the draw.

    Raises:
        InvalidInput: It is no data folder, or a file in it is not that of the draw.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InvalidInput(f"{folder}: no data folder; `generate-data ID DIR` makes one")
    changed = [
        next(_changed(task, instance, folder, form), None) for form in _formats(instance, folder)
    ]
    if None not in changed:
        raise InvalidInput(
            f"{folder} holds another draw of {task.id} than {draw} ({changed[0]} differs): pass "
            "the --seed it was made with (and --n-samples, if it was made with one)"
        )


def _formats(instance: Instance, folder: Path) -> list[Format]:
    """Return how the tables in `folder` may be written: somebody may have added a copy."""
    tables = [name for name, part in instance.public.items() if isinstance(part, Table)]
    there = [form for form in FORMATS if any((folder / f"{n}.{form}").is_file() for n in tables)]
    return there or ["csv"]


def _changed(task: Task, instance: Instance, folder: Path, form: Format) -> Iterator[str]:
    with scratch("draw") as made:
        write_public(task, instance, made, table_format=form)
        for name, digest in digests(made).items():
            if name not in WORDS and _digest(folder / name) != digest:
                yield name


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
