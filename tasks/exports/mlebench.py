"""Trials as MLE-bench leaves them: run groups, submission.jsonl and a grading report."""

import json
import os
import re
import shutil
import stat
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.comparison.medals import (
    Aggregate,
    Medals,
    aggregate,
    given,
    leaderboard_of,
    rank,
    score_of,
    seeds,
    thresholds,
)
from tasks.comparison.records import Record
from tasks.errors import InvalidInput
from tasks.exports.slugs import slug
from tasks.files import write_text

PARTS = ("submission", "logs", "code")
"""What MLE-bench takes out of a container."""
NAMESPACE = uuid.UUID("5f0b3d1e-8a5c-4a55-9d35-6a1a3f6c2a10")
"""Of run ids: the same trial has the same id in every export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One agent's run group, written."""

    agent: str
    folder: Path
    report: Path
    runs: int
    left_out: int
    """Trials that are nobody's result or not finished; MLE-bench would count them as failures."""
    metrics: Mapping[str, Aggregate]
    """Percentages over complete seeds, as MLE-bench's aggregator has them."""
    seeds: int


def export(
    records: Iterable[Record], folder: Path, task_folders: Mapping[str, Path | None]
) -> list[Group]:
    """Write a run group for each agent below `folder`.

    Args:
        records: Trials of any number of agents; one without any result gets no group.
        folder: New or empty; paths in submission.jsonl begin with it, as it is given.
        task_folders: By task id, where its file and leaderboard lie.

    Raises:
        InvalidInput: None of the trials is a result, or a leaderboard cannot be read.
    """
    agents: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        agents[one.agent].append(one)
    if not any(one.counts for found in agents.values() for one in found):
        raise InvalidInput("none of these trials is a result; MLE-bench would count them as failed")
    names = _names(agents)
    return [
        _group(agent, found, folder, names[agent], task_folders)
        for agent, found in sorted(agents.items())
        if any(one.counts for one in found)
    ]


def _names(agents: Iterable[str]) -> dict[str, str]:
    """Return a folder's name for each agent, no two alike."""
    names: dict[str, str] = {}
    for agent in sorted(agents):
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", agent).strip("-.")[:60] or "agent"
        number = sum(taken == plain or taken.startswith(f"{plain}--") for taken in names.values())
        names[agent] = f"{plain}--{number + 1}" if number else plain
    return names


def _group(
    agent: str,
    records: Sequence[Record],
    folder: Path,
    name: str,
    task_folders: Mapping[str, Path | None],
) -> Group:
    counted = sorted(
        (one for one in records if one.counts),
        key=lambda one: (slug(one.task), one.repeat or 0, one.started or 0.0, one.trial),
    )
    stamp = _stamp(max((one.finished or 0.0 for one in counted), default=0.0))
    group = folder / f"{stamp}_run-group_{name}"
    group.mkdir(parents=True)
    lines, reports, medals = [], [], {}
    for one in counted:
        line = _run(one, group / run_id(one))
        medals[one.folder], report = _competition(one, line, task_folders)
        lines.append(json.dumps(line))
        reports.append(report)
    metadata = {
        "run_group": group.name,
        "created_at": stamp,
        "runs": {run_id(one): {"success": one.reason == "finished"} for one in counted},
    }
    _write(group / "metadata.json", metadata)
    write_text(group / "submission.jsonl", "".join(f"{line}\n" for line in lines))
    report_file = group / f"{stamp}_grading_report.json"
    _write(report_file, _totals(reports))
    _write(group / "aexp.json", _beside(agent, records, task_folders))
    complete = seeds(counted)
    return Group(
        agent=agent,
        folder=group,
        report=report_file,
        runs=len(counted),
        left_out=len(records) - len(counted),
        metrics=_metrics(complete, medals),
        seeds=len(complete),
    )


def run_id(one: Record) -> str:
    """Return MLE-bench's id of a trial; what stands before its only `_` is the competition."""
    return f"{slug(one.task)}_{uuid.uuid5(NAMESPACE, one.trial)}"


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H-%M-%S-GMT", time.gmtime(seconds))


def _write(file: Path, payload: Any) -> None:
    write_text(file, json.dumps(payload, indent=2, ensure_ascii=False) + "\n")


# --- one run -------------------------------------------------------------------------------------


def _run(one: Record, folder: Path) -> dict[str, str | None]:
    """Copy what the agent left; return the line of submission.jsonl."""
    for part in PARTS:
        _copy_regular(one.folder / "outputs" / part, folder / part)
    log = one.folder / "run.log"
    if log.is_file() and not log.is_symlink():
        shutil.copyfile(log, folder / "run.log")
    submission = folder / "submission" / "submission.csv"
    if not submission.is_file():
        _elsewhere(one.folder / "outputs", submission)
    log, code = folder / "logs" / "agent.log", folder / "code" / "train.py"
    return {
        "competition_id": slug(one.task),
        "submission_path": _if_there(submission),
        "logs_path": _if_there(log),
        "code_path": _if_there(code),
    }


