"""Whether a task is sound: what its makers, and those who trust its number, want to know."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks import datasets, grading, reference
from tasks.datasets.writer import sample_submission, write_table
from tasks.errors import InvalidTask
from tasks.grading import Evaluation, Hidden, Outputs
from tasks.grading.decide import decide
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.grading.redraw import spread_of_z
from tasks.instance import Blob, Instance, Seed, Streams, Table, class_names
from tasks.measures import MEASURES
from tasks.prepared import Prepared, prepare
from tasks.runner import TaskRunner
from tasks.spec import Task
from tasks.trial import Trial
from tasks.validator import hidden_side, validator_for

SAME = 0.99
"""Share of rows beyond which a public column is taken for the answers."""
ID_Z = 5.0
"""How far ids may correlate with answers, in standard errors."""
LABEL_STREAMS = frozenset({"train/labels", "test/labels"})
LABELS_COME_LAST = tuple(
    f"tasks.datasets.{module}:"
    for module in ("tabular", "multilabel", "relational", "survival", "causal")
)
"""Families that draw labels given the features, from `LABEL_STREAMS`."""
REDRAWS = 100
MOST_ERRORS, APPROXIMATE_SLACK = 4.0, 0.01
"""Standard errors by which a score may pass the ceiling, and what is allowed on top where the
ceiling's decision is found by iteration."""
MOST_ROWS, FEWER, GROWTH_SEEDS, GROWTH_SLACK = 4000, 8, 2, 0.02
"""Skill is compared between at most so many rows and an eighth of them, over so many seeds."""

CERTAIN = {"log_loss", "brier"}
"""Measures by which a model that is too sure of itself is worse than one that knows nothing."""


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
        with_agent: Whether the experiment agent is run, on the practice instance: on fresh ones the
            verdict would change from time to time.
        time_limit: Seconds the agent may take.
        work_dir: Where its trial is kept; by default nowhere.
    """
    ready = prepare(task, Seed.practice(task.id))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield _deterministic(ready, folder)
        yield _no_answers(ready.instance)
        yield _trivial_fails(task, ready.instance, folder)
        yield from _noise_stays_in_the_label(ready)
        models = _models(ready.instance)
        yield from _below_the_ceiling(task, ready.instance, models)
        yield from _labels_follow_the_law(task, ready.instance, models)
        yield from _z_is_normal(task, ready.instance, models)
        yield from _skill_grows(task)
        if with_agent:
            runner = TaskRunner(work_dir or folder / "runs")
            trial = runner.run_task(task, timeout=time_limit, prepared=ready)
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
    spoken = list(labels.T) if labels.ndim > 1 else [labels]
    if contract.kind == "classes":
        spoken.append(class_names(answers.labels, contract.classes))
    bad += [
        name
        for name, values in columns.items()
        if any(np.mean(values == answer) > SAME for answer in spoken)
    ]
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


class _Relabelled(Streams):
    """The same streams, but for those that draw labels of train and test rows."""

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._labels = Streams(seed + b"relabelled")

    def stream(self, purpose: str, chunk: int = 0) -> Generator:
        if purpose in LABEL_STREAMS:
            return self._labels.stream(purpose, chunk)
        return super().stream(purpose, chunk)

    def child(self, purpose: str) -> "Streams":
        return _Relabelled(hashlib.sha256(self._seed + b"\1" + purpose.encode()).digest())


def _noise_stays_in_the_label(ready: Prepared) -> Iterator[Finding]:
    """Draw the labels anew: nothing public may follow them but the target of the train rows.

    Only where features come first and labels are drawn given them; where the class comes first
    (images, text, mixtures) its data must follow, and where the past makes the future (series).
    """
    family, contract = ready.task.family, ready.instance.contract
    if family is None or contract is None or not family.draws.startswith(LABELS_COME_LAST):
        return
    again = family.draw(_Relabelled(ready.seed.secret)).public
    changed = [
        f"{name}.{column}"
        for name, table in ready.instance.public.items()
        if isinstance(table, Table) and isinstance(other := again[name], Table)
        for column in _changed(table.columns(), other.columns())
    ]
    public = ready.instance.public
    answers = _columns(public, "train").keys() - _columns(public, "test").keys()
    targets = {f"train.{name}" for name in answers}
    beyond = sorted(set(changed) - targets)
    if getattr(family, "leakage_trap", 0.0):  # whose train column follows the label on purpose
        beyond = [name for name in beyond if not name.startswith("train.")]
    shown = ", ".join(sorted(targets & set(changed)))
    detail = f"also in {', '.join(beyond)}" if beyond else f"redrawn labels show in {shown} only"
    ok = not beyond and bool(shown)
    yield Finding(check="label noise stays in the label", ok=ok, detail=detail)


def _columns(public: Mapping[str, Table | Blob], name: str) -> Mapping[str, NDArray[Any]]:
    table = public.get(name)
    return table.columns() if isinstance(table, Table) else {}


def _changed(old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[Any]]) -> list[str]:
    return [
        name
        for name, values in old.items()
        if not np.array_equal(values, new[name], equal_nan=values.dtype.kind == "f")
    ]


def _below_the_ceiling(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> Iterator[Finding]:
    """Compare the panel with the ceiling: nobody passes it by more than chance."""
    contract, answers, measure = instance.contract, instance.answers, task.primary_measure
    if contract is None or answers is None or answers.law is None or measure is None or not models:
        return
    marker, over, words = Marker(contract, answers), [], []
    sign = 1 if MEASURES[measure].greater_is_better else -1
    for name, said in models.items():
        mark = marker.mark(measure, said)
        ceiling = mark.score if mark.ceiling is None else mark.ceiling
        slack = MOST_ERRORS * mark.se + APPROXIMATE_SLACK * mark.approximate
        over += [name] if sign * (mark.score - ceiling) > slack else []
        words.append(f"{name} {mark.score:.4f}")
    detail = f"{', '.join(words)}; ceiling {marker.ceiling(measure):.4f}"
    yield Finding(check=f"panel below the ceiling: {measure}", ok=not over, detail=detail)


def _models(instance: Instance) -> dict[str, Prediction]:
    if not reference.installed():
        return {}
    return {one.name: one.prediction for one in reference.panel(instance)}


def _honest(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> dict[str, Prediction]:
    """Return the best decision under the law, and the panel's; nothing where no law is known."""
    contract, answers, measure = instance.contract, instance.answers, task.primary_measure
    if contract is None or answers is None or answers.law is None or measure is None:
        return {}
    best = decide(measure, answers.law, contract.quantiles, contract.costs)
    return {"oracle": best, **models}


