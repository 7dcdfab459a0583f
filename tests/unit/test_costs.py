"""Costs of mistakes: told to the agent, read back by the grader, refused where senseless."""

import json

import numpy as np
import pytest

from tasks import datasets, grading
from tasks.datasets.folders import read_contract
from tasks.errors import InvalidTask
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Seed
from tasks.prepared import prepare
from tasks.spec import Task
from tasks.validator import hidden_side

COSTS = [[0, 1], [20, 0]]


def task(criteria=None, **data):
    definition = {
        "id": "costs",
        "task_type": "classification",
        "data_requirements": {
            "dataset_type": "imbalanced", "n_samples": 500, "n_test": 2000, **data
        },
        "evaluation_criteria": criteria or {},
    }  # fmt: skip
    return Task.from_dict(definition, source="test")


def test_the_agent_is_told_what_mistakes_cost_and_the_grader_reads_it_back(tmp_path):
    given = task({"max_expected_cost": 1}, costs=COSTS)
    ready = prepare(given, Seed.public(1))
    datasets.write_public(given, ready.instance, tmp_path)
    told = (tmp_path / "description.md").read_text()
    assert "where class 1 is true, saying 0 costs 20, 1 costs 0" in told
    config = json.loads((tmp_path / "task_config.json").read_text())
    assert config["submission"]["costs"] == COSTS
    assert read_contract(tmp_path).costs == ((0, 1), (20, 0))


def test_without_costs_nothing_is_said_of_them(tmp_path):
    given = task()
    datasets.write_public(given, prepare(given, Seed.public(1)).instance, tmp_path)
    assert "costs" not in json.loads((tmp_path / "task_config.json").read_text())["submission"]


def test_costs_change_no_bit_of_the_data():
    with_costs, without = (
        prepare(task(**extra), Seed.public(1)).instance for extra in ({"costs": COSTS}, {})
    )
    assert np.array_equal(with_costs.answers.labels, without.answers.labels)


def test_the_floor_of_the_expected_cost_says_the_class_that_is_cheapest_of_all():
    ready = prepare(task(costs=COSTS), Seed.public(1)).instance
    marker = Marker(ready.contract, ready.answers)
    constant = [
        marker.mark("expected_cost", Prediction(codes=np.full(2000, k))).score for k in (0, 1)
    ]
    assert marker.floor("expected_cost") == pytest.approx(min(constant))
    assert np.argmin(constant) == 1  # though class 0 is ten times as common
    assert marker.ceiling("expected_cost") < marker.floor("expected_cost")


def test_expected_cost_is_refused_where_no_costs_are_named():
    given = task({"max_expected_cost": 1})
    with pytest.raises(InvalidTask, match=r"max_expected_cost needs data_requirements\.costs"):
        grading.check_measurable(given, hidden_side(prepare(given, Seed.public(1)).instance))


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([[0, 1]], "2 by 2"),
        ([[0, 1], [1]], "2 by 2"),
        ([[0, 1], [1, float("nan")]], "nan cannot be written"),
        ([[0, 1], [1, -1e300]], "numbers from"),
        ([[2, 1], [1, 0]], "cheapest"),
    ],
)
def test_costs_that_make_no_sense_are_refused(costs, words):
    with pytest.raises(InvalidTask, match=words):
        task(costs=costs)
