"""Looking at a suite before its end: when, at what, and how often in vain."""

from pathlib import Path

import numpy as np
import pytest

from tasks.comparison import paired
from tasks.comparison.intervals import ALPHA, FEWEST_FAMILIES
from tasks.comparison.records import Record
from tasks.errors import UnknownName, UsageError
from tasks.store.folders import Product
from tasks.suite import SuiteFile, resolve
from tasks.suite.looks import Looks

SIMULATED = 400


def product(tasks=2, agents=2, repeats=10):
    return Product(
        tasks=tuple(f"t{n}" for n in range(tasks)),
        agents=tuple(f"a{n}" for n in range(agents)),
        repeats=repeats,
    )


def test_looks_come_at_whole_repeats_of_all_tasks_where_there_are_enough():
    assert Looks.planned(product(), 5).sizes == (8, 16, 24, 32, 40)
    assert Looks.planned(product(repeats=7), 3).sizes == (12, 20, 28)


def test_with_few_repeats_looks_come_at_whole_instances():
    found = Looks.planned(product(tasks=5, repeats=2), 5)
    assert found.sizes == (4, 8, 12, 16, 20)


@pytest.mark.parametrize(
    ("shape", "looks", "baseline", "said"),
    [
        ({"agents": 1}, 5, None, "only one"),
        ({"tasks": 1, "repeats": 3}, 5, None, "at most 3 looks"),
        ({}, 5, "b", "no agent 'b'"),
    ],
)
def test_looks_that_cannot_be_are_refused_before_the_first_trial(shape, looks, baseline, said):
    with pytest.raises((UsageError, UnknownName), match=said):
        Looks.planned(product(**shape), looks, baseline)


def test_a_suite_file_plans_them(tmp_path):
    asked = {"tasks": ["classification_basic"], "agents": ["command:true", "b=command:true"]}
    plan = resolve(SuiteFile.of({**asked, "repeats": 5, "until_decided": {}}, source="test"))
    assert len(plan.planned_looks()) == 5
    assert plan.resolved()["until_decided"] == {"looks": 5, "baseline": None}
    assert "until_decided" not in resolve(SuiteFile.of(asked, source="test")).resolved()


# --- how often in vain ---------------------------------------------------------------------------


def record(n, cell, *, completed, score):
    return Record(
        folder=Path(f"{n:06d}.{cell.task}.{cell.agent}.r{cell.repeat}.a1"),
        trial=str(n), task=cell.task, task_type="classification", family=f"family of {cell.task}",
        agent=cell.agent, suite="s", repeat=cell.repeat,
        commitment=f"{cell.task}.{cell.repeat}", kind="completed" if completed else "failed",
        reason="finished", score=score if completed else 0.0,
    )  # fmt: skip


def simulated(rng, shape, gap=0.0):
    """A suite whose agents differ by chance and by nothing else, but for the gap of the last.

    Of few tasks the claim is about these, so that no agent may be better at one of them.
    """
    spread = 0.1 if len(shape.tasks) >= FEWEST_FAMILIES else 0.0
    easy = {task: rng.normal(0.5, 0.2) for task in shape.tasks}
    leaning = {(t, a): rng.normal(0, spread) for t in shape.tasks for a in shape.agents}
    for n in range(len(shape)):
        cell = shape.cell(n)
        better = gap if cell.agent == shape.agents[-1] else 0.0
        score = easy[cell.task] + leaning[cell.task, cell.agent] + better + rng.normal(0, 0.15)
        yield record(n, cell, completed=rng.random() < 0.9, score=min(1.0, max(0.0, score)))


def alarms(shape, looks, seed, level=None, gap=0.0):
    """The share of simulated suites in which any look names a winner."""
    rng = np.random.default_rng(seed)
    plan = Looks.planned(shape, looks)
    found = 0
    for _ in range(SIMULATED):
        trials = list(simulated(rng, shape, gap))
        found += any(names(plan, number, trials, level) for number in range(1, looks + 1))
    return found / SIMULATED


def names(plan, number, trials, level):
    seen = trials[: plan.sizes[number - 1]]
    if level is None:
        verdicts = plan.at(number, seen).verdicts.values()
        return any(verdict != paired.UNSETTLED for verdict in verdicts)
    sides = [[one for one in seen if one.agent == name] for name in plan.product.agents]
    return paired.verdict(*sides, plan.product.agents, level) != paired.UNSETTLED


@pytest.mark.parametrize(
    "shape",
    [product(tasks=1, repeats=20), product(tasks=8, repeats=5), product(agents=3, repeats=10)],
    ids=["one task", "families", "three agents"],
)
def test_all_looks_together_name_a_winner_where_there_is_none_in_at_most_5_percent(shape):
    # Of 400, 5 % are 20; 34 or more would come by chance in one of a thousand runs.
    assert alarms(shape, 5, seed=1) <= 0.085


def test_the_usual_level_at_each_look_would_do_so_more_often():
    shape = product(tasks=1, repeats=20)
    bounded, usual = alarms(shape, 5, seed=2), alarms(shape, 5, seed=2, level=ALPHA)
    assert usual > 1.5 * bounded


def test_a_true_difference_is_mostly_found_before_the_end():
    rng = np.random.default_rng(3)
    shape = product(tasks=8, repeats=5)
    plan = Looks.planned(shape, 5)
    early = 0
    for _ in range(20):
        trials = list(simulated(rng, shape, gap=0.4))
        early += any(names(plan, number, trials, None) for number in range(1, 5))
    assert early >= 15
