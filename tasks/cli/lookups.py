"""From what options name to tasks."""

from pathlib import Path

from tasks import registry
from tasks.errors import UnknownName, UsageError
from tasks.spec import Task


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


def folders_of_tasks() -> dict[str, Path | None]:
    """Return where the files of each known task lie, by id."""
    return {task.id: task.folder for task in registry.list_tasks()}


def folder_of_trials(place: Path) -> Path:
    """Return a folder that is to hold trials.

    Raises:
        UnknownName: There is none.
    """
    if not place.is_dir():
        raise UnknownName(f"{place}: no such folder of trials")
    return place


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


def by_comma(given: list[str] | None) -> list[str]:
    """Return names that were given by comma, by repeating the option, or both."""
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]
