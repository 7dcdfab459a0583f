"""Measures against scikit-learn as oracle; expectations against label redraws; standard errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tasks.grading import measures
from tasks.grading.decide import decide
from tasks.grading.leak import leak_z
from tasks.grading.measures import Estimate, estimate, one_hot
from tasks.grading.normal import absolute_error, cdf, pinball_loss
from tasks.grading.prediction import Prediction
from tasks.instance import Categorical, Gaussian, draw_classes
from tasks.measures import MEASURES


def _kappa(y, c, **weights):
    """Cohen's kappa; 0 where both name one class only, which scikit-learn calls undefined."""
    if len({*y, *c}) == 1:
        return 0.0
    return metrics.cohen_kappa_score(y, c, labels=range(5), **weights)


CLASSES = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": lambda y, c: metrics.f1_score(y, c, average="macro", zero_division=0),
    "precision": lambda y, c: metrics.precision_score(y, c, average="macro", zero_division=0),
    "recall": lambda y, c: metrics.recall_score(y, c, average="macro", zero_division=0),
    "mcc": metrics.matthews_corrcoef,
    "kappa": _kappa,
    "quadratic_kappa": lambda y, c: _kappa(y, c, weights="quadratic"),
}

OF_CLASSES = [*CLASSES, "log_loss", "brier", "roc_auc", "average_precision", "map_at_3"]


def classes_case(seed, n=400, k=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.7), size=n)
    q = 0.6 * p + 0.4 * rng.dirichlet(np.ones(k), size=n)
    return p, q, draw_classes(p, rng.random(n))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", CLASSES)
@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(
            st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=3, max_size=40
        )
    )
)
def test_measures_of_labels_equal_scikit_learns(name, pairs):
    y, c = np.array(pairs).T
    ours = estimate(name, Prediction(codes=c), Categorical(p=one_hot(y, 5))).value
    assert ours == pytest.approx(CLASSES[name](y, c), abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_measures_of_probabilities_equal_scikit_learns(k):
    _, q, y = classes_case(k, k=k)
    q = np.round(q, 2) + 1e-3  # with ties
    q /= q.sum(axis=1, keepdims=True)
    target, said = Categorical(p=one_hot(y, k)), Prediction(p=q)
    score = q[:, 1] if k == 2 else q
    both = y if k == 2 else one_hot(y, k)
    assert estimate("log_loss", said, target).value == pytest.approx(metrics.log_loss(y, q))
    assert estimate("roc_auc", said, target).value == pytest.approx(
        metrics.roc_auc_score(y, score, multi_class="ovr", average="macro")
    )
    assert estimate("average_precision", said, target).value == pytest.approx(
        metrics.average_precision_score(both, score, average="macro")
    )
    brier = np.mean(np.sum((q - one_hot(y, k)) ** 2, axis=1))
    assert estimate("brier", said, target).value == pytest.approx(brier)


@pytest.mark.parametrize(("name", "places"), [("map_at_3", 3), ("map_at_5", 5), ("map_at_10", 10)])
def test_map_at_k_is_the_mean_of_one_over_the_rank_up_to_k(name, places):
    _, q, y = classes_case(3, k=12)
    ranks = 1 + (q > q[np.arange(len(y)), y][:, None]).sum(axis=1)
    wanted = np.where(ranks <= places, 1 / ranks, 0).mean()
    found = estimate(name, Prediction(p=q), Categorical(p=one_hot(y, 12))).value
    assert found == pytest.approx(wanted)


COSTS = ((0.0, 1.0, 2.0), (3.0, -1.0, 1.0), (20.0, 10.0, 0.0))


def test_the_expected_cost_is_the_mean_of_the_costs_of_what_was_said():
    _, q, y = classes_case(5, k=3)
    codes = q.argmax(axis=1)
    found = estimate(
        "expected_cost", Prediction(codes=codes), Categorical(p=one_hot(y, 3)), costs=COSTS
    )
    each = np.array(COSTS)[y, codes]
    assert found.value == pytest.approx(each.mean())
    assert found.standard_error() == pytest.approx(each.std() / np.sqrt(len(y)))


def test_no_decision_costs_less_in_expectation_than_the_best_one():
    p, _, _ = classes_case(6, k=3)
    law = Categorical(p=p)
    best = estimate("expected_cost", decide("expected_cost", law, costs=COSTS), law, costs=COSTS)
    every = [
        estimate("expected_cost", Prediction(codes=np.full(len(p), k)), law, costs=COSTS).value
        for k in range(3)
    ]
    likeliest = estimate("expected_cost", Prediction(p=p), law, costs=COSTS).value
    assert best.value < min(*every, likeliest)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_map_at_3_weighs_the_top_accuracies_of_scikit_learn(k):
    """A class in the first place earns 1, in the second 1/2, in the third 1/3."""
    _, q, y = classes_case(k, k=k)
    score = q[:, 1] if k == 2 else q
    within = [metrics.top_k_accuracy_score(y, score, k=j) for j in range(1, min(k, 4))]
    within += [1.0] * (k <= 3)
    places = np.diff([0.0, *within])
    wanted = sum(share / place for place, share in enumerate(places, 1))
    found = estimate("map_at_3", Prediction(p=q), Categorical(p=one_hot(y, k))).value
    assert found == pytest.approx(wanted)


def test_equal_probabilities_rank_in_the_order_of_the_classes():
    said = Prediction(p=np.full((5, 5), 0.2))
    found = estimate("map_at_3", said, Categorical(p=np.eye(5)))
    assert found.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=5, max_size=60))
