"""What chance makes of the gap between a submission and its code, by simulation and by hand."""

import math

import numpy as np
import pytest

from tasks.comparison.replays import FALSE_ALARMS, Skill, Spread

SIMULATED = 4000


def alarms(n, draw, *, seed):
    """Return how often a submission is suspected; `draw(rng, n)` gives instances and noise."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(SIMULATED):
        submitted, again, fresh, se = draw(rng, n)
        spread = Spread.of([Skill(value=value, se=se) for value in fresh])
        one = spread.from_fresh(Skill(value=submitted, se=se))
        other = spread.from_same(Skill(value=submitted - again, se=se / 2))
        found += one.suspicious or other.suspicious
    return found / SIMULATED


def honest(between, training, rows):
    """The same code made the submission: other instances, another run, other rows."""

    def draw(rng, n):
        instance = rng.normal(0, math.hypot(between, rows), n + 1)
        noise = rng.normal(0, training, n + 2)
        return (
            0.6 + instance[0] + noise[0],
            0.6 + instance[0] + noise[1],
            0.6 + instance[1:] + noise[2:],
            rows,
        )

    return draw


def by_heart(rng, n):
    """The code knows the answers to one instance and nothing else."""
    return 0.6, 0.6, rng.normal(0, 0.05, n), 0.02


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize(
    ("between", "training", "rows"),
    [(0.03, 0.02, 0.01), (0.2, 0.0, 0.0), (0.0, 0.1, 0.02), (0.0, 0.0, 0.05)],
)
def test_honest_code_is_suspected_no_oftener_than_is_said(n, between, training, rows):
    rate = alarms(n, honest(between, training, rows), seed=n)
    assert rate <= FALSE_ALARMS + 4 * math.sqrt(FALSE_ALARMS / SIMULATED)


def test_skill_that_is_skewed_towards_failures_raises_three_times_the_alarms_at_most():
    def draw(rng, n):
        values = 1 - rng.exponential(0.1, n + 2)
        return values[0], values[1], values[2:], 0.01

    assert alarms(5, draw, seed=1) <= 3 * FALSE_ALARMS


def test_answers_known_by_heart_are_found_from_five_instances_on():
    assert alarms(5, by_heart, seed=1) > 0.99


def test_a_lucky_pick_is_found_where_it_is_far_from_what_the_code_does():
    def draw(rng, n):
        values = rng.normal(0.5, 0.02, n + 1)
        return 0.7, values[0], values[1:], 0.005

    assert alarms(10, draw, seed=1) > 0.99


def test_one_fresh_instance_shows_no_spread():
    assert Spread.of([Skill(value=0.5, se=0.01)]) is None


def test_the_choice_of_rows_is_never_forgotten_however_close_the_skills_are():
    spread = Spread.of([Skill(value=0.5, se=0.03)] * 3)
    assert spread.sd == pytest.approx(0.03)
    assert not spread.from_fresh(Skill(value=0.55, se=0.03)).suspicious


def test_where_nothing_varies_any_gap_is_one():
    spread = Spread.of([Skill(value=0.0, se=0.0)] * 3)
    assert spread.from_fresh(Skill(value=1.0, se=0.0)).suspicious
    assert not spread.from_fresh(Skill(value=0.0, se=0.0)).suspicious


def test_code_that_does_better_than_what_was_submitted_is_not_suspicious():
    spread = Spread.of([Skill(value=value, se=0.01) for value in (0.5, 0.51, 0.52)])
    gap = spread.from_fresh(Skill(value=0.1, se=0.01))
    assert gap.value == pytest.approx(-0.41)
    assert gap.p > 0.99
    assert not gap.suspicious
