"""Calibration: the panel lies between floor and ceiling, headroom is judged, z is normal."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from tasks import calibrate, reference
from tasks.errors import MissingPart, UsageError
from tasks.grading.decide import decide
from tasks.grading.insights import grade_insights
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.grading.redraw import Spread, spread_of_z
from tasks.instance import Answers, Bernoulli, Categorical, Contract, Gaussian, Seed, draw_classes
from tasks.prepared import prepare
from tasks.reference import profile, series
from tasks.spec import Task


def task(task_type="classification", difficulty="medium", **data):
    definition = {
        "id": "t",
        "task_type": task_type,
        "difficulty": difficulty,
        "data_requirements": data,
        "evaluation_criteria": {},
    }
    return Task.from_dict(definition, source="test")


SMALL = {"n_samples": 400, "n_test": 500}

# --- the panel ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "models"),
    [
        (task(**SMALL), ["linear", "boosting"]),
        (task("regression", **SMALL), ["linear", "boosting"]),
        (task(dataset_type="tabular_missing", **SMALL), ["linear", "boosting"]),
        (task("clustering", **SMALL), ["linear", "mixture"]),
        (task("text_classification", **SMALL), ["linear"]),
        (task("multi_modal", n_samples=300, n_test=300), ["linear"]),
        (task("time_series", n_series=2), ["linear", "boosting"]),
        (task("anomaly_detection", **SMALL), ["linear", "forest"]),
        (task("multilabel", n_labels=3, **SMALL), ["linear", "boosting"]),
        (
            task("causal_effect", n_samples=4000, n_test=500, heterogeneity=2.0),
            ["linear", "boosting"],
        ),
        (task("survival", **SMALL), ["linear", "boosting"]),
    ],
    ids=[
        "classes",
        "values",
        "missing",
        "clusters",
        "text",
        "both",
        "series",
        "anomalies",
        "label sets",
        "effects",
        "times",
    ],
)
def test_the_panel_has_the_models_that_fit_and_they_have_skill(given, models):
    found = list(calibrate.points([given], 1))
    assert [point.model for point in found] == models
    for point in found:
        assert 0 < point.skill < 1.05
        low, high = sorted([point.floor, point.ceiling])
        assert low < point.score < high + 0.02
        assert (point.size, point.seed) == (given.family.n_samples, 1)


def test_words_and_missing_cells_are_no_hindrance_to_the_panel():
    found = list(reference.panel(prepare(named("penguins"), Seed.public(1)).instance))
    assert [one.name for one in found] == ["linear", "boosting"]
    assert all(one.prediction.p.shape == (103, 3) for one in found)
    assert all(np.allclose(one.prediction.p.sum(axis=1), 1) for one in found)


def named(name):
    from tasks import registry

    return registry.get_task(name)


def test_without_scikit_learn_there_is_no_panel(monkeypatch):
    monkeypatch.setattr(reference, "installed", lambda: False)
    assert list(calibrate.points([task(**SMALL)], 1)) == []


def test_the_agent_is_a_reference_for_what_the_panel_does_not_know():
    given = task("time_series", n_samples=60, n_series=3, period=6, horizon=6)
    *panel, point = calibrate.points([given], 1, agent_rows=60, time_limit=60)
    assert [one.model for one in panel] == ["linear", "boosting"]
    assert (point.model, point.size) == ("agent", 60)
    assert point.seconds > 0


def test_forecasts_of_the_panel_look_at_no_value_younger_than_the_horizon():
    """Features of the last known rows and of test stay the same if the latest values change."""
    ready = prepare(task("time_series", n_samples=80, n_series=2, horizon=6), Seed.public(1))
    instance = ready.instance
    known, asked = (instance.public[part].columns() for part in ("train", "test"))
    x, fresh = series.matrices(instance.contract, known, asked)
    changed = known["target"].copy()
    last = known["time"] == known["time"].max()
    changed[last] += np.array([5.0, -5.0])
    other, later = series.matrices(instance.contract, known | {"target": changed}, asked)
    n_lags = x.shape[1] - 2 - len(known.keys() & asked.keys() - {"id", "series"})
    scales = [side[:, None, -1] for side in (x, other)]
    raw = [s[:, :n_lags] * sd + side[:, None, -2] for s, sd, side in zip(
        (x, other), scales, (x, other), strict=True)]  # fmt: skip
    assert np.allclose(raw[0], raw[1], equal_nan=True)
    first, final = (asked["time"] == t for t in (asked["time"].min(), asked["time"].max()))
    back = later[:, :n_lags] * later[:, -1:] + later[:, -2:-1]
    was = fresh[:, :n_lags] * fresh[:, -1:] + fresh[:, -2:-1]
    assert np.allclose(back[first], was[first], equal_nan=True)
    assert np.allclose(back[final][:, 0] - was[final][:, 0], [5.0, -5.0])


def test_a_profile_of_the_columns_is_the_default_pipeline_of_an_analysis():
    """It finds what a look at each column shows, and nothing that takes a second look."""
    facts = ["constant", "id_like", "duplicates", "missingness", "functional_form"]
    given = task("data_analysis", "hard", n_samples=2000, facts=facts)
    found = list(calibrate.points([given], 2))
    assert [one.model for one in found] == ["profile", "profile"]
    assert all(one.floor <= one.score < one.ceiling for one in found)
    room = calibrate.headroom(given, calibrate.summaries([*found, point("agent", 0.95, 2000)]))
    assert room.default == np.mean([one.skill for one in found])
    assert 0.3 < room.default < 0.9


def test_claims_of_a_profile_have_the_form_that_is_asked_for(tmp_path):
    instance = prepare(task("data_analysis", n_samples=2000), Seed.public(1)).instance
    profile.write_claims(instance.public["data"].columns(), tmp_path)
    report = grade_insights(tmp_path, instance.facts)
    assert report.verdicts
    assert not report.problems


def test_where_mistakes_cost_the_panel_says_the_cheapest_class():
    costs = [[0, 1], [50, 0]]
    given = Task.from_dict(
        task("classification", dataset_type="imbalanced", costs=costs, **SMALL).definition()
        | {"evaluation_criteria": {"max_expected_cost": 1}}
    )
    found = {point.model: point for point in calibrate.points([given], 1)}
    likeliest = Task.from_dict(given.definition() | {"evaluation_criteria": {"min_accuracy": 0}})
    plain = next(reference.panel(prepare(likeliest, Seed.public(1)).instance)).prediction
    ready = prepare(given, Seed.public(1)).instance
    careless = Marker(ready.contract, ready.answers).mark("expected_cost", plain)
    assert found["linear"].skill > careless.skill


# --- what the points say -----------------------------------------------------------------------


def point(model="linear", skill=0.5, size=1000, seed=1):
    return calibrate.Point(
        size=size, seed=seed, model=model, score=skill, floor=0.0, ceiling=1.0, skill=skill,
        seconds=1.0,
    )  # fmt: skip


def test_summaries_hold_mean_and_range_over_the_seeds():
    found = calibrate.summaries([point(skill=0.25), point(skill=0.75, seed=2), point("boosting")])
    assert [(one.model, one.seeds, one.skill) for one in found] == [
        ("linear", 2, 0.5),
        ("boosting", 1, 0.5),
    ]
    assert (found[0].lowest, found[0].highest) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("difficulty", "expert", "fits"),
    [
        ("hard", 0.75, True),
        ("hard", 0.65, False),
        ("medium", 0.65, True),
        ("medium", 0.55, False),
        ("easy", 0.5, True),
    ],
)
def test_a_difficulty_is_a_headroom_over_the_default_pipeline(difficulty, expert, fits):
    found = calibrate.summaries([point(), point("boosting", expert), point("boosting", 0.99, 9)])
    room = calibrate.headroom(task(difficulty=difficulty, **SMALL | {"n_samples": 1000}), found)
    assert room.fits is fits
    assert room.value == pytest.approx(expert - 0.5)


def test_where_the_panel_has_no_default_the_floor_stands_for_it():
    found = calibrate.summaries([point("agent", 0.8, size=500)])
    assert calibrate.headroom(task("time_series"), found).value == pytest.approx(0.8)
    assert calibrate.headroom(task("time_series", n_samples=600), found) is None


def test_what_has_no_floor_is_not_calibrated():
    assert calibrate.measure_of(task("data_analysis")) == "insights"
    with pytest.raises(UsageError, match="nothing to calibrate"):
        calibrate.measure_of(task("general"))


def test_the_learning_curve_is_a_picture(tmp_path):
    found = calibrate.summaries([point(), point(size=5000, skill=0.7), point("agent", 0.9)])
    calibrate.plot(task(), found, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_learning_curves_are_bars_in_a_terminal():
    from tasks.cli.calibrate import curves

    found = calibrate.summaries(
        [point(), point("boosting", 1.2), point(size=100, skill=-3.0), point("boosting", 0.25, 100)]
    )
    assert curves(found) == [
        f"linear          100  |{' ' * 40}|  -3.000",
        f"linear        1,000  |{'#' * 20}{' ' * 20}|  0.500",
        f"boosting        100  |{'#' * 10}{' ' * 30}|  0.250",
        f"boosting      1,000  |{'#' * 40}|  1.200",
    ]


def test_sizes_beyond_the_agents_are_measured_without_it(monkeypatch):
    ran = []
    monkeypatch.setattr(calibrate, "_trial", lambda ready, *_: ran.append(ready.task))
    monkeypatch.setattr(calibrate, "_of_trial", lambda *_: iter(()))
    monkeypatch.setattr(reference, "installed", lambda: False)
    sized = [task(**SMALL), task(**SMALL | {"n_samples": 500})]
    list(calibrate.points(sized, 1, agent_rows=450))
    assert [one.family.n_samples for one in ran] == [400]


def test_unless_told_images_are_measured_at_sizes_that_take_minutes():
    from tasks.cli.calibrate import _sized

    def sizes(given, wanted=None):
        return [one.family.n_samples for one in _sized(given, wanted)]

    images = task("image_classification", n_samples=5000, image_size=[32, 32])
    assert sizes(images) == [1000, 5000, 10_000]
    assert sizes(images, "100000") == [5000, 100_000]
    assert sizes(task(**SMALL)) == [400, 1000, 10_000, 100_000]


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingPart, match=r"\[ml\]"):
        calibrate.plot(task(), calibrate.summaries([point()]), tmp_path / "curve.png")


# --- redraws -----------------------------------------------------------------------------------

N = 1000
CLASSES = Contract(kind="classes", ids=np.arange(N), classes=("a", "b", "c"))
VALUES = Contract(kind="values", ids=np.arange(N))


def answers(law):
    return Answers(labels=np.zeros(N, dtype=np.int64), law=law, trivial={})


def test_z_is_standard_normal_over_redraws_for_oracle_and_panel():
    models = list(calibrate.redraws(task(**SMALL), 400))
    assert [one.model for one in models] == ["oracle", "linear", "boosting"]
    for one in models:
        assert abs(one.spread.mean) < 0.15
        assert abs(one.spread.sd - 1) < 0.1
        assert one.spread.standard


def test_z_of_dependent_values_is_standard_normal_over_redraws():
    rng = np.random.default_rng(1)
    root = np.tril(rng.normal(size=(50, 20, 20)))
    covariance = root @ root.transpose(0, 2, 1) + np.eye(20)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).ravel()
    law = Gaussian(mean=np.zeros(N), sd=sd, covariance=covariance)
    spread = spread_of_z(Prediction(values=rng.normal(size=N)), VALUES, answers(law), 400)
    assert spread.standard
    independent = replace(law, covariance=None)
    assert spread_of_z(Prediction(values=sd), VALUES, answers(independent), 400).standard


@pytest.mark.parametrize("chain", [False, True])
def test_z_of_label_sets_is_standard_normal_over_redraws(chain):
    """Also where each label depends on the one before it; said are sets near the law."""
    rng = np.random.default_rng(3)
    given = rng.uniform(0.05, 0.95, size=(N, 4, 2))
    given[:, 0, 1] = given[:, 0, 0]
    p = given[:, :, 0].copy()
    for k in range(1, 4):
        p[:, k] = p[:, k - 1] * given[:, k, 1] + (1 - p[:, k - 1]) * given[:, k, 0]
    law = Bernoulli(p=p, given=given if chain else None)
    contract = Contract(kind="multilabel", ids=np.arange(N), classes=("a", "b", "c", "d"))
    spread = spread_of_z(decide("macro_f1", law), contract, answers(law), 400)
    assert abs(spread.mean) < 0.15
    assert abs(spread.sd - 1) < 0.1


def test_a_wrong_variance_would_be_found():
    assert Spread(n=400, mean=0.1, sd=1.05).standard
    assert not Spread(n=400, mean=0.3, sd=1.0).standard
    assert not Spread(n=400, mean=0.0, sd=1.2).standard


def test_where_nothing_leans_there_is_no_z_to_speak_of():
    law = Gaussian(mean=np.zeros(N), sd=np.ones(N))
    assert spread_of_z(decide("r2", law), VALUES, answers(law), 10) is None
    assert spread_of_z(Prediction(values=np.ones(N)), VALUES, answers(None), 10) is None


def test_the_redrawn_labels_are_those_of_the_law():
    """A predictor that knows some realised labels is caught on them, and on no redraw."""
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(3), size=N)
    hidden = replace(answers(Categorical(p=p)), labels=draw_classes(p, rng.random(N)))
    spread = spread_of_z(Prediction(codes=hidden.labels), CLASSES, hidden, 400)
    assert spread.standard
    assert asdict(spread)["n"] == 400
