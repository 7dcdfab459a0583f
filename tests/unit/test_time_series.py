"""Panels of state-space series: fixed bits, the filter's law, dependence within a series."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.datasets import time_series
from tasks.families import TimeSeries
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import CHUNK_ROWS, Streams

SMALL = TimeSeries(n_samples=120, n_series=30, horizon=12, period=12)


KNOBS = (
    {"gap_rate": 0.3},
    {"ar": 0.7},
    {"periods": [12, 30]},
    {"regimes": 2},
    {"regimes": 3},
)


def small(**knobs):
    season = {} if "periods" in knobs else {"period": 12}
    return TimeSeries(n_samples=120, n_series=30, horizon=12, **season, **knobs)


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for column in instance.public[name].columns().values():
            plain = column.astype("U") if column.dtype == object else column
            digest.update(np.ascontiguousarray(plain).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def arrays(instance, params):
    """Return the public values as (S, T) and (S, T + H, k), read back from the tables."""
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    y = train["target"].reshape(params.n_series, params.n_samples)
    x = [
        np.hstack([t[f"x{j + 1}"].reshape(params.n_series, -1) for t in (train, test)])
        for j in range(params.n_features)
    ]
    return y, np.stack(x, axis=2) if x else None


def differences_ridge(instance, params):
    """Forecast by the last season, corrected by what the columns changed since: no feedback."""
    y, x = arrays(instance, params)
    both = np.concatenate([x, np.abs(x)], axis=2)
    lag, n_steps = params.period, params.n_samples
    change = both[:, lag:] - both[:, :-lag]
    forecast = np.empty((len(y), params.horizon))
    for s in range(len(y)):
        past = change[s, : n_steps - lag]
        gram = past.T @ past + np.eye(past.shape[1])
        weights = np.linalg.solve(gram, past.T @ (y[s, lag:] - y[s, :-lag]))
        steps = np.arange(params.horizon)
        forecast[s] = y[s, n_steps - lag + steps % lag] + change[s, n_steps - lag + steps] @ weights
    return forecast.ravel()


# --- the data ------------------------------------------------------------------------------------


def test_the_bits_of_a_version_never_change():
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(SMALL.draw(Streams(b"golden"))) == "25d89a94b960ba51"


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data():
    first = digest(SMALL.draw(Streams(b"a")))
    assert first == digest(SMALL.draw(Streams(b"a")))
    assert first != digest(SMALL.draw(Streams(b"b")))


def test_test_rows_follow_the_train_rows_of_their_series_without_the_target():
    instance = SMALL.draw(Streams(b"t"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert list(train) == ["id", "series", "time", "x1", "x2", "x3", "target"]
    assert list(test) == ["id", "series", "time", "x1", "x2", "x3"]
    assert list(train["id"]) == list(range(30 * 120))
    assert list(test["id"]) == list(instance.contract.ids) == list(range(3600, 3960))
    assert list(train["time"]) == list(range(120)) * 30
    assert list(test["time"]) == list(range(120, 132)) * 30
    assert list(test["series"][:13]) == ["s01"] * 12 + ["s02"]
    assert set(train["series"]) == set(test["series"])


def test_the_target_of_a_chunk_is_that_of_the_whole_table():
    params = TimeSeries(n_samples=4000, n_series=20, n_features=1)
    table = params.draw(Streams(b"x")).public["train"]
    second = table.chunk(1)
    assert len(second["target"]) == 80_000 - CHUNK_ROWS
    assert np.array_equal(table.columns()["target"][CHUNK_ROWS:], second["target"])


def test_a_part_that_is_switched_off_leaves_the_others_as_they_are():
    whole = arrays(SMALL.draw(Streams(b"p")), SMALL)
    for part in ("trend", "seasonality"):
        fewer = SMALL.model_copy(update={part: False})
        y, x = arrays(fewer.draw(Streams(b"p")), fewer)
        assert np.array_equal(x, whole[1])
        assert not np.array_equal(y, whole[0])
    still = SMALL.model_copy(update={"trend": False, "seasonality": False})
    seasonal = SMALL.model_copy(update={"trend": False})
    plain, turning = (arrays(p.draw(Streams(b"p")), p)[0] for p in (still, seasonal))
    season = turning - plain
    away = np.abs(season[:, 6:] - season[:, :-6]).mean()
    assert np.abs(season[:, 12:] - season[:, :-12]).mean() < 0.3 * away


def test_a_trend_is_seen_in_most_series():
    """Over 200 series the level moves further with a trend than by its random steps alone."""
    rises = {}
    for trend in (True, False):
        params = TimeSeries(n_series=200, n_features=0, seasonality=False, trend=trend)
        y, _ = arrays(params.draw(Streams(b"tr")), params)
        spread = np.abs(np.diff(y, axis=1)).mean(axis=1)
        rises[trend] = np.median(np.abs(y[:, -20:].mean(axis=1) - y[:, :20].mean(axis=1)) / spread)
    assert rises[True] > 1.5 * rises[False]


def test_the_bits_of_every_knob_never_change():
    """Golden hashes of what is beside the default; the default's own is above."""
    found = {str(knobs): digest(small(**knobs).draw(Streams(b"golden"))) for knobs in KNOBS}
    assert found == {
        "{'gap_rate': 0.3}": "95598a7115fcdb8f",
        "{'ar': 0.7}": "674a6cbd9bcb5037",
        "{'periods': [12, 30]}": "c366d98ffc667390",
        "{'regimes': 2}": "91846f5d06baeaa3",
        "{'regimes': 3}": "6e8085e23193ed8f",
    }


