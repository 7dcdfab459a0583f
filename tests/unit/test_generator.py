"""DataGenerator: the names the spec fixes, repeatable data, data that can be learnt from."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import MultinomialNB

from tasks.errors import InvalidInput, InvalidTask
from tasks.families import Classification
from tasks.instance import Seed, Streams
from tasks.utils import DataGenerator

METHODS = sorted(name for name in dir(DataGenerator) if name.startswith("generate_"))
HARMONICS = (2 * np.pi / 24, 4 * np.pi / 24)
N_ROWS = 120
SMALL = {
    "generate_image_classification_dataset": {"image_size": (14, 14), "n_classes": 3},
    "generate_multi_modal_dataset": {"image_size": (14, 14)},
}


def halves(df):
    x, y = df.drop(columns="target").to_numpy(), df["target"].to_numpy()
    half = len(df) // 2
    return x[:half], y[:half], x[half:], y[half:]


def same(a, b):
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    return np.array_equal(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_a_random_state_fixes_the_data_and_none_gives_new_data_at_each_call(method):
    def generate(random_state):
        generator = DataGenerator(random_state=random_state)
        return getattr(generator, method)(n_samples=N_ROWS, **SMALL.get(method, {}))

    assert same(generate(1), generate(1))
    assert not same(generate(1), generate(2))
    assert not same(generate(None), generate(None))


def test_calls_do_not_depend_on_each_other():
    used, fresh = DataGenerator(random_state=1), DataGenerator(random_state=1)
    used.generate_classification_dataset(100)
    a, b = used.generate_regression_dataset(100), fresh.generate_regression_dataset(100)
    assert same(a, b)


def test_the_rows_are_those_a_task_gets_under_the_same_public_seed():
    df = DataGenerator(random_state=5).generate_classification_dataset(300, 6, 2)
    family = Classification(n_samples=300, n_features=6, n_classes=2)
    train = family.draw(Streams(Seed.public(5).secret)).public["train"].columns()
    assert same(df, pd.DataFrame(train).drop(columns="id"))


def test_classification_gives_features_and_every_class_and_can_be_learnt():
    df = DataGenerator(random_state=0).generate_classification_dataset(
        n_samples=2000, n_features=10, n_classes=3
    )
    assert list(df.columns) == [f"f{j}" for j in range(10)] + ["target"]
    assert df.shape == (2000, 11)
    assert set(df["target"]) == {0, 1, 2}
    x, y, fresh, truth = halves(df)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0).fit(x, y)
    assert model.score(fresh, truth) > np.bincount(truth).max() / len(truth) + 0.15


def test_regression_can_be_learnt():
    df = DataGenerator(random_state=0).generate_regression_dataset(n_samples=2000, n_features=8)
    assert df.shape == (2000, 9)
    x, y, fresh, truth = halves(df)
    model = HistGradientBoostingRegressor(max_iter=80, random_state=0).fit(x, y)
    assert model.score(fresh, truth) > 0.4


def test_imbalanced_positives_are_rare_and_can_be_ranked():
    df = DataGenerator(random_state=0).generate_imbalanced_dataset(
        n_samples=4000, imbalance_ratio=0.1
    )
    assert df["target"].mean() == pytest.approx(0.1 / 1.1, abs=0.02)
    x, y, fresh, truth = halves(df)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0).fit(x, y)
    assert roc_auc_score(truth, model.predict_proba(fresh)[:, 1]) > 0.75


@pytest.mark.parametrize("mechanism", ["MCAR", "MAR"])
def test_missing_values_are_as_many_as_asked_and_the_rest_can_be_learnt(mechanism):
    df = DataGenerator(random_state=0).generate_missing_values_dataset(
        n_samples=3000, missing_rate=0.2, mechanism=mechanism
    )
    columns = [f"f{j}" for j in range(1, 10)]
    assert df[columns].isna().to_numpy().mean() == pytest.approx(0.2, abs=0.02)
    assert (df["f0"].isna().sum() == 0) == (mechanism == "MAR")
    x, y, fresh, truth = halves(df)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0).fit(x, y)
    assert 0.6 < model.score(fresh, truth) < 0.93


def test_clusters_are_found_by_a_mixture_model():
    df = DataGenerator(random_state=0).generate_clustering_dataset(n_samples=2000, n_clusters=3)
    assert df.shape == (2000, 9)
    assert set(df["target"]) == {0, 1, 2}
    x = df.drop(columns="target").to_numpy()
    labels = GaussianMixture(3, n_init=3, random_state=0).fit_predict(x)
    assert adjusted_rand_score(df["target"], labels) > 0.5


def test_a_time_series_follows_its_columns_and_its_season():
    df = DataGenerator(random_state=0).generate_time_series_dataset(
        n_samples=1000, n_features=5, trend=True, seasonality=True
    )
    assert list(df.columns) == ["time", "x1", "x2", "x3", "x4", "x5", "target"]
    assert list(df["time"]) == list(range(1000))
    x = df[[f"x{j}" for j in range(1, 6)]]
    season = np.column_stack([wave(df["time"] * k) for wave in (np.sin, np.cos) for k in HARMONICS])
    steps = np.diff(np.column_stack([x, x.abs(), season, df["target"]]), axis=0)
    model = LinearRegression().fit(steps[:700, :-1], steps[:700, -1])
    assert model.score(steps[700:, :-1], steps[700:, -1]) > 0.5


def test_a_short_series_has_a_season_that_fits():
    assert len(DataGenerator(random_state=0).generate_time_series_dataset(50, 0)) == 50


def test_texts_can_be_told_apart_by_pairs_of_words():
    df = DataGenerator(random_state=0).generate_text_classification_dataset(n_samples=4000)
    assert list(df.columns) == ["text", "target"]
    pairs = CountVectorizer(ngram_range=(2, 2), token_pattern=r"\S+")
    model = MultinomialNB(alpha=0.3)
    model.fit(pairs.fit_transform(df["text"][:3000]), df["target"][:3000])
    right = model.score(pairs.transform(df["text"][3000:]), df["target"][3000:])
    assert 0.5 < right < 0.93


def test_images_can_be_told_apart():
    made = DataGenerator(random_state=0).generate_image_classification_dataset(
        n_samples=1500, image_size=(20, 16), n_classes=4
    )
    assert made["images"].shape == (1500, 20, 16)
    assert made["images"].dtype == np.uint8
    assert set(made["labels"]) == {0, 1, 2, 3}
    assert made["metadata"] == {"n_samples": 1500, "image_size": (20, 16), "n_classes": 4}
    x = made["images"].reshape(1500, -1) / 128 - 1
    model = LogisticRegression(C=0.01, max_iter=300).fit(x[:1000], made["labels"][:1000])
    assert model.score(x[1000:], made["labels"][1000:]) > 0.5


def test_images_and_term_counts_both_tell_of_the_class():
    made = DataGenerator(random_state=0).generate_multi_modal_dataset(
        n_samples=1500, image_size=(28, 28), n_text_features=100, n_classes=3
    )
    assert set(made) == {"images", "text_features", "labels", "metadata"}
    assert made["images"].shape == (1500, 28, 28)
    assert made["text_features"].shape == (1500, 100)
    labels = made["labels"]
    for x, strength in (
        (made["images"].reshape(1500, -1) / 128 - 1, 1e-3),
        (np.log1p(made["text_features"]), 0.1),
    ):
        model = LogisticRegression(C=strength, max_iter=300).fit(x[:1000], labels[:1000])
        assert 0.45 < model.score(x[1000:], labels[1000:]) < 0.82


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda g: g.generate_classification_dataset(n_features=0),
            "n_features is 0: .*equal to 2",
        ),
        (lambda g: g.generate_classification_dataset(20, 5, 3), "need at least 30"),
        (lambda g: g.generate_imbalanced_dataset(n_samples=20), "at least 5 are needed"),
        (lambda g: g.generate_missing_values_dataset(mechanism="MNAR"), "mechanism is 'MNAR'"),
    ],
    ids=["range", "classes", "positives", "mechanism"],
)
def test_a_parameter_out_of_range_is_refused_in_one_line(call, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        call(DataGenerator())
    assert "\n" not in str(caught.value)


def test_what_no_data_can_be_is_refused_in_one_line():
    generator = DataGenerator()
    with pytest.raises(InvalidTask, match=r"ceiling is 0\.9; possible here") as caught:
        generator.generate_missing_values_dataset(n_features=2, missing_rate=0.8)
    assert "\n" not in str(caught.value)
    easier = generator.generate_missing_values_dataset(n_features=2, missing_rate=0.8, ceiling=0.45)
    assert len(easier) == 1000