def test_the_adjusted_rand_index_equals_scikit_learns(pairs):
    y, c = np.array(pairs).T
    ours = estimate("adjusted_rand", Prediction(codes=c), Categorical(p=one_hot(y, 4))).value
    assert ours == pytest.approx(metrics.adjusted_rand_score(y, c), abs=1e-9)


def test_measures_of_values_equal_scikit_learns():
    rng = np.random.default_rng(0)
    y, v = rng.normal(size=500), rng.normal(size=500)
    target = Gaussian(mean=y, sd=np.zeros(500))
    said = Prediction(values=v, quantiles={0.1: v - 1, 0.9: v + 1})
    assert estimate("r2", said, target).value == pytest.approx(metrics.r2_score(y, v))
    assert estimate("mse", said, target).value == pytest.approx(metrics.mean_squared_error(y, v))
    assert estimate("rmse", said, target).value == pytest.approx(
        metrics.mean_squared_error(y, v) ** 0.5
    )
    assert estimate("mae", said, target).value == pytest.approx(metrics.mean_absolute_error(y, v))
    scale = np.full(500, 2.0)
    assert estimate("mase", said, target, scale).value == pytest.approx(
        metrics.mean_absolute_error(y, v) / 2
    )
    losses = [metrics.mean_pinball_loss(y, v + d, alpha=q) for q, d in ((0.1, -1), (0.9, 1))]
    assert estimate("pinball", said, target).value == pytest.approx(np.mean(losses))


def test_the_normal_distribution_function_is_right_to_seven_digits():
    from scipy.stats import norm

    z = np.linspace(-9, 9, 2001)
    assert np.abs(cdf(z) - norm.cdf(z)).max() < 1.1e-7


