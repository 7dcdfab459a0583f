"""Effects of treatment: exact truths, confounding, overlap, fixed bits, marks, an agent."""

import hashlib

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tasks.errors import InvalidTask
from tasks.families import Causal, Regression
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker, measurable
from tasks.grading.predicted import Hidden, check_measurable
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract, Gaussian, Seed, Streams
from tasks.runner import TaskRunner
from tasks.spec import Task

SEEDS = [b"%d" % k for k in range(6)]


def columns(instance, name="train"):
    table = instance.public[name].columns()
    return np.column_stack([v for k, v in table.items() if k.startswith("f")]), table


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def test_the_bits_of_a_version_never_change():
    assert digest(Causal().draw(Streams(b"golden"))) == "a578863b265430b3"


def test_another_seed_gives_other_data():
    assert digest(Causal().draw(Streams(b"a"))) != digest(Causal().draw(Streams(b"b")))


def test_the_test_table_says_neither_treatment_nor_outcome():
    instance = Causal(n_features=2).draw(Streams(b"t"))
    assert list(columns(instance, "test")[1]) == ["id", "f0", "f1"]
    assert list(columns(instance)[1]) == ["id", "f0", "f1", "treatment", "outcome"]


def test_the_truth_is_what_treatment_does_to_the_outcome():
    """Without noise, rows of equal features but for treatment differ by the stated effect.

    The effect is fitted on noise-free outcomes of a linear world, where regression is exact.
    """
    for seed in SEEDS:
        params = Causal(noise=0.0, n_samples=20_000, n_features=2, interactions=0)
        instance = params.draw(Streams(seed))
        x, train = columns(instance)
        fresh, _ = columns(instance, "test")
        treated = train["treatment"] == 1
        told = [_nearest(x[rows], train["outcome"][rows], fresh) for rows in (treated, ~treated)]
        error = np.abs(told[0] - told[1] - instance.answers.labels)
        assert np.median(error) < 0.12 * np.std(train["outcome"])


def _nearest(x, y, fresh):
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(3).fit(x, y).predict(fresh)


def test_treated_and_untreated_rows_differ_by_more_than_the_effect():
    """The difference in means is biased; at no confounding by the outcome it is much less so."""
    biases = {}
    for confounding in (0.0, 1.0):
        found = []
        for seed in SEEDS:
            instance = Causal(confounding=confounding, n_samples=8000).draw(Streams(seed))
            _, train = columns(instance)
            gap = instance.details["difference_in_means"] - instance.details["average_effect"]
            found.append(abs(gap) / np.std(train["outcome"]))
        biases[confounding] = np.mean(found)
    assert biases[1.0] > 0.3
    assert biases[0.0] < biases[1.0] / 2


def test_every_row_may_be_treated_or_not():
    """In each tenth of any column both arms hold at least a twentieth of the rows."""
    instance = Causal(n_samples=20_000, confounding=1.0).draw(Streams(b"o"))
    x, train = columns(instance)
    for column in x.T:
        tenth = np.searchsorted(np.quantile(column, np.arange(0.1, 1, 0.1)), column)
        shares = np.bincount(tenth, train["treatment"]) / np.bincount(tenth)
        assert shares.min() > 0.05
        assert shares.max() < 0.95


def test_adjusting_beats_the_difference_in_means_and_is_below_the_truth():
    for seed in SEEDS[:3]:
        instance = Causal().draw(Streams(seed))
        marker = Marker(instance.contract, instance.answers)
        x, train = columns(instance)
        fresh, _ = columns(instance, "test")
        treated = train["treatment"] == 1
        told = [
            LinearRegression().fit(x[rows], train["outcome"][rows]).predict(fresh)
            for rows in (treated, ~treated)
        ]
        mark = marker.mark("rmse", Prediction(values=told[0] - told[1]))
        naive = instance.answers.trivial["difference in means"]
        worse = marker.mark("rmse", Prediction(values=naive))
        assert mark.score < worse.score
        assert mark.skill < 1
        assert mark.ceiling == 0


# --- an answer without spread ------------------------------------------------------------------


def effects(n=400, seed=0):
    effect = np.random.default_rng(seed).normal(2, 1, n)
    law = Gaussian(mean=effect, sd=np.zeros(n))
    return Answers(labels=effect, law=law, trivial={"no effect": np.zeros(n)})


def test_the_leak_test_does_not_apply_and_copied_effects_are_found():
    answers, contract = effects(), Contract(kind="values", ids=np.arange(400))
    honest = Prediction(values=answers.labels + 0.01)
    found = examine(honest, contract, answers)
    assert found["leak_z"] is None
    assert not found["leak_suspected"]
    assert found["findings"] == []
    copied = examine(Prediction(values=answers.labels), contract, answers)
    assert "equal the hidden answers" in copied["findings"][0]


def test_the_error_of_the_average_effect_is_that_of_the_means():
    answers, contract = effects(), Contract(kind="values", ids=np.arange(400))
    marker = Marker(contract, answers)
    said = Prediction(values=np.full(400, 1.5))
    mark = marker.mark("ate_error", said)
    assert mark.score == pytest.approx(abs(1.5 - answers.labels.mean()))
    assert mark.floor == pytest.approx(abs(answers.labels.mean()))
    assert mark.ceiling == 0
    assert mark.se == pytest.approx(answers.labels.std() / 20)
    assert "ate_error" in measurable(said, contract, answers)


def test_the_average_effect_is_asked_for_only_where_effects_are_known():
    instance = Regression().draw(Streams(b"r"))
    definition = {"id": "t", "task_type": "regression", "evaluation_criteria": {"max_ate_error": 1}}
    task = Task.from_dict(definition, source="test")
    hidden = Hidden(contract=instance.contract, answers=instance.answers)
    with pytest.raises(InvalidTask, match="max_ate_error needs effects of treatment"):
        check_measurable(task, hidden)
    values = Prediction(values=instance.answers.labels)
    assert "ate_error" not in measurable(values, instance.contract, instance.answers)


def test_the_experiment_agent_adjusts_for_confounding(tmp_path):
    task = Task.from_dict(
        {
            "id": "effects",
            "task_type": "causal_effect",
            "data_requirements": {"n_samples": 300, "n_test": 300, "n_features": 2, "noise": 0.2},
            "evaluation_criteria": {"min_r2": 0.0},
        },
        source="test",
    )
    trial = TaskRunner(tmp_path).run_task(task, timeout=110, seed=Seed.public(1))
    assert trial.evaluation.success, trial.evaluation.feedback
    assert trial.evaluation.integrity["leak_z"] is None
