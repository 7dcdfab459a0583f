"""TaskValidator: practice data, data folders, and evaluations that others write."""

import os
import sys

import numpy as np
import pytest

from tasks import datasets, plugins
from tasks.datasets import writer
from tasks.errors import GraderError, InvalidInput, InvalidTask, UsageError
from tasks.grading import Hidden, Outputs
from tasks.instance import Seed, Table
from tasks.spec import Task
from tasks.validator import TaskValidator, as_custom, hidden_side, validator_for


def task(task_type="classification", criteria=None, **data):
    definition = {
        "id": "t",
        "task_type": task_type,
        "data_requirements": data,
        "evaluation_criteria": {"min_accuracy": 0.1} if criteria is None else criteria,
    }
    return Task.from_dict(definition, source="test")


SMALL = task(n_samples=100, n_test=200)


def submit_best(instance, folder):
    """Hand in the Bayes decision."""
    folder.mkdir(exist_ok=True)
    codes = instance.answers.law.p.argmax(axis=1)
    names = np.array(instance.contract.classes)[codes].astype(object)
    columns = {"id": instance.contract.ids, "target": names}
    writer.write_table(Table.of(columns), folder / "submission.csv")
    return folder


# --- where the answers come from -----------------------------------------------------------------


def test_results_on_practice_data_are_graded_and_never_sealed(tmp_path):
    instance = datasets.draw(SMALL, Seed.practice("t"))
    found = TaskValidator().evaluate_task(SMALL, submit_best(instance, tmp_path / "r"))
    assert found["overall_score"] == pytest.approx(1.0)
    assert (found["sealed"], found["success"], found["outcome"]) == (False, True, None)


def test_results_on_data_of_another_seed_are_graded_with_that_seed(tmp_path):
    seed = Seed.fresh()
    results = submit_best(datasets.draw(SMALL, seed), tmp_path / "r")
    assert TaskValidator().evaluate_task(SMALL, results)["overall_score"] < 0.9
    found = TaskValidator().evaluate_task(SMALL, str(results), seed=seed)
    assert found["overall_score"] == pytest.approx(1.0)
    assert found["sealed"]


def test_answers_may_be_read_from_a_data_folder(tmp_path):
    seed = Seed.public(7)
    instance = datasets.draw(SMALL, seed)
    data = tmp_path / "data"
    data.mkdir()
    datasets.write_public(SMALL, instance, data)
    datasets.write_private(instance, seed, data / "private", {})
    results = submit_best(instance, tmp_path / "r")
    found = TaskValidator().evaluate_task(SMALL, results, data_dir=data)
    assert found.as_dict() == TaskValidator().evaluate_task(SMALL, results, seed=seed).as_dict()


