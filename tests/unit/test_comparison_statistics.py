"""Quantiles, intervals, pass@k, Holm, power and early stopping: oracles and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.comparison import distributions, passes
from tasks.comparison.intervals import (
    bca,
    clustered,
    jeffreys,
    mean,
    paired_rates,
    unpaired_rates,
    wilson,
)
from tasks.comparison.power import Spread, detectable, plan, units_needed
from tasks.comparison.sequential import Boundary
from tasks.comparison.several import holm
from tasks.errors import UsageError

shapes = st.floats(0.5, 500)
levels = st.floats(0.001, 0.999)


# --- laws: SciPy is the oracle --------------------------------------------------------------------


@given(st.floats(0, 1), shapes, shapes)
def test_the_beta_law_is_scipys(x, a, b):
    # Not closer: at x = 1 - 1e-16 the oracle is the one that is off (by the arcsine law).
    assert distributions.beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-8)


@given(levels, shapes, shapes)
@settings(max_examples=50)
def test_beta_quantiles_are_scipys(level, a, b):
    x = distributions.beta_quantile(level, a, b)
    assert x == pytest.approx(stats.beta.ppf(level, a, b), rel=1e-6, abs=1e-9)


@given(st.floats(-50, 50), st.floats(0.6, 1e6))
def test_tails_of_students_t_are_scipys(t, df):
    assert distributions.t_tail(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), abs=1e-8)


@given(levels, st.floats(0.6, 1e6))
@settings(max_examples=50)
def test_quantiles_of_students_t_are_scipys(level, df):
    assert distributions.t_quantile(level, df) == pytest.approx(
        stats.t.ppf(level, df), rel=1e-7, abs=1e-9
    )


def test_students_t_of_endless_freedom_is_normal():
    assert distributions.t_quantile(0.975, math.inf) == pytest.approx(1.959964, abs=1e-6)
    assert distributions.t_tail(math.inf, 3) == 0


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_is_scipys(more, fewer):
    if more + fewer:
        wanted = stats.binomtest(more, more + fewer).pvalue
        assert distributions.sign_test(more, fewer) == pytest.approx(wanted, abs=1e-12)
    else:
        assert distributions.sign_test(0, 0) == 1


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_fishers_test_is_scipys(a, not_a, b, not_b):
    if a + not_a and b + not_b:
        wanted = stats.fisher_exact([[a, not_a], [b, not_b]]).pvalue
        found = distributions.fisher_test(a, a + not_a, b, b + not_b)
        assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("df", [5, 9, 30, 200])
@pytest.mark.parametrize("effect", [0.0, 1.0, 2.5, 4.0])
def test_power_of_the_t_test_is_that_of_the_non_central_law(effect, df):
    bound = stats.t.ppf(0.975, df)
    wanted = stats.nct.sf(bound, df, effect) + stats.nct.cdf(-bound, df, effect)
    assert distributions.t_power(effect, df, 0.05) == pytest.approx(wanted, abs=0.02)


# --- intervals: coverage --------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 10), (10, 10), (199, 200)])
def test_rates_have_scipys_wilson_interval(hits, n):
    wanted = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.estimate == hits / n


def test_rates_of_nothing_say_nothing():
    assert (wilson(0, 0).estimate, wilson(0, 0).low) == (None, None)
    assert jeffreys(0, 0).greyed
    assert wilson(1, 2).greyed
    assert not wilson(1, 3).greyed


@pytest.mark.parametrize(("p", "n"), [(0.5, 10), (0.8, 10), (0.9, 20), (0.95, 40)])
def test_both_intervals_of_rates_cover_and_the_textbooks_does_not(p, n):
    """Exact, no simulation: the binomial law summed over what can happen."""
    hits = np.arange(n + 1)
    mass = stats.binom.pmf(hits, n, p)
    for method in (wilson, jeffreys):
        inside = [method(k, n).low <= p <= method(k, n).high for k in hits.tolist()]
        assert mass[inside].sum() > 0.92
    half = 1.96 * np.sqrt(hits / n * (1 - hits / n) / n)
    wald = mass[np.abs(hits / n - p) <= half].sum()
    assert wald < mass[inside].sum()


def test_differences_of_paired_rates_cover():
    """Fixed seed, 4,000 experiments of 20 pairs: within 93 to 98 % (0.4 % standard error)."""
    rng = np.random.default_rng(3)
    only_b, only_a, _ = rng.multinomial(20, [0.25, 0.1, 0.65], 4000).T
    found = [paired_rates(b, a, 20) for b, a in zip(only_b.tolist(), only_a.tolist(), strict=True)]
    assert 0.93 < np.mean([one.low <= 0.15 <= one.high for one in found]) < 0.98


def test_differences_of_unpaired_rates_cover():
    rng = np.random.default_rng(4)
    a, b = rng.binomial(15, 0.6, 3000), rng.binomial(20, 0.85, 3000)
    found = [unpaired_rates(y, 20, x, 15) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert 0.93 < np.mean([one.low <= 0.25 <= one.high for one in found]) < 0.98


def test_independent_values_have_scipys_t_interval_and_p():
    x = [0.3, 0.1, -0.2, 0.25, 0.4]
    found = mean(x, bounds=(-1, 1))
    wanted = stats.ttest_1samp(x, 0)
    interval = wanted.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(wanted.pvalue)


def test_the_t_interval_of_five_skewed_tasks_covers_where_the_percentile_bootstrap_does_not():
    """Fixed seed, 3,000 suites of five tasks; standard error 0.4 %."""
    rng = np.random.default_rng(5)
    skills = np.clip(rng.normal(0.65, 0.25, (3000, 5)), 0, 1)
    truth = np.clip(rng.normal(0.65, 0.25, 10**6), 0, 1).mean()
    held = [_holds(mean(row, bounds=(0, 1)).interval, truth) for row in skills]
    means = skills[:, rng.integers(0, 5, (400, 5))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean(held) > 0.93
    assert np.mean((low <= truth) & (truth <= high)) < 0.88


def test_bca_covers_skewed_tasks_from_twenty_on():
    """Fixed seed, 500 suites of 25 tasks with a long tail; standard error 1 %."""
    rng = np.random.default_rng(6)
    skills = rng.beta(0.6, 2.4, (500, 25))
    assert mean(skills[0], bounds=(0, 1)).interval.method == "bca"
    held = [low <= 0.2 <= high for low, high in map(bca, skills)]
    assert np.mean(held) > 0.92


def test_bca_agrees_with_scipys():
    x = np.random.default_rng(7).beta(0.6, 2.4, 40)
    wanted = stats.bootstrap((x,), np.mean, n_resamples=20_000, rng=1).confidence_interval
    assert bca(x) == pytest.approx((wanted.low, wanted.high), abs=0.006)
    assert bca(x) == bca(x)


def test_tasks_of_one_family_are_no_independent_evidence():
    """Fixed seed, 2,000 suites of six uneven families whose tasks share half of their variance."""
    rng = np.random.default_rng(8)
    sizes = (8, 6, 4, 4, 2, 1)
    codes = np.repeat(np.arange(6), sizes)
    held = {"clustered": [], "as if alone": []}
    for _ in range(2000):
        x = rng.normal(0, 1, 6)[codes] + rng.normal(0, 1, len(codes))
        for name, found in (
            ("clustered", mean(x, codes.tolist(), bounds=(-9, 9))),
            ("as if alone", mean(x, bounds=(-9, 9), bootstrap=False)),
        ):
            held[name].append(_holds(found.interval, 0.0))
    assert np.mean(held["clustered"]) > 0.92
    assert np.mean(held["as if alone"]) < 0.75


def test_clusters_of_one_are_the_t_test_and_equal_clusters_that_of_their_means():
    x = np.random.default_rng(9).normal(size=12)
    se, df = clustered(x, np.arange(12))
    assert (se, df) == pytest.approx((x.std(ddof=1) / math.sqrt(12), 11))
    se, df = clustered(x, np.repeat(np.arange(4), 3))
    groups = x.reshape(4, 3).mean(axis=1)
    assert (se, df) == pytest.approx((groups.std(ddof=1) / 2, 3))


def test_equal_values_leave_room_for_others():
    found = mean([1.0, 1.0, 1.0], bounds=(0, 1))
    assert found.interval.estimate == found.interval.high == 1
    assert found.interval.low == pytest.approx(stats.binomtest(3, 3).proportion_ci().low)
    assert found.p == 0.25  # three heads in a row
    assert mean([0.0] * 5, bounds=(-1, 1)).p == 1


def test_one_value_has_no_interval_and_none_no_estimate():
    assert mean([0.5], bounds=(0, 1)).interval.low is None
    assert mean([], bounds=(0, 1)).interval.estimate is None
    assert mean([0.5], bounds=(0, 1)).p == 1


def _holds(interval, truth):
    return interval.low <= truth <= interval.high


# --- pass@k, Holm ---------------------------------------------------------------------------------


def test_pass_at_k_is_the_share_of_all_choices_of_k_trials():
    trials = [True, False, False, True, False]
    for k in range(1, 6):
        choices = list(itertools.combinations(trials, k))
        assert passes.pass_at_k(5, 2, k) == pytest.approx(np.mean([any(c) for c in choices]))
        assert passes.pass_hat_k(5, 2, k) == pytest.approx(np.mean([all(c) for c in choices]))


def test_tasks_with_fewer_trials_than_k_are_left_out_of_pass_at_k():
    counts = {"a": (3, 1), "b": (3, 3), "c": (1, 0)}
    found = passes.over_tasks(counts, {"a": "x", "b": "y", "c": "y"}, 2)
    assert found["pass_at_k"].n == 2
    assert found["pass_at_k"].estimate == pytest.approx((2 / 3 + 1) / 2)
    assert found["pass_hat_k"].estimate == pytest.approx(0.5)


def test_holm_corrects_as_in_his_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1, 1]


def test_holm_is_wrong_anywhere_in_five_percent_of_experiments():
    """Fixed seed: 4,000 experiments of six true hypotheses, four false; standard error 0.35 %."""
    rng = np.random.default_rng(10)
    wrong = 0
    for _ in range(4000):
        ps = [*rng.random(6), *rng.beta(0.05, 1, 4)]
        wrong += min(holm(ps)[:6]) <= 0.05
    assert wrong / 4000 < 0.062


# --- power ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "repeats"), [(0.05, 1), (0.05, 4), (0.1, 1)])
def test_a_plan_finds_its_gap_as_often_as_it_says(gap, repeats):
    """Fixed seed, 3,000 experiments; standard error 0.7 %."""
    spread = Spread(failures=0.0)
    found = plan(gap, repeats=repeats, spread=spread)
    rng = np.random.default_rng(11)
    shape = (3000, found.tasks)
    difference = gap + rng.normal(0, spread.interaction * math.sqrt(2), shape)
    difference += rng.normal(0, spread.run * math.sqrt(2 / repeats), shape)
    p = stats.ttest_1samp(difference, 0, axis=1).pvalue
    assert np.mean((p < 0.05) & (difference.mean(axis=1) > 0)) == pytest.approx(0.8, abs=0.03)


def test_pairing_and_repeats_spare_tasks_and_failures_cost_some():
    paired = plan(0.05, repeats=1, spread=Spread())
    assert paired.tasks < plan(0.05, repeats=1, spread=Spread(), paired=False).tasks / 3
    repeated = plan(0.05, repeats=3, spread=Spread())
    assert repeated.tasks < paired.tasks < repeated.runs
    assert paired.tasks > plan(0.05, repeats=1, spread=Spread(failures=0)).tasks


def test_what_a_plan_finds_is_what_it_was_made_for():
    found = plan(0.05, repeats=2, spread=Spread())
    gap = detectable(found.tasks, repeats=2, spread=Spread())
    assert gap == pytest.approx(0.05, rel=0.02)


def test_no_number_of_runs_finds_no_gap():
    assert units_needed(0.0, 0.1) is None
    assert units_needed(1e-6, 0.1) is None
    assert plan(1e-6, repeats=1, spread=Spread()) is None


# --- stopping early -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "constant"), [(1, 1.960), (2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (10, 2.087)]
)
def test_the_boundary_has_the_published_constants(looks, constant):
    """Jennison and Turnbull (1999), table 2.3."""
    assert Boundary.of(looks).constant == pytest.approx(constant, abs=0.002)


def test_five_looks_at_no_difference_find_one_in_five_percent_and_careless_looks_in_fourteen():
    """Fixed seed, 6,000 experiments of 60 tasks with t tests; standard error 0.28 %."""
    rng = np.random.default_rng(12)
    boundary = Boundary.of(5)
    x = rng.normal(0, 0.16, (6000, 60))
    stopped, careless = np.zeros(6000, bool), np.zeros(6000, bool)
    for done in range(12, 61, 12):
        p = stats.ttest_1samp(x[:, :done], 0, axis=1).pvalue
        stopped |= p <= boundary.level(boundary.look_at(done, 60))
        careless |= p <= 0.05
    assert 0.04 < stopped.mean() < 0.058
    assert careless.mean() > 0.12


def test_a_clear_difference_stops_long_before_the_end():
    """Fixed seed, 2,000 experiments: a gap of 0.1 with a spread of 0.165."""
    rng = np.random.default_rng(13)
    boundary = Boundary.of(5)
    x = rng.normal(0.1, 0.165, (2000, 60))
    spent = np.full(2000, 60)
    for done in range(48, 0, -12):
        p = stats.ttest_1samp(x[:, :done], 0, axis=1).pvalue
        spent[[boundary.stops(one, done, 60) for one in p]] = done
    assert spent.mean() < 40


def test_looks_that_were_not_planned_are_refused():
    with pytest.raises(UsageError, match="5 were planned"):
        Boundary.of(5).level(6)
    with pytest.raises(UsageError, match="plan 1 to 50"):
        Boundary.of(0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Boundary.of(5, alpha=1.5)
    assert Boundary.of(5).look_at(3, 60) == 0
    assert not Boundary.of(5).stops(1e-9, 3, 60)
