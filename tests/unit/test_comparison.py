"""Trials read from folders, agents side by side, and the leaderboard."""

import json
import math

import numpy as np
import pytest

from tasks.comparison.board import leaderboard
from tasks.comparison.paired import compare
from tasks.comparison.records import Trials, read
from tasks.errors import UnknownName
from tests.trial_folders import write_trial

FAMILIES = ("classification", "regression", "time_series", "text_classification", "clustering")


@pytest.fixture
def trials(tmp_path):
    """Write trials of agents on tasks of several families; `gap` is what agent B is better by."""

    def write(gap=0.0, *, per_family=2, repeats=2, noise=0.03, seed=1, agents=("a", "b")):
        rng = np.random.default_rng(seed)
        for f, family in enumerate(FAMILIES):
            for t in range(per_family):
                task = f"{family}{t}"
                for repeat in range(repeats):
                    hardness = 0.4 + 0.05 * f
                    for k, agent in enumerate(agents):
                        skill = hardness + k * gap + noise * rng.normal()
                        write_trial(tmp_path, agent, task=task, family=family, skill=float(skill),
                                    suite="s", repeat=repeat)  # fmt: skip
        return tmp_path

    return write


def of(trials: Trials, agent):
    return [one for one in trials.records if one.agent == agent]


def sides(folder):
    found = read([folder])
    return of(found, "a"), of(found, "b")


# --- reading --------------------------------------------------------------------------------------


def test_trials_are_found_at_any_place_above_them_and_links_are_not_followed(tmp_path):
    folder = write_trial(tmp_path / "suite" / "trials", "a")
    write_trial(tmp_path / "runs", "b")
    (tmp_path / "suite" / "loop").symlink_to(tmp_path)
    assert len(read([tmp_path]).records) == 2
    assert len(read([tmp_path / "suite"]).records) == 1
    assert read([folder]).records[0].agent == "a"
    assert len(read([tmp_path / "suite", tmp_path / "runs"]).records) == 2


def test_a_folder_without_trials_and_one_that_is_not_there_are_named(tmp_path):
    with pytest.raises(UnknownName, match="no trials there"):
        read([tmp_path])
    with pytest.raises(UnknownName, match="nowhere: no such folder"):
        read([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("ending", "kind", "reason"),
    [
        ("finished", "completed", "finished"),
        ("timed out", "failed", "timed out"),
        ("agent error", "failed", "agent error"),
        ("out of memory", "failed", "out of memory"),
        ("no submission", "failed", "no submission"),
        ("invalid submission", "failed", "invalid submission"),
        ("grader error", "infrastructure", "grader error"),
        ("infrastructure", "infrastructure", "infrastructure"),
        ("cancelled", "cancelled", "cancelled"),
        ("never started", "failed", "never started"),
        ("unfinished", "unfinished", "no report yet"),
    ],
)
def test_each_ending_is_somebodys(tmp_path, ending, kind, reason):
    write_trial(tmp_path, "a", ending=ending, skill=0.9)
    record = read([tmp_path]).records[0]
    assert (record.kind, record.reason) == (kind, reason)
    assert record.score == (0.9 if kind == "completed" else 0)


def test_a_suspected_leak_is_a_failure_and_no_score(tmp_path):
    write_trial(tmp_path, "a", skill=0.99, leaked=True)
    record = read([tmp_path]).records[0]
    assert (record.kind, record.reason, record.score) == ("failed", "integrity", 0)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"trial": 1, "outcome": {"reason": "finished"}}']
)
def test_a_report_that_cannot_be_read_is_nobodys_result(tmp_path, text):
    (write_trial(tmp_path, "a") / "report.json").write_text(text)
    record = read([tmp_path]).records[0]
    assert (record.kind, record.agent) == ("infrastructure", "a")


def test_a_later_attempt_replaces_one_that_was_no_result_and_a_replaced_result_is_counted(tmp_path):
    for attempt, ending in ((1, "infrastructure"), (2, "timed out"), (3, "infrastructure")):
        write_trial(tmp_path, "a", suite="s", attempt=attempt, ending=ending)
    for attempt, skill in ((1, 0.2), (2, 0.9)):
        write_trial(tmp_path, "b", suite="s", attempt=attempt, skill=skill)
    found = read([tmp_path])
    assert [(one.agent, one.attempt) for one in found.records] == [("a", 2), ("b", 2)]
    assert (found.replaced, found.attempts) == (1, 2)


