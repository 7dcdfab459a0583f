"""Trials as records: what the folders on disk say of each, in one pass."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tasks.errors import UnknownName
from tasks.measures import MEASURES, canonical
from tasks.spec import TASK_TYPES

Kind = Literal["completed", "failed", "practice", "infrastructure", "cancelled", "unfinished"]
"""`completed`: left something that could be graded; `failed`: did not, and that is the agent's own
doing; `practice`: was told its score on the graded rows, which counts nowhere; `infrastructure`:
nobody's result, our fault; `cancelled`: likewise, stopped by somebody; `unfinished`: has no report
yet."""

NOT_A_RESULT = frozenset({"infrastructure", "cancelled"})
"""Endings that say nothing of the agent."""
PRACTICE = "--feedback score"
TRIAL_FILE = "trial.json"
REPORT_FILE = "report.json"
EVENTS_FILE = "events.jsonl"
PLAN_FILE = "suite.json"
GIVEN_UP = "given up"
"""The event of an attempt that was given up, which is not the agent's doing."""
DEEPEST = 6
"""Folders below the one given in which trials are looked for."""
BROKEN = (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError)
"""What reading JSON that is torn or is something else raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One trial, as its report has it."""

    folder: Path
    trial: str
    task: str
    task_type: str
    family: str
    """Tasks of one family draw their data alike, and are no independent evidence."""
    agent: str
    suite: str | None = None
    repeat: int | None = None
    attempt: int = 1
    commitment: str | None = None
    """Equal for two trials that met the same instance."""
    sealed: bool = True
    kind: Kind
    reason: str
    """How it ended: `finished`, or what went wrong."""
    success: bool = False
    score: float = 0.0
    """The overall score in [0, 1]; 0 where nothing could be graded."""
    criteria: Mapping[str, bool] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    measure: str | None = None
    """The primary measure of the task, if it has one."""
    definition: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    leak_z: float | None = None
    feedback: str = "none"
    """What it was told of its score while it worked: `none`, `validation`, `score`."""
    queries: int = 0
    """How often it was."""
    replay: str | None = None
    """The verdict of a replay of its code; None where there was none."""
    started: float | None = None
    finished: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a result of the agent."""
        return self.kind in {"completed", "failed"}

    @property
    def completed(self) -> bool:
        """Whether it left something that could be graded."""
        return self.kind == "completed"

    @property
    def instance(self) -> str:
        """What two trials share that met the same instance."""
        if self.commitment is not None:
            return self.commitment
        if self.suite is not None:
            return f"{self.suite}/{self.task}/{self.repeat}"
        return self.trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """All that was found below some folders."""

    records: list[Record]
    """One a trial; of several attempts the last that is a result."""
    earlier: list[Record] = field(default_factory=list)
    """The attempts that another stands for."""
    replaced: int = 0
    """Results that a later attempt of the same trial stands for."""
    attempts: int = 0
    """Earlier attempts that were no results."""


def read(places: Iterable[str | os.PathLike[str]]) -> Trials:
    """Read the trials below folders: trials themselves, folders of trials, suites.

    Raises:
        UnknownName: A folder is not there, or none of them holds a trial.
    """
    records = []
    asked = [Path(place) for place in places]
    for place in asked:
        if not place.is_dir():
            raise UnknownName(f"{place}: no such folder of trials")
        records += [record_of(folder) for folder in trial_folders(place)]
    if not records:
        listed = ", ".join(map(str, asked))
        raise UnknownName(f"{listed}: no trials there; `aexp run` makes them under runs/")
    return _last_attempts(records)


def trial_folders(place: Path) -> Iterator[Path]:
    """Yield the folders of trials at or below `place`, sorted, following no link."""
    if _is_trial(str(place), in_suite=place.absolute().parent.name == "trials"):
        yield place
        return
    yield from _below(place, 0)


def _below(place: Path, depth: int) -> Iterator[Path]:
    with os.scandir(place) as entries:
        inner = sorted(e.path for e in entries if e.is_dir(follow_symlinks=False))
    in_suite = place.name == "trials"
    for path in inner:
        if _is_trial(path, in_suite=in_suite):
            yield Path(path)
        elif depth < DEEPEST and not os.path.basename(path).startswith("."):  # noqa: PTH119
            yield from _below(Path(path), depth + 1)


def _is_trial(folder: str, *, in_suite: bool) -> bool:
    # Strings, and the likeliest file first: there may be ten thousand.
    names = [REPORT_FILE, TRIAL_FILE]
    # An attempt of a suite that was given up before it began holds events only.
    names += [EVENTS_FILE] if in_suite else []
    return any(os.path.isfile(f"{folder}/{name}") for name in names)  # noqa: PTH113


# --- one trial -----------------------------------------------------------------------------------


def record_of(folder: Path) -> Record:
    """Return what a trial's folder says; whatever cannot be read is no result."""
    try:
        with open(f"{folder}/{REPORT_FILE}", "rb") as file:  # noqa: PTH123 - as above
            report = json.loads(file.read())
    except FileNotFoundError:
        return _without_report(folder, "unfinished", "no report yet")
    except BROKEN:
        return _without_report(folder, "infrastructure", "report unreadable")
    try:
        return _graded(folder, report)
    except BROKEN:
        return _without_report(folder, "infrastructure", "report unreadable")


