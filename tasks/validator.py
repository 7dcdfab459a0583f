"""TaskValidator: grades a results folder, and is what custom evaluation is derived from."""

import math
import os
from collections.abc import Callable, ItemsView, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks import datasets, grading, plugins
from tasks.errors import GraderError, InvalidTask, TasksError
from tasks.grading import Custom, Evaluation, Hidden, Outputs
from tasks.instance import Instance, Seed
from tasks.outcome import Reason
from tasks.spec import Task


class TaskValidator:
    """Grades what an agent left.

    Subclasses add measurements of their own as `_evaluate_<task_type>(self, task, results_dir)`
    or `_evaluate_<task_type>_task`, returning a dict with any of `criteria_met` (name → bool),
    `scores` (name → number) and `feedback` (lines). They join what the system measures itself.
    """

    def evaluate_task(
        self,
        task: Task,
        results_dir: str | os.PathLike[str],
        *,
        seed: Seed | int | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Evaluation:
        """Grade a folder of results that somebody made on data from `generate-data`.

        Args:
            task: The task the results are for.
            results_dir: Holds `submission.csv` or `predictions.csv`, figures, `insights.json` …
            seed: The seed of the data, or the number of a public one; by default the task's
                public practice seed.
            data_dir: The data folder: one made with `--with-answers` spares drawing the answers
                again, of another it is checked that it holds the draw of this seed.

        Raises:
            InvalidInput: A folder is not what it should be, or holds another draw.
            GraderError: A custom evaluation failed.
        """
        draw, seed = draw_words(seed), Seed.of(seed)
        outputs = Outputs.at(Path(results_dir))
        data = None if data_dir is None else Path(data_dir)
        if data is not None and datasets.has_answers(data):
            contract = datasets.read_contract(data)
            answers = datasets.read_private(data / "private", contract)
            hidden = Hidden(contract=contract, answers=answers)
        else:
            instance = datasets.draw(task, seed or Seed.practice(task.id))
            if data is not None:
                datasets.check_same(task, instance, data, draw)
            hidden = hidden_side(instance)
        return self.grade(task, hidden, outputs, sealed=seed.sealed if seed else False)

    def grade(
        self,
        task: Task,
        hidden: Hidden,
        outputs: Outputs,
        *,
        sealed: bool,
        outcome: Reason | None = None,
        seconds: float | None = None,
    ) -> Evaluation:
        """Grade outputs against hidden answers that are at hand.

        Raises:
            InvalidTask: A criterion can never be measured by this task's data.
            GraderError: A custom evaluation failed; the trial is void, not zero.
        """
        grading.check_measurable(task, hidden)
        return grading.evaluate(
            task,
            hidden,
            outputs,
            sealed=sealed,
            outcome=outcome,
            seconds=seconds,
            custom=self._custom(task, outputs),
        )

    def _custom(self, task: Task, outputs: Outputs) -> Custom | None:
        method = self._method(task.task_type)
        if method is None:
            return None
        try:
            return as_custom(method(task, outputs.results))
        except TasksError:
            raise
        # Whatever a stranger's evaluation raises, the blame is its own and the trial is void.
        except (Exception, SystemExit) as error:
            name = getattr(method, "__qualname__", str(method))
            raise GraderError(f"{name} failed: {type(error).__name__}: {error}") from error

    def _method(self, task_type: str) -> Callable[[Task, Path], Any] | None:
        for name in (f"_evaluate_{task_type}", f"_evaluate_{task_type}_task"):
            method: Callable[[Task, Path], Any] | None = getattr(self, name, None)
            if method is not None:
                return method
        return None


def validator_for(task: Task) -> TaskValidator:
    """Return the validator of an installed plug-in for this task's type, or the plain one.

    Raises:
        InvalidTask: The plug-in is no TaskValidator.
    """
    if task.task_type not in plugins.names("validator"):
        return TaskValidator()
    made = plugins.load("validator", task.task_type)()
    if not isinstance(made, TaskValidator):
        raise InvalidTask(f"the validator of {task.task_type!r} is no TaskValidator: {made!r}")
    return made


def draw_words(seed: Seed | int | None) -> str:
    """Return what a message calls the draw of a seed."""
    if isinstance(seed, int):
        return f"seed {seed}"
    return "the practice draw" if seed is None else "that of the seed given"


def hidden_side(instance: Instance) -> Hidden:
    """Return the parts of an instance that grading needs."""
    return Hidden(contract=instance.contract, answers=instance.answers, facts=instance.facts)


def as_custom(found: Any) -> Custom:
    """Check what a custom evaluation returned.

    Raises:
        GraderError: It is not a dict of `criteria_met`, `scores` and `feedback`.
    """
    if not isinstance(found, Mapping):
        raise GraderError(f"a custom evaluation must return a dict, not {type(found).__name__}")
    unknown = found.keys() - {"criteria_met", "scores", "feedback"}
    if unknown:
        raise GraderError(
            f"a custom evaluation returned {sorted(map(str, unknown))}; known: criteria_met, "
            "scores, feedback"
        )
    feedback = found.get("feedback", ())
    return Custom(
        criteria_met={str(key): _yes_or_no(key, met) for key, met in _items(found, "criteria_met")},
        scores={str(key): _number(key, score) for key, score in _items(found, "scores")},
        feedback=(feedback,)
        if isinstance(feedback, str)
        else tuple(str(line) for line in feedback),
    )


def _items(found: Mapping[str, Any], part: str) -> ItemsView[Any, Any]:
    items = found.get(part, {})
    if not isinstance(items, Mapping):
        raise GraderError(f"{part} of a custom evaluation must be a dict, not {items!r:.80}")
    return items.items()


def _yes_or_no(key: str, met: Any) -> bool:
    if not isinstance(met, bool | np.bool_):  # "no" would count as yes
        raise GraderError(f"criteria_met[{key!r}] must be True or False, not {met!r:.80}")
    return bool(met)


def _number(key: str, score: Any) -> float:
    number = float(score)
    if not math.isfinite(number):  # a report could not hold it
        raise GraderError(f"scores[{key!r}] must be a finite number, not {number}")
    return number
