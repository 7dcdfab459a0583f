"""The part of the hidden rows that feedback is about, and the part that is graded."""

import numpy as np
import pytest

from tasks import Task, datasets, registry
from tasks.desk import Desk
from tasks.errors import InvalidTask
from tasks.feedback import Feedback, graded_side
from tasks.grading import split
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Categorical, Gaussian, Seed, Streams

FAMILIES = [
    "classification_basic",
    "regression_basic",
    "time_series_forecasting",
    "deep_learning_image_classification",
]


def drawn(name, seed=1):
    task = registry.get_task(name)
    return task, datasets.draw(task, Seed.public(seed))


def rng(seed=1):
    return Streams(Seed.public(seed).secret).stream("feedback split")


def values(n=40, *, groups=None, block=None):
    covariance = None if block is None else np.tile(np.eye(block), (n // block, 1, 1))
    return Answers(
        labels=np.arange(float(n)),
        law=Gaussian(mean=np.arange(float(n)), sd=np.ones(n), covariance=covariance),
        trivial={"mean": np.zeros(n)},
        groups=groups,
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_the_two_parts_share_no_row_and_are_all_rows(name):
    _, instance = drawn(name)
    asked, graded = split.divide(instance.answers, rng())
    n = len(instance.answers.labels)
    assert np.array_equal(np.sort(np.concatenate([asked, graded])), np.arange(n))
    assert 0.2 < len(asked) / n < 0.45


def test_rows_that_depend_on_each_other_stay_together():
    _, instance = drawn("time_series_forecasting")
    asked, graded = split.divide(instance.answers, rng())
    groups = instance.answers.groups
    assert not set(groups[asked]) & set(groups[graded])


def test_blocks_of_a_law_stay_whole_and_keep_their_covariance():
    answers = values(40, block=4)
    asked, graded = split.divide(answers, rng())
    assert not set(asked // 4) & set(graded // 4)
    part = split.answers_of(answers, graded)
    assert part.law.covariance.shape == (len(graded) // 4, 4, 4)
    assert np.array_equal(part.law.mean, answers.law.mean[graded])


def test_the_parts_are_those_of_the_seed():
    _, instance = drawn("classification_basic")
    first, again, other = (split.divide(instance.answers, rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_few_independent_rows_are_refused():
    with pytest.raises(InvalidTask, match="1 groups that hang together; a feedback split takes 8"):
        split.divide(values(40, groups=np.zeros(40, dtype=np.int64)), rng())


def test_a_task_without_predictions_has_no_feedback():
    task, instance = drawn("data_analysis_exploratory")
    with pytest.raises(InvalidTask, match="--feedback needs a task that asks for predictions"):
        Desk.open(task, instance, Seed.public(1), Feedback(mode="validation"))


@pytest.mark.parametrize("name", FAMILIES[:3])
def test_marks_of_both_parts_are_those_of_the_whole_on_average(name):
    task, instance = drawn(name)
    asked, graded = split.divide(instance.answers, rng())
    oracle = (
        Prediction(codes=instance.answers.law.p.argmax(axis=1))
        if isinstance(instance.answers.law, Categorical)
        else Prediction(values=instance.answers.law.mean)
    )
    scores = []
    for rows in (asked, graded, np.arange(len(instance.answers.labels))):
        marker = Marker(
            split.contract_of(instance.contract, rows), split.answers_of(instance.answers, rows)
        )
        mark = marker.mark(task.primary_measure, split.prediction_of(oracle, rows))
        assert mark.skill == pytest.approx(1.0)
        scores.append(mark.score)
    assert min(scores[:2]) <= scores[2] <= max(scores[:2])


def test_knowing_every_answer_of_the_feedback_part_says_nothing_of_the_graded_one():
    """What an agent with endless queries could at most find out."""
    _, instance = drawn("classification_basic")
    answers = instance.answers
    asked, graded = split.divide(answers, rng())
    honest = answers.law.p.argmax(axis=1)
    stolen = honest.copy()
    stolen[asked] = answers.labels[asked]
    assert abs(leak_z(Prediction(codes=stolen), answers.law, answers.labels)) > 4
    hidden = graded_side(instance, Seed.public(1), "validation")
    _, final = hidden.graded()
    for codes in (honest, stolen):
        shown = hidden.predicted(Prediction(codes=codes))
        assert np.array_equal(shown.codes, honest[graded])
        assert abs(leak_z(shown, final.law, final.labels)) < 4


def test_without_a_split_all_rows_are_graded():
    _, instance = drawn("classification_basic")
    for mode in ("none", "score"):
        hidden = graded_side(instance, Seed.public(1), mode)
        assert hidden.rows is None
        assert hidden.graded()[0] is instance.contract


def one_of_each_family():
    found = {}
    for task in registry.list_tasks():
        family = task.family
        if family is not None and task.primary_measure is not None and family.tier != "K":
            found.setdefault(type(family).__name__, task)
    return found


@pytest.mark.parametrize("name", sorted(one_of_each_family()))
def test_every_law_can_be_divided(name):
    definition = one_of_each_family()[name].definition()
    if "n_test" in type(one_of_each_family()[name].family).model_fields:
        definition["data_requirements"] |= {"n_samples": 300, "n_test": 300}
    instance = datasets.draw(Task.from_dict(definition, source="test"), Seed.public(1))
    _, graded = split.divide(instance.answers, rng())
    part = split.answers_of(instance.answers, graded)
    assert len(part.labels) == len(graded)
    assert type(part.law) is type(instance.answers.law)
    for values in part.trivial.values():
        assert len(values) == len(graded)