def test_a_folder_without_data_or_with_damaged_answers_is_refused(tmp_path):
    instance = datasets.draw(SMALL, Seed.public(7))
    results = submit_best(instance, tmp_path / "r")
    with pytest.raises(InvalidInput, match="no data folder"):
        TaskValidator().evaluate_task(SMALL, results, data_dir=tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    datasets.write_public(SMALL, instance, data)
    (data / "private").mkdir()
    for damage in (b"", b"PK\x03\x04 cut short", b"\x80\x04."):
        (data / "private" / "answers.npz").write_bytes(damage)
        with pytest.raises(InvalidInput):
            TaskValidator().evaluate_task(SMALL, results, data_dir=data)


def written(instance, folder, *, task=SMALL, form="csv"):
    folder.mkdir()
    datasets.write_public(task, instance, folder, table_format=form)
    return folder


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_data_folder_without_answers_must_hold_the_draw_of_the_seed(tmp_path, form):
    instance = datasets.draw(SMALL, Seed.public(5))
    results = submit_best(instance, tmp_path / "r")
    data = written(instance, tmp_path / "data", form=form)
    (data / "train.parquet").touch()  # an agent's own copy says nothing of the draw
    datasets.write_public(SMALL, instance, data, table_format=form)
    (data / "notes.txt").write_text("mine")
    (data / "description.md").write_text("the words of an earlier release")
    found = TaskValidator().evaluate_task(SMALL, results, seed=5, data_dir=data)
    assert found["overall_score"] == pytest.approx(1.0)
    other = rf"data holds another draw of t than the practice draw \(test.{form} differs\): pass "
    with pytest.raises(InvalidInput, match=other + "the --seed it was made with"):
        TaskValidator().evaluate_task(SMALL, results, data_dir=data)
    with pytest.raises(InvalidInput, match="than seed 6"):
        TaskValidator().evaluate_task(SMALL, results, seed=6, data_dir=data)


def test_another_number_of_rows_is_another_draw(tmp_path):
    data = written(datasets.draw(SMALL, Seed.practice("t")), tmp_path / "data")
    results = submit_best(datasets.draw(SMALL, Seed.practice("t")), tmp_path / "r")
    larger = task(n_samples=120, n_test=200)
    with pytest.raises(InvalidInput, match="--n-samples"):
        TaskValidator().evaluate_task(larger, results, data_dir=data)
    (data / "test.csv").unlink()
    with pytest.raises(InvalidInput, match=r"test.csv differs"):
        TaskValidator().evaluate_task(SMALL, results, data_dir=data)


def test_images_in_a_data_folder_are_compared_too(tmp_path):
    wanted = task(
        "deep_learning",
        {"min_accuracy": 0.5},
        dataset_type="image_classification",
        n_samples=100,
        n_test=100,
    )
    data = written(datasets.draw(wanted, Seed.public(1)), tmp_path / "data", task=wanted)
    (tmp_path / "r").mkdir()
    TaskValidator().evaluate_task(wanted, tmp_path / "r", seed=1, data_dir=data)
    with pytest.raises(InvalidInput, match="another draw"):
        TaskValidator().evaluate_task(wanted, tmp_path / "r", seed=2, data_dir=data)


def test_results_must_be_a_folder(tmp_path):
    with pytest.raises(InvalidInput, match="no such folder of results"):
        TaskValidator().evaluate_task(SMALL, tmp_path / "gone")


def test_criteria_that_the_data_cannot_meet_are_refused_before_grading(tmp_path):
    wrong = task(criteria={"min_r2": 0.5}, n_samples=100, n_test=200)
    with pytest.raises(InvalidTask, match=r"evaluation_criteria.min_r2 needs values"):
        TaskValidator().evaluate_task(wrong, tmp_path)


# --- evaluations that others write ---------------------------------------------------------------


def custom(tmp_path, answer, *, name="_evaluate_custom", criteria=None):
    """Grade an empty folder by a validator whose method gives, or does, `answer`."""

    def method(self, task, results_dir):
        assert task.id == "t"
        assert os.path.isdir(results_dir)  # noqa: PTH112 - whatever kind of path it is
        return answer() if callable(answer) else answer

    kind = type("Mine", (TaskValidator,), {name: method})
    wanted = task("custom", criteria or {})
    return kind().grade(wanted, Hidden(), Outputs(tmp_path), sealed=True)


@pytest.mark.parametrize("name", ["_evaluate_custom", "_evaluate_custom_task"])
def test_a_subclass_adds_measurements_by_either_name(tmp_path, name):
    answer = {"criteria_met": {"tidy": np.True_}, "scores": {"charm": 3}, "feedback": ["nice"]}
    found = custom(tmp_path, answer, name=name, criteria={"min_charm": 2})
    assert found["criteria_met"] == {"min_charm": True, "tidy": True}
    assert found["scores"] == {"charm": 3.0}
    assert found["feedback"] == ["min_charm: met, 3 ≥ 2", "nice"]
    assert (found["success"], found["overall_score"]) == (True, 1.0)


def test_a_method_for_another_type_is_not_called(tmp_path):
    found = custom(tmp_path, {"scores": {"charm": 3}}, name="_evaluate_general")
    assert found["scores"] == {}


def test_nothing_found_is_nothing_met(tmp_path):
    found = custom(tmp_path, {}, criteria={"min_charm": 2})
    assert (found["criteria_met"], found["overall_score"]) == ({"min_charm": False}, 0.0)


def test_a_custom_validator_sees_the_results_and_not_the_whole_trial(tmp_path):
    seen = []

    class Mine(TaskValidator):
        def _evaluate_custom(self, task, results_dir):
            seen.append(results_dir)
            return {}

    (tmp_path / "results").mkdir()
    Mine().grade(task("custom", {}), Hidden(), Outputs(tmp_path), sealed=True)
    assert seen == [tmp_path / "results"]


def fail(error):
    def raise_it():
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fail(ZeroDivisionError("by zero")), r"failed: ZeroDivisionError: by zero$"),
        (fail(RecursionError()), r"failed: RecursionError: "),
        (fail(MemoryError()), r"failed: MemoryError: "),
        (lambda: sys.exit(3), r"failed: SystemExit: 3"),
        (None, "must return a dict, not NoneType"),
        (0.7, "must return a dict, not float"),
        ([("scores", {})], "must return a dict, not list"),
        ({"score": {"a": 1}}, r"returned \['score'\]; known: criteria_met, scores, feedback"),
        ({"scores": [1]}, r"scores of a custom evaluation must be a dict, not \[1\]"),
        ({"scores": None}, "scores of a custom evaluation must be a dict, not None"),
        ({"criteria_met": True}, "criteria_met of a custom evaluation must be a dict, not True"),
        ({"criteria_met": {"a": "no"}}, r"criteria_met\['a'\] must be True or False, not 'no'"),
        ({"criteria_met": {"a": None}}, r"criteria_met\['a'\] must be True or False, not None"),
        ({"scores": {"a": float("nan")}}, r"scores\['a'\] must be a finite number, not nan"),
        ({"scores": {"a": float("inf")}}, r"scores\['a'\] must be a finite number, not inf"),
        ({"scores": {"a": "high"}}, "failed: ValueError: could not convert string to float"),
        ({"scores": {"a": None}}, "failed: TypeError"),
        ({"feedback": 3}, "failed: TypeError"),
    ],
)
def test_an_evaluation_that_fails_voids_the_trial_and_is_no_zero(tmp_path, answer, said):
    with pytest.raises(GraderError, match=said):
        custom(tmp_path, answer)