def test_expected_losses_under_a_normal_law_equal_numerical_integration():
    from scipy.integrate import quad
    from scipy.stats import norm

    law = Gaussian(mean=np.array([0.3]), sd=np.array([1.7]))
    for v in (-4.0, 0.0, 0.3, 2.5):
        wanted = quad(lambda y, v=v: abs(y - v) * norm.pdf(y, 0.3, 1.7), -30, 30, points=[v])[0]
        assert absolute_error(np.array([v]), law)[0] == pytest.approx(wanted, abs=1e-5)
        wanted = quad(
            lambda y, v=v: (y - v) * (0.2 - (y < v)) * norm.pdf(y, 0.3, 1.7), -30, 30, points=[v]
        )[0]
        assert pinball_loss(np.array([v]), 0.2, law)[0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_the_posterior_score_is_the_mean_of_the_label_scores(name):
    """Over 400 redraws of the labels of 2,000 rows; within 5 standard errors and a bias of 1/n."""
    p, q, _ = classes_case(1, n=2000)
    rng = np.random.default_rng(2)
    said = Prediction(p=q)
    redrawn = [
        estimate(name, said, Categorical(p=one_hot(draw_classes(p, rng.random(2000)), 3))).value
        for _ in range(400)
    ]
    wanted = estimate(name, said, Categorical(p=p)).value
    assert abs(np.mean(redrawn) - wanted) < 5 * np.std(redrawn) / 20 + 5e-4


def test_the_posterior_adjusted_rand_is_the_mean_of_the_label_scores():
    p, q, _ = classes_case(4, n=1000)
    rng = np.random.default_rng(2)
    said = Prediction(codes=q.argmax(axis=1))
    redrawn = [
        estimate(
            "adjusted_rand", said, Categorical(p=one_hot(draw_classes(p, rng.random(1000)), 3))
        ).value
        for _ in range(300)
    ]
    wanted = estimate("adjusted_rand", said, Categorical(p=p)).value
    assert abs(np.mean(redrawn) - wanted) < 5 * np.std(redrawn) / 17 + 1e-3


@pytest.mark.parametrize("name", ["r2", "rmse", "mse", "mae", "pinball"])
def test_the_expected_score_of_values_is_the_mean_of_the_label_scores(name):
    rng = np.random.default_rng(3)
    law = Gaussian(mean=rng.normal(size=1500), sd=rng.uniform(0.2, 1.0, size=1500))
    v = law.mean + rng.normal(0, 0.5, size=1500)
    said = Prediction(values=v, quantiles={0.3: v - 0.2})
    redrawn = [
        estimate(
            name,
            said,
            Gaussian(mean=law.mean + law.sd * rng.normal(size=1500), sd=np.zeros(1500)),
        ).value
        for _ in range(300)
    ]
    wanted = estimate(name, said, law).value
    assert abs(np.mean(redrawn) - wanted) < 5 * np.std(redrawn) / 17 + 5e-4


@pytest.mark.parametrize(
    "name",
    [name for name, measure in MEASURES.items() if measure.needs in {"labels", "probabilities"}]
    + ["adjusted_rand"],
)
def test_standard_errors_of_classes_are_those_of_many_samples(name):
    """Ratio to the spread over 300 samples: within 25 %."""
    found, said = [], []
    for seed in range(300):
        _, q, y = classes_case(seed, n=600)
        prediction = Prediction(codes=q.argmax(axis=1), p=q)
        one = estimate(name, prediction, Categorical(p=one_hot(y, 3)), costs=COSTS)
        found.append(one.value)
        said.append(one.standard_error())
    ratio = np.mean(said) / np.std(found)
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize("name", ["r2", "rmse", "mse", "mae"])
def test_standard_errors_of_values_are_those_of_many_samples(name):
    found, said = [], []
    rng = np.random.default_rng(7)
    for _ in range(300):
        x = rng.normal(size=500)
        y = x + rng.normal(size=500)
        one = estimate(name, Prediction(values=0.8 * x), Gaussian(mean=y, sd=np.zeros(500)))
        found.append(one.value)
        said.append(one.standard_error())
    assert 0.85 < np.mean(said) / np.std(found) < 1.18


def test_dependent_rows_widen_the_standard_error():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(50), 20)
    y = np.repeat(rng.normal(size=50), 20)
    one = estimate("mae", Prediction(values=np.zeros(1000)), Gaussian(mean=y, sd=np.zeros(1000)))
    assert one.standard_error(groups) > 4 * one.standard_error()


