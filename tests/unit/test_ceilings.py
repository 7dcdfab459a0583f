"""Ceilings of a population: known to 0.001 within seconds, and found but once."""

import json

import pytest

from tasks import ceilings
from tasks.ceilings import PRECISE, PopulationCeiling, population_ceiling
from tasks.instance import Seed
from tasks.spec import Task

SEED = Seed.public(1)


def task(task_type="classification", **data):
    definition = {"id": "t", "task_type": task_type, "data_requirements": data}
    return Task.from_dict(definition, source="test")


def test_the_ceiling_asked_for_is_met_to_two_thousandths_and_known_to_one(tmp_path):
    found = population_ceiling(task(n_test=100, ceiling=0.8), SEED, "accuracy", cache=tmp_path)
    assert found.se <= PRECISE
    assert found.value == pytest.approx(0.8, abs=0.002 + 2 * found.se)
    assert found.rows > 10_000


def test_a_ceiling_is_found_once_for_all_that_it_follows_from(tmp_path, monkeypatch):
    first = population_ceiling(task(), SEED, "accuracy", cache=tmp_path)
    monkeypatch.setattr(ceilings, "_measured", lambda *_: PopulationCeiling(value=0, se=0, rows=0))
    assert population_ceiling(task(), SEED, "accuracy", cache=tmp_path) == first
    for other in (
        population_ceiling(task(ceiling=0.9), SEED, "accuracy", cache=tmp_path),
        population_ceiling(task(), Seed.public(2), "accuracy", cache=tmp_path),
        population_ceiling(task(), SEED, "f1", cache=tmp_path),
    ):
        assert other.rows == 0
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"value": "x", "se": 0, "rows": 1})])
def test_an_entry_that_cannot_be_read_is_found_anew(tmp_path, monkeypatch, text):
    again = PopulationCeiling(value=0.5, se=0.1, rows=7)
    monkeypatch.setattr(ceilings, "_measured", lambda *_: again)
    population_ceiling(task(), SEED, "accuracy", cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_text(text)
    assert population_ceiling(task(), SEED, "accuracy", cache=tmp_path) == again
    assert json.loads(entry.read_text())["rows"] == 7


@pytest.mark.parametrize(
    ("given", "measure"),
    [
        (task("time_series"), "mase"),
        (task(dataset_type="bundled", name="digits"), "accuracy"),
        (task("general"), "accuracy"),
    ],
)
def test_where_no_more_hidden_rows_can_be_drawn_there_is_none(tmp_path, given, measure):
    assert population_ceiling(given, SEED, measure, cache=tmp_path) is None
    assert list(tmp_path.iterdir()) == []
