"""The ceiling of an instance's population: on so many fresh hidden rows that it is known closely.

A report's ceiling is that of the rows an agent was graded on. What the task allows beyond them is
a mean over its law; drawing more hidden rows of the same seed changes nothing else of an instance.
"""

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks import datasets
from tasks.errors import InvalidTask
from tasks.files import write_text
from tasks.grading.marks import Marker
from tasks.instance import Instance, Seed
from tasks.spec import Task

PRECISE = 0.001
"""Standard error that is aimed at."""
FIRST_ROWS, MOST_ROWS = 5000, 200_000
MOST_CELLS = 8_000_000
"""Rows times columns, pixels or words, so that it takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationCeiling:
    """The best score possible, and how closely it is known."""

    value: float
    se: float
    rows: int
    """Hidden rows it is a mean over."""


def cache_folder() -> Path:
    """Return where ceilings are kept: `aexp/ceilings` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aexp" / "ceilings"


def population_ceiling(
    task: Task, seed: Seed, measure: str, *, cache: Path | None = None
) -> PopulationCeiling | None:
    """Return the ceiling of an instance's population, from the cache if it was found before.

    Args:
        task: Its data must follow a known law, and have hidden rows in any number.
        seed: Whose structure, such as the functions behind the classes.
        measure: A canonical measure.
        cache: The folder; entries are named by what they follow from.

    Returns:
        None where no law is known, or the number of hidden rows is fixed.
    """
    family = task.family
    if family is None or "n_test" not in type(family).model_fields or family.tier == "K":
        return None
    content = [type(family).__name__, family.version, family.model_dump(mode="json"), measure]
    text = json.dumps(content, sort_keys=True).encode()
    name = hashlib.sha256(seed.secret + b"\0" + text).hexdigest()
    file = (cache or cache_folder()) / f"{name}.json"
    if (known := _read(file)) is not None:
        return known
    found = _measured(task, seed, measure)
    if found is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(asdict(found)) + "\n", durable=False)
    return found


def _read(file: Path) -> PopulationCeiling | None:
    """Return an entry; one that cannot be read is none, and is written anew."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        value, se, rows = float(entry["value"]), float(entry["se"]), int(entry["rows"])
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return PopulationCeiling(value=value, se=se, rows=rows)


def _measured(task: Task, seed: Seed, measure: str) -> PopulationCeiling | None:
    first = _of(_with_rows(task, FIRST_ROWS, seed), measure)
    if first is None or first.se <= PRECISE:
        return first
    wanted = math.ceil(first.rows * (first.se / PRECISE) ** 2 * 1.1)
    n = min(wanted, MOST_ROWS, max(FIRST_ROWS, MOST_CELLS // _width(task)))
    return first if n <= first.rows else _of(_with_rows(task, n, seed), measure) or first


def _width(task: Task) -> int:
    height, width = getattr(task.family, "image_size", (0, 0))
    names = ("n_features", "n_text_features", "mean_length")
    return max(1, 4 * height * width + sum(getattr(task.family, name, 0) for name in names))


def _with_rows(task: Task, n: int, seed: Seed) -> Instance | None:
    definition = task.definition()
    definition["data_requirements"] |= {"n_test": n}
    try:
        return datasets.draw(Task.from_dict(definition, folder=task.folder), seed)
    except InvalidTask:  # such as of times until an event, whose pairs are all compared
        return None


def _of(instance: Instance | None, measure: str) -> PopulationCeiling | None:
    if instance is None or instance.contract is None or instance.answers is None:
        return None
    marker = Marker(instance.contract, instance.answers)
    found = marker.ceiling_estimate(measure)
    if found is None:
        return None
    se = found.standard_error(instance.answers.groups)
    return PopulationCeiling(value=found.value, se=se, rows=len(instance.answers.labels))