def autoregressive(rng, memory, shape):
    """Series of variance 1, stationary from their first step."""
    noise = rng.normal(size=shape)
    for t in range(1, shape[1]):
        noise[:, t] = memory * noise[:, t - 1] + np.sqrt(1 - memory**2) * noise[:, t]
    return noise


@pytest.mark.parametrize("n_series", [1, 3])
@pytest.mark.parametrize(("memory", "covered"), [(0.0, 0.90), (0.5, 0.88), (0.8, 0.78)])
def test_the_error_of_a_few_series_holds_the_truth_though_their_rows_depend(
    n_series, memory, covered
):
    """A year of weeks, 400 times: nominally 95 %; as if independent, 59 % at memory 0.8."""
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(n_series), 52)
    hits = {True: 0, False: 0}
    for _ in range(400):
        y = autoregressive(rng, memory, (n_series, 52)).ravel()
        law = Gaussian(mean=y, sd=np.zeros(len(y)))
        one = estimate("mse", Prediction(values=np.zeros(len(y))), law)
        for known in hits:
            error = one.standard_error(groups if known else None)
            hits[known] += abs(one.value - 1) < 1.96 * error
    assert covered < hits[True] / 400 < 0.99
    if memory == 0.8:
        assert hits[False] / 400 < 0.7


def test_the_error_of_one_row_or_of_huge_rows_is_finite():
    one = Estimate(value=1.0, influence=np.zeros(1))
    assert one.standard_error(np.zeros(1, np.int64)) == 0.0
    huge = Estimate(value=1.0, influence=np.array([1e300, -1e300, 5e299, -5e299]))
    assert 1e299 < huge.standard_error(np.zeros(4, np.int64)) < 1e301


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.182), (5, 2.571), (15, 2.131), (60, 2.0)])
def test_few_degrees_of_freedom_widen_the_error_as_students_law_does(freedom, quantile):
    assert 1.96 * measures._student(freedom) == pytest.approx(quantile, rel=0.04)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_no_decision_passes_the_bayes_decision(name):
    """Against 60 perturbed decisions, among them the posterior's neighbours and biased ones."""
    p, _, _ = classes_case(11, n=1500)
    law, rng = Categorical(p=p), np.random.default_rng(0)
    sign = 1 if MEASURES[name].greater_is_better else -1
    best = sign * estimate(name, decide(name, law), law).value
    for _ in range(60):
        q = p ** rng.uniform(0.5, 2) * rng.uniform(0.3, 3, size=3)
        q = q * np.exp(rng.normal(0, rng.choice([0.0, 0.05, 0.3]), size=p.shape))
        q /= q.sum(axis=1, keepdims=True)
        other = sign * estimate(name, Prediction(p=q, codes=q.argmax(axis=1)), law).value
        slack = 0.01 if name == "precision" else 0.002 if name == "average_precision" else 1e-9
        assert other <= best + slack


@pytest.mark.parametrize("copied", [0.0, 0.2])
def test_copied_labels_are_found_and_honest_predictors_are_not(copied):
    """200 honest predictors: |z| > 4 once in 15,000; 20 % of 5,000 labels copied: always."""
    worst = []
    for seed in range(200 if copied == 0 else 20):
        p, q, y = classes_case(seed, n=5000)
        rng = np.random.default_rng(seed)
        codes = np.where(rng.random(5000) < copied, y, q.argmax(axis=1))
        worst.append(leak_z(Prediction(codes=codes), Categorical(p=p), y))
    if copied:
        assert min(worst) > 4
    else:
        assert np.max(np.abs(worst)) < 4
        assert 0.8 < np.std(worst) < 1.2


