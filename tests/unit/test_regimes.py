"""Regimes: the filter's law against every path, calibration, and the leak test."""

from dataclasses import replace
from itertools import pairwise, product
from math import prod
from statistics import NormalDist

import numpy as np
import pytest

from tasks.datasets import regimes as switching
from tasks.datasets import time_series
from tasks.datasets.regimes import Regimes
from tasks.families import TimeSeries
from tasks.grading.decide import decide
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Streams

SMALL = TimeSeries(n_samples=120, n_series=30, horizon=12, period=12, regimes=2)


def density(value, mean, sd):
    return np.exp(-0.5 * ((value - mean) / sd) ** 2) / sd


def by_every_path(regimes, past, horizon):
    """Return weights (S, H, R) and covariance (S, H, H), a term for each path of regimes."""
    n_regimes, n_series = regimes.levels.shape
    n_observed = past.shape[1]
    weights = np.zeros((n_series, horizon, n_regimes))
    mean, second = np.zeros((n_series, horizon)), np.zeros((n_series, horizon, horizon))
    for s in range(n_series):
        total = 0.0
        for path in product(range(n_regimes), repeat=n_observed + horizon):
            moves = prod(regimes.moves[a, b, s] for a, b in pairwise(path))
            fits = prod(
                density(y, regimes.levels[k, s], regimes.noise_sd[k, s])
                for y, k in zip(past[s], path, strict=False)
                if not np.isnan(y)
            )
            p, ahead = moves * fits / n_regimes, list(path[n_observed:])
            level, sd = regimes.levels[ahead, s], regimes.noise_sd[ahead, s]
            total += p
            weights[s, np.arange(horizon), ahead] += p
            mean[s] += p * level
            second[s] += p * (np.outer(level, level) + np.diag(sd**2))
        weights[s] /= total
        mean[s] /= total
        second[s] /= total
    return weights, second - mean[:, :, None] * mean[:, None, :]


@pytest.mark.parametrize("n_regimes", [2, 3])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_filter_is_the_sum_over_every_path_of_regimes(n_regimes, gaps):
    rng = np.random.default_rng(n_regimes)
    moves = rng.dirichlet(np.ones(n_regimes), size=(n_regimes, 2)).transpose(0, 2, 1)
    regimes = Regimes(
        levels=rng.normal(size=(n_regimes, 2)),
        noise_sd=0.5 + rng.random((n_regimes, 2)),
        moves=moves,
    )
    past = rng.normal(size=(2, 4))
    if gaps:
        past[0, 1] = past[1, 3] = np.nan
    weights, covariance = by_every_path(regimes, past, 3)
    law = switching.forecast(regimes, past, 3)
    assert law.weights.reshape(weights.shape) == pytest.approx(weights, rel=1e-9)
    assert law.covariance == pytest.approx(covariance, rel=1e-9, abs=1e-12)
    assert law.sd**2 == pytest.approx(np.diagonal(covariance, axis1=1, axis2=2).ravel())
    assert np.array_equal(law.means[:3], np.tile(regimes.levels[:, 0], (3, 1)))
    assert np.array_equal(law.sds[3:], np.tile(regimes.noise_sd[:, 1], (3, 1)))


@pytest.mark.parametrize("n_regimes", [2, 3])
def test_regimes_are_drawn_as_their_chain_says(n_regimes):
    """400 series of 600 steps: each move within 5 standard errors, and all start alike."""
    unit = np.full(400, 2.0)
    drawn = switching.random_regimes(n_regimes, unit, 0.5 * unit, Streams(b"r"))
    same = Regimes(
        levels=np.repeat(drawn.levels[:, :1], 400, axis=1),
        noise_sd=np.repeat(drawn.noise_sd[:, :1], 400, axis=1),
        moves=np.repeat(drawn.moves[:, :, :1], 400, axis=2),
    )
    path = switching.paths(same, 600, Streams(b"p"))
    assert set(np.unique(path)) == set(range(n_regimes))
    first = np.bincount(path[:, 0]) / 400
    assert np.abs(first - 1 / n_regimes).max() < 5 * np.sqrt(0.25 / 400)
    for here in range(n_regimes):
        after = path[:, 1:][path[:, :-1] == here]
        share = np.bincount(after, minlength=n_regimes) / len(after)
        p = same.moves[here, :, 0]
        assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(after))).all()
    assert drawn.moves.sum(axis=1) == pytest.approx(np.ones((n_regimes, 400)))
    assert (np.abs(np.diff(np.sort(drawn.levels, axis=0), axis=0)) >= 1.5 * unit).all()


