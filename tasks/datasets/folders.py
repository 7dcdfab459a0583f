"""Public and private folders of an instance: written here, read back here."""

import csv
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import writer
from tasks.datasets.description import description
from tasks.errors import InvalidInput, InvalidTask, brief
from tasks.files import pretty_json, write_text
from tasks.instance import (
    Answers,
    Bernoulli,
    Categorical,
    Contract,
    Durations,
    Gaussian,
    Instance,
    Ints,
    Law,
    Mixture,
    Seed,
    Streams,
    Table,
)
from tasks.spec import Task

ANSWERS_FILE = "answers.npz"
MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "task_config.json"
SAMPLE_FILE = "sample_submission.csv"
DESCRIPTION_FILE = "description.md"
PRIVATE_FOLDER = "private"
RESERVED = frozenset({CONFIG_FILE, DESCRIPTION_FILE, PRIVATE_FOLDER})
"""What no file of a task's own may be called, besides the files that its instance has."""

UNREADABLE = (
    ArithmeticError,
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    BadZipFile,
    TokenError,
    zlib.error,
)
"""What numpy, zipfile and json raise for files that are damaged, or not what they seem."""


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
    (folder / DESCRIPTION_FILE).write_text(description(task, instance), encoding="utf-8")
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
    text = pretty_json(payload, _plain)
    write_text(folder / MANIFEST_FILE, text, durable=False)  # the seed remakes it


def read_private(folder: Path, contract: Contract) -> Answers:
    """Read back what `write_private` wrote for this contract.

    Raises:
        InvalidInput: The file is not there, damaged, or of another instance.
    """
    file = folder / ANSWERS_FILE
    try:
        # Opened here, for numpy leaves a damaged file open.
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if not np.array_equal(arrays["ids"], contract.ids):
            raise InvalidInput(f"{file}: the answers of another instance")
        return _answers(arrays)
    except UNREADABLE as error:
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
        return Contract(
            kind=form["kind"],
            ids=_read_ids(folder, form["id_column"]),
            id_column=form["id_column"],
            target=form["target"],
            classes=tuple(form["classes"]),
            probabilities=form["probabilities"],
            quantiles=tuple(form["quantiles"]),
            costs=tuple(tuple(map(float, row)) for row in form.get("costs", ())),
        )
    except UNREADABLE as error:
        raise InvalidInput(
            f"{folder}: no data folder ({error}); `generate-data ID DIR` makes one"
        ) from error


