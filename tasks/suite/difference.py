"""What a change of a suite costs: results that stay, are graded again, are run again."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tasks.store import Row, read_attempt
from tasks.store.folders import SuiteFolder
from tasks.store.states import NO_RESULT
from tasks.suite.digests import (
    agent_digest,
    criteria_digest,
    grader_digest,
    image_of,
    met_digest,
)
from tasks.suite.plan import Plan

UNDONE = "no result yet"
Verdict = Literal["reuse", "regrade", "rerun"]

ALIKE = ("runtime", "limits", "requires", "door", "feedback")
"""What holds for all trials; a change of one is a change of every result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One task and agent: what their trials need."""

    task: str
    agent: str
    verdict: Verdict
    trials: int
    why: str
    """Empty where results stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What there is to do for a suite as it is asked for now."""

    cells: tuple[Cell, ...]
    dropped: int
    """Results that are not asked for any more; they stay where they are."""

    @property
    def counts(self) -> dict[str, int]:
        """How many trials stay, are graded again and are run again."""
        found: Counter[str] = Counter()
        for cell in self.cells:
            found[cell.verdict] += cell.trials
        return {verdict: found[verdict] for verdict in ("reuse", "regrade", "rerun")}

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        cells = [asdict(cell) for cell in self.cells]
        return {"counts": self.counts, "dropped": self.dropped, "cells": cells}


def difference(folder: SuiteFolder, now: Plan) -> Difference:
    """Plan, from digests of task, agent, image and grader, what a suite needs to be as `now` says.

    Args:
        folder: The suite that was run, or begun.
        now: What is asked for.
    """
    before = folder.load()
    rows = _rows(folder)
    cells = [cell for one in _cells(before, now, rows) for cell in one]
    kept = sum(cell.trials for cell in cells if cell.verdict != "rerun")
    results = sum(row.reason not in NO_RESULT for row in rows.values())
    return Difference(cells=tuple(cells), dropped=max(0, results - kept))


def _rows(folder: SuiteFolder) -> dict[tuple[str, str, int], Row]:
    """Return the last ending of each trial that has one, by task, agent and repeat."""
    product = folder.product(folder.load())
    found: dict[tuple[str, str, int], Row] = {}
    for n, attempts in folder.attempts().items():
        cell = product.cell(n)
        for _, path in attempts:
            if (row := read_attempt(path)) is not None:
                found[cell.task, cell.agent, cell.repeat] = row
    return found


def _cells(
    before: Mapping[str, Any], now: Plan, rows: Mapping[tuple[str, str, int], Row]
) -> Iterator[list[Cell]]:
    resolved = now.resolved()
    alike = [key for key in ALIKE if before.get(key) != resolved.get(key)]
    old_tasks = {entry["id"]: entry for entry in before["tasks"]}
    old_agents = {entry["name"]: entry for entry in before["agents"]}
    agents = {
        agent.id: _agent(
            old_agents.get(agent.id), agent_digest(agent), image_of(agent, now.runtime)
        )
        for agent in now.agents
    }
    for task in now.tasks:
        version = 0 if task.family is None else task.family.version
        met, graded = _task(old_tasks.get(task.id), task.definition(), version)
        if before.get("grader") != grader_digest():
            graded.append("the grader")
        for name, changed in agents.items():
            reasons = [*alike, *met, *changed]
            yield _cell(task.id, name, now.repeats, rows, rerun=reasons, regrade=graded)


def _task(
    old: Mapping[str, Any] | None, definition: dict[str, Any], version: int
) -> tuple[list[str], list[str]]:
    """Return why a task's trials are run again, and why they are graded again."""
    if old is None:
        return ["a new task"], []
    earlier = old["definition"]
    met = met_digest(earlier, old.get("version", version)) != met_digest(definition, version)
    graded = criteria_digest(earlier) != criteria_digest(definition)
    return ["the task"] * met, ["the criteria"] * graded


def _agent(old: Mapping[str, Any] | None, digest: str, image: str | None) -> list[str]:
    if old is None:
        return ["a new agent"]
    changed = ["the agent"] * (old["digest"] != digest)
    return [*changed, *["the image"] * (old.get("image") != image)]


def _cell(
    task: str,
    agent: str,
    repeats: int,
    rows: Mapping[tuple[str, str, int], Row],
    *,
    rerun: list[str],
    regrade: list[str],
) -> list[Cell]:
    found = [rows.get((task, agent, repeat)) for repeat in range(repeats)]
    there = [row for row in found if row is not None and row.reason not in NO_RESULT]
    missing = repeats - len(there)
    if rerun:
        return [Cell(task=task, agent=agent, verdict="rerun", trials=repeats, why=_changed(rerun))]
    cells = []
    void = sum(row.reason == "grader error" for row in there)
    again = len(there) if regrade else void
    if stay := len(there) - again:
        cells.append(Cell(task=task, agent=agent, verdict="reuse", trials=stay, why=""))
    if again:
        why = _changed(regrade) if regrade else "the grader failed"
        cells.append(Cell(task=task, agent=agent, verdict="regrade", trials=again, why=why))
    if missing:
        cells.append(Cell(task=task, agent=agent, verdict="rerun", trials=missing, why=UNDONE))
    return cells


def _changed(parts: list[str]) -> str:
    told = [part if part.startswith("a new") else f"{part} changed" for part in parts]
    return ", ".join(told)
