"""Marks: floor, ceiling and skill, finite whatever was predicted."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.grading.decide import decide
from tasks.grading.marks import MANY_CELLS, Marker, measurable
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Categorical, Contract, Gaussian, draw_classes
from tasks.measures import MEASURES

N = 400
IDS = np.arange(N)
LEVELS = (0.1, 0.5, 0.9)
CLASSES = Contract(kind="classes", ids=IDS, classes=("a", "b", "c"))
VALUES = Contract(kind="values", ids=IDS, quantiles=LEVELS)
CLUSTERS = Contract(kind="clusters", ids=IDS)
BY_CLASS = [n for n, m in MEASURES.items() if m.needs in {"labels", "probabilities"}]
# Concordance is of durations, which have a kind of answers and tests of their own.
BY_VALUE = [
    n for n, m in MEASURES.items() if m.needs in {"values", "quantiles"} and n != "concordance"
]


def classes(seed=0, *, law=True):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.9, 0.6, 0.3], size=N)
    prior = np.broadcast_to(p.mean(axis=0), (N, 3))
    labels = draw_classes(p, rng.random(N))
    uniform = np.full((N, 3), 1 / 3)
    known = Categorical(p=p) if law else None
    reference = {} if law else {"accuracy": 0.9}
    trivial = {"prior": prior, "uniform": uniform}
    return Answers(labels=labels, law=known, trivial=trivial, reference=reference)


def values(seed=0, *, law=True):
    rng = np.random.default_rng(seed)
    mean = rng.normal(3, 2, size=N)
    labels = mean + rng.normal(0, 0.5, size=N)
    return Answers(
        labels=labels,
        law=Gaussian(mean=mean, sd=np.full(N, 0.5)) if law else None,
        trivial={"zero": np.zeros(N), "mean": np.full(N, 3.0)},
        scale=np.full(N, 2.0),
        reference={} if law else {"r2": 0.8, "rmse": 0.9},
    )


def strict(mark):
    """The mark as JSON that any parser takes."""
    return json.loads(json.dumps(mark.as_dict(), allow_nan=False))


# --- floor, ceiling, skill -----------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_CLASS)
def test_the_bayes_decision_on_classes_has_skill_one(name):
    answers = classes()
    mark = Marker(CLASSES, answers).mark(name, decide(name, answers.law))
    assert mark.skill == pytest.approx(1.0)
    assert mark.score == mark.ceiling
    assert mark.tier == "law"


@pytest.mark.parametrize("name", BY_VALUE)
def test_the_bayes_decision_on_values_has_skill_one(name):
    answers = values()
    mark = Marker(VALUES, answers).mark(name, decide(name, answers.law, LEVELS))
    assert mark.skill == pytest.approx(1.0)


@pytest.mark.parametrize("name", BY_CLASS)
def test_the_best_trivial_prediction_of_classes_has_skill_zero_and_no_other_more(name):
    answers = classes()
    marker = Marker(CLASSES, answers)
    skills = [
        marker.mark(name, Prediction(codes=p.argmax(axis=1), p=p)).skill
        for p in answers.trivial.values()
    ]
    assert max(skills) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", BY_VALUE)
def test_the_best_trivial_prediction_of_values_has_skill_zero(name):
    answers = values()
    marker = Marker(VALUES, answers)
    best = marker._trivial(name, answers.trivial["mean"])
    assert marker.mark(name, best).skill == pytest.approx(0.0, abs=1e-12)
    worse = marker._trivial(name, answers.trivial["zero"])
    assert marker.mark(name, worse).skill < 0


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_VALUE])
def test_half_of_the_way_has_a_skill_between(name):
    contract = CLASSES if name in BY_CLASS else VALUES
    answers = classes() if contract is CLASSES else values()
    if contract is CLASSES:
        q = 0.7 * answers.law.p + 0.3 * np.random.default_rng(1).dirichlet(np.ones(3), size=N)
        said = Prediction(p=q)
    else:
        v = 0.7 * answers.law.mean + 0.3 * 3.0
        said = Prediction(values=v, quantiles={q: v + 2 * (q - 0.5) for q in LEVELS})
    mark = Marker(contract, answers).mark(name, said)
    low, high = sorted([mark.floor, mark.ceiling])
    assert low < mark.score < high
    assert 0 < mark.skill < 1
    assert 0 < mark.se <= mark.label_se * 1.5


def test_the_mark_on_labels_stands_beside_the_mark_on_the_law():
    answers = classes()
    codes = answers.law.p.argmax(axis=1)
    mark = Marker(CLASSES, answers).mark("accuracy", Prediction(codes=codes))
    assert mark.score == pytest.approx(answers.law.p.max(axis=1).mean())
    assert mark.label_score == pytest.approx(np.mean(codes == answers.labels))
    assert abs(mark.score - mark.label_score) < 4 * mark.label_se
    assert mark.se < mark.label_se


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "r2"])
def test_the_ceiling_has_the_standard_error_of_the_best_prediction(name):
    answers = values() if name == "r2" else classes()
    best = decide(name, answers.law)
    mark = Marker(VALUES if name == "r2" else CLASSES, answers).mark(name, best)
    assert mark.ceiling_se == pytest.approx(mark.se)
    assert mark.ceiling_se > 0


def test_the_ceiling_of_a_panel_has_no_standard_error_here():
    mark = Marker(VALUES, values(law=False)).mark("r2", Prediction(values=np.zeros(N)))
    assert (mark.ceiling, mark.ceiling_se) == (0.8, None)


def test_a_ceiling_that_equals_the_floor_leaves_no_skill_to_speak_of():
    p = np.broadcast_to([0.2, 0.8], (N, 2))
    answers = Answers(labels=np.ones(N, dtype=int), law=Categorical(p=p), trivial={"prior": p})
    contract = Contract(kind="classes", ids=IDS, classes=("a", "b"))
    mark = Marker(contract, answers).mark("accuracy", Prediction(codes=np.zeros(N, dtype=int)))
    assert mark.skill is None
    assert strict(mark)["skill"] is None


def test_clusters_are_marked_by_the_adjusted_rand_index_whatever_their_numbers():
    answers = classes()
    answers = Answers(
        labels=answers.labels, law=answers.law, trivial={"one": np.eye(3)[np.zeros(N, dtype=int)]}
    )
    codes = answers.law.p.argmax(axis=1)
    marker = Marker(CLUSTERS, answers)
    mark = marker.mark("adjusted_rand", Prediction(codes=codes))
    assert marker.mark("adjusted_rand", Prediction(codes=100 - 7 * codes)).score == mark.score
    assert mark.skill > 0.9
    assert mark.approximate


# --- real data -----------------------------------------------------------------------------------


def test_without_a_law_the_ceiling_is_a_recorded_reference_and_both_scores_are_one():
    answers = classes(law=False)
    marker = Marker(CLASSES, answers)
    mark = marker.mark("accuracy", Prediction(codes=answers.labels))
    assert (mark.tier, mark.ceiling, mark.score, mark.label_score) == ("reference", 0.9, 1.0, 1.0)
    assert mark.skill > 1
    assert marker.mark("f1", Prediction(codes=answers.labels)).skill is None


def test_values_without_a_law_are_marked_against_the_labels():
    answers = values(law=False)
    mark = Marker(VALUES, answers).mark("rmse", Prediction(values=answers.labels + 1))
    assert mark.score == pytest.approx(1.0)
    assert mark.ceiling == 0.9
    assert Marker(VALUES, answers).mark("r2", Prediction(values=answers.labels)).score == 1.0


def test_a_trivial_prediction_of_classes_must_be_probabilities():
    answers = Answers(labels=np.zeros(N, dtype=int), law=None, trivial={"bad": np.zeros(N)})
    with pytest.raises(TypeError, match="must be \\(n, K\\) probabilities"):
        Marker(CLASSES, answers).floor("accuracy")


# --- which measures ------------------------------------------------------------------------------


def test_the_usual_measures_fit_what_was_predicted():
    p, v = np.full((N, 3), 1 / 3), np.zeros(N)
    labels = ["accuracy", "balanced_accuracy", "f1"]
    assert measurable(Prediction(codes=IDS % 3), CLASSES, classes()) == labels
    both = [*labels, "log_loss", "roc_auc"]
    assert measurable(Prediction(p=p), CLASSES, classes()) == both
    assert measurable(Prediction(codes=IDS), CLUSTERS, classes()) == ["adjusted_rand"]
    with_scale = measurable(Prediction(values=v, quantiles={0.5: v}), VALUES, values())
    assert with_scale == ["mase", "mae", "rmse", "pinball"]
    plain = Answers(labels=v, law=None, trivial={})
    assert measurable(Prediction(values=v), VALUES, plain) == ["r2", "rmse", "mae"]


def test_many_quantile_levels_and_very_many_rows_are_measured_when_asked_only():
    v = np.zeros(N)
    wide = Prediction(values=v, quantiles={k / 100: v for k in range(1, 100)})
    assert "pinball" not in measurable(wide, VALUES, values())
    n = MANY_CELLS // 3 + 1
    long = Answers(labels=np.zeros(n, dtype=int), law=None, trivial={})
    said = Prediction(p=np.broadcast_to(np.full(3, 1 / 3), (n, 3)))
    assert measurable(said, CLASSES, long) == ["accuracy"]


# --- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_VALUE)
@pytest.mark.parametrize("law", [True, False])
@pytest.mark.parametrize(
    "v",
    [1e100, -1e100, 0.0, 1e-300, "one huge", "alternating"],
)
def test_marks_of_extreme_values_are_finite(name, law, v):
    if v == "one huge":
        v = np.where(IDS == 7, 1e100, 0.0)
    elif v == "alternating":
        v = np.where(IDS % 2, 1e100, -1e100)
    v = np.full(N, v) if np.isscalar(v) else v
    mark = Marker(VALUES, values(law=law)).mark(
        name, Prediction(values=v, quantiles=dict.fromkeys(LEVELS, v))
    )
    assert math.isfinite(strict(mark)["se"])


@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("law", [True, False])
@pytest.mark.parametrize("code", [0, 1, 2])
def test_marks_of_a_single_class_are_finite(name, law, code):
    codes = np.full(N, code)
    said = Prediction(codes=codes, p=np.eye(3)[codes])
    strict(Marker(CLASSES, classes(law=law)).mark(name, said))


@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("n", [1, 2])
def test_marks_of_very_few_rows_are_finite(name, n):
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])[:n]
    answers = Answers(labels=np.array([0, 2])[:n], law=Categorical(p=p), trivial={"prior": p[::-1]})
    strict(Marker(CLASSES, answers).mark(name, Prediction(codes=np.array([1, 1])[:n], p=p)))


@pytest.mark.parametrize("name", BY_CLASS)
def test_marks_where_only_one_class_occurs_are_finite(name):
    answers = Answers(
        labels=np.zeros(N, dtype=int), law=None, trivial={"prior": np.eye(3)[np.zeros(N, int)]}
    )
    said = Prediction(codes=IDS % 3, p=np.eye(3)[IDS % 3])
    strict(Marker(CLASSES, answers).mark(name, said))


@pytest.mark.parametrize("name", BY_VALUE)
def test_marks_of_constant_answers_are_finite(name):
    answers = Answers(labels=np.ones(N), law=None, trivial={"mean": np.ones(N)}, scale=np.ones(N))
    for v in (1.0, 2.0):
        said = Prediction(values=np.full(N, v), quantiles=dict.fromkeys(LEVELS, np.full(N, v)))
        strict(Marker(VALUES, answers).mark(name, said))


@pytest.mark.parametrize("codes", [IDS, np.zeros(N, dtype=int), np.full(N, -(10**17)), IDS % 2])
def test_marks_of_any_clusters_are_finite(codes):
    answers = classes()
    trivial = {"one": np.eye(3)[np.zeros(N, dtype=int)]}
    answers = Answers(labels=answers.labels, law=answers.law, trivial=trivial)
    strict(Marker(CLUSTERS, answers).mark("adjusted_rand", Prediction(codes=codes)))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1e100, 1e100), min_size=3, max_size=30), st.sampled_from(BY_VALUE))
def test_marks_of_any_values_are_finite(v, name):
    v = np.array(v)
    n = len(v)
    answers = Answers(
        labels=np.arange(n) / 7,
        law=Gaussian(mean=np.arange(n) / 7, sd=np.full(n, 0.3)),
        trivial={"mean": np.full(n, n / 14)},
        scale=np.ones(n),
    )
    contract = Contract(kind="values", ids=np.arange(n), quantiles=(0.5,))
    mark = Marker(contract, answers).mark(name, Prediction(values=v, quantiles={0.5: v}))
    strict(mark)
    assert mark.skill <= 1 + 1e-6
