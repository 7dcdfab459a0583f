"""Gaussian mixtures: exact marginals, calibrated laws, wanted ceilings, fixed bits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from tasks.datasets.mixtures import Mixture
from tasks.errors import InvalidTask
from tasks.families import Clustering, TabularMissing
from tasks.instance import CHUNK_ROWS, Streams

FAMILIES = [
    TabularMissing(),
    TabularMissing(mechanism="MAR", missing_rate=0.3),
    Clustering(),
]
NAMES = ["MCAR", "MAR", "clustering"]


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def features(instance, name):
    columns = instance.public[name].columns()
    return np.column_stack([column for key, column in columns.items() if key[0] == "f"])


def leak_z(answers):
    p, codes = answers.law.p, answers.law.p.argmax(axis=1)
    said = p[np.arange(len(p)), codes]
    return ((codes == answers.labels) - said).sum() / np.sqrt((said * (1 - said)).sum())


@pytest.mark.parametrize(
    ("params", "golden"),
    [
        (FAMILIES[0], "9d8eae64d36431d9"),
        (FAMILIES[1], "59d505d5cf54eb5e"),
        (FAMILIES[2], "e84c28de5295eae9"),
    ],
    ids=NAMES,
)
def test_the_bits_of_a_version_never_change(params, golden):
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(params.draw(Streams(b"golden"))) == golden


@pytest.mark.parametrize("params", FAMILIES, ids=NAMES)
def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(params):
    first = digest(params.draw(Streams(b"a")))
    assert first == digest(params.draw(Streams(b"a")))
    assert first != digest(params.draw(Streams(b"b")))


@pytest.mark.parametrize("params", FAMILIES, ids=NAMES)
def test_labels_follow_the_law_they_are_graded_by(params):
    """The Bayes predictor is right as often as the law says: |z| < 4 for each of 5 seeds."""
    for seed in range(5):
        answers = params.draw(Streams(f"seed {seed}".encode())).answers
        assert np.allclose(answers.law.p.sum(axis=1), 1.0)
        assert abs(leak_z(answers)) < 4
        for k in range(answers.law.p.shape[1]):
            p = answers.law.p[:, k]
            assert abs(((answers.labels == k) - p).sum()) < 4.5 * np.sqrt((p * (1 - p)).sum())


@pytest.mark.parametrize("params", FAMILIES, ids=NAMES)
@pytest.mark.parametrize("ceiling", [0.7, 0.95])
def test_the_bayes_accuracy_of_fresh_rows_is_the_wanted_ceiling(params, ceiling):
    """Within 4.5 standard errors of 20,000 rows plus the pilot's own error."""
    wanted = params.model_copy(update={"ceiling": ceiling, "n_test": 20_000})
    best = wanted.draw(Streams(b"c")).answers.law.p.max(axis=1)
    assert abs(best.mean() - ceiling) < 4.5 * best.std() / np.sqrt(20_000) + 0.009


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_missing_cells_are_marginalised_exactly(seed, d):
    """Against scipy's density of the observed block, for random components and patterns."""
    rng = np.random.default_rng(seed)
    mixture = Mixture(
        means=rng.normal(size=(3, d)),
        loadings=rng.normal(size=(3, d, 2)),
        sd=rng.uniform(0.3, 2, (3, d)),
        owner=np.array([0, 0, 1]),
        weights=np.array([0.3, 0.7, 1.0]),
        prior=np.array([0.4, 0.6]),
        separation=1.7,
    )
    x = np.where(rng.random((20, d)) < 0.4, np.nan, rng.normal(0, 3, (20, d)))
    density = np.zeros((20, 3))
    for c in range(3):
        covariance = mixture.loadings[c] @ mixture.loadings[c].T + np.diag(mixture.sd[c] ** 2)
        for i, row in enumerate(x):
            seen = ~np.isnan(row)
            if seen.any():
                block = covariance[np.ix_(seen, seen)]
                law = multivariate_normal(1.7 * mixture.means[c][seen], block)
                density[i, c] = law.logpdf(row[seen])
    assert np.allclose(mixture.log_density(x), density, atol=1e-8)
    joint = np.exp(density) * mixture.weights * mixture.prior[mixture.owner]
    odds = np.column_stack([joint[:, 0] + joint[:, 1], joint[:, 2]])
    assert np.allclose(mixture.posterior(x), odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_mcar_loses_the_asked_share_of_every_column_alike(rate):
    params = TabularMissing(n_samples=20_000, missing_rate=rate, ceiling=0.8)
    lost = np.isnan(features(params.draw(Streams(b"m")), "train")).mean(axis=0)
    assert np.abs(lost - rate).max() <= 4.5 * np.sqrt(rate * (1 - rate) / 20_000)


def test_mar_depends_on_the_first_column_which_is_never_missing():
    params = TabularMissing(n_samples=20_000, missing_rate=0.3, mechanism="MAR")
    instance = params.draw(Streams(b"m"))
    x = features(instance, "train")
    lost = np.isnan(x)
    assert not lost[:, 0].any()
    assert lost[:, 1:].mean() == pytest.approx(0.3, abs=0.01)
    high = x[:, 0] > np.median(x[:, 0])
    leaning = instance.details["lost_rather_where_f0_is_high"]
    for j in range(1, 10):
        difference = lost[high, j].mean() - lost[~high, j].mean()
        expected = 0.48 if f"f{j}" in leaning else -0.48
        assert difference == pytest.approx(expected, abs=0.04)


def test_so_many_lost_cells_that_the_ceiling_is_out_of_reach_are_refused_in_one_line():
    params = TabularMissing(n_features=3, missing_rate=0.8, ceiling=0.95)
    with pytest.raises(InvalidTask, match=r"ceiling is 0\.95; possible here: 0\.\d+ to 0\.\d+$"):
        params.draw(Streams(b"few"))


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        (TabularMissing, {"n_samples": 25}, "3 classes need at least 30"),
        (Clustering, {"n_samples": 30, "n_clusters": 4}, "4 classes need at least 40"),
        (Clustering, {"n_clusters": 4, "ceiling": 0.25}, "must exceed 0.300"),
    ],
    ids=["classes", "clusters", "ceiling"],
)
def test_impossible_parameters_are_refused_when_the_task_loads(family, fields, message):
    with pytest.raises(ValueError, match=message):
        family(**fields)


