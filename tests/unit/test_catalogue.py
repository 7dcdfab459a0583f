"""The catalogue: many tasks of many types, each measured as it now stands."""

import pytest

from tasks.registry import CATALOGUE, TEMPLATES, TaskRegistry, data_digest, measured, measured_of
from tasks.spec import Task

SHIPPED = TaskRegistry(TEMPLATES).list_tasks()
MEASURED = measured()
EACH = pytest.mark.parametrize(
    "task", [task for task in SHIPPED if task.id in MEASURED], ids=lambda task: task.id
)


def test_there_are_forty_tasks_of_a_dozen_types_from_easy_to_hard():
    assert len(SHIPPED) >= 40
    assert len({task.task_type for task in SHIPPED}) >= 12
    assert {task.difficulty for task in SHIPPED} == {"easy", "medium", "hard"}


def test_nothing_is_listed_that_is_not_shipped():
    assert MEASURED.keys() <= {task.id for task in SHIPPED}


@EACH
def test_a_shipped_task_was_measured_with_the_data_it_now_has(task):
    """If not, run `python -m benchmarks.catalogue <id>`."""
    entry = MEASURED[task.id]
    assert entry["data"] == data_digest(task)
    assert (entry["tier"], entry["generator"]) == (task.family.tier, task.family.version)
    assert entry["seeds"] >= 4


@EACH
def test_the_agent_lies_between_floor_and_ceiling(task):
    entry = MEASURED[task.id]
    low, high = sorted([entry["floor"], entry["ceiling"]])
    slack = 0.05 * (high - low) if entry["tier"] != "K" else high - low
    assert low < entry["agent"] < high + slack
    assert entry["lowest_skill"] > 0


@EACH
def test_a_mark_is_above_the_floor_and_below_the_ceiling(task):
    entry = MEASURED[task.id]
    known = [c for c in task.criteria if c.bound != "required"]
    marks = [c.threshold for c in known if c.subject == entry["measure"]]
    low, high = sorted([entry["floor"], entry["ceiling"]])
    assert all(low < mark < high for mark in marks)


@EACH
def test_a_difficulty_is_a_measured_headroom(task):
    """Of real data the panel is the ceiling, so that nothing is left above it."""
    entry = MEASURED[task.id]
    least = {"easy": 0.0, "medium": 0.1, "hard": 0.2}[task.difficulty]
    if entry["tier"] != "K" and task.difficulty != "easy":
        assert entry["skill"] - (entry["linear_skill"] or 0.0) >= least


def test_a_task_of_the_same_id_with_other_data_is_not_taken_for_the_shipped_one():
    shipped = TaskRegistry(TEMPLATES).get_task("classification_basic")
    assert measured_of(shipped, MEASURED) == MEASURED["classification_basic"]
    other = Task.from_dict({"id": shipped.id, "task_type": "classification"}, source="test")
    assert measured_of(other, MEASURED) is None
    assert CATALOGUE.is_file()