def test_what_is_said_of_the_suite_is_also_found_beside_the_report(tmp_path):
    folder = write_trial(tmp_path / "x" / "trials", "a", suite="s", repeat=3)
    report = json.loads((folder / "report.json").read_text())
    del report["trial"]["suite"]
    (folder / "report.json").write_text(json.dumps(report))
    record = read([tmp_path]).records[0]
    assert (record.suite, record.repeat) == ("s", 3)


def test_an_attempt_that_a_suite_gave_up_is_nobodys_result(tmp_path):
    plan = {
        "id": "s",
        "tasks": [{"definition": {"id": t, "task_type": "regression"}} for t in ("one", "two")],
        "agents": [{"name": "a"}, {"name": "b"}],
    }
    (tmp_path / "suite.json").write_text(json.dumps(plan))
    folder = tmp_path / "trials" / "000007.two.b.r1.a2"
    folder.mkdir(parents=True)
    line = {"time": 1, "event": "given up", "reason": "infrastructure", "detail": "no fork"}
    (folder / "events.jsonl").write_text(json.dumps(line) + "\n")
    (record,) = read([tmp_path]).records
    assert (record.kind, record.reason) == ("infrastructure", "infrastructure")
    assert (record.task, record.agent, record.repeat, record.attempt) == ("two", "b", 1, 2)


# --- two agents -----------------------------------------------------------------------------------


def test_a_true_difference_on_common_instances_is_found(trials):
    found = compare(*sides(trials(gap=0.1)), ("a", "b"))
    assert found.matched == "instance"
    assert (found.pairs, found.tasks, found.families) == (20, 10, 5)
    assert found.skill.verdict == "b is higher"
    assert found.skill.difference.low < 0.1 < found.skill.difference.high
    assert found.skill.difference.n == 5  # families, not runs
    assert found.completion.verdict == "cannot tell"
    assert found.verdict == "b is better"
    assert found.skill.more_runs == 0
    assert found.improvement.estimate > 0.9


def test_the_other_order_gives_the_other_sign(trials):
    a, b = sides(trials(gap=0.1))
    there, back = compare(a, b), compare(b, a)
    assert there.skill.difference.estimate == pytest.approx(-back.skill.difference.estimate)
    assert there.improvement.estimate == pytest.approx(1 - back.improvement.estimate)
    assert back.verdict == "A is better"


def test_equal_agents_cannot_be_told_apart_and_it_says_what_it_would_take(trials):
    found = compare(*sides(trials(gap=0.01, noise=0.05)))
    assert found.verdict == "cannot tell"
    assert found.skill.more_runs > 20


def test_an_agent_compared_with_itself_needs_no_number_of_runs(tmp_path):
    for agent in "ab":
        for t in range(4):
            write_trial(tmp_path, agent, task=f"t{t}", suite="s", skill=0.5)
    found = compare(*sides(tmp_path))
    assert found.verdict == "cannot tell"
    assert found.skill.more_runs is None
    assert found.improvement.estimate == 0.5


def test_no_winner_is_named_among_equals_in_more_than_five_percent(tmp_path):
    """Fixed seed, 200 suites of ten tasks of five families; standard error 1.5 %."""
    from dataclasses import replace

    for agent in "ab":
        for f, family in enumerate(FAMILIES):
            for t in range(2):
                write_trial(tmp_path, agent, task=f"{f}{t}", family=family, suite="s")
    a, b = sides(tmp_path)
    rng = np.random.default_rng(2)
    named = 0
    for _ in range(200):
        leaning = dict(zip(FAMILIES, rng.normal(0, 0.05, 5), strict=True))
        x = [replace(one, score=0.5 + rng.normal(0, 0.1)) for one in a]
        y = [replace(one, score=0.5 + leaning[one.family] + rng.normal(0, 0.1)) for one in b]
        named += compare(x, y).verdict != "cannot tell"
    assert named / 200 < 0.09


def test_failed_trials_are_counted_and_skill_is_given_that_both_completed(tmp_path):
    for t in range(12):
        write_trial(tmp_path, "a", task=f"t{t}", suite="s", skill=0.6)
        ending = "timed out" if t < 9 else "finished"
        write_trial(tmp_path, "b", task=f"t{t}", suite="s", skill=0.8, ending=ending)
    found = compare(*sides(tmp_path))
    assert found.completion.difference.estimate == -0.75
    assert found.completion.verdict == "A is higher"
    assert found.completion.p == pytest.approx(2 / 2**9)
    assert found.b.failed == {"timed out": 9}
    assert found.skill.difference.estimate == pytest.approx(0.2)
    assert found.skill.difference.n == 3
    assert found.improvement.estimate == pytest.approx(3 / 12)