def test_errors_raised_on_purpose_keep_their_kind(tmp_path):
    with pytest.raises(UsageError, match="my own words"):
        custom(tmp_path, fail(UsageError("my own words")))


def test_an_interrupt_during_an_evaluation_is_no_failure_of_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        custom(tmp_path, fail(KeyboardInterrupt()))


def test_one_line_of_feedback_may_be_a_bare_text():
    assert as_custom({"feedback": "well done"}).feedback == ("well done",)
    assert as_custom({"feedback": ("a", 3)}).feedback == ("a", "3")


# --- plug-ins ------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package of validators, as pip would."""
    site = tmp_path / "site"
    info = site / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[aexp.validator]\nsculpture = my_validators:Sculpture\nbroken = my_validators:dict\n"
    )
    (site / "my_validators.py").write_text(
        "from tasks.validator import TaskValidator\n"
        "class Sculpture(TaskValidator):\n"
        "    def _evaluate_sculpture_task(self, task, results_dir):\n"
        "        return {'scores': {'height': 2.0}}\n"
        "dict = dict\n"
    )
    monkeypatch.syspath_prepend(site)
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()
    sys.modules.pop("my_validators", None)


def test_an_installed_validator_brings_its_task_type_and_measures(tmp_path, installed):
    wanted = task("sculpture", {"min_height": 1.5})
    found = validator_for(wanted).evaluate_task(wanted, tmp_path)
    assert found["criteria_met"] == {"min_height": True}


def test_a_plugin_that_makes_no_validator_is_refused(installed):
    with pytest.raises(InvalidTask, match="the validator of 'broken' is no TaskValidator"):
        validator_for(task("broken", {}))


def test_other_types_are_graded_by_the_plain_validator():
    assert type(validator_for(SMALL)) is TaskValidator


def test_the_hidden_side_of_an_instance_is_its_contract_answers_and_facts():
    instance = datasets.draw(SMALL, Seed.public(1))
    hidden = hidden_side(instance)
    assert hidden.contract is instance.contract
    assert hidden.answers is instance.answers
    assert hidden.facts is None
