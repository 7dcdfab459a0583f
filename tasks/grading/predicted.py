"""What a submission is worth: checked, marked, examined for leaked answers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tasks.errors import InvalidTask
from tasks.grading import split, submission
from tasks.grading.integrity import examine
from tasks.grading.marks import Mark, Marker, measurable, without_spread
from tasks.grading.measures import EXPECTED_COST
from tasks.grading.outputs import Outputs
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract, Durations, Facts, Ints
from tasks.measures import MEASURES
from tasks.spec import Task


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """The hidden side of an instance, as far as grading needs it; kept, it marks many trials."""

    contract: Contract | None = None
    answers: Answers | None = None
    facts: Facts | None = None
    rows: Ints | None = None
    """The rows that are graded, where others are for feedback; a submission holds all of them."""

    def graded(self) -> tuple[Contract, Answers] | None:
        """Return form and answers of the rows that are graded; None where none are asked for."""
        if self.contract is None or self.answers is None:
            return None
        if self.rows is None:
            return self.contract, self.answers
        return split.contract_of(self.contract, self.rows), split.answers_of(
            self.answers, self.rows
        )

    def predicted(self, prediction: Prediction) -> Prediction:
        """Return what was predicted for the rows that are graded."""
        return prediction if self.rows is None else split.prediction_of(prediction, self.rows)

    @cached_property
    def marker(self) -> Marker:
        """What marks predictions: floors and ceilings are found once, for all who meet them.

        Raises:
            ValueError: The instance asks for no predictions.
        """
        graded = self.graded()
        if graded is None:
            raise ValueError("an instance without answers has no marks")
        return Marker(*graded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A submission's checks, marks and integrity."""

    marks: dict[str, Mark]
    valid: bool | None
    """None where no submission is asked for."""
    summary: dict[str, Any]
    integrity: dict[str, Any]
    feedback: tuple[str, ...] = ()


DECIMALS = 4
"""Of a score that is told while an agent works: more would tell single rows."""

_LEAKED = (
    "leak suspected: |z| = {:.1f}; the predictions know more of the hidden labels than any model "
    "of the features can"
)


def _unexamined() -> dict[str, Any]:
    return {"leak_z": None, "leak_suspected": False, "findings": []}


def grade_submission(task: Task, hidden: Hidden, outputs: Outputs) -> Predicted:
    """Check, mark and examine the submission among `outputs`, if one is asked for."""
    graded = hidden.graded()
    if hidden.contract is None or graded is None:
        return Predicted(marks={}, valid=None, summary={}, integrity=_unexamined())
    checked = submission.check(outputs.root, hidden.contract, refused=outputs.refused)
    problems = [str(problem) for problem in checked.problems]
    summary = {"valid": not problems, "file": checked.file, "problems": problems}
    if checked.prediction is None:
        feedback = tuple(f"submission not valid, {problem}" for problem in problems)
        return Predicted(
            marks={}, valid=False, summary=summary, integrity=_unexamined(), feedback=feedback
        )
    prediction = hidden.predicted(checked.prediction)
    marker = hidden.marker
    names = _measures(task, prediction, *graded)
    marks = {name: marker.mark(name, prediction) for name in names}
    integrity = examine(prediction, *graded)
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
    fitting = [name for name in fitting if _lacks(name, contract, answers) is None]
    return list(dict.fromkeys([*fitting, *possible]))


def _needs(prediction: Prediction) -> set[str]:
    there = {
        "labels": prediction.codes is not None or prediction.p is not None,
        "probabilities": prediction.p is not None,
        "label_sets": prediction.label_sets is not None or prediction.label_p is not None,
        "label_probabilities": prediction.label_p is not None,
        "values": prediction.values is not None,
        "quantiles": bool(prediction.quantiles),
        "clusters": prediction.codes is not None,
    }
    return {name for name, given in there.items() if given}


