"""The leaderboard: every agent with its three rates, its skill, and whom it is known to beat."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.comparison import passes
from tasks.comparison.differences import match, results, skill_of, test
from tasks.comparison.interval import TOO_FEW, Interval
from tasks.comparison.intervals import ALPHA, clusters_of, mean, wilson
from tasks.comparison.records import Record
from tasks.comparison.several import holm


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One agent; its rates are shares of its results, infrastructure left out and counted."""

    agent: str
    n: int
    """Results: trials that completed or failed."""
    tasks: int
    score: Interval
    """Mean over tasks, a failed trial counting 0."""
    passed: Interval
    completed: Interval
    skill: Interval
    """Given that it completed."""
    passes: Mapping[str, Interval]
    """`pass_at_k` and `pass_hat_k`; empty where nothing was repeated so often."""
    failed: Mapping[str, int]
    infrastructure: Mapping[str, int]
    unfinished: int
    cancelled: int = 0
    """Trials that somebody stopped, left out."""
    practice: int = 0
    """Trials with `--feedback score`, left out."""
    feedback: Mapping[str, int] = field(default_factory=dict)
    """Results by what was told of the score while they were made."""
    queries: int = 0
    """How often it was, in all results."""
    suspicious: int = 0
    """Results that a replay of their code does not bear out."""
    no_code: int = 0
    """Results that were to be replayed and left no code."""
    beats: Sequence[str] = ()
    """Agents that it is known to beat, after correction for all pairs."""
    beaten_by: Sequence[str] = ()

    @property
    def greyed(self) -> bool:
        """Whether it has too few results to believe."""
        return self.n < TOO_FEW


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All agents, the best mean score first; the order of equals means nothing."""

    rows: Sequence[Row]
    groups: Mapping[str, Sequence[Row]]
    """By task or family, if asked for."""
    k: int
    """Of pass@k."""
    pairs_tested: int
    pairs_settled: int
    common_tasks: int
    all_tasks: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def leaderboard(
    records: Iterable[Record], *, by: str | None = None, k: int = 0, alpha: float = ALPHA
) -> Board:
    """Rank agents by what is known.

    Args:
        records: Trials of any number of agents.
        by: `task` or `family`: rows for each of these too.
        k: Of pass@k; 0 takes the smallest number of results of any agent on any of its tasks.
        alpha: The accepted chance that any of the differences named is none.
    """
    agents: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        agents[one.agent].append(one)
    depth = k or _depth(agents.values())
    beats, tested = _settled(agents, alpha)
    rows = [
        _row(
            agent,
            found,
            depth,
            beats=[loser for winner, loser in beats if winner == agent],
            beaten_by=[winner for winner, loser in beats if loser == agent],
        )
        for agent, found in agents.items()
    ]
    tasks = [{one.task for one in found} for found in agents.values()]
    return Board(
        rows=sorted(rows, key=_rank),
        groups={} if by is None else _groups(agents, by, depth),
        k=depth,
        pairs_tested=tested,
        pairs_settled=len({frozenset(pair) for pair in beats}),
        common_tasks=len(set.intersection(*tasks)) if tasks else 0,
        all_tasks=len(set.union(*tasks)) if tasks else 0,
    )


def _rank(row: Row) -> tuple[float, str]:
    return 1.0 if row.score.estimate is None else -row.score.estimate, row.agent


def _row(
    agent: str,
    records: Sequence[Record],
    k: int,
    *,
    beats: Sequence[str] = (),
    beaten_by: Sequence[str] = (),
) -> Row:
    kinds = Counter(one.kind for one in records)
    counted = [one for one in records if one.counts]
    n = len(counted)
    return Row(
        agent=agent,
        n=n,
        tasks=len({one.task for one in counted}),
        score=score_of(counted),
        passed=wilson(sum(one.success for one in counted), n),
        completed=wilson(kinds["completed"], n),
        skill=skill_of(counted),
        passes=_passes(counted, k),
        failed=dict(Counter(o.reason for o in counted if o.kind == "failed").most_common()),
        infrastructure=dict(
            Counter(o.reason for o in records if o.kind == "infrastructure").most_common()
        ),
        unfinished=kinds["unfinished"],
        cancelled=kinds["cancelled"],
        practice=kinds["practice"],
        feedback=dict(Counter(one.feedback for one in counted)),
        queries=sum(one.queries for one in counted),
        suspicious=sum(one.replay == "suspicious" for one in counted),
        no_code=sum(one.replay == "no code" for one in counted),
        beats=beats,
        beaten_by=beaten_by,
    )


def score_of(records: Sequence[Record]) -> Interval:
    """Return the mean score of results, failed ones as 0: over tasks, or one task's runs."""
    by_task: dict[str, list[float]] = defaultdict(list)
    for one in records:
        by_task[one.task].append(one.score)
    if len(by_task) == 1:
        return mean(next(iter(by_task.values())), bounds=(0.0, 1.0)).interval
    family = {one.task: one.family for one in records}
    values = [sum(found) / len(found) for found in by_task.values()]
    return mean(values, clusters_of(by_task, family), bounds=(0.0, 1.0)).interval


def _passes(records: Sequence[Record], k: int) -> dict[str, Interval]:
    if k < 2:  # noqa: PLR2004 - pass@1 is the rate itself
        return {}
    n = Counter(one.task for one in records)
    passed = Counter(one.task for one in records if one.success)
    family = {one.task: one.family for one in records}
    return passes.over_tasks({task: (n[task], passed[task]) for task in n}, family, k)


def _depth(agents: Iterable[Sequence[Record]]) -> int:
    counts = [Counter(one.task for one in found if one.counts) for found in agents]
    return min((n for counted in counts for n in counted.values()), default=0)


def _settled(
    agents: Mapping[str, Sequence[Record]], alpha: float
) -> tuple[list[tuple[str, str]], int]:
    """Return (winner, loser) of each pair that is settled, and how many pairs were asked.

    Both questions of all pairs are corrected together; who wins one and loses the other beats
    nobody.
    """
    ready = {agent: results(found) for agent, found in agents.items()}
    pairs = list(itertools.combinations(sorted(ready), 2))
    found = [test(ready[a], ready[b], *match(ready[a], ready[b])) for a, b in pairs]
    ps = holm([p for one in found for p in (one.completion_p, one.skill.p)])
    settled = []
    for (a, b), one, p_rate, p_skill in zip(pairs, found, ps[::2], ps[1::2], strict=True):
        signs = {
            (interval.estimate or 0.0) > 0
            for interval, p in ((one.completion, p_rate), (one.skill.interval, p_skill))
            if p <= alpha and interval.estimate
        }
        if len(signs) == 1:
            settled.append((b, a) if True in signs else (a, b))
    return settled, len(pairs)


def _groups(agents: Mapping[str, Sequence[Record]], by: str, k: int) -> dict[str, list[Row]]:
    found: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for agent, records in agents.items():
        for one in records:
            found[getattr(one, by)][agent].append(one)
    return {
        name: sorted((_row(agent, records, k) for agent, records in group.items()), key=_rank)
        for name, group in sorted(found.items())
    }
