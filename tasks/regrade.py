"""Grading again without running again: after the grader, or a task's criteria, changed."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tasks import datasets
from tasks.comparison.records import BROKEN
from tasks.errors import GraderError, InvalidInput, TasksError
from tasks.feedback import graded_side, mode_of
from tasks.grading import Evaluation, Outputs
from tasks.instance import Instance, Seed
from tasks.prepared import versions
from tasks.registry import TaskRegistry
from tasks.spec import Task
from tasks.validator import TaskValidator, validator_for
from tasks.workspace import Workspace

Verdict = Literal["changed", "unchanged", "withheld", "unfinished", "refused"]
"""`withheld`: the seed is not revealed yet, so that nothing of the trial was touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """What became of one trial."""

    trial: str
    task: str
    verdict: Verdict
    before: float | None = None
    """The overall score of the old report; None where that trial was void."""
    after: float | None = None
    success_before: bool | None = None
    success_after: bool | None = None
    detail: str = ""
    kept: str = ""
    """The name under which the old report is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A finished trial, as it was left, and the instance it met."""

    workspace: Workspace
    report: dict[str, Any]
    task: Task
    seed: Seed
    instance: Instance


@dataclass(slots=True)
class Regrader:
    """Grades trials again; an instance that several met is drawn once."""

    current: TaskRegistry | None = None
    """Where to look up today's definition of each task; None grades by the trial's own."""
    validator: TaskValidator | None = None
    _drawn: tuple[str, Instance] | None = None

    def trials(self, folders: Iterable[Path]) -> Iterator[Regraded]:
        """Grade each trial again; one that cannot be is refused and spoils no other."""
        for folder in folders:
            try:
                yield self.trial(folder)
            except TasksError as error:
                yield Regraded(trial=folder.name, task="", verdict="refused", detail=str(error))

    def trial(self, folder: Path) -> Regraded:
        """Grade the outputs of one trial again.

        The old report is kept as `report.<n>.json`; if nothing changed, nothing is written.

        Raises:
            InvalidInput: The folder cannot be read, or is not as the trial left it.
            InvalidTask: Today's definition draws other data, or cannot be measured.
        """
        opened = self.opened(folder)
        if isinstance(opened, Regraded):
            return opened
        workspace, report, task = opened.workspace, opened.report, opened.task
        try:
            evaluation, grader_error = self._grade(opened)
        except BROKEN as error:
            raise InvalidInput(f"{workspace.report_file}: no report of a trial: {error}") from error
        return _record(workspace, report, task, evaluation, grader_error)

    def opened(self, folder: Path) -> "Opened | Regraded":
        """Return a finished trial with the instance it met; or why there is none to be had.

        Raises:
            InvalidInput: The folder cannot be read, or is not as the trial left it.
            InvalidTask: Its definition cannot be used any more.
        """
        workspace = Workspace(folder)
        if not workspace.report_file.is_file():
            return Regraded(trial=folder.name, task="", verdict="unfinished")
        report = _read(workspace.report_file)
        try:
            asked = report["trial"]
            name = asked["task"]["id"]
            secret = asked["seed"] or _published(workspace, asked)
            if secret is None:
                return Regraded(
                    trial=folder.name,
                    task=name,
                    verdict="withheld",
                    detail="other trials may still meet its instance; untouched",
                )
            self._untampered(workspace, report)
            task = self._definition(asked["task"])
            seed = Seed(secret=bytes.fromhex(secret), sealed=bool(asked["sealed"]))
            instance = self._instance(task, seed, asked)
        except BROKEN as error:
            raise InvalidInput(f"{workspace.report_file}: no report of a trial: {error}") from error
        return Opened(workspace=workspace, report=report, task=task, seed=seed, instance=instance)

    def _untampered(self, workspace: Workspace, report: Mapping[str, Any]) -> None:
        """Refuse a trial that is not as it was left: asked, answers or outputs."""
        asked = _read(workspace.trial_file)
        told = report["trial"]
        if any(told.get(key) != value for key, value in asked.items() if key != "suite"):
            raise InvalidInput(f"{workspace.root}: trial.json and report.json tell two stories")
        if datasets.digests(workspace.outputs) != report["hashes"]["outputs"]:
            raise InvalidInput(
                f"{workspace.root}: outputs/ is not what was collected; its hashes are in "
                "report.json"
            )

    def _definition(self, own: Mapping[str, Any]) -> Task:
        if self.current is not None:
            task = self.current.get_task(own["id"])
            if task.data_requirements != own["data_requirements"]:
                raise InvalidInput(
                    f"{task.id}: today's definition asks for other data than the trial had; "
                    "only a change of criteria can be graded again"
                )
            return task
        return Task.from_dict(own, source=f"the task of {own['id']}")

    def _grade(self, opened: "Opened") -> tuple[Evaluation | None, str | None]:
        workspace, report, task = opened.workspace, opened.report, opened.task
        seed, instance, outcome = opened.seed, opened.instance, report["outcome"]
        validator = self.validator or validator_for(task)
        try:
            evaluation = validator.grade(
                task,
                graded_side(instance, seed, mode_of(report["trial"])),
                Outputs(workspace.outputs, refused=report["collected"]["refused"]),
                sealed=seed.sealed,
                outcome=outcome["reason"],
                seconds=outcome["seconds"],
            )
        except GraderError as error:
            return None, str(error)
        if report["tampered"]:
            said = f"the agent changed files of the harness: {', '.join(report['tampered'])}"
            evaluation = evaluation.voided(said)
        if outcome.get("breach"):
            evaluation = evaluation.voided(outcome["breach"])
        return evaluation, None

    def _instance(self, task: Task, seed: Seed, asked: Mapping[str, Any]) -> Instance:
        """Draw the instance again; its answers must be those that were committed to."""
        committed = asked["commitment"]
        if self._drawn is not None and self._drawn[0] == committed:
            return self._drawn[1]
        instance = datasets.draw(task, seed)
        if instance.commitment(seed) != committed:
            made_by = asked.get("versions", {}).get("aexp", "unknown")
            raise InvalidInput(
                f"{task.id}: seed and answers do not match the commitment of trial.json: changed "
                f"since, or drawn by another version of the task or its generator (aexp {made_by})"
            )
        self._drawn = committed, instance
        return instance