def _if_there(file: Path) -> str | None:
    return file.as_posix() if file.is_file() else None


def _copy_regular(source: Path, target: Path) -> None:
    """Copy the regular files below a folder, following no link."""
    target.mkdir(parents=True)
    if source.is_symlink() or not source.is_dir():
        return
    for here, folders, files in os.walk(source):
        relative = Path(here).relative_to(source)
        for name in folders:
            if not (Path(here) / name).is_symlink():
                (target / relative / name).mkdir()
        for name in files:
            path = Path(here) / name
            if stat.S_ISREG(path.lstat().st_mode):
                shutil.copyfile(path, target / relative / name)


def _elsewhere(outputs: Path, target: Path) -> None:
    """Bring a submission in another place or format to where MLE-bench looks."""
    table, flat = outputs / "submission" / "submission.parquet", outputs / "results"
    for file in (flat / "submission.csv", flat / "predictions.csv"):
        if file.is_file() and not file.is_symlink():
            shutil.copyfile(file, target)
            return
    if table.is_file() and not table.is_symlink():
        import polars as pl

        try:
            pl.read_parquet(table).write_csv(target)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InvalidInput(f"{table}: cannot be written as CSV: {error}") from error


# --- the grading report --------------------------------------------------------------------------


def _competition(
    one: Record, line: Mapping[str, str | None], task_folders: Mapping[str, Path | None]
) -> tuple[Medals, dict[str, Any]]:
    """Return the medals and the entry of one trial, its 16 keys in MLE-bench's order."""
    board = leaderboard_of(one, task_folders, made_up=True)
    against = thresholds(board or [])
    score = score_of(one)
    medals = rank(score, against)
    return medals, {
        "competition_id": slug(one.task),
        "score": score,
        "gold_threshold": against.gold,
        "silver_threshold": against.silver,
        "bronze_threshold": against.bronze,
        "median_threshold": against.median,
        "any_medal": medals.any,
        "gold_medal": medals.gold,
        "silver_medal": medals.silver,
        "bronze_medal": medals.bronze,
        "above_median": medals.above_median,
        "submission_exists": line["submission_path"] is not None,
        "valid_submission": one.completed,
        "is_lower_better": against.lower_is_better,
        "created_at": datetime.fromtimestamp(one.finished or 0.0).isoformat(),  # noqa: DTZ006 - theirs is naive
        "submission_path": line["submission_path"] or "",
    }


def _totals(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def count(key: str) -> int:
        return sum(bool(report[key]) for report in reports)

    return {
        "total_runs": len(reports),
        "total_runs_with_submissions": count("submission_exists"),
        "total_valid_submissions": count("valid_submission"),
        "total_medals": count("any_medal"),
        "total_gold_medals": count("gold_medal"),
        "total_silver_medals": count("silver_medal"),
        "total_bronze_medals": count("bronze_medal"),
        "total_above_median": count("above_median"),
        "competition_reports": list(reports),
    }


def _beside(
    agent: str, records: Sequence[Record], task_folders: Mapping[str, Path | None]
) -> dict[str, Any]:
    """Return what MLE-bench's files have no place for."""
    tasks = {one.task: one for one in records}
    return {
        "agent": agent,
        "slugs": {slug(task): task for task in sorted(tasks)},
        "leaderboards": {
            slug(task): "given"
            if isinstance(given(one.definition, task_folders.get(task)), list)
            else "synthetic"
            for task, one in sorted(tasks.items())
        },
        "runs": {
            run_id(one): {"trial": one.trial, "suite": one.suite, "repeat": one.repeat}
            for one in records
            if one.counts
        },
        "left_out": {one.trial: one.reason for one in records if not one.counts},
    }


def _metrics(
    complete: Sequence[Sequence[Record]], medals: Mapping[Path, Medals]
) -> dict[str, Aggregate]:
    """Return the aggregator's percentages over complete seeds."""
    shares: dict[str, list[float]] = defaultdict(list)
    for row in complete:
        earned = [(one, medals[one.folder]) for one in row]
        found = {
            "any_medal_percentage": [medal.any for _, medal in earned],
            "gold_medal_percentage": [medal.gold for _, medal in earned],
            "silver_medal_percentage": [medal.silver for _, medal in earned],
            "bronze_medal_percentage": [medal.bronze for _, medal in earned],
            "above_median_percentage": [medal.above_median for _, medal in earned],
            "valid_submissions_percentage": [one.completed for one, _ in earned],
        }
        for name, values in found.items():
            shares[name].append(100.0 * sum(values) / len(values))
    return {name: aggregate(values) for name, values in shares.items()}