def test_quantiles_change_what_is_asked_and_no_bit_of_the_data():
    asked = small(quantiles=[0.1, 0.5, 0.9]).draw(Streams(b"golden"))
    assert digest(asked) == digest(SMALL.draw(Streams(b"golden")))
    assert asked.contract.quantiles == (0.1, 0.5, 0.9)
    assert "Pinball loss" in asked.notes


def test_gaps_leave_out_rows_and_change_no_other():
    params = small(gap_rate=0.4)
    instance, whole = params.draw(Streams(b"gap")), SMALL.draw(Streams(b"gap"))
    train, full = instance.public["train"].columns(), whole.public["train"].columns()
    series = np.searchsorted(np.unique(full["series"]), train["series"])
    cells = series * 120 + train["time"]
    assert (np.diff(cells) > 0).all()
    for name in ("series", "time", "x1", "x2", "x3", "target"):
        assert np.array_equal(train[name], full[name][cells])
    assert list(train["id"]) == list(range(len(cells)))
    assert list(instance.contract.ids) == list(instance.public["test"].columns()["id"])
    assert instance.contract.ids[0] == len(cells)
    assert np.array_equal(instance.answers.labels, whole.answers.labels)
    assert f"{len(cells):,} rows" in instance.notes
    assert "40% of the train steps are missing" in instance.notes


def test_gaps_are_as_many_and_as_long_as_asked():
    """400 series of 500 steps: share and mean length within 5 %; both ends are there."""
    params = TimeSeries(n_series=400, gap_rate=0.3, n_features=0)
    train = params.draw(Streams(b"runs")).public["train"].columns()
    assert 1 - len(train["id"]) / 200_000 == pytest.approx(0.3, rel=0.05)
    steps = np.diff(train["time"])
    assert (steps[steps > 1] - 1).mean() == pytest.approx(4, rel=0.05)
    times = train["time"].reshape(-1)
    for step in (0, 24, 499):
        assert (times == step).sum() == 400


def test_a_chunk_of_a_table_with_gaps_is_that_of_the_whole():
    table = (
        TimeSeries(n_samples=5000, n_series=20, n_features=1, gap_rate=0.2)
        .draw(Streams(b"x"))
        .public["train"]
    )
    second = table.chunk(1)
    assert 0 < len(second["target"]) == table.n_rows - CHUNK_ROWS
    for name, values in table.columns().items():
        assert np.array_equal(values[CHUNK_ROWS:], second[name])


def test_further_seasons_are_seen_at_their_own_distance():
    """Over 100 series: values a long season apart differ less than half of one apart."""
    params = TimeSeries(n_series=100, n_features=0, periods=[6, 40], trend=False)
    y, _ = arrays(params.draw(Streams(b"two")), params)
    one = TimeSeries(n_series=100, n_features=0, period=6, trend=False)
    plain, _ = arrays(one.draw(Streams(b"two")), one)
    slow = y - plain
    apart = [np.abs(slow[:, lag:] - slow[:, :-lag]).mean() for lag in (20, 40)]
    assert apart[1] < 0.3 * apart[0]


