"""Censored times: exact concordance, honest censoring, fixed bits, marks, leak test, an agent."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.datasets.folders import read_private, write_private
from tasks.errors import InvalidTask
from tasks.families import Survival
from tasks.grading import durations
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker, measurable
from tasks.grading.predicted import Hidden, check_measurable
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract, Durations, Seed, Streams
from tasks.runner import TaskRunner
from tasks.spec import Task

HAZARDS = {
    "falling": "5b2318cd79dfe7d4",
    "constant": "0c6108257fad5f9d",
    "rising": "c683653a9546db81",
}


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def drawn(law, seed):
    uniform = np.random.default_rng(seed).random(len(law.scale))
    return law.scale * (-np.log(uniform)) ** (1 / law.shape)


@pytest.mark.parametrize("hazard", HAZARDS)
def test_the_bits_of_a_version_never_change(hazard):
    assert digest(Survival(hazard=hazard).draw(Streams(b"golden"))) == HAZARDS[hazard]


def test_another_seed_gives_other_data():
    assert digest(Survival().draw(Streams(b"a"))) != digest(Survival().draw(Streams(b"b")))


# --- the family --------------------------------------------------------------------------------


@pytest.mark.parametrize("censored", [0.1, 0.6])
def test_as_many_rows_are_censored_as_asked_and_their_times_tell_no_event(censored):
    instance = Survival(censored=censored, n_samples=20_000).draw(Streams(b"c"))
    train = instance.public["train"].columns()
    assert 1 - train["event"].mean() == pytest.approx(censored, abs=0.03)
    assert set(train["event"]) == {0, 1}
    assert (train["time"] > 0).all()
    assert list(instance.public["test"].columns())[:2] == ["id", "f0"]
    assert {"time", "event"}.isdisjoint(instance.public["test"].columns())


@pytest.mark.parametrize("hazard", HAZARDS)
def test_times_follow_their_law(hazard):
    """F(T) is uniform (Kolmogorov-Smirnov), and unrelated to the scale; over seeds."""
    for k in range(4):
        answers = Survival(hazard=hazard, n_test=4000).draw(Streams(b"%d" % k)).answers
        law = answers.law
        u = 1 - np.exp(-((answers.labels / law.scale) ** law.shape))
        gap = np.abs(np.sort(u) - (np.arange(4000) + 0.5) / 4000).max()
        assert gap < 2.0 / np.sqrt(4000)  # once in 1,500
        assert abs(np.corrcoef(u, np.log(law.scale))[0, 1]) < 4 / np.sqrt(4000)


@pytest.mark.parametrize(("hazard", "ceiling"), [("falling", 0.7), ("rising", 0.9)])
def test_the_best_concordance_is_the_wanted_ceiling(hazard, ceiling):
    instance = Survival(hazard=hazard, ceiling=ceiling).draw(Streams(b"e"))
    marker = Marker(instance.contract, instance.answers)
    assert marker.ceiling("concordance") == pytest.approx(ceiling, abs=0.02)
    assert marker.floor("concordance") == 0.5


def test_too_few_events_are_refused():
    with pytest.raises(ValidationError, match=r"at censored 0\.9 fewer than 10 events"):
        Survival(n_samples=60, censored=0.9)


# --- concordance -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), ties=st.booleans())
def test_concordance_is_the_share_of_pairs_in_order(seed, n, ties):
    """Against the definition, pair by pair, on known times."""
    rng = np.random.default_rng(seed)
    times, said = rng.exponential(size=n), rng.normal(size=n)
    if ties:
        said = np.round(said)
    pairs = [(i, j) for i in range(n) for j in range(n) if times[i] < times[j]]
    expected = np.mean([(said[i] < said[j]) + 0.5 * (said[i] == said[j]) for i, j in pairs])
    found = durations.concordance(Prediction(values=said), durations.realised(times))
    assert found.value == pytest.approx(expected)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_the_score_on_the_law_is_the_mean_score_on_times_drawn_from_it(shape):
    rng = np.random.default_rng(1)
    law = Durations(scale=rng.lognormal(0, 1, 300), shape=shape)
    said = Prediction(values=np.log(law.scale) + rng.normal(size=300))
    scores = [
        durations.concordance(said, durations.realised(drawn(law, k))).value for k in range(200)
    ]
    error = np.std(scores) / np.sqrt(len(scores))
    assert durations.concordance(said, law).value == pytest.approx(np.mean(scores), abs=4 * error)


def test_of_two_rows_the_chance_which_comes_first_is_that_of_the_definition():
    law = Durations(scale=np.array([1.0, 3.0]), shape=2.0)
    first, second = (
        drawn(Durations(scale=np.full(200_000, s), shape=2.0), k) for k, s in enumerate(law.scale)
    )
    found = durations.sooner(law, slice(0, 1))[0, 1]  # the second before the first
    assert found == pytest.approx(np.mean(second < first), abs=0.004)
    assert found == pytest.approx(1 / (1 + 9))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_order_beats_that_of_the_law(seed):
    rng = np.random.default_rng(seed)
    law = Durations(scale=rng.lognormal(0, 1, 20), shape=float(rng.choice([0.5, 1.0, 2.0])))
    best = durations.concordance(durations.decide(law), law).value
    for _ in range(10):
        other = Prediction(values=np.log(law.scale) + rng.normal(0, rng.choice([0.1, 1, 9]), 20))
        assert durations.concordance(other, law).value <= best + 1e-12


def test_one_row_has_no_pair_and_scores_as_chance():
    law = Durations(scale=np.ones(1), shape=1.0)
    assert durations.concordance(Prediction(values=np.ones(1)), law).value == 0.5


# --- grading -----------------------------------------------------------------------------------


def test_z_is_standard_normal_for_honest_predictions_and_large_for_copied_times():
    instance = Survival().draw(Streams(b"z"))
    law = instance.answers.law
    rng = np.random.default_rng(0)
    honest = law.scale * rng.lognormal(0, 0.5, len(law.scale))
    z = [durations.leak_z(Prediction(values=honest), law, drawn(law, k)) for k in range(400)]
    assert np.mean(z) == pytest.approx(0, abs=0.2)
    assert np.std(z) == pytest.approx(1, abs=0.15)
    stolen = np.where(rng.random(len(honest)) < 0.2, instance.answers.labels, honest)
    found = examine(Prediction(values=stolen), instance.contract, instance.answers)
    assert found["leak_suspected"]
    assert not examine(Prediction(values=honest), instance.contract, instance.answers)[
        "leak_suspected"
    ]


def test_only_the_order_of_times_is_measured():
    instance = Survival(n_test=50).draw(Streams(b"m"))
    said = Prediction(values=instance.answers.labels)
    assert measurable(said, instance.contract, instance.answers) == ["concordance"]
    hidden = Hidden(contract=instance.contract, answers=instance.answers)
    definition = {"id": "t", "task_type": "survival", "evaluation_criteria": {"min_r2": 0.1}}
    with pytest.raises(InvalidTask, match="min_r2 needs numbers; of times until an event only"):
        check_measurable(Task.from_dict(definition, source="test"), hidden)


def test_the_order_of_plain_numbers_is_not_measured():
    contract = Contract(kind="values", ids=np.arange(3))
    answers = Answers(labels=np.arange(3.0), law=None, trivial={})
    definition = {
        "id": "t",
        "task_type": "regression",
        "evaluation_criteria": {"min_c_index": 0.6},
    }
    task = Task.from_dict(definition, source="test")
    with pytest.raises(InvalidTask, match="min_c_index needs times until an event"):
        check_measurable(task, Hidden(contract=contract, answers=answers))


def test_answers_are_read_back_as_they_were_written(tmp_path):
    instance = Survival(n_test=50).draw(Streams(b"w"))
    write_private(instance, Seed.public(1), tmp_path / "private", {})
    law = read_private(tmp_path / "private", instance.contract).law
    assert np.array_equal(law.scale, instance.answers.law.scale)
    assert law.shape == 2.0
    assert math.isfinite(law.shape)


def test_the_experiment_agent_ranks_rows_by_their_risk(tmp_path):
    task = Task.from_dict(
        {
            "id": "times",
            "task_type": "survival",
            "data_requirements": {"n_samples": 300, "n_test": 300, "n_features": 3},
            "evaluation_criteria": {"min_concordance": 0.65},
        },
        source="test",
    )
    trial = TaskRunner(tmp_path).run_task(task, timeout=110, seed=Seed.public(1))
    assert trial.evaluation.success, trial.evaluation.feedback
    assert trial.evaluation.scores["concordance"]["skill"] < 1
