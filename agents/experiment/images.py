"""Images out of .npz files, in the order of the tables."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from agent_io import AgentError, Form, Job
from numpy.typing import NDArray

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


def read_images(job: Job, form: Form) -> Images:
    """Find the images of train and test rows.

    The files are `train.npz` and `test.npz`, or one file whose keys hold the words train and
    test. Labels and ids are taken from the tables, else from arrays beside the images.

    Raises:
        AgentError: Something of it is not there or does not fit together.
    """
    parts = {part: _arrays(job, part) for part in ("train", "test")}
    tables = {part: _table(job, form, part, parts[part]) for part in parts}
    pixels = {part: _aligned(part, parts[part], tables[part], form) for part in parts}
    return Images(
        train=pixels["train"],
        test=pixels["test"],
        train_table=tables["train"],
        test_table=tables["test"],
    )


def _arrays(job: Job, part: str) -> dict[str, Array]:
    """Return the arrays of a part by role: `images`, and where there are any `labels`, `ids`."""
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


def _role(words: list[str], array: Array) -> str:
    if array.ndim in IMAGE_DIMENSIONS:
        return "images"
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


def _aligned(part: str, arrays: dict[str, Array], table: pd.DataFrame, form: Form) -> Array:
    images = arrays["images"]
    if len(images) != len(table):
        raise AgentError(f"{len(images)} {part} images, but {len(table)} rows")
    if "ids" not in arrays:
        return images
    rows = pd.Index(arrays["ids"].astype(str)).get_indexer(table[form.id_column])
    if (rows < 0).any():
        raise AgentError(f"ids of {part}.csv have no image")
    aligned: Array = images[rows]
    return aligned
