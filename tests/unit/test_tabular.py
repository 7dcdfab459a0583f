"""Classification, imbalanced and regression tables: exact laws, wanted ceilings, fixed bits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets import scm
from tasks.datasets.tabular import softmax
from tasks.errors import InvalidTask
from tasks.families import Classification, Imbalanced, Regression
from tasks.instance import CHUNK_ROWS, Streams

SEEDS = [f"seed {k}".encode() for k in range(6)]


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("params", "golden"),
    [
        (Classification(), "fe486cea6ea086cc"),
        (Imbalanced(), "6c1a604ed16920e0"),
        (Regression(), "a930d36c5a4edc76"),
    ],
    ids=["classification", "imbalanced", "regression"],
)
def test_the_bits_of_a_version_never_change(params, golden):
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(params.draw(Streams(b"golden"))) == golden


@pytest.mark.parametrize("params", [Classification(), Imbalanced(), Regression()])
def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(params):
    first = digest(params.draw(Streams(b"a")))
    assert first == digest(params.draw(Streams(b"a")))
    assert first != digest(params.draw(Streams(b"b")))


def test_any_chunk_is_computable_alone_and_out_of_order():
    table = Classification(n_samples=CHUNK_ROWS + 500).draw(Streams(b"x")).public["train"]
    second, first = table.chunk(1), table.chunk(0)
    assert len(second["f0"]) == 500
    assert np.array_equal(table.columns()["f0"], np.concatenate([first["f0"], second["f0"]]))


@pytest.mark.parametrize("ceiling", [0.6, 0.8, 0.93, 0.99])
def test_the_bayes_accuracy_of_fresh_rows_is_the_wanted_ceiling(ceiling):
    """Within 4.5 standard errors of 20,000 rows plus the pilot's own error."""
    p = Classification(ceiling=ceiling, n_test=20_000).draw(Streams(b"c")).answers.law.p
    best = p.max(axis=1)
    assert abs(best.mean() - ceiling) < 4.5 * best.std() / np.sqrt(20_000) + 0.004


@pytest.mark.parametrize("ratio", [0.02, 0.1, 1.0])
def test_positives_are_as_rare_as_asked(ratio):
    instance = Imbalanced(n_samples=5000, imbalance_ratio=ratio, n_test=20_000).draw(Streams(b"i"))
    assert instance.answers.law.p[:, 1].mean() == pytest.approx(ratio / (1 + ratio), rel=0.12)
    assert set(instance.public["train"].columns()["target"]) == {0, 1}


@pytest.mark.parametrize("ceiling", [0.5, 0.9])
def test_the_r2_of_the_true_mean_is_the_wanted_ceiling(ceiling):
    answers = Regression(ceiling=ceiling, n_test=20_000).draw(Streams(b"r")).answers
    residual = answers.labels - answers.law.mean
    r2 = 1 - (residual**2).sum() / ((answers.labels - answers.labels.mean()) ** 2).sum()
    assert r2 == pytest.approx(ceiling, abs=0.02)


def test_labels_follow_the_law_they_are_graded_by():
    """Of 6 seeds and 3 classes none is off by 4.5 standard errors: false alarm 1 in 8,000."""
    for seed in SEEDS:
        answers = Classification(n_test=20_000).draw(Streams(seed)).answers
        p = answers.law.p
        assert np.allclose(p.sum(axis=1), 1.0)
        for k in range(p.shape[1]):
            surplus = ((answers.labels == k) - p[:, k]).sum()
            assert abs(surplus) < 4.5 * np.sqrt((p[:, k] * (1 - p[:, k])).sum())


def test_the_law_is_calibrated_where_it_is_unsure():
    """In each of 8 bins the frequency is within 4.5 standard errors of the mean probability."""
    answers = Classification(ceiling=0.7, n_test=60_000).draw(Streams(b"cal")).answers
    p, hit = answers.law.p[:, 1], answers.labels == 1
    for low in np.arange(0, 1, 0.125):
        inside = (p >= low) & (p < low + 0.125)
        if inside.sum() > 100:
            error = np.sqrt((p[inside] * (1 - p[inside])).sum()) / inside.sum()
            assert abs(hit[inside].mean() - p[inside].mean()) < 4.5 * error