def test_winning_one_part_and_losing_the_other_is_mixed(tmp_path):
    for t in range(40):
        family = FAMILIES[t % 5]
        write_trial(tmp_path, "a", task=f"t{t}", family=family, suite="s", skill=0.5)
        ending = "timed out" if t % 4 == 0 else "finished"
        skill = 0.7 + 0.01 * (t % 3)
        write_trial(tmp_path, "b", task=f"t{t}", family=family, suite="s", skill=skill,
                    ending=ending)  # fmt: skip
    found = compare(*sides(tmp_path))
    assert found.verdict == "mixed: A is higher in completion; B is higher in skill"


def test_infrastructure_is_a_third_rate_and_never_a_zero(tmp_path):
    for t in range(4):
        write_trial(tmp_path, "a", task=f"t{t}", suite="s", skill=0.6)
        ending = "infrastructure" if t == 0 else "finished"
        write_trial(tmp_path, "b", task=f"t{t}", suite="s", skill=0.6, ending=ending)
    found = compare(*sides(tmp_path))
    assert found.b.infrastructure == {"infrastructure": 1}
    assert (found.b.trials, found.b.completed.n, found.b.completed.estimate) == (4, 3, 1)
    assert found.a.without_partner == 1
    assert found.pairs == 3


def test_single_runs_on_their_own_instances_are_compared_by_task(tmp_path):
    for k in range(3):
        write_trial(tmp_path, "a", task=f"t{k}", family=FAMILIES[k], skill=0.5 + 0.01 * k)
        write_trial(tmp_path, "b", task=f"t{k}", family=FAMILIES[k], skill=0.7)
    found = compare(*sides(tmp_path))
    assert (found.matched, found.pairs) == ("task", 0)
    assert found.skill.difference.n == 3
    assert found.skill.difference.estimate == pytest.approx(0.19)


def test_agents_with_nothing_in_common_are_not_compared(tmp_path):
    write_trial(tmp_path, "a", task="one")
    write_trial(tmp_path, "b", task="two")
    found = compare(*sides(tmp_path))
    assert (found.matched, found.verdict) == ("nothing", "cannot tell")
    assert found.skill.difference.estimate is None
    assert found.by_task == []


def test_runs_of_one_task_speak_of_that_task_only(tmp_path):
    for repeat in range(8):
        write_trial(tmp_path, "a", suite="s", repeat=repeat, skill=0.5 + 0.01 * repeat)
        write_trial(tmp_path, "b", suite="s", repeat=repeat, skill=0.6 + 0.011 * repeat)
    found = compare(*sides(tmp_path))
    assert found.unit == "runs of alpha"
    assert found.skill.difference.n == 8
    assert found.verdict == "B is better"


def test_few_families_bound_the_claim_and_five_are_the_units(trials):
    a, b = sides(trials(gap=0.1))
    few = [[one for one in side if one.family in FAMILIES[:2]] for side in (a, b)]
    one = [[one for one in side if one.family == FAMILIES[0]] for side in (a, b)]
    assert (compare(a, b).unit, compare(a, b).skill.difference.n) == ("families of tasks", 5)
    found = compare(*few)
    assert (found.unit, found.skill.difference.n) == ("tasks of these 2 families", 4)
    assert compare(*one).unit == "tasks of classification"


def test_tasks_whose_criteria_flipped_come_first(tmp_path):
    for t, (before, after) in {"a1": (1, 1), "m1": (1, 0), "z1": (0, 1)}.items():
        for agent, met in (("a", before), ("b", after)):
            write_trial(tmp_path, agent, task=t, suite="s", criteria={"min_accuracy": bool(met)})
    found = compare(*sides(tmp_path))
    assert [line.name for line in found.by_task] == ["m1", "z1", "a1"]
    assert [dict(line.flipped) for line in found.by_task] == [
        {"min_accuracy": "met → missed"}, {"min_accuracy": "missed → met"}, {},
    ]  # fmt: skip
    assert all(line.greyed for line in found.by_task)


def test_a_comparison_is_a_json_object_without_nan(trials):
    found = compare(*sides(trials()))
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert json.loads(text)["skill"]["difference"]["method"] == "clustered t"


# --- many agents ----------------------------------------------------------------------------------


