"""Where tasks are found by id: the shipped templates, then folders of the user's own."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.errors import InvalidTask, UnknownName, UsageError, brief, suggestion
from tasks.files import MAX_FILE_BYTES, read_json, write_text
from tasks.spec import Task

TEMPLATES = Path(__file__).parent / "templates"
CATALOGUE = Path(__file__).parent / "catalogue.json"
"""What was measured of the shipped tasks; made by `python -m benchmarks.catalogue`."""
ENVIRONMENT = "AEXP_TASKS"
"""Folders with tasks of one's own, separated as in PATH."""

log = logging.getLogger(__name__)

_TELLING = ("id", "task_type")
"""A file that has neither of these keys was never meant as a task."""


class TaskRegistry:
    """Tasks by id. Folders are read when the first task is asked for; a later one wins."""

    def __init__(self, *folders: str | os.PathLike[str]) -> None:
        """Take the folders to read, in order; none are read yet."""
        self._waiting = [Path(folder) for folder in folders]
        self._tasks: dict[str, Task] = {}

    def get_task(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            UnknownName: There is none of that id; the message names the nearest one.
            InvalidTask: A file of the folders is wrong.
        """
        known = self._loaded()
        try:
            return known[task_id]
        except KeyError:
            hint = suggestion(task_id, known)
            raise UnknownName(f"no task {brief(task_id)}{hint}") from None

    def list_tasks(
        self, task_type: str | None = None, difficulty: str | None = None, tag: str | None = None
    ) -> list[Task]:
        """Return the tasks that fit all that is given, by id."""
        return [
            task
            for _, task in sorted(self._loaded().items())
            if task_type in {None, task.task_type}
            and difficulty in {None, task.difficulty}
            and (tag is None or tag in task.tags)
        ]

    def register_task(self, task: Task) -> None:
        """Add a task made in memory; one of the same id is replaced."""
        self._loaded()[task.id] = task

    def load_directory(self, folder: str | os.PathLike[str]) -> list[Task]:
        """Read `*.json` and `*/task.json` of a folder; ids that are known already are replaced.

        A file that plainly is no task is left out, with a warning.

        Raises:
            UsageError: There is no such folder.
            InvalidTask: A task is wrong; none of the folder is taken then.
        """
        tasks = _read(Path(folder))
        self._loaded().update(tasks)
        return list(tasks.values())

    def create_task_config(
        self, task_id: str, path: str | os.PathLike[str], **overrides: Any
    ) -> Path:
        """Write the `task_config.json` an agent reads, the definition under the key `task`.

        Args:
            task_id: A known task.
            path: The file to write.
            overrides: Fields to change; objects such as `data_requirements` are merged.

        Raises:
            UnknownName: There is no such task.
            InvalidTask: The definition is wrong with these overrides.
        """
        definition = self.get_task(task_id).definition()
        for key, value in overrides.items():
            old = definition.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                definition[key] = {**old, **value}
            else:
                definition[key] = value
        task = Task.from_dict(definition, source=f"{task_id} with overrides")
        payload = {"task": task.definition()}
        file = Path(path)
        write_text(file, json.dumps(payload, indent=2, ensure_ascii=False) + "\n")
        return file

    def _loaded(self) -> dict[str, Task]:
        while self._waiting:
            folder = self._waiting[0]
            named_in = f"{ENVIRONMENT}: " if folder in _own_folders() else ""
            self._tasks.update(_read(folder, named_in))
            del self._waiting[0]  # only now: a broken file is complained of each time
        return self._tasks


def _read(folder: Path, named_in: str = "") -> dict[str, Task]:
    try:
        if not folder.is_dir():
            raise UsageError(f"{named_in}{folder}: no such folder of tasks")
        files = list(_task_files(folder))
    except OSError as error:
        raise UsageError(f"{named_in}{folder}: {error.strerror}") from error
    tasks: dict[str, Task] = {}
    for file in files:
        task = _task_in(file)
        if task is None:
            continue
        if task.id in tasks:
            raise InvalidTask(f"{file}: another file of this folder holds the task {task.id!r}")
        tasks[task.id] = task
    return tasks


def _task_files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".json" and not entry.name.endswith(".schema.json"):
            yield entry
        elif (inner := entry / "task.json").is_file():
            yield inner


def _task_in(file: Path) -> Task | None:
    """Return the task of a file; None, and a warning, where it plainly is something else."""
    if file.is_file() and file.stat().st_size > MAX_FILE_BYTES:
        why = "larger than any task"
    else:
        data = read_json(file)
        if isinstance(data, dict) and not data.keys().isdisjoint(_TELLING):
            return Task.from_file(data, file)
        why = f"no task: it has neither {' nor '.join(_TELLING)}"
    name = str(file)
    log.warning("%s is left out: %s", name if name.isprintable() else ascii(name), why)
    return None


def data_digest(task: Task) -> str:
    """Return a short digest of what a task's data are drawn by, to tell stale measurements."""
    text = json.dumps([task.task_type, task.data_requirements, task.primary_measure])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measured() -> dict[str, dict[str, Any]]:
    """Return the measured floor, agent's score, ceiling … of the shipped tasks, by id."""
    found: dict[str, dict[str, Any]] = json.loads(CATALOGUE.read_text(encoding="utf-8"))["tasks"]
    return found


def measured_of(task: Task, catalogue: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return a task's entry of the catalogue; None where it was measured with other data."""
    entry = catalogue.get(task.id)
    return entry if entry is not None and entry["data"] == data_digest(task) else None


def default_folders() -> list[Path]:
    """Return the shipped templates and the folders named in `AEXP_TASKS`."""
    return [TEMPLATES, *_own_folders()]


def _own_folders() -> list[Path]:
    own = os.environ.get(ENVIRONMENT, "")
    return [Path(part) for part in own.split(os.pathsep) if part]


registry = TaskRegistry(*default_folders())
"""The tasks of this installation."""
