"""What a trial is called in trackers: one vocabulary, so that they agree with each other."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tasks.trackers.base import Tracked

CLAIMED = "claimed/"
"""Before the names of what the agent says of itself."""
RESOURCES = "resources/"
ARTEFACT_BYTES = 100 * 2**20
"""What is handed to a tracker of a trial's files, all together."""
_MARKS = ("score", "label_score", "floor", "ceiling", "skill", "se", "gain")
_FOLDERS = ("submission", "results")
_STRANGE = re.compile(r"[^\w\-. /]", re.ASCII)


class Value(NamedTuple):
    """One value of a metric over time."""

    name: str
    value: float
    step: int
    at: float
    """Seconds since 1970."""


def params(trial: Tracked) -> dict[str, str]:
    """Return what was asked, flat."""
    asked = trial.asked
    task = asked.get("task", {})
    flat = {
        "task": task.get("id"),
        "task_type": task.get("task_type"),
        "difficulty": task.get("difficulty"),
        "agent": asked.get("agent", {}).get("id"),
        "runtime": asked.get("runtime"),
        "sealed": asked.get("sealed"),
        "commitment": asked.get("commitment"),
    }
    for group, entries in (
        ("data", task.get("data_requirements")),
        ("criteria", task.get("evaluation_criteria")),
        ("limits", asked.get("limits")),
        ("versions", asked.get("versions")),
    ):
        flat |= {f"{group}.{key}": value for key, value in (entries or {}).items()}
    return {key: str(value)[:500] for key, value in flat.items() if value is not None}


def tags(trial: Tracked) -> dict[str, str]:
    """Return what trials are found by."""
    said = trial.asked.get("suite") or {}
    found = {
        "aexp.trial": trial.name,
        "aexp.task": trial.asked.get("task", {}).get("id"),
        "aexp.agent": trial.asked.get("agent", {}).get("id"),
        "aexp.suite": trial.suite,
        "aexp.repeat": said.get("repeat"),
        "aexp.attempt": said.get("attempt"),
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def points(event: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the metrics in an event: what the agent claims, or samples of resources."""
    prefix = {"metrics": CLAIMED, "resources": RESOURCES}.get(event["event"])
    if prefix is None:
        return
    for name, value, step, at in event.get("points", ()):
        yield Value(prefix + plain(name), float(value), int(step), float(at or event["time"]))


def summary(report: Mapping[str, Any]) -> dict[str, float]:
    """Return what the trial is worth, as numbers."""
    outcome = report["outcome"]
    evaluation = report.get("evaluation") or {}
    found: dict[str, Any] = {
        "seconds": outcome["seconds"],
        "cpu_seconds": outcome["cpu_seconds"],
        "peak_memory_bytes": outcome["peak_memory_bytes"],
    }
    if evaluation:
        found["success"] = float(evaluation["success"])
        found["overall_score"] = evaluation["overall_score"]
    for measure, mark in evaluation.get("scores", {}).items():
        if isinstance(mark, dict):
            found[measure] = mark.get("score")
            found |= {f"{measure}.{key}": mark.get(key) for key in _MARKS[1:]}
        else:
            found[measure] = mark
    return {
        plain(name): float(value)
        for name, value in found.items()
        if isinstance(value, bool | int | float)
    }


def verdict(report: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the tags that say how it ended."""
    if report is None:
        return {"aexp.outcome": "no report"}
    evaluation = report.get("evaluation")
    success = "void" if evaluation is None else str(bool(evaluation["success"])).lower()
    return {"aexp.outcome": report["outcome"]["reason"], "aexp.success": success}


def claimed_params(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters that the agent told its own tracker."""
    told = (report.get("logged") or {}).get("params", {})
    return {CLAIMED + plain(name): str(value) for name, value in told.items()}


def artefacts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a finished trial worth keeping, and the folder each belongs in."""
    left = ARTEFACT_BYTES
    ours = [(folder / name, "") for name in ("report.json", "trial.json", "run.log")]
    theirs = [
        (path, str(path.parent.relative_to(folder)))
        for name in _FOLDERS
        for path in sorted((folder / "outputs" / name).rglob("*"))
    ]
    for path, place in (*ours, *theirs):
        if not path.is_symlink() and path.is_file() and path.stat().st_size <= left:
            left -= path.stat().st_size
            yield path, place


def plain(name: str) -> str:
    """Return a metric's name in the letters that every tracker takes, with no way upwards."""
    kept = _STRANGE.sub("_", name)[:200].strip("/ ")
    return os.path.normpath(kept).lstrip("./") or "_"