def test_any_chunk_is_computable_alone_and_out_of_order():
    for params in (
        TabularMissing(n_samples=CHUNK_ROWS + 50),
        Clustering(n_samples=CHUNK_ROWS + 50),
    ):
        table = params.draw(Streams(b"x")).public["train"]
        second, first = table.chunk(1), table.chunk(0)
        assert len(second["f0"]) == 50
        both = np.concatenate([first["f0"], second["f0"]])
        assert np.array_equal(table.columns()["f0"], both, equal_nan=True)
        assert list(second["id"]) == list(range(CHUNK_ROWS, CHUNK_ROWS + 50))


@pytest.mark.parametrize("params", FAMILIES, ids=NAMES)
def test_no_hidden_row_is_a_training_row(params):
    instance = params.model_copy(update={"n_test": 1000}).draw(Streams(b"apart"))
    train, test = (features(instance, name)[:, 0] for name in ("train", "test"))
    train, test = train[~np.isnan(train)], test[~np.isnan(test)]
    # Of 1,000 numbers each, on a grid of 1e-4 a few agree by chance.
    assert np.isin(test, train).mean() < 0.1


@pytest.mark.parametrize("params", FAMILIES[:2], ids=NAMES[:2])
def test_training_labels_tell_nothing_of_the_hidden_ones(params):
    instance = params.draw(Streams(b"apart"))
    same = instance.public["train"].columns()["target"] == instance.answers.labels[:1000]
    assert abs(same.mean() - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 1000)


def test_clusters_are_asked_for_without_showing_one():
    instance = Clustering(n_samples=300, n_test=100).draw(Streams(b"k"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert list(train) == list(test) == ["id", *(f"f{j}" for j in range(8))]
    assert instance.contract.kind == "clusters"
    assert list(test["id"]) == list(instance.contract.ids) == list(range(300, 400))
    assert instance.answers.trivial["one cluster"].shape == (100, 4)
    assert set(instance.answers.labels) == {0, 1, 2, 3}


def test_a_good_clustering_lands_between_floor_and_ceiling():
    """The clusters can be found from the points alone."""
    from sklearn.metrics import adjusted_rand_score
    from sklearn.mixture import GaussianMixture

    for seed in (b"one", b"two"):
        instance = Clustering().draw(Streams(seed))
        x, fresh = features(instance, "train"), features(instance, "test")
        model = GaussianMixture(4, n_init=3, random_state=0).fit(x)
        labels = instance.answers.labels
        found = adjusted_rand_score(labels, model.predict(fresh))
        best = adjusted_rand_score(labels, instance.answers.law.p.argmax(axis=1))
        assert 0.3 < found < best + 0.01
        assert best > 0.65


@pytest.mark.parametrize("params", FAMILIES[:2], ids=NAMES[:2])
def test_a_good_classifier_lands_between_floor_and_ceiling(params):
    from sklearn.ensemble import HistGradientBoostingClassifier

    instance = params.draw(Streams(b"learn"))
    x, y = features(instance, "train"), instance.public["train"].columns()["target"]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(x, y)
    codes, p = model.predict(features(instance, "test")), instance.answers.law.p
    score = p[np.arange(len(p)), codes].mean()
    assert p.mean(axis=0).max() + 0.2 < score < p.max(axis=1).mean()