@pytest.mark.parametrize("ar", [0.9, -0.7])
def test_an_autoregressive_part_has_the_autocorrelation_asked_for(ar):
    """200 series of 500 steps: within 0.02, some five standard errors."""
    shape = {"n_series": 200, "n_features": 0, "seasonality": False, "trend": False}
    with_ar, without = TimeSeries(ar=ar, **shape), TimeSeries(**shape)
    part = (
        arrays(with_ar.draw(Streams(b"ar")), with_ar)[0]
        - arrays(without.draw(Streams(b"ar")), without)[0]
    )
    found = (part[:, 1:] * part[:, :-1]).sum() / (part[:, 1:] ** 2).sum()
    assert found == pytest.approx(ar, abs=0.02)


# --- the law -------------------------------------------------------------------------------------


def dense_law(model, panel):
    """Return mean and covariance of the future by conditioning one joint Gaussian per series."""
    states, (n_series, n_steps) = model.states, panel.y.shape
    future = np.arange(panel.n_observed, n_steps)
    means, covariances = [], []
    for s in range(n_series):
        d = len(states)
        step = np.array(
            [[states[j].feeds.get(i, np.zeros(n_series))[s] for j in range(d)] for i in range(d)]
        )
        mean = np.array([state.start[s] for state in states])
        # Each row: what a state is made of, in independent standard normals.
        made = np.zeros((d, d * (n_steps + 1)))
        made[:, :d] = np.diag([state.start_sd[s] for state in states])
        centre, loads = np.empty(n_steps), np.empty((n_steps, made.shape[1]))
        seen = np.array([state.observed for state in states])
        for t in range(n_steps):
            centre[t], loads[t] = mean[seen].sum(), made[seen].sum(axis=0)
            mean = step @ mean + [state.drift[s] for state in states]
            made = step @ made
            made[:, d * (t + 1) : d * (t + 2)] += np.diag([q.noise_sd[s] for q in states])
        for j, column in enumerate(panel.x[:, s]):
            centre = centre + model.effects[j, s] * (abs(column) if j in model.bent else column)
        cov = loads @ loads.T + model.noise_sd[s] ** 2 * np.eye(n_steps)
        known = np.flatnonzero(panel.seen[s])
        both = cov[np.ix_(known, future)]
        weights = np.linalg.solve(cov[np.ix_(known, known)], both).T
        means.append(centre[future] + weights @ (panel.y[s, known] - centre[known]))
        covariances.append(cov[np.ix_(future, future)] - weights @ both)
    return np.ravel(means), np.stack(covariances)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"trend": False},
        {"seasonality": False},
        {"trend": False, "seasonality": False},
        {"gap_rate": 0.4},
        {"ar": 0.8},
        {"ar": -0.6, "gap_rate": 0.2, "trend": False},
        {"periods": [5, 12]},
        {"periods": [4, 7, 20], "gap_rate": 0.5, "ar": 0.5},
    ],
    ids=str,
)
def test_the_law_is_the_joint_gaussian_conditioned_on_the_train_rows(knobs):
    season = {} if "periods" in knobs else {"period": 5}
    params = TimeSeries(n_samples=60, n_series=4, horizon=7, **season, **knobs)
    streams = Streams(b"law")
    model = time_series._random_model(params, streams.child("model"))
    mean, covariance = dense_law(model, time_series._simulate(model, params, streams))
    law = params.draw(streams).answers.law
    assert law.mean == pytest.approx(mean, rel=1e-7)
    assert law.covariance == pytest.approx(covariance, rel=1e-6)
    assert law.sd**2 == pytest.approx(np.diagonal(covariance, axis1=1, axis2=2).ravel(), rel=1e-7)


@pytest.mark.parametrize(
    "knobs", [{}, {"gap_rate": 0.3}, {"ar": 0.8}, {"periods": [6, 30]}], ids=str
)
def test_labels_follow_the_law_at_every_step_ahead(knobs):
    """400 series: mean, spread and the share within one sd, each within 4.5 standard errors."""
    answers = TimeSeries(n_series=400, n_samples=120, **knobs).draw(Streams(b"cal")).answers
    z = ((answers.labels - answers.law.mean) / answers.law.sd).reshape(400, 24)
    for step in (0, 5, 23):
        assert abs(z[:, step].mean()) < 4.5 / np.sqrt(400)
        assert abs((z[:, step] ** 2).mean() - 1) < 4.5 * np.sqrt(2 / 400)
        assert abs((np.abs(z[:, step]) < 1).mean() - 0.6827) < 4.5 * np.sqrt(0.22 / 400)


def test_the_law_does_not_depend_on_the_hidden_rows():
    """The same past under a longer horizon: the first steps have the same law."""
    streams = Streams(b"h")
    model = time_series._random_model(SMALL, streams.child("model"))
    panel = time_series._simulate(model, SMALL, streams)
    before = time_series._forecast(model, panel)
    panel.y[:, panel.n_observed :] = 1e6
    after = time_series._forecast(model, panel)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.covariance, after.covariance)


