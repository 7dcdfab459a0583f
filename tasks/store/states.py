"""What became of an attempt, read off its folder; the same words from memory and from disk."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic_core import from_json

State = Literal["queued", "prepared", "running", "collected", "graded", "done", "failed"]

STATES: Final[tuple[State, ...]] = (
    "queued",
    "prepared",
    "running",
    "collected",
    "graded",
    "done",
    "failed",
)
REASONS: Final = (
    "agent error",
    "timed out",
    "out of memory",
    "disk full",
    "no submission",
    "invalid submission",
    "grader error",
    "infrastructure",
    "cancelled",
)
"""Why a trial failed. The last two say nothing about the agent."""

NO_RESULT: Final = frozenset({"infrastructure", "cancelled"})

_HOPS: Final[dict[str, State]] = {
    "prepared": "prepared",
    "started": "running",
    "collected": "collected",
    "graded": "graded",
}
_ENDINGS: Final = {"never started": "agent error"}
CALLS: Final = "calls.jsonl"
GIVEN_UP: Final = "given up"
"""The event that ends an attempt without a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one attempt came to, as the index holds it."""

    state: State
    reason: str | None = None
    success: bool = False
    score: float | None = None
    seconds: float | None = None
    """Wall time of the agent."""
    cpu_seconds: float | None = None
    started: float | None = None
    finished: float | None = None
    tokens: int = 0
    """What its agent's models took in and gave out; of a trial, all its attempts together."""
    cost_usd: float = 0.0


QUEUED: Final = Row(state="queued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a trial stands after its attempts so far."""

    attempt: int = 0
    """The number of the last attempt that was begun; 0 before the first."""
    faults: int = 0
    """Infrastructure faults since it was last queued by hand."""
    row: Row = QUEUED

    def after(self, attempt: int, ending: Row | None, most_faults: int) -> "Standing":
        """Return where it stands after one more attempt.

        Args:
            attempt: Its number.
            ending: None, or a row that is queued and tells what was spent, where its runner died
                with it: nobody's fault, so it is queued again.
            most_faults: So many infrastructure faults end the trial.
        """
        tokens, cost_usd = self.row.tokens, self.row.cost_usd
        if ending is not None:
            tokens, cost_usd = tokens + ending.tokens, cost_usd + ending.cost_usd
        faults = self.faults
        if ending is None or ending.state == "queued":
            ending = QUEUED
        elif ending.reason == "infrastructure":
            faults += 1
            ending = QUEUED if faults < most_faults else ending
        row = replace(ending, tokens=tokens, cost_usd=cost_usd)
        return Standing(attempt=attempt, faults=faults, row=row)


def row_of(report: Mapping[str, Any]) -> Row:
    """Return what a report says in one row."""
    outcome, evaluation = report["outcome"], report["evaluation"]
    reason = _reason(report)
    model = report.get("model") or {}
    return Row(
        state="failed" if reason else "done",
        reason=reason,
        success=bool(evaluation and evaluation["success"]),
        score=None if evaluation is None else float(evaluation["overall_score"]),
        seconds=outcome["seconds"],
        cpu_seconds=outcome["cpu_seconds"],
        started=report["trial"]["started"],
        finished=report["finished"],
        tokens=model.get("input_tokens", 0) + model.get("output_tokens", 0),
        cost_usd=model.get("cost_usd") or 0.0,
    )


def _reason(report: Mapping[str, Any]) -> str | None:
    ended: str = report["outcome"]["reason"]
    if ended in NO_RESULT:
        return ended
    if report["grader_error"] is not None or report["evaluation"] is None:
        return "grader error"
    if ended != "finished":
        return _ENDINGS.get(ended, ended)
    submission = report["evaluation"]["submission"]
    if not submission or submission["valid"]:
        return None
    return "no submission" if submission["file"] is None else "invalid submission"


def read_attempt(folder: Path) -> Row | None:
    """Read an attempt's ending off its folder.

    Returns:
        None where it has none: it runs, or whoever ran it died. A file that a crash has torn
        counts as not written.
    """
    try:
        return row_of(from_json((folder / "report.json").read_bytes()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # not written, or not by us: the events say whether it was given up
    for event in reversed(read_events(folder / "events.jsonl")):
        if event["event"] == GIVEN_UP:
            return given_up(event["reason"], event["time"], folder)
    return None


def read_ending(folder: Path) -> Row | None:
    """Read an attempt's ending, or what an attempt without one has spent, which waits again."""
    found = read_attempt(folder)
    if found is None and (folder / CALLS).exists():
        return _spent(QUEUED, folder)
    return found


def given_up(reason: str, when: float, folder: Path | None = None) -> Row:
    """Return the row of an attempt that says nothing about its agent."""
    row = Row(state="failed", reason=reason, finished=when)
    return row if folder is None else _spent(row, folder)


def _spent(row: Row, folder: Path) -> Row:
    """Add what the calls to models took, by the door's own record of them."""
    tokens, cost = 0, 0.0
    try:
        with (folder / CALLS).open("rb") as lines:
            for line in lines:
                try:
                    call = json.loads(line)
                    tokens += call["input"] + call["output"]
                    cost += call["cost_usd"] or 0.0
                except (ValueError, KeyError, TypeError):
                    continue  # torn by whatever ended the door
    except FileNotFoundError:
        return row
    return replace(row, tokens=tokens, cost_usd=cost)


def read_events(file: Path) -> list[dict[str, Any]]:
    """Return the whole lines of an event file; a torn one is no event."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(found, dict) and {"event", "time"} <= found.keys()
    return found if whole else None


def state_of(events: Sequence[Mapping[str, Any]]) -> State:
    """Return the state of an attempt that goes on, by its latest hop."""
    for event in reversed(events):
        if event["event"] in _HOPS:
            return _HOPS[event["event"]]
    return "queued"


def standing(
    attempts: Iterable[tuple[int, Row | None]], *, queued_after: int = 0, most_faults: int
) -> Standing:
    """Fold a trial's attempts into where it stands.

    Args:
        attempts: Number and ending of each, in order.
        queued_after: The attempt after which a person last queued it again; 0 for none.
        most_faults: So many infrastructure faults end it.
    """
    found = Standing()
    for number, ending in attempts:
        found = found.after(number, ending, most_faults)
        if number <= queued_after:
            spent = replace(QUEUED, tokens=found.row.tokens, cost_usd=found.row.cost_usd)
            found = Standing(attempt=number, row=spent)
    return found