def _published(workspace: Workspace, asked: Mapping[str, Any]) -> str | None:
    """Return the seed that a suite published when all its trials had met the instance."""
    named = (asked.get("suite") or {}).get("instance")
    if named is None:
        return None
    manifest = workspace.root / named / "private" / "manifest.json"
    # Whatever it says is held against the commitment.
    return str(_read(manifest)["seed"]) if manifest.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except BROKEN as error:
        raise InvalidInput(f"{file}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file}: not a JSON object")
    return found


def _record(
    workspace: Workspace,
    report: Mapping[str, Any],
    task: Task,
    evaluation: Evaluation | None,
    grader_error: str | None,
) -> Regraded:
    """Write the new report, unless it says the same; tell what changed."""
    old: Mapping[str, Any] = report["evaluation"] or {}
    # Through JSON, as the old one came: tuples are lists there.
    new = json.loads(json.dumps(evaluation.as_dict(), default=str)) if evaluation else None
    found = Regraded(
        trial=workspace.root.name,
        task=task.id,
        verdict="unchanged",
        before=old.get("overall_score"),
        after=None if evaluation is None else evaluation.overall_score,
        success_before=old.get("success"),
        success_after=None if evaluation is None else evaluation.success,
        detail=grader_error or "",
    )
    if new == report["evaluation"] and grader_error == report["grader_error"]:
        return found
    kept = _keep(workspace)
    regraded = {
        "previous": kept.name,
        "task": task.definition(),
        "versions": dict(versions()),
        "at": time.time(),
    }
    payload = {
        **report,
        "evaluation": new,
        "grader_error": grader_error,
        "claimed": {} if evaluation is None else evaluation.claimed,
        "regraded": regraded,
    }
    workspace.write_json(workspace.report_file, payload)
    workspace.append_event("regraded", previous=kept.name, overall_score=found.after)
    return replace(found, verdict="changed", kept=kept.name)


def _keep(workspace: Workspace) -> Path:
    """Give the report of today a second name; the first is then replaced at once."""
    number = 1
    while True:
        kept = workspace.root / f"report.{number}.json"
        try:
            kept.hardlink_to(workspace.report_file)
        except FileExistsError:
            number += 1
        else:
            return kept
