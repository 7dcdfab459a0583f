"""Signs of leaked answers: found where there are some, silent where a model is merely good."""

import numpy as np
import pytest

from tasks.grading.integrity import LEAK_THRESHOLD, examine
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Categorical, Contract, Gaussian, draw_classes

N = 2000
IDS = np.arange(N)
CLASSES = Contract(kind="classes", ids=IDS, classes=("a", "b", "c"))
VALUES = Contract(kind="values", ids=IDS)
CLUSTERS = Contract(kind="clusters", ids=IDS)


def classes(seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.7), size=N)
    labels = draw_classes(p, rng.random(N))
    return Answers(labels=labels, law=Categorical(p=p), trivial={})


def values(seed=0, *, law=True):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=N)
    labels = mean + rng.normal(0, 0.5, size=N)
    known = Gaussian(mean=mean, sd=np.full(N, 0.5)) if law else None
    return Answers(labels=labels, law=known, trivial={})


def test_the_best_possible_classes_raise_no_suspicion():
    for seed in range(20):
        answers = classes(seed)
        said = Prediction(codes=answers.law.p.argmax(axis=1), p=answers.law.p)
        found = examine(said, CLASSES, answers)
        assert not found["leak_suspected"]
        assert abs(found["leak_z"]) < LEAK_THRESHOLD
        assert (found["lookup_possible"], found["findings"]) == (False, [])


def test_the_false_alarm_rate_is_that_of_a_normal_number_for_each_statistic():
    answers = classes()
    both = Prediction(codes=answers.law.p.argmax(axis=1), p=answers.law.p)
    for said, rate in ((both, 1.267e-4), (Prediction(codes=both.codes), 6.334e-5)):
        found = examine(said, CLASSES, answers)
        assert found["false_alarm_rate"] == pytest.approx(rate, rel=1e-3)
        assert found["leak_threshold"] == 4
    nobody_knows = examine(Prediction(values=np.zeros(N)), VALUES, values(law=False))
    assert nobody_knows["false_alarm_rate"] is None


@pytest.mark.parametrize("wrong_on_purpose", [False, True])
def test_copied_classes_are_suspected_even_if_they_are_named_wrongly(wrong_on_purpose):
    answers = classes()
    codes = (answers.labels + wrong_on_purpose) % 3
    found = examine(Prediction(codes=codes), CLASSES, answers)
    assert found["leak_suspected"]
    assert (found["leak_z"] < -10) if wrong_on_purpose else (found["leak_z"] > 10)


def test_copied_clusters_are_suspected_whatever_their_numbers():
    answers = classes()
    assert examine(Prediction(codes=7 - answers.labels), CLUSTERS, answers)["leak_suspected"]
    honest = 7 - answers.law.p.argmax(axis=1)
    assert not examine(Prediction(codes=honest), CLUSTERS, answers)["leak_suspected"]


def test_copied_values_are_suspected_and_the_true_mean_is_not():
    answers = values()
    assert not examine(Prediction(values=answers.law.mean), VALUES, answers)["leak_suspected"]
    found = examine(Prediction(values=answers.labels), VALUES, answers)
    assert found["leak_suspected"]


def test_too_few_groups_to_tell_leave_the_question_open_unless_answers_are_copied():
    known = values()
    answers = Answers(labels=known.labels, law=known.law, trivial={}, groups=IDS % 3)
    found = examine(Prediction(values=known.labels + 0.01), VALUES, answers)
    assert (found["leak_z"], found["leak_suspected"], found["findings"]) == (None, False, [])
    for nudge in (0.0, 1e-9):
        found = examine(Prediction(values=known.labels + nudge), VALUES, answers)
        assert found["findings"] == ["100% of the predictions equal the hidden answers"]


# --- real data, whose law nobody knows -----------------------------------------------------------


@pytest.mark.parametrize(("share", "found"), [(1.0, True), (0.6, True), (0.4, False), (0.0, False)])
def test_values_that_equal_the_answers_are_found_without_a_law(share, found):
    answers = values(law=False)
    copied = np.arange(N) < share * N
    said = np.where(copied, answers.labels, 0.0)
    result = examine(Prediction(values=said), VALUES, answers)
    assert result["lookup_possible"]
    assert result["leak_z"] is None
    assert not result["leak_suspected"]
    wanted = [f"{share:.0%} of the predictions equal the hidden answers"]
    assert result["findings"] == (wanted if found else [])


def test_answers_of_few_values_may_be_hit_exactly():
    counts = Answers(labels=np.arange(N) % 5 * 1.0, law=None, trivial={})
    assert examine(Prediction(values=counts.labels), VALUES, counts)["findings"] == []


def test_classes_of_real_data_are_not_judged_by_how_right_they_are():
    answers = Answers(labels=classes().labels, law=None, trivial={})
    found = examine(Prediction(codes=answers.labels), CLASSES, answers)
    assert (found["findings"], found["lookup_possible"]) == ([], True)
