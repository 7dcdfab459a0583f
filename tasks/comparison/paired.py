"""Two agents side by side: which completes more, which does better, and whether that is known."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.comparison.differences import (
    SIGNED,
    Matched,
    Pair,
    Tests,
    common,
    completed,
    differences,
    improvement,
    match,
    results,
    skill_of,
    test,
)
from tasks.comparison.interval import TOO_FEW, Interval
from tasks.comparison.intervals import (
    ALPHA,
    mean,
    wilson,
)
from tasks.comparison.power import units_needed
from tasks.comparison.records import Record
from tasks.comparison.several import holm

UNSETTLED = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One agent's half: how many trials ended how."""

    label: str
    trials: int
    passed: Interval
    completed: Interval
    failed: Mapping[str, int]
    """By reason."""
    infrastructure: Mapping[str, int]
    """By reason; in no rate and no mean."""
    unfinished: int
    without_partner: int
    """Results that the other side has no counterpart of; in the rates, in no difference."""
    cancelled: int = 0
    """Trials that somebody stopped, left out."""
    practice: int = 0
    """Trials with `--feedback score`, left out."""
    feedback: Mapping[str, int] = field(default_factory=dict)
    """Results by what was told of the score while they were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One question and its answer: the difference is B minus A."""

    difference: Interval
    p: float
    p_holm: float
    """Corrected for all questions that were asked."""
    verdict: str
    """`A is higher`, `B is higher` or `cannot tell`, by the labels."""
    more_runs: int | None
    """Further trials of each agent that would settle a true difference of this size with 80 %
    power; 0 if it is settled, None if more than 100,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One task or family: both sides in numbers."""

    name: str
    n_a: int
    n_b: int
    completed_a: int
    completed_b: int
    skill_a: Interval
    skill_b: Interval
    difference: Interval
    """Of skill where both completed."""
    improvement: float | None
    """Share of pairs that B wins, ties half."""
    flipped: Mapping[str, str]
    """By criterion: `met → missed` or `missed → met`, from A's usual verdict to B's."""
    greyed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that may be said of two agents."""

    a: Side
    b: Side
    matched: Matched
    pairs: int
    tasks: int
    families: int
    unit: str
    """What the intervals of skill speak of: families, tasks of these few, or one task's runs."""
    completion: Part
    skill: Part
    """Given that both completed."""
    improvement: Interval
    """P(B beats A) on a common instance, a failed trial losing to any other, ties half."""
    verdict: str
    by_task: Sequence[Line]
    by_family: Sequence[Line]
    alpha: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def compare(
    a: Sequence[Record],
    b: Sequence[Record],
    labels: tuple[str, str] = ("A", "B"),
    *,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare two agents on the instances both met, or on the tasks both met.

    Args:
        a: Trials of one agent.
        b: Trials of the other; differences are B minus A.
        labels: What to call them.
        alpha: The accepted chance of naming a winner where there is none, for the whole
            comparison; at an early look the boundary's.
    """
    results_a, results_b = results(a), results(b)
    matched, pairs, tests = _tested(results_a, results_b)
    completion, skill = _answers(tests, labels, alpha)
    lines = _lines(results_a, results_b, pairs, key="task")
    return Comparison(
        a=_side(a, labels[0], pairs, 0),
        b=_side(b, labels[1], pairs, 1),
        matched=matched,
        pairs=len(pairs),
        tasks=len(common(results_a, results_b)),
        families=len({one.family for one in results_a} & {one.family for one in results_b}),
        unit=tests.unit,
        completion=completion,
        skill=skill,
        improvement=improvement(results_a, results_b, pairs),
        verdict=_verdict(completion.verdict, skill.verdict, labels),
        by_task=sorted(lines, key=lambda line: (not line.flipped, line.name)),
        by_family=_lines(results_a, results_b, pairs, key="family"),
        alpha=alpha,
    )


def verdict(
    a: Sequence[Record], b: Sequence[Record], labels: tuple[str, str], alpha: float = ALPHA
) -> str:
    """Return the verdict of `compare` alone, as who looks often needs it."""
    tests = _tested(results(a), results(b))[2]
    completion, skill = _answers(tests, labels, alpha)
    return _verdict(completion.verdict, skill.verdict, labels)


def _tested(a: Sequence[Record], b: Sequence[Record]) -> tuple[Matched, list[Pair], Tests]:
    matched, pairs = match(a, b)
    return matched, pairs, test(a, b, matched, pairs)


def _answers(tests: Tests, labels: tuple[str, str], alpha: float) -> tuple[Part, Part]:
    p_completion, p_skill = holm([tests.completion_p, tests.skill.p])
    completion = _part(
        tests.completion, (tests.completion_p, p_completion), labels, alpha, _missing_rates(tests)
    )
    skill = _part(
        tests.skill.interval, (tests.skill.p, p_skill), labels, alpha, _missing_skill(tests)
    )
    return completion, skill


# --- answers -------------------------------------------------------------------------------------


def _part(
    difference: Interval,
    ps: tuple[float, float],
    labels: tuple[str, str],
    alpha: float,
    missing: int | None,
) -> Part:
    p, p_holm = ps
    # Of two units no p is to be believed, however small.
    settled = p_holm <= alpha and bool(difference.estimate) and not difference.greyed
    winner = labels[1] if (difference.estimate or 0.0) > 0 else labels[0]
    return Part(
        difference=difference,
        p=p,
        p_holm=p_holm,
        verdict=f"{winner} is higher" if settled else UNSETTLED,
        more_runs=0 if settled else missing,
    )


def _missing_rates(tests: Tests) -> int | None:
    """Return how many more pairs settle a difference of rates like this one."""
    found = tests.completion
    if not found.estimate or found.low is None or found.high is None:
        return None
    sd = (found.high - found.low) / (2 * 1.96) * math.sqrt(found.n)
    units = units_needed(found.estimate, sd)
    return None if units is None else max(1, units - found.n)


def _missing_skill(tests: Tests) -> int | None:
    """Return how many more trials of each agent settle a difference of skill like this one."""
    found = tests.skill
    gap, n = found.interval.estimate, found.interval.n
    if not gap or n < 2 or found.se == 0.0:  # noqa: PLR2004 - no spread to plan from
        return None
    units = units_needed(gap, found.se * math.sqrt(n))
    return None if units is None else max(1, math.ceil((units - n) * tests.runs_a_unit))


def _verdict(completion: str, skill: str, labels: tuple[str, str]) -> str:
    found = {verdict for verdict in (completion, skill) if verdict != UNSETTLED}
    if not found:
        return UNSETTLED
    if len(found) > 1:
        return "mixed: " + "; ".join(
            f"{verdict} in {part}"
            for part, verdict in (("completion", completion), ("skill", skill))
        )
    return f"{labels[1] if found == {f'{labels[1]} is higher'} else labels[0]} is better"


def _side(records: Sequence[Record], label: str, pairs: Sequence[Pair], place: int) -> Side:
    kinds = Counter(one.kind for one in records)
    n = kinds["completed"] + kinds["failed"]
    return Side(
        label=label,
        trials=len(records),
        passed=wilson(sum(one.success for one in records if one.counts), n),
        completed=wilson(kinds["completed"], n),
        failed=_reasons(records, "failed"),
        infrastructure=_reasons(records, "infrastructure"),
        unfinished=kinds["unfinished"],
        cancelled=kinds["cancelled"],
        practice=kinds["practice"],
        feedback=dict(Counter(one.feedback for one in records if one.counts)),
        without_partner=n - len({pair[place].folder for pair in pairs}) if pairs else 0,
    )


def _reasons(records: Iterable[Record], kind: str) -> dict[str, int]:
    counted = Counter(one.reason for one in records if one.kind == kind)
    return dict(counted.most_common())


# --- lines ---------------------------------------------------------------------------------------


def _lines(
    a: Sequence[Record], b: Sequence[Record], pairs: Sequence[Pair], *, key: str
) -> list[Line]:
    """Return a line for each task or family that both have."""
    sides = [_grouped(a, key), _grouped(b, key)]
    by_name: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_name[getattr(pair[0], key)].append(pair)
    return [
        _line(name, sides[0][name], sides[1][name], by_name[name])
        for name in sorted(sides[0].keys() & sides[1].keys())
    ]


def _grouped(records: Sequence[Record], key: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        found[getattr(one, key)].append(one)
    return found


def _line(name: str, a: Sequence[Record], b: Sequence[Record], pairs: Sequence[Pair]) -> Line:
    values, clusters, _, _ = differences(a, b, pairs)
    return Line(
        name=name,
        n_a=len(a),
        n_b=len(b),
        completed_a=completed(a)[1],
        completed_b=completed(b)[1],
        skill_a=skill_of(a),
        skill_b=skill_of(b),
        difference=mean(values, clusters, bounds=SIGNED, bootstrap=False).interval,
        improvement=improvement(a, b, pairs).estimate,
        flipped=flipped(a, b),
        greyed=min(len(a), len(b)) < TOO_FEW,
    )


def flipped(a: Sequence[Record], b: Sequence[Record]) -> dict[str, str]:
    """Return the criteria that one side mostly meets and the other mostly misses."""
    if len({one.task for one in (*a, *b)}) != 1:
        return {}
    before, after = _usual(a), _usual(b)
    return {
        key: "met → missed" if before[key] else "missed → met"
        for key in before
        if key in after and before[key] != after[key]
    }


def _usual(records: Sequence[Record]) -> dict[str, bool]:
    """Return for each criterion whether most trials meet it; failing meets nothing."""
    keys = dict.fromkeys(key for one in records for key in one.criteria)
    return {
        key: 2 * sum(one.completed and bool(one.criteria.get(key)) for one in records)
        > len(records)
        for key in keys
    }