def test_regression_noise_has_the_stated_spread_and_does_not_know_the_mean():
    answers = Regression(n_test=20_000).draw(Streams(b"n")).answers
    z = (answers.labels - answers.law.mean) / answers.law.sd
    assert z.mean() == pytest.approx(0, abs=4.5 / np.sqrt(20_000))
    assert z.std() == pytest.approx(1, abs=4.5 / np.sqrt(40_000))
    assert abs(np.corrcoef(z, answers.law.mean)[0, 1]) < 4.5 / np.sqrt(20_000)


def test_ids_tell_nothing_and_the_test_table_has_no_target():
    instance = Classification().draw(Streams(b"t"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert "target" in train
    assert "target" not in test
    assert list(test["id"]) == list(instance.contract.ids) == list(range(1000, 3000))


@given(
    n_features=st.integers(2, 40),
    n_classes=st.integers(2, 8),
    interactions=st.integers(0, 5),
    seed=st.binary(min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_every_choice_of_sizes_gives_a_proper_instance(n_features, n_classes, interactions, seed):
    params = Classification(
        n_samples=200,
        n_test=50,
        n_features=n_features,
        n_classes=n_classes,
        interactions=interactions,
        ceiling=0.9,
    )
    instance = params.draw(Streams(seed))
    train = instance.public["train"].columns()
    assert len(train) == n_features + 2
    assert set(train["target"]) == set(range(n_classes))
    assert all(np.isfinite(column).all() for column in train.values())
    assert all(0.05 < train[f"f{j}"].std() < 20 for j in range(n_features))


def test_too_few_rows_for_every_class_is_refused_in_one_line():
    with pytest.raises(InvalidTask, match="never held all 100 classes"):
        Classification(n_samples=1000, n_classes=100, ceiling=0.5).model_copy(
            update={"n_samples": 120}
        ).draw(Streams(b"few"))


@given(
    scores=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=2, max_size=5),
    temperature=st.floats(0.01, 200),
)
@settings(deadline=None)
def test_the_algebraicsoftmax_is_a_distribution_that_keeps_the_order(scores, temperature):
    arrays = [np.array(score) for score in scores]
    p = softmax(arrays, temperature)
    assert np.allclose(p.sum(axis=0), 1)
    assert (p >= 0).all()
    for row in range(3):
        order = np.argsort([score[row] for score in scores], kind="stable")
        assert (np.diff(p[order, row]) >= -1e-15).all()


def test_columns_are_standardised_whatever_the_graph():
    for seed in SEEDS:
        rng = Streams(seed).stream("structure")
        pilot = Streams(seed).stream("pilot").standard_normal((15, 30_000), dtype=np.float32)
        law = scm.random_covariates(rng, 15, pilot)
        x = law.sample(Streams(seed).stream("fresh"), 20_000)
        assert np.abs(x.mean(axis=1)).max() < 0.06
        assert np.abs(x.std(axis=1) - 1).max() < 0.06


def test_columns_of_a_rich_graph_are_standardised_bounded_and_not_all_normal():
    excess = []
    for seed in SEEDS:
        streams, pilot = Streams(seed), np.empty((15, 30_000), dtype=np.float32)
        law = scm.rich_covariates(streams.stream("structure"), 15, pilot, streams.stream("pilot"))
        x = law.sample(streams.stream("fresh"), 20_000)
        assert np.abs(x.mean(axis=1)).max() < 0.06
        assert np.abs(x.std(axis=1) - 1).max() < 0.1
        assert np.abs(x).max() <= scm.LARGEST
        assert {node.law for node in law.nodes} <= set(scm.NOISES)
        excess += list((x**4).mean(axis=1) - 3)
        products = [t for node in law.nodes for t in node.terms if t.second is not None]
        assert products
    assert min(excess) < -0.8
    assert max(excess) > 3


@pytest.mark.parametrize("name", scm.NOISES)
def test_every_law_of_noise_is_standardised(name):
    draws = scm.NOISES[name](Streams(b"noise").stream(name), 200_000)
    assert draws.dtype == np.float32
    assert abs(draws.mean()) < 0.02
    assert abs(draws.std() - 1) < 0.03


def test_a_good_model_lands_between_floor_and_ceiling():
    """The table can be learnt: boosting is far above the prior and below the law."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    instance = Classification().draw(Streams(b"learn"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    x, fresh = (np.column_stack([t[f"f{j}"] for j in range(10)]) for t in (train, test))
    codes = HistGradientBoostingClassifier(random_state=0).fit(x, train["target"]).predict(fresh)
    p = instance.answers.law.p
    score = p[np.arange(len(p)), codes].mean()
    assert p.mean(axis=0).max() + 0.2 < score < p.max(axis=1).mean()
