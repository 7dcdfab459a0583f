"""Public and private folders of an instance: written here, read back here."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import writer
from tasks.datasets.description import description
from tasks.errors import InvalidInput, InvalidTask
from tasks.instance import (
    Answers,
    Categorical,
    Contract,
    Gaussian,
    Instance,
    Ints,
    Seed,
    Streams,
    Table,
)
from tasks.spec import Task, write_text

ANSWERS_FILE = "answers.npz"
MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "task_config.json"
SAMPLE_FILE = "sample_submission.csv"


def draw(task: Task, seed: Seed) -> Instance:
    """Make the instance that `task` and `seed` stand for; empty where the task names no data."""
    if task.family is None:
        return Instance(public={}, notes="")
    return task.family.draw(Streams(seed.secret))


def write_public(
    task: Task,
    instance: Instance,
    folder: Path,
    *,
    table_format: writer.Format = "csv",
    on_rows: writer.Progress | None = None,
) -> None:
    """Write all that an agent may see into `folder`, which must exist and be empty.

    Raises:
        InvalidTask: A file of `copy_files` is missing or is no regular file.
    """
    for name, content in instance.public.items():
        if isinstance(content, Table):
            writer.write_table(content, folder / f"{name}.{table_format}", on_rows=on_rows)
        else:
            content.write(folder / name)
    if instance.contract is not None:
        sample = writer.sample_submission(instance.contract)
        writer.write_table(sample, folder / SAMPLE_FILE)
    _copy_files(task, folder)
    (folder / "description.md").write_text(description(task, instance), encoding="utf-8")
    _write_config(task, instance, folder)
    writer.fix_times(folder)


def write_private(
    instance: Instance, seed: Seed, folder: Path, manifest: Mapping[str, Any]
) -> None:
    """Write answers, law, seed and manifest into `folder`, readable by its owner only."""
    folder.mkdir(mode=0o700, parents=True)
    if instance.contract is not None and instance.answers is not None:
        save: Callable[..., None] = np.savez  # its stub takes no mapping of arrays
        save(folder / ANSWERS_FILE, **_arrays(instance.contract, instance.answers))
    payload = {"seed": seed.secret.hex(), **manifest, "hidden_structure": instance.details}
    text = json.dumps(payload, indent=2, ensure_ascii=False, default=_plain)
    write_text(folder / MANIFEST_FILE, text + "\n")


def read_private(folder: Path, contract: Contract) -> Answers:
    """Read back what `write_private` wrote for this contract.

    Raises:
        InvalidInput: The file is not there, damaged, or of another instance.
    """
    file = folder / ANSWERS_FILE
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if not np.array_equal(arrays["ids"], contract.ids):
            raise InvalidInput(f"{file}: the answers of another instance")
        return _answers(arrays)
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(
            f"{file}: cannot be read as answers ({error}); "
            "`generate-data ID DIR --with-answers` writes them"
        ) from error


def read_contract(folder: Path) -> Contract:
    """Read the form of a submission from a data folder.

    Raises:
        InvalidInput: `folder` is not a data folder, or its task wants no submission.
    """
    config = folder / CONFIG_FILE
    try:
        form = json.loads(config.read_text(encoding="utf-8"))["submission"]
        if form is None:
            raise InvalidInput(f"{folder}: this task asks for no submission")
        ids = _read_ids(folder, form["id_column"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InvalidInput(
            f"{folder}: no data folder ({error}); `generate-data ID DIR` makes one"
        ) from error
    return Contract(
        kind=form["kind"],
        ids=ids,
        id_column=form["id_column"],
        target=form["target"],
        classes=tuple(form["classes"]),
        probabilities=form["probabilities"],
        quantiles=tuple(form["quantiles"]),
    )


def _read_ids(folder: Path, id_column: str) -> Ints:
    """Return the ids to be answered: from the answers if they are there, else the sample."""
    answers = folder / "private" / ANSWERS_FILE
    if answers.is_file():
        with np.load(answers, allow_pickle=False) as stored:
            ids: Ints = stored["ids"]
            return ids
    with (folder / SAMPLE_FILE).open(encoding="utf-8", newline="") as file:
        return np.array([int(row[id_column]) for row in csv.DictReader(file)], dtype=np.int64)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by relative name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


# --- parts --------------------------------------------------------------------------------------


def _copy_files(task: Task, folder: Path) -> None:
    for name in task.copy_files:
        if task.folder is None:
            raise InvalidTask(f"{task.id}: copy_files needs a task that was loaded from a file")
        source = task.folder / name
        try:
            inside = source.resolve(strict=True).is_relative_to(task.folder)
            if not inside or not source.is_file():
                raise InvalidTask(f"{task.id}: copy_files: {name!r} is no file beside the task")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise InvalidTask(f"{task.id}: copy_files: {name!r}: {error.strerror}") from error


def _write_config(task: Task, instance: Instance, folder: Path) -> None:
    files = sorted({*(path.name for path in folder.iterdir()), CONFIG_FILE})
    payload = {
        "task": task.definition(),
        "submission": None if instance.contract is None else _form(instance.contract),
        "files": files,
    }
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _form(contract: Contract) -> dict[str, Any]:
    return {
        "file": "submission.csv",
        "kind": contract.kind,
        "id_column": contract.id_column,
        "target": contract.target,
        "classes": list(contract.classes),
        "probabilities": contract.probabilities,
        "quantiles": list(contract.quantiles),
    }


def _arrays(contract: Contract, answers: Answers) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"ids": contract.ids, "labels": answers.labels}
    match answers.law:
        case Categorical(p=p):
            arrays["law_p"] = p
        case Gaussian(mean=mean, sd=sd):
            arrays |= {"law_mean": mean, "law_sd": sd}
        case None:
            arrays["reference"] = np.array(json.dumps(dict(answers.reference)))
    for name, prediction in answers.trivial.items():
        arrays[f"trivial {name}"] = _first_row_if_constant(prediction)
    if answers.scale is not None:
        arrays["scale"] = answers.scale
    return arrays


def _first_row_if_constant(prediction: NDArray[Any]) -> NDArray[Any]:
    # A broadcast prior needs one row on disk, not a million.
    return prediction[:1] if prediction.strides[0] == 0 else prediction


def _answers(arrays: dict[str, NDArray[Any]]) -> Answers:
    n = len(arrays["labels"])
    law: Categorical | Gaussian | None = None
    if "law_p" in arrays:
        law = Categorical(p=arrays["law_p"])
    elif "law_mean" in arrays:
        law = Gaussian(mean=arrays["law_mean"], sd=arrays["law_sd"])
    trivial = {
        name.removeprefix("trivial "): np.broadcast_to(values, (n, *values.shape[1:]))
        for name, values in arrays.items()
        if name.startswith("trivial ")
    }
    return Answers(
        labels=arrays["labels"],
        law=law,
        trivial=trivial,
        scale=arrays.get("scale"),
        reference=json.loads(str(arrays["reference"])) if "reference" in arrays else {},
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
