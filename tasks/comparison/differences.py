"""What the results of two agents share, and how far they differ: pairs, rates, skill."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.comparison.distributions import fisher_test, sign_test
from tasks.comparison.interval import Interval, nothing
from tasks.comparison.intervals import (
    FEWEST_FAMILIES,
    Mean,
    clusters_of,
    mean,
    paired_rates,
    unpaired_rates,
)
from tasks.comparison.records import Record

Pair = tuple[Record, Record]
Matched = Literal["instance", "task", "nothing"]
"""What both sides share: instances; else tasks, met on instances of their own; or neither."""

SIGNED = (-1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """The two questions before they are corrected for their number."""

    completion: Interval
    completion_p: float
    skill: Mean
    unit: str
    runs_a_unit: float
    """Trials of each agent behind one unit."""


def results(records: Iterable[Record]) -> list[Record]:
    """Return those that are results of their agent, in a fixed order."""
    ordered = sorted(records, key=lambda one: (one.task, one.repeat or 0, one.started or 0.0))
    return [one for one in ordered if one.counts]


def match(a: Sequence[Record], b: Sequence[Record]) -> tuple[Matched, list[Pair]]:
    """Pair trials that met the same instance; say what is shared if there are none."""
    waiting: dict[str, list[Record]] = defaultdict(list)
    for one in a:
        waiting[one.instance].append(one)
    pairs = [(waiting[two.instance].pop(0), two) for two in b if waiting[two.instance]]
    if pairs:
        return "instance", pairs
    return ("task" if common(a, b) else "nothing"), pairs


def common(a: Iterable[Record], b: Iterable[Record]) -> set[str]:
    """Return the tasks of both."""
    return {one.task for one in a} & {one.task for one in b}


def test(
    a: Sequence[Record], b: Sequence[Record], matched: Matched, pairs: Sequence[Pair]
) -> Tests:
    """Ask both questions of results that were matched."""
    if matched == "instance":
        only_b = sum(y.completed and not x.completed for x, y in pairs)
        only_a = sum(x.completed and not y.completed for x, y in pairs)
        completion = paired_rates(only_b, only_a, len(pairs))
        completion_p = sign_test(only_b, only_a)
    elif matched == "task":
        tasks = common(a, b)
        n_a, hits_a = completed([one for one in a if one.task in tasks])
        n_b, hits_b = completed([one for one in b if one.task in tasks])
        completion = unpaired_rates(hits_b, n_b, hits_a, n_a)
        completion_p = fisher_test(hits_a, n_a, hits_b, n_b)
    else:
        completion, completion_p = nothing("none in common"), 1.0
    values, clusters, unit, runs = differences(a, b, pairs)
    skill = mean(values, clusters, bounds=SIGNED, bootstrap=False)
    return Tests(
        completion=completion,
        completion_p=completion_p,
        skill=skill,
        unit=unit,
        runs_a_unit=runs / max(1, skill.interval.n),
    )


def completed(records: Sequence[Record]) -> tuple[int, int]:
    """Return how many there are, and how many of them completed."""
    return len(records), sum(one.completed for one in records)


def differences(
    a: Sequence[Record], b: Sequence[Record], pairs: Sequence[Pair]
) -> tuple[list[float], list[str] | None, str, int]:
    """Return differences of skill, their clusters, what they stand for, and trials behind them."""
    both = [(x, y) for x, y in pairs if x.completed and y.completed]
    by_task: dict[str, list[float]] = defaultdict(list)
    family = _families(*a, *b)
    for x, y in both:
        by_task[x.task].append(y.score - x.score)
    runs = len(both)
    if not pairs:
        skills = _skills(a), _skills(b)
        for task in sorted(skills[0].keys() & skills[1].keys()):
            by_task[task] = [_average(skills[1][task]) - _average(skills[0][task])]
            runs += min(len(skills[0][task]), len(skills[1][task]))
    values, clusters = _units(by_task, family)
    return values, clusters, _unit(list(by_task), family, paired=bool(pairs)), runs


def _units(
    by_task: Mapping[str, list[float]], family: Mapping[str, str]
) -> tuple[list[float], list[str] | None]:
    """Return values that an interval may be made of, and their clusters.

    Of one task these are its runs; of several, the mean of each.
    """
    if len(by_task) == 1:
        (values,) = by_task.values()
        return values, None
    return [_average(found) for found in by_task.values()], clusters_of(by_task, family)


def _families(*records: Record) -> dict[str, str]:
    """Return the family of each task."""
    return {one.task: one.family for one in records}


def _unit(tasks: Sequence[str], family: Mapping[str, str], *, paired: bool) -> str:
    """Return what the intervals speak of: without pairs a task is one unit, however often run."""
    if len(tasks) == 1 and paired:
        return f"runs of {tasks[0]}"
    families = [family[task] for task in tasks]
    distinct = len(set(families))
    if distinct >= FEWEST_FAMILIES:
        return "families of tasks"
    return f"tasks of {families[0]}" if distinct == 1 else f"tasks of these {distinct} families"


def _skills(records: Iterable[Record]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in records:
        if one.completed:
            found[one.task].append(one.score)
    return found


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def improvement(a: Sequence[Record], b: Sequence[Record], pairs: Sequence[Pair]) -> Interval:
    """Return P(B beats A): the mean over tasks, each the share of pairs that B wins, ties half."""
    wins: dict[str, list[float]] = defaultdict(list)
    if pairs:
        for x, y in pairs:
            wins[x.task].append(beats(x, y))
    else:
        for task in sorted(common(a, b)):
            ours = [one for one in b if one.task == task]
            theirs = [one for one in a if one.task == task]
            wins[task] = [_average([beats(x, y) for x in theirs for y in ours])]
    return mean(*_units(wins, _families(*a, *b)), bounds=(0.0, 1.0)).interval


def beats(a: Record, b: Record) -> float:
    """Return 1 if B's trial is the better one, 0.5 for a tie; failing loses to completing."""
    ours, theirs = ((one.completed, one.score) for one in (b, a))
    return 0.5 if ours == theirs else float(ours > theirs)


def skill_of(records: Iterable[Record]) -> Interval:
    """Return the mean skill of the trials that completed: over tasks, or over one task's runs."""
    done = [one for one in records if one.completed]
    return mean(*_units(_skills(done), _families(*done)), bounds=(0.0, 1.0)).interval
