"""Where the trials of a suite record what their models said, and what is played to which trial."""

import re
from pathlib import Path

from tasks.errors import InvalidInput
from tasks.store.folders import Planned


def _stem(cell: Planned) -> str:
    agent = re.sub(r"[^A-Za-z0-9-]+", "-", cell.agent)[:40]
    return f"{cell.task}.{agent}.r{cell.repeat}"


def recorded(folder: Path, cell: Planned, attempt: int) -> Path:
    """Return the file that an attempt records; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{_stem(cell)}.a{attempt}.jsonl"


def cassette(place: Path, cell: Planned) -> Path:
    """Return what is played to a trial: of a folder the last that was recorded of its like.

    Raises:
        InvalidInput: There is none.
    """
    if place.is_file():
        return place
    found = [file for file in place.glob(f"{_stem(cell)}.a*.jsonl") if file.is_file()]
    if not found:
        raise InvalidInput(
            f"{place}: no cassette {_stem(cell)}.a*.jsonl; record one with --record, or name one "
            "file for all trials"
        )
    return max(found, key=lambda file: int(file.name.removesuffix(".jsonl").rpartition(".a")[2]))