def test_the_leaderboard_names_who_is_known_to_beat_whom(trials):
    board = leaderboard(read([trials(gap=0.1, agents=("low", "middle", "top"))]).records)
    assert [row.agent for row in board.rows] == ["top", "middle", "low"]
    assert list(board.rows[0].beats) == ["low", "middle"]
    assert list(board.rows[2].beaten_by) == ["middle", "top"]
    assert (board.pairs_tested, board.pairs_settled) == (3, 3)
    assert (board.common_tasks, board.all_tasks) == (10, 10)


def test_equals_share_a_place_however_their_means_are_ordered(trials):
    board = leaderboard(read([trials(gap=0.0, agents=("x", "y", "z"))]).records)
    assert all(not row.beats for row in board.rows)


def test_what_somebody_stopped_is_counted_apart_and_is_no_infrastructure_fault(tmp_path):
    write_trial(tmp_path, "a", task="t0", skill=0.9)
    write_trial(tmp_path, "a", task="t1", ending="cancelled")
    (row,) = leaderboard(read([tmp_path]).records).rows
    assert (row.n, row.cancelled, dict(row.infrastructure)) == (1, 1, {})


def test_a_row_holds_three_rates_and_failures_count_zero(tmp_path):
    for t, ending in enumerate(["finished", "finished", "timed out", "infrastructure"]):
        write_trial(tmp_path, "a", task=f"t{t}", skill=0.9, ending=ending)
    write_trial(tmp_path, "a", task="late", ending="unfinished")
    (row,) = leaderboard(read([tmp_path]).records).rows
    assert (row.n, row.unfinished, dict(row.infrastructure)) == (3, 1, {"infrastructure": 1})
    assert row.passed.estimate == row.completed.estimate == pytest.approx(2 / 3)
    assert row.score.estimate == pytest.approx(0.6)
    assert row.skill.estimate == pytest.approx(0.9)
    assert row.failed == {"timed out": 1}
    assert row.passes == {}


def test_repeats_give_pass_at_k_over_tasks(tmp_path):
    for t in range(3):
        for repeat in range(4):
            skill = 0.9 if repeat < t else 0.1
            write_trial(tmp_path, "a", task=f"t{t}", suite="s", repeat=repeat, skill=skill)
    board = leaderboard(read([tmp_path]).records, k=2)
    passes = board.rows[0].passes
    assert passes["pass_at_k"].estimate == pytest.approx((0 + 0.5 + 5 / 6) / 3)
    assert passes["pass_hat_k"].estimate == pytest.approx((0 + 0 + 1 / 6) / 3)
    assert leaderboard(read([tmp_path]).records).k == 4


def test_rows_by_task_and_by_family(trials):
    records = read([trials()]).records
    by_task, by_family = leaderboard(records, by="task"), leaderboard(records, by="family")
    assert len(by_task.groups) == 10
    assert list(by_family.groups) == sorted(FAMILIES)
    assert all(len(rows) == 2 for rows in by_family.groups.values())
    assert by_task.groups["clustering0"][0].score.method == "t"
    assert by_task.groups["clustering0"][0].greyed


def test_one_result_has_no_interval(tmp_path):
    write_trial(tmp_path, "a")
    (row,) = leaderboard(read([tmp_path]).records).rows
    assert (row.score.low, row.score.high) == (None, None)
    assert row.greyed
    assert math.isfinite(row.passed.high)


# --- what varies ----------------------------------------------------------------------------------


def test_the_spread_of_trials_is_found_again(tmp_path):
    """Fixed seed: 60 tasks, 3 agents, 4 repeats of known standard deviations; within 20 %."""
    from dataclasses import replace

    from tasks.comparison.spread import measure

    write_trial(tmp_path, "a")
    one = read([tmp_path]).records[0]
    rng = np.random.default_rng(3)
    records = []
    for t in range(60):
        hard = rng.normal(0.5, 0.2)
        for k, agent in enumerate("abc"):
            leaning = rng.normal(0, 0.06)
            records += [
                replace(one, task=f"t{t}", agent=agent, repeat=repeat,
                        score=hard + 0.1 * k + leaning + rng.normal(0, 0.1))
                for repeat in range(4)
            ]  # fmt: skip
    records += [replace(one, task="t0", kind="failed", score=0.0)] * 80
    found = measure(records)
    assert found.run == pytest.approx(0.1, rel=0.2)
    assert found.interaction == pytest.approx(0.06, rel=0.2)
    assert found.task == pytest.approx(0.2, rel=0.2)
    assert found.failures == pytest.approx(80 / 800)