def _without_report(folder: Path, kind: Kind, reason: str) -> Record:
    if kind == "unfinished" and (fault := _given_up(folder)):
        kind, reason = _nobodys(fault), fault
    try:
        asked = _asked(folder, json.loads((folder / TRIAL_FILE).read_bytes()))
    except BROKEN:
        asked = _planned(folder)
    return Record(folder=folder, trial=folder.name, kind=kind, reason=reason, **asked)


def _nobodys(reason: str) -> Kind:
    return "cancelled" if reason == "cancelled" else "infrastructure"


def _given_up(folder: Path) -> str | None:
    """Return why the attempt was given up, if it was."""
    try:
        lines = (folder / EVENTS_FILE).read_bytes().splitlines()
        last = json.loads(lines[-1])
        return str(last["reason"]) if last["event"] == GIVEN_UP else None
    except BROKEN:
        return None


def _planned(folder: Path) -> dict[str, Any]:
    """Return what the suite's plan says of an attempt that left no word of its own."""
    try:
        plan = _plan(folder.parent.parent / PLAN_FILE)
        number, attempt = (int(folder.name.split(".")[0]), int(folder.name.rpartition(".a")[2]))
        # Agents change fastest and repeats slowest, as the suite numbers its trials.
        rest, agent = divmod(number, len(plan["agents"]))
        repeat, task = divmod(rest, len(plan["tasks"]))
        definition, name = plan["tasks"][task]["definition"], plan["agents"][agent]["name"]
        stamp = {"id": plan["id"], "repeat": repeat, "agent": name, "attempt": attempt}
        return _asked(folder, {"task": definition, "agent": {"id": name}, "suite": stamp})
    except BROKEN:
        return {"task": "unknown", "task_type": "unknown", "family": "unknown", "agent": "unknown"}


