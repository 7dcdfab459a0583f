"""Images out of .npz files, or .zip files of pictures, in the order of the tables."""

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from agent_io import AgentError, Form, Job
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
IMAGE_DIMENSIONS = (3, 4)
LABEL_KEYS = ("y", "label", "labels", "target", "targets", "classes")
ID_KEYS = ("id", "ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Train and test images, (n, height, width) or (n, height, width, channels), with tables."""

    train: Array
    test: Array
    train_table: pd.DataFrame
    """The rows of `train`, aligned; holds the target column."""
    test_table: pd.DataFrame
    train_counts: Array | None = None
    """(n, d) numbers stored beside the images, aligned; None where there are none."""
    test_counts: Array | None = None


def read_images(job: Job, form: Form) -> Images:
    """Find the images of train and test rows.

    The files are `train.npz` and `test.npz`, or one file whose keys hold the words train and
    test, or `train.zip` and `test.zip` with pictures that a column of the tables names. Labels and
    ids are taken from the tables, else from arrays beside the images.

    Raises:
        AgentError: Something of it is not there or does not fit together.
    """
    parts = {part: _arrays(job, part) for part in ("train", "test")}
    tables = {part: _table(job, form, part, parts[part]) for part in parts}
    pixels = {p: _aligned(p, parts[p]["images"], parts[p], tables[p], form) for p in parts}
    counts = {
        p: _aligned(p, parts[p]["counts"], parts[p], tables[p], form)
        if "counts" in parts[p]
        else None
        for p in parts
    }
    return Images(
        train=pixels["train"],
        test=pixels["test"],
        train_table=tables["train"],
        test_table=tables["test"],
        train_counts=counts["train"],
        test_counts=counts["test"],
    )


def holds_counts(job: Job) -> bool:
    """Whether numbers, (n, d), are stored beside the train images."""
    return "counts" in _arrays(job, "train")


def _arrays(job: Job, part: str) -> dict[str, Array]:
    """Return the arrays of a part by role: `images`, and where there are any `labels`, `ids`."""
    pictures = job.data / f"{part}.zip"
    if pictures.is_file():
        return {"images": _pictures(pictures, job.table(part))}
    found: dict[str, Array] = {}
    for path in sorted(job.data.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            for key in stored.files:
                words = f"{path.stem}_{key}".lower().replace("-", "_").split("_")
                if part in words:
                    role = _role(words, stored[key])
                    found[role] = stored[key]
    if "images" not in found:
        there = ", ".join(sorted(path.name for path in job.data.iterdir()))
        raise AgentError(f"cannot find {part} images in the .npz files of {job.data}: {there}")
    return found


def _pictures(path: Path, table: pd.DataFrame) -> Array:
    """Return the pictures that a column of `table` names, (n, height, width, …)."""
    with zipfile.ZipFile(path) as archive:
        members = {PurePosixPath(name).name: name for name in archive.namelist()}
        for column in table:
            names = [PurePosixPath(str(cell)).name for cell in table[column]]
            if members.keys() >= set(names):
                return np.array([_picture(archive, members[name]) for name in names])
    raise AgentError(f"no column of the table names the files in {path.name}")


def _picture(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as file, Image.open(file) as picture:
        return np.asarray(picture)


def _role(words: list[str], array: Array) -> str:
    if array.ndim in IMAGE_DIMENSIONS:
        return "images"
    if array.ndim == 2 and array.dtype.kind in "iuf":  # noqa: PLR2004 - rows and columns
        return "counts"
    if set(words) & set(ID_KEYS):
        return "ids"
    return "labels" if set(words) & set(LABEL_KEYS) else "_".join(words)


def _table(job: Job, form: Form, part: str, arrays: dict[str, Array]) -> pd.DataFrame:
    if job.find(part):
        return job.table(part)
    if "ids" not in arrays:
        raise AgentError(f"cannot find {part}.csv, nor ids beside the {part} images")
    columns = {form.id_column: arrays["ids"].astype(str)}
    if part == "train":
        if "labels" not in arrays:
            raise AgentError("cannot find train.csv, nor labels beside the train images")
        columns[form.target] = arrays["labels"].astype(str)
    return pd.DataFrame(columns)


def _aligned(
    part: str, images: Array, arrays: dict[str, Array], table: pd.DataFrame, form: Form
) -> Array:
    if len(images) != len(table):
        raise AgentError(f"{len(images)} {part} images, but {len(table)} rows")
    if "ids" not in arrays:
        return images
    rows = pd.Index(arrays["ids"].astype(str)).get_indexer(table[form.id_column])
    if (rows < 0).any():
        raise AgentError(f"ids of {part}.csv have no image")
    aligned: Array = images[rows]
    return aligned
