"""Expected losses and best decisions under mixtures of normal laws, against numeric integrals."""

import numpy as np
import pytest

from tasks.grading.decide import decide
from tasks.grading.leak import leak_z
from tasks.grading.measures import estimate
from tasks.grading.normal import absolute_error, pinball_loss, quantiles
from tasks.grading.prediction import Prediction
from tasks.instance import Gaussian, Mixture

LEVELS = (0.05, 0.5, 0.9)


def mixture(n=5, n_parts=3, seed=0, covariance=None):
    rng = np.random.default_rng(seed)
    return Mixture(
        weights=rng.dirichlet(np.ones(n_parts), size=n),
        means=3 * rng.normal(size=(n, n_parts)),
        sds=0.3 + rng.random((n, n_parts)),
        covariance=covariance,
    )


def integral(law, loss):
    """Return E loss(y) of each row by the trapezoid rule; `loss` takes (n, m)."""
    y = np.linspace(-20, 20, 20_001)[None, :]
    density = np.zeros((len(law.mean), y.shape[1]))
    for weight, part in law.parts():
        z = (y - part.mean[:, None]) / part.sd[:, None]
        density += weight[:, None] * np.exp(-0.5 * z * z) / part.sd[:, None] / np.sqrt(2 * np.pi)
    return (density * loss(y)).sum(axis=1) * (y[0, 1] - y[0, 0])


def test_mean_and_deviation_are_those_of_the_density():
    law = mixture()
    assert law.mean == pytest.approx(integral(law, lambda y: y))
    assert law.sd**2 == pytest.approx(integral(law, lambda y: (y - law.mean[:, None]) ** 2))


def test_expected_losses_are_integrals_of_the_density():
    law, said = mixture(), np.linspace(-4, 4, 5)
    found = absolute_error(said, law)
    assert found == pytest.approx(integral(law, lambda y: np.abs(y - said[:, None])), abs=1e-5)
    for level in LEVELS:
        below = integral(
            law,
            lambda y, a=level: (y - said[:, None]) * (a - (y < said[:, None])),
        )
        assert pinball_loss(said, level, law) == pytest.approx(below, abs=1e-5)


@pytest.mark.parametrize("level", [0.01, *LEVELS, 0.999])
def test_a_quantile_has_its_level_below_it(level):
    law = mixture(n=40)
    found = quantiles(level, law)
    shares = integral(law, lambda y: y < found[:, None])
    assert shares == pytest.approx(np.full(40, level), abs=4e-3)


def test_a_mixture_of_one_is_the_normal_law():
    one = mixture(n_parts=1)
    normal = Gaussian(mean=one.means[:, 0], sd=one.sds[:, 0])
    assert quantiles(0.2, one) == pytest.approx(quantiles(0.2, normal), abs=1e-6)
    for name in ("mae", "rmse", "r2", "mse"):
        said = Prediction(values=np.zeros(5))
        assert estimate(name, said, one).value == pytest.approx(estimate(name, said, normal).value)


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "r2", "pinball"])
def test_no_decision_passes_that_of_the_law(name):
    law = mixture(n=300)
    sign = -1 if name == "r2" else 1
    best = decide(name, law, LEVELS)
    value = sign * estimate(name, best, law).value
    for step in (-0.1, -0.01, 0.01, 0.1):
        moved = Prediction(
            values=best.values + step, quantiles={q: v + step for q, v in best.quantiles.items()}
        )
        assert sign * estimate(name, moved, law).value > value
    other = {"mae": law.mean, "mse": quantiles(0.5, law)}.get(name)
    if other is not None:
        assert estimate(name, Prediction(values=other), law).value > value


@pytest.mark.parametrize("law", [mixture(n=2000), Gaussian(mean=np.zeros(2000), sd=np.ones(2000))])
def test_answers_copied_into_the_quantiles_alone_are_found(law):
    rng = np.random.default_rng(3)
    labels = law.mean + law.sd * rng.normal(size=2000)
    honest = np.full(2000, 0.3)
    spread = {q: honest + q for q in LEVELS}
    z = leak_z(Prediction(values=honest, quantiles=spread), law, labels)
    assert z is not None
    assert abs(z) < 4
    copied = {**spread, 0.5: labels}
    z = leak_z(Prediction(values=honest, quantiles=copied), law, labels)
    assert z is not None
    assert z > 4