@lru_cache(maxsize=8)
def _plan(file: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(file.read_bytes())
    return plan


def _graded(folder: Path, report: Mapping[str, Any]) -> Record:
    outcome = report["outcome"]
    evaluation = report.get("evaluation") or {}
    kind, reason = _ending(outcome["reason"], evaluation, report.get("grader_error"))
    told = report.get("feedback") or {"mode": "none"}
    if told["mode"] == "score" and kind not in {"infrastructure", "cancelled"}:
        kind, reason = "practice", PRACTICE
    good = kind == "completed"
    return Record(
        folder=folder,
        trial=folder.name,
        **_asked(folder, report["trial"]),
        kind=kind,
        reason=reason,
        success=good and bool(evaluation["success"]),
        score=float(evaluation["overall_score"]) if good else 0.0,
        criteria=evaluation.get("criteria_met", {}),
        scores=evaluation.get("scores", {}),
        seconds=outcome.get("seconds"),
        cpu_seconds=outcome.get("cpu_seconds"),
        peak_memory_bytes=outcome.get("peak_memory_bytes"),
        leak_z=evaluation.get("integrity", {}).get("leak_z"),
        feedback=str(told["mode"]),
        queries=len(told.get("queries", ())),
        replay=(report.get("replay") or {}).get("verdict"),
        finished=report.get("finished"),
    )


def _asked(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    task = asked["task"]
    suite = _suite(folder, asked)
    return {
        "task": task["id"],
        "task_type": task["task_type"],
        "family": family_of(task),
        "measure": primary_of(task),
        "definition": task,
        "agent": str(suite.get("agent") or asked["agent"]["id"]),
        "suite": suite.get("id"),
        "repeat": suite.get("repeat"),
        "attempt": int(suite.get("attempt") or 1),
        "commitment": asked.get("commitment"),
        "sealed": bool(asked.get("sealed")),
        "started": asked.get("started"),
    }


def _suite(folder: Path, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of the suite; of a report older than that, beside it."""
    found = asked.get("suite")
    if found is None and folder.parent.name == "trials" and (folder / TRIAL_FILE).is_file():
        found = json.loads((folder / TRIAL_FILE).read_bytes()).get("suite")
    return found or {}


def _ending(
    reason: str, evaluation: Mapping[str, Any], grader_error: str | None
) -> tuple[Kind, str]:
    """Return whose doing the ending is, and its name."""
    if reason in NOT_A_RESULT:
        return _nobodys(reason), reason
    if grader_error is not None or not evaluation:
        return "infrastructure", "grader error"
    integrity = evaluation.get("integrity", {})
    if integrity.get("leak_suspected") or integrity.get("findings"):
        return "failed", "integrity"
    submission = evaluation.get("submission")
    if not submission:  # none was asked for
        good = reason == "finished" or bool(evaluation.get("success"))
        return ("completed" if good else "failed"), reason
    if submission["valid"]:
        return "completed", reason
    return "failed", reason if reason != "finished" else _misfit(submission)


def _misfit(submission: Mapping[str, Any]) -> str:
    first = str(next(iter(submission["problems"]), ""))
    return "no submission" if first.startswith("E01") else "invalid submission"


def family_of(task: Mapping[str, Any]) -> str:
    """Return the family of a task's data, or its type where it names none."""
    named = (task.get("data_requirements") or {}).get("dataset_type")
    known = TASK_TYPES.get(task["task_type"])
    return str(named or (known.family if known else None) or task["task_type"])


def primary_of(task: Mapping[str, Any]) -> str | None:
    """Return the measure behind the overall score, as `Task.primary_measure` has it."""
    for key in task.get("evaluation_criteria") or {}:
        subject = canonical(key.partition("_")[2])
        if subject in MEASURES:
            return subject
    known = TASK_TYPES.get(task["task_type"])
    return known.primary if known else None


# --- attempts ------------------------------------------------------------------------------------


def _last_attempts(records: list[Record]) -> Trials:
    """Keep one attempt of each trial of a suite: the last result, else the last of all."""
    alone = [record for record in records if record.suite is None]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.suite is not None:
            key = (record.suite, record.task, record.agent, record.repeat)
            groups.setdefault(key, []).append(record)
    kept: list[Record] = []
    earlier: list[Record] = []
    for group in groups.values():
        group.sort(key=lambda one: (one.counts, one.attempt, one.started or 0.0))
        kept.append(group[-1])
        earlier += group[:-1]
    ordered = sorted([*alone, *kept], key=lambda one: (one.task, one.agent, one.repeat or 0))
    replaced = sum(one.counts for one in earlier)
    return Trials(
        records=ordered, earlier=earlier, replaced=replaced, attempts=len(earlier) - replaced
    )