def test_uncertainty_grows_with_the_horizon():
    sd = SMALL.draw(Streams(b"g")).answers.law.sd.reshape(30, 12)
    assert (np.diff(sd, axis=1) > -1e-9).all()


# --- marks and the leak test ---------------------------------------------------------------------


def z_of(forecast, answers):
    z = leak_z(Prediction(values=forecast), answers.law, answers.labels, answers.groups)
    assert z is not None
    return z


@pytest.fixture(scope="module")
def fifty():
    return [SMALL.draw(Streams(f"leak {k}".encode())) for k in range(50)]


@pytest.mark.parametrize("name", ["seasonal naive", "mean", "differences"])
def test_the_leak_test_is_standard_normal_for_honest_forecasts(fifty, name):
    """Mean and spread of 50 z within 4.5 standard errors."""
    z = np.array(
        [
            z_of(
                differences_ridge(instance, SMALL)
                if name == "differences"
                else instance.answers.trivial[name],
                instance.answers,
            )
            for instance in fifty
        ]
    )
    assert abs(z.mean()) < 4.5 / np.sqrt(50)
    assert 1 - 4.5 / np.sqrt(100) < z.std() < 1 + 4.5 / np.sqrt(100)
    assert np.abs(z).max() < 4


def test_without_groups_the_leak_test_would_accuse_the_honest(fifty):
    """Residuals within a series share the error of its state: as if independent, z spreads."""
    z = [
        leak_z(
            Prediction(values=i.answers.trivial["mean"]),
            replace(i.answers.law, covariance=None),
            i.answers.labels,
        )
        for i in fifty
    ]
    assert np.std(z) > 1.5


def test_copied_answers_are_found_in_twenty_series():
    params = TimeSeries(n_samples=120, n_series=20, horizon=24, period=12)
    instance = params.draw(Streams(b"copy"))
    answers, forecast = instance.answers, differences_ridge(instance, params)
    assert abs(z_of(forecast, answers)) < 4
    copied = np.where(np.arange(len(forecast)) % 2 == 0, answers.labels, forecast)
    assert z_of(copied, answers) > 4


def test_trivial_forecasts_and_scale_are_those_of_the_textbook():
    params = TimeSeries(n_samples=60, n_series=2, horizon=20, period=8)
    instance = params.draw(Streams(b"naive"))
    y, _ = arrays(instance, params)
    answers = instance.answers
    for s, series in enumerate(y):
        scale = np.mean([abs(series[t] - series[t - 8]) for t in range(8, 60)])
        for h in range(20):
            row = s * 20 + h
            slope = (series[59] - series[0]) / 59
            assert answers.groups[row] == s
            assert answers.scale[row] == pytest.approx(scale)
            assert answers.trivial["mean"][row] == pytest.approx(series.mean())
            assert answers.trivial["last value"][row] == series[59]
            assert answers.trivial["drift"][row] == pytest.approx(series[59] + slope * (h + 1))
            assert answers.trivial["seasonal naive"][row] == series[52 + h % 8]


def test_trivial_forecasts_look_past_the_gaps():
    params = TimeSeries(n_samples=60, n_series=3, horizon=10, period=8, gap_rate=0.4)
    instance = params.draw(Streams(b"holes"))
    train, answers = instance.public["train"].columns(), instance.answers
    for s, name in enumerate(np.unique(train["series"])):
        here = train["series"] == name
        seen = dict(zip(train["time"][here].tolist(), train["target"][here], strict=True))
        pairs = [abs(y - seen[t - 8]) for t, y in seen.items() if t - 8 in seen]
        slope = (seen[59] - seen[0]) / 59
        for h in range(10):
            row = s * 10 + h
            phase = [t for t in seen if (60 + h - t) % 8 == 0]
            assert answers.scale[row] == pytest.approx(np.mean(pairs))
            assert answers.trivial["mean"][row] == pytest.approx(np.mean(list(seen.values())))
            assert answers.trivial["last value"][row] == seen[59]
            assert answers.trivial["drift"][row] == pytest.approx(seen[59] + slope * (h + 1))
            assert answers.trivial["seasonal naive"][row] == seen[max(phase)]