def _read_ids(folder: Path, id_column: str) -> Ints:
    """Return the ids to be answered: from the answers if they are there, else the sample."""
    answers = folder / PRIVATE_FOLDER / ANSWERS_FILE
    if answers.is_file():
        with answers.open("rb") as raw, np.load(raw, allow_pickle=False) as stored:
            ids: Ints = stored["ids"]
            return ids
    with (folder / SAMPLE_FILE).open(encoding="utf-8", newline="") as file:
        return np.array([int(row[id_column]) for row in csv.DictReader(file)], dtype=np.int64)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by relative name."""
    found = {}
    for name in sorted(_files_below(str(folder), ""), key=lambda name: name.split("/")):
        with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - done for every trial
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _files_below(folder: str, prefix: str) -> Iterator[str]:
    if not os.path.isdir(folder):  # noqa: PTH112 - as above
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name


# --- parts --------------------------------------------------------------------------------------


def _copy_files(task: Task, folder: Path) -> None:
    for name in task.copy_files:
        where = f"{task.id}: copy_files: {brief(name)}"
        if task.folder is None:
            raise InvalidTask(f"{where}: a task that was not loaded from a file has no files")
        source, target = task.folder / name, folder / name
        try:
            inside = source.resolve(strict=True).is_relative_to(task.folder)
            if not inside or not source.is_file():
                raise InvalidTask(f"{where}: no file beside the task")
            if target.exists() or target.relative_to(folder).parts[0] in RESERVED:
                raise InvalidTask(f"{where}: the task makes a file of this name itself")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except (OSError, RuntimeError) as error:  # before Python 3.13 a loop of links is the latter
            reason = error.strerror if isinstance(error, OSError) else error
            raise InvalidTask(f"{where}: {reason}") from error


def _write_config(task: Task, instance: Instance, folder: Path) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = sorted({*found, CONFIG_FILE})
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
        **({"costs": [list(row) for row in contract.costs]} if contract.costs else {}),
    }


def _arrays(contract: Contract, answers: Answers) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"ids": contract.ids, "labels": answers.labels}
    match answers.law:
        case Categorical(p=p):
            arrays["law_p"] = p
        case Gaussian(mean=mean, sd=sd, covariance=covariance):
            arrays |= {"law_mean": mean, "law_sd": sd}
            arrays |= {} if covariance is None else {"law_covariance": covariance}
        case Mixture(weights=weights, means=means, sds=sds, covariance=covariance):
            arrays |= {"law_weights": weights, "law_means": means, "law_sds": sds}
            arrays |= {} if covariance is None else {"law_covariance": covariance}
        case Durations(scale=scale, shape=shape):
            arrays |= {"law_scale": scale, "law_shape": np.array(shape)}
        case Bernoulli(p=p, given=given):
            arrays["law_labels"] = p
            arrays |= {} if given is None else {"law_given": given}
        case None:
            arrays["reference"] = np.array(json.dumps(dict(answers.reference)))
    for name, prediction in answers.trivial.items():
        arrays[f"trivial {name}"] = _first_row_if_constant(prediction)
    match answers.naive:
        case Categorical(p=p):
            arrays["naive_p"] = p
        case Gaussian(mean=mean, sd=sd):
            arrays |= {"naive_mean": mean, "naive_sd": sd}
    if answers.scale is not None:
        arrays["scale"] = answers.scale
    if answers.groups is not None:
        arrays["groups"] = answers.groups
    return arrays


def _first_row_if_constant(prediction: NDArray[Any]) -> NDArray[Any]:
    # A broadcast prior needs one row on disk, not a million.
    return prediction[:1] if prediction.strides[0] == 0 else prediction


def _answers(arrays: dict[str, NDArray[Any]]) -> Answers:
    n = len(arrays["labels"])
    law: Law | None = None
    if "law_p" in arrays:
        law = Categorical(p=arrays["law_p"])
    elif "law_scale" in arrays:
        law = Durations(scale=arrays["law_scale"], shape=float(arrays["law_shape"]))
    elif "law_labels" in arrays:
        law = Bernoulli(p=arrays["law_labels"], given=arrays.get("law_given"))
    elif "law_mean" in arrays:
        law = Gaussian(
            mean=arrays["law_mean"],
            sd=arrays["law_sd"],
            covariance=arrays.get("law_covariance"),
        )
    elif "law_weights" in arrays:
        law = Mixture(
            weights=arrays["law_weights"],
            means=arrays["law_means"],
            sds=arrays["law_sds"],
            covariance=arrays.get("law_covariance"),
        )
    trivial = {
        name.removeprefix("trivial "): np.broadcast_to(values, (n, *values.shape[1:]))
        for name, values in arrays.items()
        if name.startswith("trivial ")
    }
    naive: Categorical | Gaussian | None = None
    if "naive_p" in arrays:
        naive = Categorical(p=arrays["naive_p"])
    elif "naive_mean" in arrays:
        naive = Gaussian(mean=arrays["naive_mean"], sd=arrays["naive_sd"])
    return Answers(
        labels=arrays["labels"],
        law=law,
        trivial=trivial,
        naive=naive,
        scale=arrays.get("scale"),
        groups=arrays.get("groups"),
        reference=json.loads(str(arrays["reference"])) if "reference" in arrays else {},
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