def test_labels_leaked_into_probabilities_only_are_found():
    p, q, y = classes_case(3, n=5000)
    told = 0.8 * q + 0.2 * one_hot(y, 3)
    honest = q.argmax(axis=1)
    assert leak_z(Prediction(codes=honest, p=told), Categorical(p=p), y) > 4


def test_cluster_names_do_not_matter_to_the_leak_test():
    p, _, y = classes_case(3, n=5000)
    law = Categorical(p=p)
    renamed = np.array([17, -3, 99])
    assert leak_z(Prediction(codes=renamed[y]), law, y, clusters=True) > 4
    assert abs(leak_z(Prediction(codes=renamed[p.argmax(axis=1)]), law, y, clusters=True)) < 4


def test_copied_values_are_found_and_huge_ones_do_not_break_the_test():
    rng = np.random.default_rng(1)
    law = Gaussian(mean=rng.normal(size=2000), sd=np.full(2000, 0.5))
    y = law.mean + law.sd * rng.normal(size=2000)
    assert abs(leak_z(Prediction(values=law.mean + 0.3), law, y)) < 4
    assert leak_z(Prediction(values=0.8 * law.mean + 0.2 * y), law, y) > 4
    huge = law.mean.copy()
    huge[0] = 1e100
    assert abs(leak_z(Prediction(values=huge), law, y)) < 6


def test_a_shared_shock_per_series_is_no_leak():
    """Residuals of a series move together; summing them as independent would cry leak."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), 25)
    shock = np.repeat(rng.normal(size=60), 25)
    law = Gaussian(mean=np.zeros(1500), sd=np.full(1500, 1.0))
    said = Prediction(values=np.repeat(rng.normal(size=60), 25))
    zs = [leak_z(said, law, np.repeat(rng.normal(size=60), 25), groups) for _ in range(200)]
    assert np.max(np.abs(zs)) < 4
    assert leak_z(said, law, shock, groups % 4) is None


def test_with_the_joint_law_few_series_are_enough_to_find_copied_values():
    """Four series of 24 dependent steps: honest forecasts stay within 4, copied ones do not."""
    rng = np.random.default_rng(4)
    steps = np.arange(24)
    joint = np.minimum.outer(steps + 1.0, steps + 1.0) + 0.3 * np.eye(24)  # a walk, plus noise
    covariance = np.stack([joint] * 4)
    root = np.linalg.cholesky(joint)
    law = Gaussian(mean=np.zeros(96), sd=np.sqrt(np.tile(np.diag(joint), 4)), covariance=covariance)
    groups = np.repeat(np.arange(4), 24)
    honest, copied = [], []
    for _ in range(200):
        y = (root @ rng.normal(size=(24, 4))).T.ravel()
        said = np.repeat(rng.normal(size=4), 24)
        honest.append(leak_z(Prediction(values=said), law, y, groups))
        copied.append(leak_z(Prediction(values=y), law, y, groups))
    assert np.max(np.abs(honest)) < 4
    assert 0.85 < np.std(honest) < 1.15
    assert min(copied) > 4


def test_more_rows_than_a_block_are_scored_as_one():
    """Rows are turned into columns block by block; neither values nor influences know of it."""
    rng = np.random.default_rng(5)
    n = 2 * measures.BLOCK_ROWS + 17
    p = rng.dirichlet(np.ones(5), size=n)
    codes = rng.integers(5, size=n)
    assert np.array_equal(measures.top(p), p.argmax(axis=1))
    table = np.array([[p[codes == j, i].sum() for j in range(5)] for i in range(5)])
    assert measures.confusion(p, codes) == pytest.approx(table)
    for name, function in measures.OF_CONFUSION.items():
        value, gradient = function(table)
        found = estimate(name, Prediction(codes=codes), Categorical(p=p))
        assert found.value == pytest.approx(value)
        influence = (p * gradient[:, codes].T).sum(axis=1)
        assert found.influence == pytest.approx(influence, abs=1e-12)
