"""`tasks.results("runs/")`: everything on disk as tidy tables."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.comparison.records import BROKEN, Record, Trials, read

if TYPE_CHECKING:
    import pandas as pd

Schema = Mapping[str, type]
"""Column to its type: str, bool, int or float; all but bool may be missing."""

TRIALS: Schema = {
    "trial": str,  # name of its folder; the key of the other tables
    "folder": str,
    "suite": str,
    "task": str,
    "task_type": str,
    "family": str,
    "agent": str,
    "repeat": int,
    "attempt": int,
    "current": bool,  # False where a later attempt stands for it
    "instance": str,  # the commitment; equal for two trials that met the same instance
    "sealed": bool,
    "kind": str,  # completed, failed, practice, infrastructure, cancelled, unfinished
    "reason": str,
    "success": bool,
    "overall_score": float,
    "measure": str,
    "seconds": float,
    "cpu_seconds": float,
    "peak_memory_bytes": int,
    "leak_z": float,
    "feedback": str,  # none, validation, score
    "queries": int,
    "replay": str,  # the verdict of a replay of the code
    "started": float,  # seconds since 1970, as `finished`
    "finished": float,
}
SCORES: Schema = {
    "trial": str,
    "task": str,
    "agent": str,
    "name": str,  # of the measure
    "score": float,
    "label_score": float,
    "floor": float,
    "ceiling": float,
    "skill": float,
    "se": float,
    "label_se": float,
    "tier": str,
}
CRITERIA: Schema = {"trial": str, "task": str, "agent": str, "criterion": str, "met": bool}
EVENTS: Schema = {"trial": str, "time": float, "event": str, "fields": str}
"""`fields` is the rest of the event, as JSON."""
SCHEMAS: Mapping[str, Schema] = {
    "trials": TRIALS,
    "scores": SCORES,
    "criteria": CRITERIA,
    "events": EVENTS,
}
PANDAS = {str: "object", bool: "bool", int: "Int64", float: "float64"}

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Results:
    """Tidy frames over the same trials, joined by the column `trial`."""

    trials: "pd.DataFrame"
    """A row for each attempt of each trial."""
    scores: "pd.DataFrame"
    """A row for each measure of each trial."""
    criteria: "pd.DataFrame"
    """A row for each pass mark of each trial."""
    events: "pd.DataFrame"
    """A row for each line of each events.jsonl; a torn line is left out."""


def results(*places: str | os.PathLike[str]) -> Results:
    """Read everything below folders of trials or suites into data frames.

    Args:
        places: Trials, folders of trials, suites; by default `runs`.

    Raises:
        UnknownName: A folder is not there, or none of them holds a trial.
    """
    import pandas as pd

    found = columns(read(places or ("runs",)))
    frames = {
        name: pd.DataFrame(
            {
                column: pd.Series(values[column], dtype=PANDAS[kind])
                for column, kind in SCHEMAS[name].items()
            }
        )
        for name, values in found.items()
    }
    return Results(**frames)


def columns(trials: Trials) -> dict[str, Columns]:
    """Return the four tables, column by column."""
    current = [(one, True) for one in trials.records]
    every = [*current, *((one, False) for one in trials.earlier)]
    records = [one for one, _ in every]
    return {
        "trials": _table(TRIALS, (_trial(one, current=now) for one, now in every)),
        "scores": _table(SCORES, (row for one in records for row in _scores(one))),
        "criteria": _table(CRITERIA, (row for one in records for row in _criteria(one))),
        "events": _table(EVENTS, (row for one in records for row in _events(one))),
    }


def _table(schema: Schema, rows: Iterable[Mapping[str, Any]]) -> Columns:
    found: Columns = {name: [] for name in schema}
    for row in rows:
        for name, kind in schema.items():
            value = row.get(name)
            found[name].append(None if value is None else kind(value))
    return found


def _trial(one: Record, *, current: bool) -> dict[str, Any]:
    own = {name: getattr(one, name) for name in TRIALS if hasattr(one, name)}
    return own | {
        "folder": str(one.folder),
        "current": current,
        "overall_score": one.score if one.counts else None,
    }


def _scores(one: Record) -> Iterator[dict[str, Any]]:
    for name, mark in one.scores.items():
        numbers = mark if isinstance(mark, Mapping) else {"score": mark}
        yield {**numbers, "trial": one.trial, "task": one.task, "agent": one.agent, "name": name}


def _criteria(one: Record) -> Iterator[dict[str, Any]]:
    for key, met in one.criteria.items():
        yield {
            "trial": one.trial, "task": one.task, "agent": one.agent, "criterion": key, "met": met,
        }  # fmt: skip


def _events(one: Record) -> Iterator[dict[str, Any]]:
    for line in _lines(one.folder / "events.jsonl"):
        try:
            found = json.loads(line)
            time, event = float(found.pop("time")), str(found.pop("event"))
        except BROKEN:
            continue  # a crash tears the last line; what was whole is kept
        yield {"trial": one.trial, "time": time, "event": event, "fields": json.dumps(found)}


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.is_file() else []
