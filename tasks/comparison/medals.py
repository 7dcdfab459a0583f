"""MLE-bench's numbers: medals against a leaderboard, and their mean over seeds."""

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.comparison.records import Record
from tasks.errors import InvalidInput, brief
from tasks.measures import MEASURES
from tasks.spec import check_relative

DECIMALS = 5
"""To which MLE-bench rounds scores before it ranks them."""
SYNTHETIC = "synthetic"
ENTRANTS = 100
"""Of a synthetic leaderboard: their skills are 0.995, 0.985, … 0.005."""
Z95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What each medal takes; the score at a position of the leaderboard, the best first."""

    gold: float
    silver: float
    bronze: float
    median: float
    lower_is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Medals:
    """What one score earns; at most one medal, and the median must be passed, not met."""

    gold: bool = False
    silver: bool = False
    bronze: bool = False
    above_median: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a medal."""
        return self.gold or self.silver or self.bronze


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A percentage over the competitions of a seed, averaged over seeds."""

    mean: float
    ci_lower: float
    ci_upper: float
    standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """MLE-bench's headline: the percentage of competitions with any medal."""

    mean: float
    standard_error: float
    """Of the mean over seeds; 0 where there is one seed."""
    seeds: int
    competitions: int


def positions(n: int) -> tuple[int, int, int]:
    """Return the last place of gold, silver and bronze among `n`, as on Kaggle.

    Raises:
        InvalidInput: There is nobody.
    """
    if n < 1:
        raise InvalidInput("a leaderboard without an entry has no medals")
    if n < 100:  # noqa: PLR2004 - Kaggle's steps, here and below
        return max(1, int(n * 0.1)), max(1, int(n * 0.2)), max(1, int(n * 0.4))
    if n < 250:  # noqa: PLR2004 - Kaggle's, as above
        return 10, int(n * 0.2), int(n * 0.4)
    if n < 1000:  # noqa: PLR2004 - Kaggle's, as above
        return 10 + int(n * 0.002), 50, 100
    return 10 + int(n * 0.002), int(n * 0.05), int(n * 0.1)


def thresholds(scores: Sequence[float]) -> Thresholds:
    """Return what medals take on a leaderboard, the best entry first.

    Lower is better where the first entry is below the last; all equal counts as higher.

    Raises:
        InvalidInput: It has no entry.
    """
    gold, silver, bronze = positions(len(scores))
    return Thresholds(
        gold=scores[gold - 1],
        silver=scores[silver - 1],
        bronze=scores[bronze - 1],
        median=statistics.median(scores),
        lower_is_better=scores[0] < scores[-1],
    )


def rank(score: float | None, against: Thresholds) -> Medals:
    """Return the medals of a score; a tie with the threshold wins it, a tie with the median not."""
    if score is None or math.isnan(score):
        return Medals()
    sign = -1.0 if against.lower_is_better else 1.0
    reached = [sign * score >= sign * bar for bar in (against.gold, against.silver, against.bronze)]
    best = reached.index(True) if True in reached else None
    return Medals(
        gold=best == 0,
        silver=best == 1,
        bronze=best == 2,  # noqa: PLR2004 - third, counted from 0
        above_median=sign * score > sign * against.median,
    )


def score_of(record: Record) -> float | None:
    """Return the score MLE-bench would rank, None where nothing valid was handed in."""
    if not record.completed:
        return None
    mark = record.scores.get(record.measure or "")
    value = mark["score"] if isinstance(mark, Mapping) else record.score
    return round(float(value), DECIMALS)


# --- leaderboards --------------------------------------------------------------------------------


