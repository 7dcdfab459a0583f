"""Trials as files for spreadsheets and data frames elsewhere."""

import os
from pathlib import Path

from tasks.comparison.frames import SCHEMAS, columns
from tasks.comparison.records import Trials
from tasks.errors import UsageError

SUFFIXES = ("csv", "parquet")


def write_tables(trials: Trials, folder: Path, suffix: str) -> list[Path]:
    """Write trials, scores, criteria and events, a file each; return the files.

    Args:
        trials: What to write.
        folder: Where to; it is made.
        suffix: `csv` or `parquet`.
    """
    import polars as pl

    kinds = {str: pl.String, bool: pl.Boolean, int: pl.Int64, float: pl.Float64}
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, found in columns(trials).items():
        schema = {column: kinds[kind] for column, kind in SCHEMAS[name].items()}
        frame = pl.DataFrame(found, schema=schema)
        file = folder / f"{name}.{suffix}"
        aside = folder / f".{name}.{suffix}.{os.getpid()}"
        if suffix == "csv":
            frame.write_csv(aside)
        else:
            frame.write_parquet(aside)
        aside.replace(file)
        files.append(file)
    return files


def new_folder(folder: Path) -> Path:
    """Make a folder that is to be filled, or take an empty one.

    Raises:
        UsageError: There is something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
