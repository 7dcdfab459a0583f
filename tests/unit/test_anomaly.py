"""Anomalies without labels: posteriors by Bayes' rule, wanted ceilings, fixed bits, an agent."""

import hashlib

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from tasks.errors import InvalidTask
from tasks.families import Anomaly
from tasks.grading.decide import decide
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Seed, Streams
from tasks.runner import TaskRunner
from tasks.spec import Task

KINDS = ["scattered", "dependence"]


def points(instance, name):
    columns = instance.public[name].columns()
    return np.column_stack([column for key, column in columns.items() if key != "id"])


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        digest.update(np.ascontiguousarray(points(instance, name)).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("kind", "golden"), [("scattered", "f7f32db8074f7302"), ("dependence", "944cc4e175b892d4")]
)
def test_the_bits_of_a_version_never_change(kind, golden):
    assert digest(Anomaly(kind=kind).draw(Streams(b"golden"))) == golden


def test_another_seed_gives_other_data():
    assert digest(Anomaly().draw(Streams(b"a"))) != digest(Anomaly().draw(Streams(b"b")))


def test_neither_table_says_what_is_an_anomaly():
    instance = Anomaly(n_features=3).draw(Streams(b"t"))
    for name in ("train", "test"):
        assert list(instance.public[name].columns()) == ["id", "f0", "f1", "f2"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ceiling", [0.8, 0.95])
def test_the_best_roc_auc_is_the_wanted_ceiling(kind, ceiling):
    """Within what 10,000 hidden anomalies can tell, and the pilot's own error."""
    params = Anomaly(kind=kind, ceiling=ceiling, contamination=0.4, n_test=25_000)
    instance = params.draw(Streams(b"c"))
    found = Marker(instance.contract, instance.answers).ceiling("roc_auc")
    assert found == pytest.approx(ceiling, abs=0.015)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_follow_their_law(kind):
    for k in range(6):
        instance = Anomaly(kind=kind, n_test=20_000).draw(Streams(b"%d" % k))
        p, labels = instance.answers.law.p, instance.answers.labels
        spread = np.sqrt((p[:, 1] * p[:, 0]).sum())
        assert abs((labels - p[:, 1]).sum()) < 4.5 * spread
        sure = p[:, 1] > 0.3
        error = np.sqrt((p[sure, 1] * p[sure, 0]).sum())
        assert abs((labels - p[:, 1])[sure].sum()) < 4.5 * error
        best = decide("balanced_accuracy", instance.answers.law)
        assert abs(leak_z(best, instance.answers.law, labels)) < 4


def test_odd_dependence_shows_in_no_single_column():
    """Means and variances of anomalies are those of normal rows; correlations are not."""
    instance = Anomaly(kind="dependence", contamination=0.4, n_test=20_000).draw(Streams(b"m"))
    x, odd = points(instance, "test"), instance.answers.labels == 1
    assert np.abs(x[odd].mean(axis=0) - x[~odd].mean(axis=0)).max() < 0.1
    assert np.abs(x[odd].std(axis=0) / x[~odd].std(axis=0) - 1).max() < 0.05
    gap = np.corrcoef(x[odd].T) - np.corrcoef(x[~odd].T)
    assert np.abs(gap).max() > 0.2


def test_scattered_anomalies_are_the_wider_ones():
    instance = Anomaly(n_test=20_000).draw(Streams(b"w"))
    x, odd = points(instance, "test"), instance.answers.labels == 1
    assert (x[odd].std(axis=0) > x[~odd].std(axis=0)).all()


def test_the_posterior_is_bayes_rule_on_normal_densities():
    from tasks.datasets.anomaly import _population

    params = Anomaly(n_features=4, kind="dependence")
    population = _population(params, Streams(b"b").stream("structure"))
    mixture = population.mixture(1.5)
    x = np.random.default_rng(0).normal(0, 2, (50, 4))
    density = np.column_stack(
        [
            multivariate_normal(mean, loadings @ loadings.T + np.diag(sd**2)).pdf(x)
            for mean, loadings, sd in zip(mixture.means, mixture.loadings, mixture.sd, strict=True)
        ]
    )
    joint = density * mixture.weights * mixture.prior[mixture.owner]
    expected = joint[:, 3:].sum(axis=1) / joint.sum(axis=1)
    assert np.allclose(mixture.posterior(x)[:, 1], expected, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_density_finds_anomalies_without_labels(kind):
    instance = Anomaly(kind=kind).draw(Streams(b"learn"))
    density = GaussianMixture(3, n_init=2, random_state=0).fit(points(instance, "train"))
    score = -density.score_samples(points(instance, "test"))
    p = (np.argsort(np.argsort(score)) + 0.5) / len(score)
    mark = Marker(instance.contract, instance.answers).mark(
        "roc_auc", Prediction(p=np.column_stack([1 - p, p]))
    )
    assert 0.5 < mark.skill < 1 + 3 * mark.se
    assert mark.floor == pytest.approx(0.5)


def test_too_few_rows_to_hold_anomalies_are_refused():
    with pytest.raises(ValidationError, match=r"n_samples is 400; .* at least 500 rows are needed"):
        Anomaly(n_samples=400, contamination=0.01)


def test_a_ceiling_out_of_reach_is_refused_with_what_can_be_had():
    with pytest.raises(InvalidTask, match=r"ceiling is 0.99999; possible here: 0\.\d+ to"):
        Anomaly(kind="dependence", n_features=2, ceiling=0.99999).draw(Streams(b"r"))


def test_the_experiment_agent_finds_anomalies(tmp_path):
    task = Task.from_dict(
        {
            "id": "odd",
            "task_type": "anomaly_detection",
            "data_requirements": {"n_samples": 400, "n_test": 500, "n_features": 3},
            "evaluation_criteria": {"min_roc_auc": 0.75},
        },
        source="test",
    )
    trial = TaskRunner(tmp_path).run_task(task, timeout=100, seed=Seed.public(1))
    assert trial.evaluation.success, trial.evaluation.feedback
