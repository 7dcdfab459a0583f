"""MLE-bench's medals: positions, ties, directions, seeds."""

import math

import pytest

from tasks.comparison import medals
from tasks.comparison.medals import headlines, positions, rank, thresholds
from tasks.comparison.records import read
from tasks.errors import InvalidInput
from tests.trial_folders import write_trial


@pytest.mark.parametrize(
    ("n", "wanted"),
    [
        (1, (1, 1, 1)),
        (2, (1, 1, 1)),
        (5, (1, 1, 2)),
        (9, (1, 1, 3)),
        (10, (1, 2, 4)),
        (99, (9, 19, 39)),
        (100, (10, 20, 40)),
        (249, (10, 49, 99)),
        (250, (10, 50, 100)),
        (499, (10, 50, 100)),
        (500, (11, 50, 100)),
        (999, (11, 50, 100)),
        (1000, (12, 50, 100)),
        (1596, (13, 79, 159)),
        (5000, (20, 250, 500)),
    ],
)
def test_the_last_place_of_each_medal_is_mle_benchs(n, wanted):
    assert positions(n) == wanted


def test_a_leaderboard_without_an_entry_has_no_medals():
    with pytest.raises(InvalidInput, match="without an entry"):
        thresholds([])


def test_a_tie_with_a_threshold_wins_and_one_with_the_median_does_not():
    board = [float(score) for score in range(10, 0, -1)]  # gold 10, silver 9, bronze 7
    against = thresholds(board)
    assert (against.gold, against.silver, against.bronze, against.median) == (10, 9, 7, 5.5)
    assert rank(10, against).gold
    assert rank(9.99999, against).silver
    assert rank(9, against).silver
    assert rank(7, against).bronze
    assert not rank(6.99, against).any
    assert rank(6, against).above_median
    assert not rank(5.5, against).above_median


@pytest.mark.parametrize("score", [11.0, 10.0, 9.0, 7.0, 0.0])
def test_there_is_at_most_one_medal(score):
    found = rank(score, thresholds([float(s) for s in range(10, 0, -1)]))
    assert found.gold + found.silver + found.bronze == found.any


def test_lower_is_better_where_the_first_entry_is_below_the_last():
    against = thresholds([0.1, 0.2, 0.3, 0.4, 0.5])
    assert against.lower_is_better
    assert rank(0.05, against).gold
    assert rank(0.2, against).bronze
    assert not rank(0.21, against).any
    assert rank(0.29, against).above_median
    assert not rank(0.3, against).above_median


def test_a_leaderboard_of_equals_is_higher_is_better_as_one_that_ends_in_no_number():
    assert not thresholds([0.5, 0.5, 0.5]).lower_is_better
    assert not thresholds([0.1, 0.5, math.nan]).lower_is_better


@pytest.mark.parametrize("score", [None, math.nan])
def test_no_score_has_no_medal(score):
    found = rank(score, thresholds([0.0] * 5))
    assert not found.any
    assert not found.above_median


@pytest.mark.parametrize(
    ("skill", "medal"), [(0.91, "gold"), (0.85, "silver"), (0.7, "bronze"), (0.55, None)]
)
def test_on_a_synthetic_leaderboard_medals_are_statements_on_skill(tmp_path, skill, medal):
    write_trial(tmp_path, "a", skill=skill)
    record = read([tmp_path]).records[0]
    found = rank(medals.score_of(record), thresholds(medals.synthetic(record)))
    earned = [name for name in ("gold", "silver", "bronze") if getattr(found, name)]
    assert earned == ([medal] if medal else [])
    assert found.above_median


def test_a_task_names_its_leaderboard_as_scores_a_file_or_synthetic(tmp_path):
    (tmp_path / "leaderboard.csv").write_text("teamId,score\n1,0.9\n2,0.8\n")
    task = {"id": "x"}
    assert medals.given(task) is None
    assert medals.given({"metadata": {"leaderboard": [0.9, 0.5]}}) == [0.9, 0.5]
    assert medals.given({"metadata": {"leaderboard": "synthetic"}}) == "synthetic"
    named = {**task, "metadata": {"leaderboard": "leaderboard.csv"}}
    assert medals.given(named, tmp_path) == [0.9, 0.8]
    assert medals.given(named) is None


@pytest.mark.parametrize("bad", [3, [], ["a"], [True], {"score": 1}])
def test_a_leaderboard_of_another_kind_is_refused(bad):
    with pytest.raises(InvalidInput, match=r"x: metadata\.leaderboard must be"):
        medals.given({"id": "x", "metadata": {"leaderboard": bad}})


@pytest.mark.parametrize("content", ["rank\n1\n", "score\n", "score\nhigh\n", ""])
def test_a_file_that_is_no_leaderboard_is_refused(tmp_path, content):
    (tmp_path / "board.csv").write_text(content)
    with pytest.raises(InvalidInput, match=r"board\.csv"):
        medals.given({"id": "x", "metadata": {"leaderboard": "board.csv"}}, tmp_path)
    with pytest.raises(InvalidInput, match="not a plain relative path"):
        medals.given({"id": "x", "metadata": {"leaderboard": "../board.csv"}}, tmp_path)


def test_the_headline_is_a_mean_over_seeds_with_its_standard_error(tmp_path):
    board = {"metadata": {"leaderboard": "synthetic"}}
    for task, skills in {"one": (0.9, 0.1, 0.9), "two": (0.9, 0.1, 0.1)}.items():
        for repeat, skill in enumerate(skills):
            write_trial(tmp_path, "a", task=task, suite="s", repeat=repeat, skill=skill,
                        task_extra=board)  # fmt: skip
    write_trial(tmp_path, "a", task="unranked", suite="s", skill=1.0)
    found = headlines(read([tmp_path]).records)["a"]
    assert (found.seeds, found.competitions) == (3, 2)
    assert found.mean == pytest.approx(50)  # 100, 0 and 50 %
    assert found.standard_error == pytest.approx(50 / math.sqrt(3))


def test_one_seed_has_a_standard_error_of_zero_as_in_mle_bench():
    found = medals.aggregate([40.0])
    assert (found.standard_error, found.ci_lower, found.ci_upper) == (0, 40, 40)
    spread = medals.aggregate([40.0, 60.0])
    assert spread.ci_upper == pytest.approx(50 + 1.96 * 10)