def test_each_of_several_seasons_has_its_naive_forecast():
    params = small(periods=[12, 30])
    instance = params.draw(Streams(b"many"))
    y, _ = arrays(instance, params)
    trivial = instance.answers.trivial
    assert trivial.keys() == {
        "mean", "last value", "drift", "seasonal naive 12", "seasonal naive 30"
    }  # fmt: skip
    assert np.array_equal(trivial["seasonal naive 30"].reshape(30, 12), y[:, 90:102])
    assert "seasons of 12 and 30 steps" in instance.notes


def test_without_a_season_errors_are_scaled_by_the_last_value():
    params = SMALL.model_copy(update={"seasonality": False})
    instance = params.draw(Streams(b"flat"))
    y, _ = arrays(instance, params)
    assert "seasonal naive" not in instance.answers.trivial
    scale = np.abs(np.diff(y, axis=1)).mean(axis=1)
    assert instance.answers.scale == pytest.approx(np.repeat(scale, 12))
    assert "target(t - 1)" in instance.notes


@pytest.mark.parametrize("seed", [b"learn 1", b"learn 2", b"learn 3"])
def test_a_plain_regression_lands_between_floor_and_ceiling(seed):
    params = TimeSeries()
    instance = params.draw(Streams(seed))
    marker = Marker(instance.contract, instance.answers)
    mark = marker.mark("mase", Prediction(values=differences_ridge(instance, params)))
    assert mark.ceiling is not None
    assert mark.ceiling + 0.05 < mark.score < mark.floor - 0.2
    best = marker.mark("mase", Prediction(values=instance.answers.law.mean))
    assert best.score == pytest.approx(mark.ceiling)
    assert abs(best.label_score - best.score) < 4.5 * best.label_se


# --- the parameters ------------------------------------------------------------------------------


@given(
    n_series=st.integers(1, 4),
    n_features=st.integers(0, 6),
    horizon=st.integers(1, 25),
    period=st.integers(2, 16),
    trend=st.booleans(),
    seasonality=st.booleans(),
    ar=st.sampled_from([0.0, 0.9, -0.9]),
    gap_rate=st.sampled_from([0.0, 0.05, 0.5]),
    seed=st.binary(min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_every_choice_of_sizes_gives_a_proper_instance(seed, **sizes):
    params = TimeSeries(n_samples=50, **sizes)
    instance = params.draw(Streams(seed))
    n = params.n_series * params.horizon
    answers = instance.answers
    assert answers.labels.shape == answers.law.mean.shape == answers.scale.shape == (n,)
    assert (answers.scale > 0).all()
    assert (answers.law.sd > 0.3).all()
    assert all(values.shape == (n,) for values in answers.trivial.values())
    train = instance.public["train"].columns()
    for name in train.keys() - {"series"}:
        assert np.isfinite(train[name]).all()
        assert np.array_equal(train[name], np.rint(train[name] * 1e4) / 1e4)


def test_a_long_series_keeps_a_sane_law():
    law = TimeSeries(n_samples=5000, n_series=2, period=2).draw(Streams(b"long")).answers.law
    assert np.isfinite(law.mean).all()
    assert (law.sd < 40).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"horizon": 300}, "at most half of n_samples"),
        ({"period": 200}, "three seasons"),
        ({"n_series": 10_000, "n_samples": 5000}, "at most 30,000,000 are possible"),
        ({"periods": [24, 168]}, "periods hold 168; n_samples must hold three seasons"),
        ({"periods": [24, 12]}, r"periods are \[24, 12\]; they must ascend"),
        ({"periods": [12, 12]}, "they must ascend"),
        ({"periods": [12, 24], "period": 24}, "period is 24; it must be the first of periods"),
        ({"periods": [12, 24], "seasonality": False}, "periods need seasonality"),
        ({"periods": [2, 4, 8, 16]}, "at most 3 items"),
        ({"regimes": 2, "ar": 0.5}, "ar is 0.5; with regimes it must be 0"),
        ({"regimes": 4}, "less than or equal to 3"),
        ({"ar": 1.0}, "less than or equal to 0.95"),
        ({"gap_rate": 0.6}, "less than or equal to 0.5"),
        ({"quantiles": [0.9, 0.1]}, r"quantiles are \[0.9, 0.1\]; they must ascend"),
        ({"quantiles": [0.0]}, "greater than 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        TimeSeries(**wrong)


def test_the_first_of_several_periods_is_the_period():
    params = TimeSeries(periods=[7, 30])
    assert (params.period, params.lag, params.seasons) == (7, 7, (7, 30))
    assert TimeSeries.model_validate(params.model_dump()) == params
    assert TimeSeries(period=7).seasons == (7,)
    assert TimeSeries(seasonality=False).lag == 1
