"""Several labels per row: exact laws and decisions, fixed bits, submissions, an agent."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, roc_auc_score

from tasks.datasets.description import submission_form
from tasks.datasets.folders import read_contract, read_private, write_private, write_public
from tasks.datasets.multilabel import marginals
from tasks.datasets.writer import sample_submission
from tasks.families import MultiLabel
from tasks.grading import label_sets
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker, measurable
from tasks.grading.prediction import Prediction
from tasks.grading.submission import check
from tasks.instance import Answers, Bernoulli, Contract, Seed, Streams
from tasks.runner import TaskRunner
from tasks.spec import Task

CONTRACT = Contract(kind="multilabel", ids=np.arange(4), classes=("a", "b"))
NAMES = ("macro_roc_auc", "macro_f1", "micro_f1", "hamming_loss", "subset_accuracy")


def some_law(seed=0, n=200, n_labels=4, *, chain=True):
    given_before = np.random.default_rng(seed).uniform(0.05, 0.95, (n, n_labels, 2))
    given_before[:, 0, 1] = given_before[:, 0, 0]
    if not chain:
        given_before[:, :, 1] = given_before[:, :, 0]
    return Bernoulli(p=marginals(given_before), given=given_before if chain else None)


def drawn(law, seed=0):
    """Labels of the law, drawn by their definition."""
    uniform = np.random.default_rng(seed).random(law.p.shape)
    labels = np.zeros(law.p.shape, dtype=np.int64)
    for k in range(law.p.shape[1]):
        p = label_sets.conditional(law, labels > 0)[:, k]
        labels[:, k] = uniform[:, k] < p
    return labels


# --- the family --------------------------------------------------------------------------------


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("chain", "golden"), [(False, "74c3cc05666671f8"), (True, "af8448066841b0f1")]
)
def test_the_bits_of_a_version_never_change(chain, golden):
    assert digest(MultiLabel(chain=chain).draw(Streams(b"golden"))) == golden


def test_another_seed_gives_other_data():
    assert digest(MultiLabel().draw(Streams(b"a"))) != digest(MultiLabel().draw(Streams(b"b")))


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("ceiling", [0.7, 0.9])
def test_the_share_of_labels_told_right_is_the_wanted_ceiling(chain, ceiling):
    params = MultiLabel(chain=chain, ceiling=ceiling, n_test=20_000)
    p = params.draw(Streams(b"c")).answers.law.p
    assert np.maximum(p, 1 - p).mean() == pytest.approx(ceiling, abs=0.004)


@pytest.mark.parametrize("chain", [False, True])
def test_labels_follow_their_law(chain):
    """Marginals, neighbours together, and z of the Bayes predictor, over seeds."""
    for k in range(6):
        instance = MultiLabel(chain=chain, n_test=20_000).draw(Streams(b"%d" % k))
        answers, law = instance.answers, instance.answers.law
        n, p = len(law.p), law.p
        off = (answers.labels - p).sum(axis=0) / np.sqrt((p * (1 - p)).sum(axis=0))
        assert np.abs(off).max() < 4.5
        given_before = law.given if chain else np.stack([p, p], axis=2)
        both = p[:, :-1] * given_before[:, 1:, 1]
        seen = answers.labels[:, :-1] * answers.labels[:, 1:]
        assert np.abs((seen - both).sum(axis=0)).max() < 4.5 * np.sqrt(n) / 2
        best = label_sets.decide("hamming_loss", law)
        assert abs(label_sets.leak_z(best, law, answers.labels)) < 4


def test_a_chain_makes_neighbours_depend_on_each_other():
    law = MultiLabel(chain=True).draw(Streams(b"d")).answers.law
    assert np.abs(law.given[:, 1:, 1] - law.given[:, 1:, 0]).mean() > 0.05
    assert MultiLabel().draw(Streams(b"d")).answers.law.given is None


def test_train_holds_the_labels_and_test_does_not():
    instance = MultiLabel(n_labels=3).draw(Streams(b"t"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert {"label_0", "label_1", "label_2"} == train.keys() - test.keys()
    assert list(test["id"]) == list(instance.contract.ids)


# --- measures ----------------------------------------------------------------------------------


def test_on_realised_labels_the_measures_are_those_of_scikit_learn():
    law = some_law()
    labels = drawn(law)
    q = np.random.default_rng(1).random(law.p.shape) + 0.5 * labels
    q /= q.max()
    sets = (q > 0.4).astype(int)
    realised = Bernoulli(p=labels.astype(float))
    said = Prediction(label_sets=sets, label_p=q)
    expected = {
        "macro_roc_auc": roc_auc_score(labels, q, average="macro"),
        "macro_f1": f1_score(labels, sets, average="macro"),
        "micro_f1": f1_score(labels, sets, average="micro"),
        "hamming_loss": hamming_loss(labels, sets),
        "subset_accuracy": accuracy_score(labels, sets),
    }
    for name, value in expected.items():
        assert label_sets.estimate(name, said, realised).value == pytest.approx(value)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_on_the_law_is_the_mean_score_on_labels_drawn_from_it(name):
    law = some_law(n=400)
    said = label_sets.decide(name, some_law(seed=5, n=400))
    scores = [
        label_sets.estimate(name, said, Bernoulli(p=drawn(law, k).astype(float))).value
        for k in range(300)
    ]
    error = np.std(scores) / np.sqrt(len(scores))
    found = label_sets.estimate(name, said, law)
    assert found.value == pytest.approx(np.mean(scores), abs=4.5 * error + 2e-3)
    assert found.influence.sum() == pytest.approx(0, abs=1e-3)


def test_the_likeliest_set_is_found_along_a_chain():
    law = some_law(n=40, n_labels=4)
    every = np.array(list(itertools.product([0, 1], repeat=4)))
    chances = np.stack(
        [
            np.prod(np.where(row > 0, p, 1 - p), axis=1)
            for row in every
            for p in [label_sets.conditional(law, np.broadcast_to(row > 0, law.p.shape))]
        ],
        axis=1,
    )
    assert np.allclose(chances.sum(axis=1), 1)
    best = label_sets.decide("subset_accuracy", law).label_sets
    assert np.array_equal(best, every[chances.argmax(axis=1)])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES), chain=st.booleans())
def test_no_prediction_beats_the_ceiling(seed, name, chain):
    law = some_law(seed, n=12, n_labels=3, chain=chain)
    rng = np.random.default_rng(seed + 1)
    sign = -1 if name == "hamming_loss" else 1
    best = sign * label_sets.estimate(name, label_sets.decide(name, law), law).value
    for _ in range(20):
        q = np.clip(law.p + rng.normal(0, rng.choice([0.05, 0.5]), law.p.shape), 0, 1)
        other = Prediction(label_p=q, label_sets=(q > rng.random()).astype(int))
        assert sign * label_sets.estimate(name, other, law).value <= best + 1e-12


def test_marks_stand_between_a_floor_and_a_ceiling():
    answers = MultiLabel(chain=True).draw(Streams(b"m")).answers
    contract = Contract(kind="multilabel", ids=np.arange(2000), classes=tuple("01234"))
    marker = Marker(contract, answers)
    half = Prediction(label_p=0.6 * answers.law.p + 0.4 * answers.law.p.mean(axis=0))
    assert set(measurable(half, contract, answers)) == set(NAMES)
    for name in NAMES:
        best = marker.mark(name, label_sets.decide(name, answers.law))
        assert best.skill == pytest.approx(1.0)
        assert not best.approximate
        assert 0 < marker.mark(name, half).skill <= 1
        assert best.se < best.label_se


def test_labels_without_probabilities_have_no_auc():
    contract = Contract(kind="multilabel", ids=np.arange(3), classes=("a", "b"))
    labels = np.array([[0, 1], [1, 1], [0, 0]])
    answers = Answers(labels=labels, law=None, trivial={})
    assert "macro_roc_auc" not in measurable(Prediction(label_sets=labels), contract, answers)


# --- the leak test -----------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [False, True])
def test_z_is_standard_normal_for_honest_predictions(chain):
    law = some_law(n=300, chain=chain)
    said = Prediction(label_sets=label_sets.decide("subset_accuracy", law).label_sets)
    z = [label_sets.leak_z(said, law, drawn(law, k)) for k in range(400)]
    assert np.mean(z) == pytest.approx(0, abs=0.2)
    assert np.std(z) == pytest.approx(1, abs=0.15)


def test_copied_labels_are_suspected():
    instance = MultiLabel(chain=True).draw(Streams(b"leak"))
    answers = instance.answers
    sets = label_sets.decide("hamming_loss", answers.law).label_sets
    stolen = np.where(np.arange(2000)[:, None] % 5 == 0, answers.labels, sets)
    assert examine(Prediction(label_sets=stolen), instance.contract, answers)["leak_suspected"]
    assert not examine(Prediction(label_sets=sets), instance.contract, answers)["leak_suspected"]


# --- the submission ----------------------------------------------------------------------------


def checked(tmp_path, text, contract=CONTRACT):
    (tmp_path / "submission.csv").write_text(text)
    return check(tmp_path, contract)


def test_labels_and_probabilities_are_read_in_the_order_of_the_test_table(tmp_path):
    text = (
        "proba_a,id,proba_b,label_b,label_a\n0.1,3,1,1,0\n0.2,2,1,1,0\n0.3,1,1,0,1\n0.4,0,1,0,0\n"
    )
    found = checked(tmp_path, text)
    assert found.problems == ()
    assert found.prediction.label_p[:, 0].tolist() == [0.4, 0.3, 0.2, 0.1]
    assert found.prediction.label_sets.tolist() == [[0, 0], [1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("part", ["label", "proba"])
def test_one_of_labels_and_probabilities_is_enough(tmp_path, part):
    rows = "".join(f"{k},1,0\n" for k in range(4))
    prediction = checked(tmp_path, f"id,{part}_a,{part}_b\n{rows}").prediction
    assert (prediction.label_sets is None) == (part == "proba")
    assert (prediction.label_p is None) == (part == "label")
    assert label_sets.sets_of(prediction).tolist() == [[1, 0]] * 4


@pytest.mark.parametrize(
    ("header", "cells", "problem"),
    [
        ("id,label_a", "1", "E04: header: missing 'label_b'; wanted: id, label_a, label_b"),
        ("id,proba_a", "1", "E04: header: missing 'proba_b'; wanted: id, proba_a, proba_b"),
        ("id,target", "1", "E04: header: missing 'label_a', 'label_b'; unknown 'target'"),
        ("id,label_a,label_b", "0,x", "E08: label_b: 4 rows are wrong, first 'x' (id 0)"),
        ("id,label_a,label_b", "0,0.5", "E08: label_b: 4 rows are wrong, first '0.5' (id 0)"),
        ("id,label_a,label_b", "2,0", "E10: label_a: 4 rows are wrong, first '2' (id 0)"),
        ("id,proba_a,proba_b", "1,1.5", "E10: proba_b: 4 rows are wrong, first '1.5' (id 0)"),
        ("id,proba_a,proba_b", "1,nan", "E09: proba_b: 4 rows are wrong, first 'nan' (id 0)"),
    ],
)
def test_what_is_wrong_with_a_submission_is_said_by_its_code(tmp_path, header, cells, problem):
    text = header + "\n" + "".join(f"{k},{cells}\n" for k in range(4))
    assert str(checked(tmp_path, text).problems[0]).startswith(problem)


def test_required_probabilities_are_missed(tmp_path):
    contract = Contract(kind="multilabel", ids=np.arange(2), classes=("a", "b"), probabilities=True)
    found = checked(tmp_path, "id,label_a,label_b\n0,1,1\n1,0,0\n", contract)
    assert [problem.code for problem in found.problems] == ["E04"]
    assert "proba_a" in str(found.problems[0])


def test_the_sample_has_the_form_that_is_described_and_asked_for(tmp_path):
    instance = MultiLabel(n_labels=3).draw(Streams(b"s"))
    sample = sample_submission(instance.contract).columns()
    rows = zip(*(column.tolist() for column in sample.values()), strict=True)
    text = "\n".join([",".join(sample), *(",".join(map(str, row)) for row in rows)]) + "\n"
    assert checked(tmp_path, text, instance.contract).problems == ()
    form = submission_form(instance.contract)
    assert "`proba_0` … `proba_2` (required)" in form
    assert "`label_0` … `label_2` (optional" in form


# --- from end to end ---------------------------------------------------------------------------


def task(**data):
    definition = {
        "id": "labels",
        "task_type": "multilabel",
        "data_requirements": {"n_samples": 300, "n_test": 500, "n_labels": 2, **data},
        "evaluation_criteria": {"min_macro_roc_auc": 0.75, "min_micro_f1": 0.5},
    }
    return Task.from_dict(definition, source="test")


@pytest.mark.parametrize("chain", [False, True])
def test_answers_are_read_back_as_they_were_written(tmp_path, chain):
    wanted = task(chain=chain)
    instance = wanted.family.draw(Streams(b"w"))
    (tmp_path / "public").mkdir()
    write_public(wanted, instance, tmp_path / "public")
    write_private(instance, Seed.public(1), tmp_path / "private", {})
    contract = read_contract(tmp_path / "public")
    assert contract.kind == "multilabel"
    answers = read_private(tmp_path / "private", contract)
    assert np.array_equal(answers.labels, instance.answers.labels)
    assert np.array_equal(answers.law.p, instance.answers.law.p)
    assert (answers.law.given is None) == (not chain)


def test_the_experiment_agent_learns_labels(tmp_path):
    trial = TaskRunner(tmp_path).run_task(task(), timeout=100, seed=Seed.public(1))
    assert trial.evaluation.success, trial.evaluation.feedback
    assert 0.5 < trial.evaluation.scores["macro_roc_auc"]["skill"] < 1
