"""What a submission is worth: checked, marked, examined for leaked answers."""

from dataclasses import dataclass
from typing import Any

from tasks.errors import InvalidTask
from tasks.grading import submission
from tasks.grading.integrity import examine
from tasks.grading.marks import Mark, Marker, measurable
from tasks.grading.outputs import Outputs
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract, Facts
from tasks.measures import MEASURES
from tasks.spec import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """The hidden side of an instance, as far as grading needs it."""

    contract: Contract | None = None
    answers: Answers | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A submission's checks, marks and integrity."""

    marks: dict[str, Mark]
    valid: bool | None
    """None where no submission is asked for."""
    summary: dict[str, Any]
    integrity: dict[str, Any]
    feedback: tuple[str, ...] = ()


_LEAKED = (
    "leak suspected: |z| = {:.1f}; the predictions know more of the hidden labels than any model "
    "of the features can"
)
_NO_LEAK: dict[str, Any] = {"leak_z": None, "leak_suspected": False, "findings": []}


def grade_submission(task: Task, hidden: Hidden, outputs: Outputs) -> Predicted:
    """Check, mark and examine the submission among `outputs`, if one is asked for."""
    if hidden.contract is None or hidden.answers is None:
        return Predicted(marks={}, valid=None, summary={}, integrity=dict(_NO_LEAK))
    checked = submission.check(outputs.root, hidden.contract, refused=outputs.refused)
    problems = [str(problem) for problem in checked.problems]
    summary = {"valid": not problems, "file": checked.file, "problems": problems}
    if checked.prediction is None:
        feedback = tuple(f"submission not valid, {problem}" for problem in problems)
        integrity = dict(_NO_LEAK)
        return Predicted(
            marks={}, valid=False, summary=summary, integrity=integrity, feedback=feedback
        )
    marker = Marker(hidden.contract, hidden.answers)
    names = _measures(task, checked.prediction, hidden.contract, hidden.answers)
    marks = {name: marker.mark(name, checked.prediction) for name in names}
    integrity = examine(checked.prediction, hidden.contract, hidden.answers)
    feedback = tuple(integrity["findings"])
    if integrity["leak_suspected"]:
        feedback += (_LEAKED.format(abs(integrity["leak_z"])),)
    return Predicted(
        marks=marks, valid=True, summary=summary, integrity=integrity, feedback=feedback
    )


def _measures(
    task: Task, prediction: Prediction, contract: Contract, answers: Answers
) -> list[str]:
    """Return the primary measure, those of the criteria, then the usual ones; each once."""
    possible = measurable(prediction, contract, answers)
    asked = [c.subject for c in task.criteria if c.subject in MEASURES]
    primary = task.primary_measure
    wanted = [*([primary] if primary else []), *asked]
    fitting = [name for name in wanted if MEASURES[name].needs in _needs(prediction)]
    return list(dict.fromkeys([*fitting, *possible]))


def _needs(prediction: Prediction) -> set[str]:
    there = {
        "labels": prediction.codes is not None or prediction.p is not None,
        "probabilities": prediction.p is not None,
        "values": prediction.values is not None,
        "quantiles": bool(prediction.quantiles),
        "clusters": prediction.codes is not None,
    }
    return {name for name, given in there.items() if given}


def brackets(task: Task, hidden: Hidden) -> dict[str, dict[str, float | None]]:
    """Return floor and ceiling of the task's measures and of the usual ones, by measure."""
    if hidden.contract is None or hidden.answers is None:
        return {}
    marker = Marker(hidden.contract, hidden.answers)
    first = next(iter(hidden.answers.trivial.values()))
    trivial = Prediction(p=first) if first.ndim > 1 else Prediction(values=first)
    if hidden.contract.kind == "clusters":
        trivial = Prediction(codes=first.argmax(axis=1))
    names = _measures(task, trivial, hidden.contract, hidden.answers)
    return {n: {"floor": marker.floor(n), "ceiling": marker.ceiling(n)} for n in names}


def check_measurable(task: Task, contract: Contract) -> None:
    """Refuse criteria that this task's data can never be measured by.

    Raises:
        InvalidTask: For example `min_r2` on classes.
    """
    fitting = {
        "classes": {"labels", "probabilities"},
        "values": {"values", "quantiles"},
        "clusters": {"clusters"},
    }[contract.kind]
    for criterion in task.criteria:
        measure = MEASURES.get(criterion.subject)
        if measure is not None and measure.needs not in fitting:
            raise InvalidTask(
                f"{task.id}: evaluation_criteria.{criterion.key} needs {measure.needs}, "
                f"but its data ask for {contract.kind}"
            )
