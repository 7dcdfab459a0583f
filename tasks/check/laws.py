"""The law behind a task: what it says of labels, of ceilings and of the leak test."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import numpy as np

from tasks import datasets, grading, reference
from tasks.check.finding import Finding
from tasks.errors import InvalidTask
from tasks.grading.decide import APPROXIMATE, decide
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.grading.redraw import spread_of_z
from tasks.instance import Answers, Contract, Instance, Seed
from tasks.measures import MEASURES
from tasks.spec import Task
from tasks.validator import hidden_side

REDRAWS = 100
MOST_ROWS, FEWER, GROWTH_SEEDS, GROWTH_SLACK = 4000, 8, 2, 0.02
"""Skill is compared between at most so many rows and an eighth of them, over so many seeds."""
CERTAIN = {"log_loss", "brier"}
"""Measures by which a model that is too sure of itself is worse than one that knows nothing."""
MOST_ERRORS, APPROXIMATE_SLACK = 4.0, 0.01
"""Standard errors by which a score may pass the ceiling, and what is allowed on top where the
ceiling's decision is found by iteration."""
ROUNDING = 1e-9
"""By how much a mark may be beyond a ceiling in closed form: that is the law's, without error."""

Seen = TypeVar("Seen")


def below_the_ceiling(
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


def marks_can_be_reached(task: Task, instance: Instance) -> Iterator[Finding]:
    """Ask that no pass mark is beyond the ceiling; a recorded panel's best is not taken for one."""
    if instance.answers is None or instance.answers.law is None:
        return
    brackets = grading.brackets(task, hidden_side(instance))
    beyond: list[str] = []
    within: list[str] = []
    for criterion in task.criteria:
        threshold, measure = criterion.threshold, criterion.subject
        ceiling = brackets[measure]["ceiling"] if measure in brackets else None
        if ceiling is None or isinstance(threshold, tuple):
            continue
        over = threshold - ceiling if criterion.bound == "min" else ceiling - threshold
        reached = over <= (APPROXIMATE_SLACK if measure in APPROXIMATE else ROUNDING)
        where = "within" if reached else "is beyond"
        said = f"{criterion.key} {threshold:g} {where} the ceiling {ceiling:.4f}"
        (within if reached else beyond).append(said)
    if beyond or within:
        detail = ", ".join(beyond or within)
        yield Finding(check="marks can be reached", ok=not beyond, detail=detail)


def panel_of(instance: Instance) -> dict[str, Prediction]:
    """Return what the reference models say; nothing where they are not installed."""
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


def _examined(
    task: Task,
    instance: Instance,
    models: Mapping[str, Prediction],
    look: Callable[[Prediction, Contract, Answers], Seen],
) -> dict[str, Seen]:
    """Look at each honest prediction; at none where there is nothing to be predicted."""
    contract, answers = instance.contract, instance.answers
    if contract is None or answers is None:
        return {}
    said = _honest(task, instance, models)
    return {name: look(one, contract, answers) for name, one in said.items()}


def labels_follow_the_law(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> Iterator[Finding]:
    """Test the labels that were drawn: a law that is not theirs shows in honest predictors' z."""
    found = _examined(task, instance, models, examine)
    zs = {name: one["leak_z"] for name, one in found.items() if one["leak_z"] is not None}
    if zs:
        words = ", ".join(f"{name} z = {z:+.2f}" for name, z in zs.items())
        ok = not any(one["leak_suspected"] for one in found.values())
        yield Finding(check="labels follow the law", ok=ok, detail=words)


def z_is_normal(
    task: Task, instance: Instance, models: Mapping[str, Prediction]
) -> Iterator[Finding]:
    """Redraw the labels: z must have mean 0 and deviation 1 for the oracle and the panel."""
    spreads = _examined(task, instance, models, partial(spread_of_z, n=REDRAWS))
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    if known:
        words = (f"{name} {one.mean:+.2f} ± {one.sd:.2f}" for name, one in known.items())
        ok = all(one.standard for one in known.values())
        yield Finding(check="z is standard normal", ok=ok, detail=", ".join(words))


def skill_grows(task: Task) -> Iterator[Finding]:
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
        marks = [marker.mark(measure, said) for said in panel_of(instance).values()]
        skills = [mark.skill for mark in marks if mark.skill is not None]
        if not skills:
            return None
        best.append(max(skills))
    return float(np.mean(best))