def read_scores(file: Path) -> list[float]:
    """Read the column `score` of a leaderboard.csv, in its order.

    Raises:
        InvalidInput: It cannot be read, or has no such column, entry or number.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            found = [float(row["score"]) for row in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{file}: no leaderboard with a column of numbers `score`") from error
    if not found:
        raise InvalidInput(f"{file}: a leaderboard without an entry has no medals")
    return found


def given(definition: Mapping[str, Any], folder: Path | None = None) -> list[float] | str | None:
    """Return the leaderboard a task names in its metadata: scores, `synthetic`, or None.

    Args:
        definition: The task; `metadata.leaderboard` is a list of numbers, the best first, the
            name of a CSV file beside the task, or `synthetic`.
        folder: Where the task file lies; without it a file cannot be read.

    Raises:
        InvalidInput: It is something else, or the file is no leaderboard.
    """
    named = (definition.get("metadata") or {}).get("leaderboard")
    if named is None or named == SYNTHETIC:
        return named
    if isinstance(named, list) and named and all(_is_number(value) for value in named):
        return [float(value) for value in named]
    if not isinstance(named, str):
        raise InvalidInput(
            f"{definition['id']}: metadata.leaderboard must be scores, a CSV file, or 'synthetic'"
        )
    return None if folder is None else read_scores(folder / _beside(definition, named))


def _beside(definition: Mapping[str, Any], name: str) -> str:
    try:
        return check_relative(name)
    except ValueError as error:
        raise InvalidInput(f"{definition['id']}: metadata.leaderboard: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def synthetic(record: Record) -> list[float]:
    """Return a leaderboard of 100 entrants whose skills are evenly spread from 0.995 to 0.005.

    It is made of this instance's floor and ceiling, so that a medal is a statement on skill: gold
    from 0.905 on, silver from 0.805, bronze from 0.605, above the median from 0.5. Nobody real
    stands behind it.
    """
    mark = record.scores.get(record.measure or "")
    skills = [1 - (k + 0.5) / ENTRANTS for k in range(ENTRANTS)]
    if not isinstance(mark, Mapping) or mark.get("ceiling") is None:
        down = record.measure in MEASURES and not MEASURES[record.measure].greater_is_better
        return [round(1 - s if down else s, DECIMALS) for s in skills]
    floor, span = mark["floor"], mark["ceiling"] - mark["floor"]
    return [round(floor + span * s, DECIMALS) for s in skills]


def leaderboard_of(
    record: Record, folders: Mapping[str, Path | None], *, made_up: bool = False
) -> list[float] | None:
    """Return the leaderboard a trial is ranked on, if its task has one.

    Args:
        record: The trial.
        folders: By task id, where its file lies.
        made_up: Whether tasks without one get a synthetic one.

    Raises:
        InvalidInput: As `given`; or the file cannot be found, and one is needed.
    """
    folder = folders.get(record.task)
    named = given(record.definition, folder)
    wanted = (record.definition.get("metadata") or {}).get("leaderboard")
    if made_up and named is None and wanted is not None:
        raise InvalidInput(
            f"{record.task}: its leaderboard {brief(wanted)} lies beside the task file, which is "
            "not among the known tasks; --tasks-dir names its folder"
        )
    if named == SYNTHETIC or (named is None and made_up):
        return synthetic(record)
    return named if isinstance(named, list) else None


# --- over seeds ----------------------------------------------------------------------------------


def seeds(records: Iterable[Record]) -> list[list[Record]]:
    """Return complete seeds: the i-th result of each task, as often as all tasks have one."""
    by_task: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        by_task[one.task].append(one)
    for found in by_task.values():
        found.sort(key=lambda one: (one.repeat or 0, one.started or 0.0, one.trial))
    return [list(row) for row in zip(*by_task.values(), strict=False)]


def aggregate(percentages: Sequence[float]) -> Aggregate:
    """Return mean and SEM over seeds, and mean ± 1.96 SEM."""
    centre = statistics.fmean(percentages)
    n = len(percentages)
    sem = statistics.stdev(percentages) / math.sqrt(n) if n > 1 else 0.0
    return Aggregate(
        mean=centre, ci_lower=centre - Z95 * sem, ci_upper=centre + Z95 * sem, standard_error=sem
    )


def headlines(
    records: Iterable[Record], folders: Mapping[str, Path | None] | None = None
) -> dict[str, Headline]:
    """Return the headline of each agent, over its results on tasks that have a leaderboard."""
    by_agent: dict[str, list[tuple[Record, Medals]]] = defaultdict(list)
    for one in records:
        board = leaderboard_of(one, folders or {}) if one.counts else None
        if board is not None:
            by_agent[one.agent].append((one, rank(score_of(one), thresholds(board))))
    found = {}
    for agent, ranked in by_agent.items():
        medals = {one.folder: medal.any for one, medal in ranked}
        rows = seeds(one for one, _ in ranked)
        shares = [100 * sum(medals[one.folder] for one in row) / len(row) for row in rows]
        total = aggregate(shares)
        found[agent] = Headline(
            mean=total.mean,
            standard_error=total.standard_error,
            seeds=len(rows),
            competitions=len(rows[0]),
        )
    return found