def brackets(task: Task, hidden: Hidden) -> dict[str, dict[str, float | None]]:
    """Return floor and ceiling of the task's measures and of the usual ones, by measure."""
    graded = hidden.graded()
    if graded is None:
        return {}
    contract, answers = graded
    marker = hidden.marker
    first = next(iter(answers.trivial.values()))
    trivial = Prediction(p=first) if first.ndim > 1 else Prediction(values=first)
    if contract.kind == "clusters":
        trivial = Prediction(codes=first.argmax(axis=1))
    elif contract.kind == "multilabel":
        trivial = Prediction(label_p=first)
    names = _measures(task, trivial, contract, answers)
    return {n: {"floor": marker.floor(n), "ceiling": marker.ceiling(n)} for n in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two submissions for one instance differ by a measure."""

    value: float
    """In score; above 0 where the first one's is larger."""
    se: float
    """Standard error over the hidden rows, paired."""
    per_skill: float | None
    """The score that makes one unit of skill, with its sign; None where there is no ceiling."""
    identical: bool
    """Whether both predict the same in every row."""


def difference(measure: str, hidden: Hidden, one: Outputs, other: Outputs) -> Difference | None:
    """Compare two submissions row by row; None where one is not valid or cannot be measured so."""
    first, second, graded = _prediction(hidden, one), _prediction(hidden, other), hidden.graded()
    if graded is None or first is None or second is None:
        return None
    if any(MEASURES[measure].needs not in _needs(prediction) for prediction in (first, second)):
        return None
    marker = hidden.marker
    value, se = marker.difference(measure, first, second)
    floor, ceiling = marker.floor(measure), marker.ceiling(measure)
    return Difference(
        value=value,
        se=se,
        per_skill=None if ceiling is None or ceiling == floor else ceiling - floor,
        identical=_same(first, second),
    )


def score(measure: str, hidden: Hidden, outputs: Outputs) -> float | list[str]:
    """Return a submission's score on the realised answers of the graded rows, on four decimals.

    Returns:
        Or the problems of a submission that cannot be scored.
    """
    graded = hidden.graded()
    if hidden.contract is None or graded is None:
        return ["nothing is asked for"]
    checked = submission.check(outputs.root, hidden.contract, refused=outputs.refused)
    if checked.prediction is None:
        return [str(problem) for problem in checked.problems]
    if MEASURES[measure].needs not in _needs(checked.prediction):
        return [f"{measure} needs {MEASURES[measure].needs}"]
    mark = hidden.marker.mark(measure, hidden.predicted(checked.prediction))
    return round(mark.label_score, DECIMALS)


def blind(one: tuple[Hidden, Outputs], other: tuple[Hidden, Outputs]) -> bool:
    """Whether submissions for two instances, valid both, predict the same row by row.

    No code does that which looks at the data, unless it says the same of every row.
    """
    first, second = _prediction(*one), _prediction(*other)
    rows, others = one[0].graded(), other[0].graded()
    if first is None or second is None or rows is None or others is None:
        return False
    same_rows = np.array_equal(rows[0].ids, others[0].ids)
    return same_rows and _same(first, second) and not _constant(first)


def _prediction(hidden: Hidden, outputs: Outputs) -> Prediction | None:
    if hidden.contract is None:
        return None
    checked = submission.check(outputs.root, hidden.contract, refused=outputs.refused)
    return None if checked.prediction is None else hidden.predicted(checked.prediction)


def _constant(prediction: Prediction) -> bool:
    parts = (getattr(prediction, name) for name in _PARTS)
    given = [*(part for part in parts if part is not None), *prediction.quantiles.values()]
    return all(bool((part == part[:1]).all()) for part in given)


_PARTS = ("codes", "p", "label_sets", "label_p", "values")


def _same(one: Prediction, other: Prediction) -> bool:
    pairs = [(getattr(one, part), getattr(other, part)) for part in _PARTS]
    pairs += [
        (one.quantiles.get(level), other.quantiles.get(level))
        for level in one.quantiles.keys() | other.quantiles.keys()
    ]
    return all(
        (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
        for a, b in pairs
    )


def check_measurable(task: Task, hidden: Hidden) -> None:
    """Refuse criteria that this task's data can never be measured by.

    Raises:
        InvalidTask: For example `min_r2` on classes.
    """
    if hidden.contract is None or hidden.answers is None:
        return
    kind = hidden.contract.kind
    fitting = {
        "classes": {"labels", "probabilities"},
        "multilabel": {"label_sets", "label_probabilities"},
        "values": {"values", "quantiles"} if hidden.contract.quantiles else {"values"},
        "clusters": {"clusters"},
    }[kind]
    for criterion in task.criteria:
        measure = MEASURES.get(criterion.subject)
        if measure is None:
            continue
        where = f"{task.id}: evaluation_criteria.{criterion.key}"
        if measure.needs not in fitting:
            asked = f"{kind} without quantiles" if measure.needs == "quantiles" else kind
            raise InvalidTask(f"{where} needs {measure.needs}, but its data ask for {asked}")
        if lacks := _lacks(measure.name, hidden.contract, hidden.answers):
            raise InvalidTask(f"{where} needs {lacks}")


def _lacks(name: str, contract: Contract, answers: Answers) -> str | None:
    """Return what a measure needs of the data, in words, where they do not have it."""
    if name == "mase" and answers.scale is None:
        return "time series, whose seasonal errors scale it"
    if name == EXPECTED_COST and not contract.costs:
        return "data_requirements.costs, what each confusion of classes costs"
    timed = isinstance(answers.law, Durations)
    if name == "concordance" and not timed:
        return "times until an event, whose law is known"
    if name != "concordance" and timed:
        return "numbers; of times until an event only the order is graded (concordance)"
    if name == "ate_error" and not without_spread(answers):
        return "effects of treatment that are known exactly"
    return None