def _labels_follow_the_law(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> Iterator[Finding]:
    """Test the labels that were drawn: a law that is not theirs shows in honest predictors' z."""
    contract, answers = instance.contract, instance.answers
    if contract is None or answers is None:
        return
    said = _honest(task, instance, models)
    found = {name: examine(one, contract, answers) for name, one in said.items()}
    zs = {name: one["leak_z"] for name, one in found.items() if one["leak_z"] is not None}
    if zs:
        words = ", ".join(f"{name} z = {z:+.2f}" for name, z in zs.items())
        ok = not any(one["leak_suspected"] for one in found.values())
        yield Finding(check="labels follow the law", ok=ok, detail=words)


def _z_is_normal(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> Iterator[Finding]:
    """Redraw the labels: z must have mean 0 and deviation 1 for the oracle and the panel."""
    contract, answers = instance.contract, instance.answers
    if contract is None or answers is None:
        return
    said = _honest(task, instance, models)
    spreads = {name: spread_of_z(one, contract, answers, REDRAWS) for name, one in said.items()}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    if known:
        words = (f"{name} {one.mean:+.2f} ± {one.sd:.2f}" for name, one in known.items())
        ok = all(one.standard for one in known.values())
        yield Finding(check="z is standard normal", ok=ok, detail=", ".join(words))


def _skill_grows(task: Task) -> Iterator[Finding]:
    """Fit the panel on few and on more rows: more must not be worse."""
    measure, own = task.primary_measure, getattr(task.family, "n_samples", 0)
    large = min(own, MOST_ROWS)
    sized = [_resized(task, n) for n in (large // FEWER, large)]
    if measure is None or not own or None in sized:
        return
    tasks = [one for one in sized if one is not None]
    skills = [_best_skill(one, measure) for one in tasks]
    if measure in CERTAIN and all(skill is not None and skill < 0 for skill in skills):
        # Too sure of themselves as they come, the models say nothing of the data by this measure.
        measure = "accuracy"
        skills = [_best_skill(one, measure) for one in tasks]
    few, many = skills
    if few is None or many is None:
        return
    by = "" if measure == task.primary_measure else f", by {measure}"
    detail = f"{few:.3f} with {large // FEWER:,} rows, {many:.3f} with {large:,}{by}"
    yield Finding(check="skill grows with data", ok=many > few - GROWTH_SLACK, detail=detail)


def _resized(task: Task, n_samples: int) -> Task | None:
    definition = task.definition()
    definition["data_requirements"] |= {"n_samples": n_samples}
    try:
        return Task.from_dict(definition, folder=task.folder)
    except InvalidTask:
        return None


def _best_skill(task: Task, measure: str) -> float | None:
    """Return the mean over seeds of the best skill among the panel, if there is one."""
    best = []
    for seed in range(1, GROWTH_SEEDS + 1):
        instance = datasets.draw(task, Seed.public(seed))
        if instance.contract is None or instance.answers is None:
            return None
        marker = Marker(instance.contract, instance.answers)
        marks = [marker.mark(measure, said) for said in _models(instance).values()]
        skills = [mark.skill for mark in marks if mark.skill is not None]
        if not skills:
            return None
        best.append(max(skills))
    return float(np.mean(best))


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
        slack = MOST_ERRORS * (mark.get("se") or 0.0) / span if span else 0.0
        detail = f"{mark['floor']:.4f} → {mark['score']:.4f} → {mark['ceiling']:.4f}"
        above = 1 + slack if mark.get("approximate") is not True else 1.05
        known = "reference" not in mark.get("tier", "")
        ok = skill > 0 and (skill <= above or not known)
        yield Finding(check=f"floor < agent < ceiling: {name}", ok=ok, detail=detail)
        return
