"""Whether a task is sound: what its makers, and those who trust its number, want to know."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import datasets, grading
from tasks.datasets.writer import sample_submission, write_table
from tasks.grading import Evaluation, Hidden, Outputs
from tasks.instance import Instance, Seed, Table
from tasks.runner import Prepared, TaskRunner, Trial, prepare
from tasks.spec import Task
from tasks.validator import hidden_side, validator_for

ID_Z = 5.0
"""How far ids may correlate with answers, in standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One property of a task, and whether it holds."""

    check: str
    ok: bool
    detail: str


def check_task(
    task: Task, *, with_agent: bool = True, time_limit: float = 1800, work_dir: Path | None = None
) -> Iterator[Finding]:
    """Yield the findings on a task, the quick ones first.

    Args:
        task: The task.
        with_agent: Whether the experiment agent is run on a fresh instance.
        time_limit: Seconds the agent may take.
        work_dir: Where its trial is kept; by default nowhere.
    """
    ready = prepare(task, Seed.practice(task.id))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield _deterministic(ready, folder)
        yield _no_answers(ready.instance)
        yield _trivial_fails(task, ready.instance, folder)
        if with_agent:
            runner = TaskRunner(work_dir or folder / "runs")
            trial = runner.run_task(task, timeout=time_limit)
            yield _agent_succeeds(trial)
            yield from _between(trial)


def _deterministic(ready: Prepared, folder: Path) -> Finding:
    first = _written(ready, folder / "first")
    again = _written(prepare(ready.task, ready.seed), folder / "again")
    other = _written(prepare(ready.task, Seed.public(1)), folder / "other")
    if first != again:
        changed = sorted(name for name in first if first[name] != again.get(name))
        return Finding(check="deterministic", ok=False, detail=f"differ: {', '.join(changed)}")
    if ready.instance.public and first == other:
        return Finding(check="deterministic", ok=False, detail="another seed gives the same data")
    detail = f"{len(first)} files, the same for the same seed only"
    return Finding(check="deterministic", ok=True, detail=detail)


def _written(ready: Prepared, folder: Path) -> dict[str, str]:
    folder.mkdir()
    datasets.write_public(ready.task, ready.instance, folder)
    return datasets.digests(folder)


def _no_answers(instance: Instance) -> Finding:
    contract, answers = instance.contract, instance.answers
    test = instance.public.get("test")
    if contract is None or answers is None or not isinstance(test, Table):
        return Finding(check="no answers in public", ok=True, detail="nothing is predicted")
    columns = test.columns()
    bad = [contract.target] if contract.target in columns else []
    labels = np.asarray(answers.labels, dtype=np.float64)
    for name, values in columns.items():
        if values.dtype.kind in "if" and np.mean(values == labels) > 0.99:  # noqa: PLR2004
            bad.append(name)
    spread = labels.std()
    if contract.kind == "classes" and spread > 0:
        z = abs(np.corrcoef(contract.ids, labels)[0, 1]) * np.sqrt(len(labels))
        bad += [f"{contract.id_column} (z = {z:.1f})"] if z > ID_Z else []
    detail = f"found in: {', '.join(bad)}" if bad else f"{len(columns)} columns looked at"
    return Finding(check="no answers in public", ok=not bad, detail=detail)


def _trivial_fails(task: Task, instance: Instance, folder: Path) -> Finding:
    outputs = folder / "trivial" / "submission"
    outputs.mkdir(parents=True)
    if instance.contract is not None:
        write_table(sample_submission(instance.contract), outputs / "submission.csv")
    evaluation = validator_for(task).grade(
        task, hidden_side(instance), Outputs(outputs.parent), sealed=False, seconds=0.0
    )
    floors = _floors_passing(task, hidden_side(instance))
    detail = ", ".join(
        f"{k}: {'met' if ok else 'unmet'}" for k, ok in evaluation.criteria_met.items()
    )
    if floors:
        detail += f"; the floor itself meets {', '.join(floors)}"
    return Finding(check="trivial fails", ok=not evaluation.success and not floors, detail=detail)


def _floors_passing(task: Task, hidden: Hidden) -> list[str]:
    """Return the criteria on measures that the best trivial predictor meets, if it meets all."""
    brackets = grading.brackets(task, hidden)
    met = []
    on_measures = [c for c in task.criteria if c.subject in brackets]
    for criterion in on_measures:
        floor, threshold = brackets[criterion.subject]["floor"], criterion.threshold
        if floor is None or isinstance(threshold, tuple):
            continue
        if (floor >= threshold) if criterion.bound == "min" else (floor <= threshold):
            met.append(criterion.key)
    return met if on_measures and len(met) == len(on_measures) else []


def _agent_succeeds(trial: Trial) -> Finding:
    evaluation = trial.evaluation
    ok = evaluation is not None and evaluation.success and trial.outcome.ok
    score = f"overall {evaluation.overall_score:.3f}" if evaluation else str(trial.grader_error)
    detail = f"{trial.outcome.reason} in {trial.outcome.seconds:.1f} s, {score}"
    return Finding(check="experiment agent succeeds", ok=ok, detail=detail)


def _between(trial: Trial) -> Iterator[Finding]:
    evaluation: Evaluation | None = trial.evaluation
    for name, mark in (evaluation.scores if evaluation else {}).items():
        if not isinstance(mark, dict) or mark.get("skill") is None or mark.get("ceiling") is None:
            continue
        skill, span = mark["skill"], abs(mark["ceiling"] - mark["floor"])
        slack = 3 * (mark.get("se") or 0.0) / span if span else 0.0
        detail = f"{mark['floor']:.4f} → {mark['score']:.4f} → {mark['ceiling']:.4f}"
        above = 1 + slack if mark.get("approximate") is not True else 1.05
        known = "reference" not in mark.get("tier", "")
        ok = skill > 0 and (skill <= above or not known)
        yield Finding(check=f"floor < agent < ceiling: {name}", ok=ok, detail=detail)
        return
