"""The checks of a task: each finds what it is there for, and a sound task passes all."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.check import check_task
from tasks.check.agent import agent_succeeds, between
from tasks.check.data import deterministic, no_answers, noise_stays_in_the_label, trivial_fails
from tasks.check.laws import (
    below_the_ceiling,
    labels_follow_the_law,
    marks_can_be_reached,
    skill_grows,
    z_is_normal,
)
from tasks.grading import brackets
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Categorical, Contract, Instance, Seed, Table
from tasks.outcome import Outcome
from tasks.prepared import prepare
from tasks.spec import Task
from tasks.validator import hidden_side


def task(criteria, task_type="classification", **data):
    definition = {
        "id": "t",
        "task_type": task_type,
        "data_requirements": data,
        "evaluation_criteria": criteria,
    }
    return Task.from_dict(definition, source="test")


def small(**criteria):
    return task(criteria, n_samples=300, n_test=300)


# --- the whole -----------------------------------------------------------------------------------


def test_a_sound_task_passes_every_check(tmp_path):
    found = list(check_task(small(min_accuracy=0.6), work_dir=tmp_path, time_limit=60))
    assert [(finding.check, finding.ok) for finding in found] == [
        ("deterministic", True),
        ("no answers in public", True),
        ("trivial fails", True),
        ("marks can be reached", True),
        ("label noise stays in the label", True),
        ("panel below the ceiling: accuracy", True),
        ("labels follow the law", True),
        ("z is standard normal", True),
        ("skill grows with data", True),
        ("experiment agent succeeds", True),
        ("floor < agent < ceiling: accuracy", True),
    ]
    assert len(list(tmp_path.iterdir())) == 1  # the trial is kept where it was wanted


def test_a_mark_that_nobody_reaches_is_found(tmp_path):
    *_, succeeds, between = check_task(small(min_f1=0.999), time_limit=60)
    assert (succeeds.check, succeeds.ok) == ("experiment agent succeeds", False)
    assert succeeds.detail.startswith("finished in ")
    assert (between.check, between.ok) == ("floor < agent < ceiling: f1", True)


def test_without_the_agent_only_the_quick_checks_are_made():
    found = list(check_task(small(min_accuracy=0.6), with_agent=False))
    assert [finding.check for finding in found] == [
        "deterministic",
        "no answers in public",
        "trivial fails",
        "marks can be reached",
        "label noise stays in the label",
        "panel below the ceiling: accuracy",
        "labels follow the law",
        "z is standard normal",
        "skill grows with data",
    ]


def test_a_task_without_data_of_ours_has_no_answers_to_give_away():
    found = list(check_task(task({"required_files": ["a"]}, "general"), with_agent=False))
    assert all(finding.ok for finding in found)
    assert found[1].detail == "nothing is predicted"


# --- each check ----------------------------------------------------------------------------------


def test_data_that_differ_for_one_seed_are_found(tmp_path):
    ready = prepare(small(min_accuracy=0.6), Seed.public(3))
    columns = ready.instance.public["train"].columns()
    columns["f0"] = columns["f0"] + 1
    public = {**ready.instance.public, "train": Table.of(columns)}
    changed = replace(ready, instance=replace(ready.instance, public=public))
    found = deterministic(changed, tmp_path)
    assert (found.ok, found.detail) == (False, "differ: train.csv")


def test_data_that_are_the_same_for_every_seed_are_found(tmp_path):
    ready = prepare(small(min_accuracy=0.6), Seed.public(1))  # the one the check compares with
    found = deterministic(ready, tmp_path)
    assert (found.ok, found.detail) == (False, "another seed gives the same data")


@pytest.mark.parametrize("public", ["train", "test"])
def test_a_public_column_that_follows_the_label_noise_is_found(public):
    """Also on a leakage trap, whose train column may follow the label, but no test column."""
    ready = prepare(small(min_accuracy=0.6), Seed.practice("t"))
    (sound,) = noise_stays_in_the_label(ready)
    assert sound.ok
    columns = ready.instance.public[public].columns()
    columns["f3"] = columns["f3"] + ready.instance.answers.labels[: len(columns["f3"])]
    tables = {**ready.instance.public, public: Table.of(columns)}
    spoiled = replace(ready, instance=replace(ready.instance, public=tables))
    (found,) = noise_stays_in_the_label(spoiled)
    assert (found.ok, found.detail) == (False, f"also in {public}.f3")


def test_a_leakage_trap_may_follow_the_label_in_train():
    trap = task({"min_accuracy": 0.5}, n_samples=300, n_test=300, leakage_trap=0.9)
    (found,) = noise_stays_in_the_label(prepare(trap, Seed.practice("t")))
    assert found.ok, found.detail


def test_data_whose_class_comes_first_are_not_asked_to_stay_the_same():
    text = task({}, "text_classification", n_samples=100, n_test=100)
    assert list(noise_stays_in_the_label(prepare(text, Seed.practice("t")))) == []


@pytest.mark.parametrize(
    ("task_type", "shown"),
    [
        ("multilabel", "train.label_0, train.label_1, train.label_2"),
        ("relational", "train.target"),
        ("survival", "train.event, train.time"),
        ("causal_effect", "train.outcome"),
    ],
)
def test_redrawn_noise_shows_in_what_train_alone_tells(task_type, shown):
    data = {"n_labels": 3} if task_type == "multilabel" else {}
    ready = prepare(task({}, task_type, n_samples=300, n_test=300, **data), Seed.practice("t"))
    (found,) = noise_stays_in_the_label(ready)
    assert (found.ok, found.detail) == (True, f"redrawn labels show in {shown} only")


def test_a_reference_above_the_ceiling_is_found():
    ready = prepare(small(min_accuracy=0.6), Seed.practice("t"))
    p = ready.instance.answers.law.p
    (sound,) = below_the_ceiling(ready.task, ready.instance, {"oracle": Prediction(p=p)})
    assert sound.ok
    wrong = replace(ready.instance.answers, law=Categorical(p=np.full_like(p, 1 / 3)))
    cheat = Prediction(codes=np.zeros(len(p), dtype=np.int64))
    spoiled = replace(ready.instance, answers=wrong)
    (fine,) = below_the_ceiling(ready.task, spoiled, {"any": cheat})
    assert fine.ok
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.grading.marks.decide", lambda *_: Prediction(codes=p.argmin(axis=1)))
        (found,) = below_the_ceiling(ready.task, ready.instance, {"oracle": Prediction(p=p)})
    assert (found.ok, found.check) == (False, "panel below the ceiling: accuracy")


def test_labels_that_do_not_follow_their_law_are_found():
    ready = prepare(task({"min_accuracy": 0.6}, n_samples=300, n_test=4000), Seed.practice("t"))
    (sound,) = labels_follow_the_law(ready.task, ready.instance, {})
    assert sound.ok
    answers = ready.instance.answers
    flat = replace(answers, law=Categorical(p=0.9 * answers.law.p + 0.1 / 3))
    (found,) = labels_follow_the_law(ready.task, replace(ready.instance, answers=flat), {})
    assert not found.ok
    assert found.detail.startswith("oracle z = +")


def test_a_law_that_is_not_that_of_the_redrawn_labels_is_found(monkeypatch):
    """Here z is taken by a law flattened after the labels were drawn by the true one."""
    from tasks.grading import redraw

    ready = prepare(small(min_accuracy=0.6), Seed.practice("t"))
    (sound,) = z_is_normal(ready.task, ready.instance, {})
    assert sound.ok
    right = redraw.leak_z

    def flattened(prediction, law, *rest, **more):
        p = 0.8 * law.p + 0.2 / law.p.shape[1]
        return right(prediction, Categorical(p=p), *rest, **more)

    monkeypatch.setattr(redraw, "leak_z", flattened)
    (found,) = z_is_normal(ready.task, ready.instance, {})
    assert not found.ok
    assert found.detail.startswith("oracle +")


def test_nothing_is_redrawn_where_no_law_is_known():
    from tasks import registry

    ready = prepare(registry.get_task("penguins"), Seed.practice("t"))
    assert list(z_is_normal(ready.task, ready.instance, {})) == []
    assert list(skill_grows(ready.task)) == []


def test_data_from_which_nothing_more_is_learnt_are_found(monkeypatch):
    skills = iter([0.5, 0.4])
    monkeypatch.setattr("tasks.check.laws._best_skill", lambda *_: next(skills))
    (found,) = skill_grows(small(min_accuracy=0.6))
    assert (found.ok, found.detail) == (False, "0.500 with 37 rows, 0.400 with 300")


@pytest.mark.parametrize(("many", "ok"), [(0.5, True), (0.2, False)])
def test_models_that_are_too_sure_of_themselves_are_compared_by_their_decisions(
    monkeypatch, many, ok
):
    skills = {"log_loss": iter([-0.1, -1.2]), "accuracy": iter([0.3, many])}
    monkeypatch.setattr("tasks.check.laws._best_skill", lambda _, measure: next(skills[measure]))
    (found,) = skill_grows(small(max_log_loss=0.6))
    assert found.ok is ok
    assert found.detail == f"0.300 with 37 rows, {many:.3f} with 300, by accuracy"


def instance(columns, labels, *, kind="classes", ids=None, names=("0", "1")):
    n = len(labels)
    ids = np.random.default_rng(0).permutation(n) if ids is None else ids
    return Instance(
        public={"test": Table.of({"id": ids, **columns})},
        notes="",
        contract=Contract(kind=kind, ids=ids, classes=names if kind == "classes" else ()),
        answers=Answers(labels=labels, law=None, trivial={}),
    )


BITS = np.random.default_rng(1).integers(0, 2, 500)
NOISE = np.random.default_rng(2).normal(size=500)


@pytest.mark.parametrize(
    ("columns", "names", "found"),
    [
        ({"f0": NOISE, "f1": 1 - BITS}, ("0", "1"), ""),
        ({"f0": NOISE, "target": NOISE}, ("0", "1"), "target"),
        ({"f0": NOISE, "f1": BITS}, ("0", "1"), "f1"),
        ({"f0": NOISE, "f1": BITS.astype(float)}, ("0", "1"), "f1"),
        ({"f0": BITS + 5}, ("5", "6"), "f0"),
        ({"f0": np.array(["no", "yes"], dtype=object)[BITS]}, ("no", "yes"), "f0"),
        ({"f0": np.array(["no", None], dtype=object)[BITS]}, ("no", "yes"), ""),
    ],
)
def test_a_public_column_that_holds_the_answers_is_found(columns, names, found):
    finding = no_answers(instance(columns, BITS, names=names))
    assert finding.ok == (not found)
    assert finding.detail == (
        f"found in: {found}" if found else f"{len(columns) + 1} columns looked at"
    )


def test_a_public_column_that_holds_the_values_is_found():
    finding = no_answers(instance({"f0": NOISE}, NOISE, kind="values"))
    assert finding.detail == "found in: f0"


def test_ids_that_order_the_classes_are_found():
    finding = no_answers(instance({"f0": NOISE}, np.sort(BITS), ids=np.arange(500)))
    assert not finding.ok
    assert finding.detail.startswith("found in: id (z = 1")


def test_one_class_alone_cannot_be_told_by_ids():
    assert no_answers(instance({"f0": NOISE}, np.zeros(500, dtype=int) + 1)).ok


@pytest.mark.parametrize(
    ("criteria", "ok", "detail"),
    [
        ({"min_accuracy": 0.6}, True, "min_accuracy: unmet"),
        ({"min_accuracy": 0.2}, False, "min_accuracy: met; the floor itself meets min_accuracy"),
        ({"max_log_loss": 2.0}, False, "max_log_loss: unmet; the floor itself meets max_log_loss"),
        (
            {"min_accuracy": 0.2, "max_log_loss": 0.1},
            True,
            "min_accuracy: met, max_log_loss: unmet",
        ),
        ({"max_training_time": 5.0}, False, "max_training_time: met"),
        ({"required_files": ["a"]}, True, "required_files: unmet"),
    ],
)
def test_a_mark_that_needs_no_features_is_found(tmp_path, criteria, ok, detail):
    wanted = small(**criteria)
    ready = prepare(wanted, Seed.practice("t"))
    found = trivial_fails(wanted, ready.instance, tmp_path)
    assert (found.ok, found.detail) == (ok, detail)


@pytest.mark.parametrize(
    ("criteria", "ok", "detail"),
    [
        ({"min_r2": 0.99}, False, "min_r2 0.99 is beyond the ceiling 0.9"),
        ({"min_r2": 0.8}, True, "min_r2 0.8 within the ceiling 0.9"),
        ({"min_r2": 0.8, "max_mae": 0.001}, False, "max_mae 0.001 is beyond the ceiling "),
    ],
)
def test_a_mark_beyond_the_ceiling_is_found(criteria, ok, detail):
    wanted = task(criteria, "regression", n_samples=300, n_test=300)
    (found,) = marks_can_be_reached(wanted, prepare(wanted, Seed.practice("t")).instance)
    assert (found.check, found.ok) == ("marks can be reached", ok)
    assert found.detail.startswith(detail)


def test_a_mark_at_the_ceiling_itself_can_be_reached():
    wanted = task({"min_r2": 0.5}, "regression", n_samples=300, n_test=300)
    instance = prepare(wanted, Seed.practice("t")).instance
    ceiling = brackets(wanted, hidden_side(instance))["r2"]["ceiling"]
    for over, ok in ((0.0, True), (1e-4, False)):
        at = task({"min_r2": ceiling + over}, "regression", n_samples=300, n_test=300)
        assert [found.ok for found in marks_can_be_reached(at, instance)] == [ok]


def test_where_no_law_is_known_any_mark_may_be_reached():
    data = {"dataset_type": "bundled", "name": "penguins"}
    wanted = task({"min_accuracy": 0.9999}, **data)
    instance = prepare(wanted, Seed.practice("t")).instance
    assert not list(marks_can_be_reached(wanted, instance))


def trial(mark=None, *, reason="finished", success=True, grader_error=None):
    """A finished trial, as far as the checks look at it."""
    scores = {} if mark is None else {"extra": 3.0, "accuracy": mark}
    evaluation = SimpleNamespace(success=success, overall_score=0.5, scores=scores)
    return SimpleNamespace(
        evaluation=None if grader_error else evaluation,
        outcome=Outcome(reason=reason, exit_code=0, seconds=1.25),
        grader_error=grader_error,
    )


@pytest.mark.parametrize(
    ("ended", "ok", "detail"),
    [
        (trial(), True, "finished in 1.2 s, overall 0.500"),
        (trial(success=False), False, "finished in 1.2 s, overall 0.500"),
        (trial(reason="timed out"), False, "timed out in 1.2 s, overall 0.500"),
        (trial(grader_error="my words"), False, "finished in 1.2 s, my words"),
    ],
    ids=["fine", "no success", "timed out", "grader error"],
)
def test_an_agent_that_does_not_succeed_is_found(ended, ok, detail):
    found = agent_succeeds(ended)
    assert (found.ok, found.detail) == (ok, detail)


def mark(score, **more):
    found = {"score": score, "floor": 0.5, "ceiling": 0.9, "se": 0.01, "tier": "law"} | more
    return found | {"skill": (score - found["floor"]) / (found["ceiling"] - found["floor"])}


@pytest.mark.parametrize(
    ("given", "ok"),
    [
        (mark(0.7), True),
        (mark(0.5), False),
        (mark(0.4), False),
        (mark(0.93), True),  # within four standard errors
        (mark(0.95), False),
        (mark(0.915, approximate=True, se=0.0), True),
        (mark(0.94, approximate=True, se=0.0), False),
        (mark(0.99, tier="reference"), True),
    ],
)
def test_a_score_outside_of_floor_and_ceiling_is_found(given, ok):
    (found,) = between(trial(given))
    assert found.ok is ok
    assert found.detail == f"0.5000 → {given['score']:.4f} → 0.9000"


def test_where_no_bounds_are_known_there_is_nothing_to_find():
    assert list(between(trial())) == []
    assert list(between(trial(mark(0.7) | {"skill": None}))) == []
    assert list(between(trial(grader_error="void"))) == []