@pytest.mark.parametrize("knobs", [{}, {"regimes": 3}, {"gap_rate": 0.3}], ids=str)
def test_labels_follow_the_mixture_at_every_step_ahead(knobs):
    """400 series: the probability transform is uniform, in mean, spread and tails."""
    params = TimeSeries(**{"n_series": 400, "n_samples": 120, "regimes": 2} | knobs)
    answers = params.draw(Streams(b"cal")).answers
    law = answers.law
    u = np.zeros(len(answers.labels))
    for weight, part in law.parts():
        z = (answers.labels - part.mean) / part.sd
        u += weight * np.array([NormalDist().cdf(value) for value in z.tolist()])
    u = u.reshape(400, 24)
    for step in (0, 5, 23):
        assert abs(u[:, step].mean() - 0.5) < 4.5 * np.sqrt(1 / 12 / 400)
        assert abs((u[:, step] < 0.1).mean() - 0.1) < 4.5 * np.sqrt(0.09 / 400)
        assert abs((u[:, step] > 0.9).mean() - 0.1) < 4.5 * np.sqrt(0.09 / 400)


def test_the_law_does_not_depend_on_the_hidden_rows():
    streams = Streams(b"h")
    model = time_series._random_model(SMALL, streams.child("model"))
    panel = time_series._simulate(model, SMALL, streams)
    before = time_series._forecast(model, panel)
    panel.y[:, panel.n_observed :] = 1e6
    after = time_series._forecast(model, panel)
    assert np.array_equal(before.weights, after.weights)
    assert np.array_equal(before.means, after.means)


def test_regimes_leave_the_columns_as_they_are_and_nothing_else_wanders():
    streams = Streams(b"w")
    model = time_series._random_model(SMALL, streams.child("model"))
    assert all((state.noise_sd == 0).all() for state in model.states)
    one = SMALL.model_copy(update={"regimes": 1})
    plain, switched = (p.draw(streams).public["test"].columns() for p in (one, SMALL))
    assert all(np.array_equal(plain[x], switched[x]) for x in ("x1", "x2", "x3"))
    assert "switches between 2 regimes" in SMALL.draw(streams).notes
    assert "regime" not in one.draw(streams).notes


@pytest.fixture(scope="module")
def fifty():
    return [SMALL.draw(Streams(f"leak {k}".encode())) for k in range(50)]


@pytest.mark.parametrize("name", ["seasonal naive", "mean", "last value"])
def test_the_leak_test_is_standard_normal_for_honest_forecasts(fifty, name):
    """Mean and spread of 50 z within 4.5 standard errors."""
    z = np.array(
        [
            leak_z(Prediction(values=i.answers.trivial[name]), i.answers.law, i.answers.labels)
            for i in fifty
        ]
    )
    assert abs(z.mean()) < 4.5 / np.sqrt(50)
    assert 1 - 4.5 / np.sqrt(100) < z.std() < 1 + 4.5 / np.sqrt(100)
    assert np.abs(z).max() < 4


def test_copied_answers_are_found(fifty):
    answers = fifty[0].answers
    half = np.arange(len(answers.labels)) % 2 == 0
    copied = np.where(half, answers.labels, answers.trivial["mean"])
    assert leak_z(Prediction(values=copied), answers.law, answers.labels) > 4


def test_the_ceiling_is_the_expected_label_score_of_the_best_decision(fifty):
    """Over 20 instances of 30 series the score on labels lies about the ceiling; none beats it."""
    measures, levels = ["mae", "mase", "rmse", "pinball"], (0.1, 0.5, 0.9)
    gains = {name: [] for name in measures}
    for instance in fifty[:20]:
        contract = replace(instance.contract, quantiles=levels)
        marker, law = Marker(contract, instance.answers), instance.answers.law
        quantiles = decide("pinball", law, levels).quantiles
        worse = Prediction(
            values=law.mean + 0.2 * law.sd,
            quantiles={q: values + 0.2 * law.sd for q, values in quantiles.items()},
        )
        for name in measures:
            best = decide(name, law) if name != "pinball" else Prediction(quantiles=quantiles)
            mark = marker.mark(name, best)
            gains[name].append((mark.label_score - mark.ceiling) / mark.ceiling)
            assert mark.score == pytest.approx(mark.ceiling)
            assert marker.mark(name, worse).score > mark.ceiling
            assert mark.ceiling < 0.8 * mark.floor
    for name in measures:
        error = np.std(gains[name]) / np.sqrt(20)
        assert abs(np.mean(gains[name])) < 4.5 * error < 0.2
