"""What a task measures: floor, reference models, learning curve and ceiling, over several seeds."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import reference
from tasks.ceilings import PopulationCeiling, population_ceiling
from tasks.errors import MissingPart, UsageError, counted, install
from tasks.grading import check_submission
from tasks.grading.decide import decide
from tasks.grading.insights import grade_insights
from tasks.grading.marks import Marker
from tasks.grading.measures import EXPECTED_COST
from tasks.grading.prediction import Prediction
from tasks.grading.redraw import Spread, spread_of_z
from tasks.instance import Categorical, Facts, Seed, Table
from tasks.prepared import Prepared, prepare
from tasks.reference import profile
from tasks.runner import TaskRunner
from tasks.scratch import scratch
from tasks.spec import Task
from tasks.trial import Trial

HEADROOM = {"easy": 0.0, "medium": 0.1, "hard": 0.2}
"""Least skill(best of the panel) - skill(default pipeline) that a difficulty claims."""
DEFAULTS = (reference.DEFAULT_PIPELINE, profile.NAME)
"""What somebody in a hurry would do, by the kind of task."""
AGENT = "agent"
ORACLE = "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one model reached on one instance, by the task's primary measure."""

    size: int
    """Training rows, or whatever `n_samples` means; 0 where the size is fixed."""
    seed: int
    model: str
    score: float
    floor: float
    ceiling: float
    skill: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One model at one size, over the seeds."""

    size: int
    model: str
    seeds: int
    score: float
    skill: float
    lowest: float
    """Skill on the worst seed."""
    highest: float
    floor: float
    ceiling: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """What better work gains over the default pipeline at the task's own size."""

    default: float
    """Skill of the default pipeline; 0, the floor's, where there is none for such data."""
    expert: float
    """Skill of the best of the panel."""
    difficulty: str
    fits: bool

    @property
    def value(self) -> float:
        """The difference of the two."""
        return self.expert - self.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrawn:
    """How the leak test behaves for one predictor when labels are drawn anew from the law."""

    model: str
    spread: Spread


def measure_of(task: Task) -> str:
    """Return what is calibrated: the primary measure, or the insights of an analysis.

    Raises:
        UsageError: Nothing of the task is measured between a floor and a ceiling.
    """
    if task.primary_measure is not None and task.family is not None:
        return task.primary_measure
    if task.task_type == "data_analysis":
        return "insights"
    raise UsageError(f"{task.id}: nothing to calibrate; its data have no floor and no ceiling")


def own_size(task: Task) -> int:
    """Return `n_samples` as the task has it; 0 where its size is fixed."""
    return int(getattr(task.family, "n_samples", 0))


def points(
    sized: Sequence[Task], n_seeds: int, *, agent_rows: float = -1, time_limit: float = 600
) -> Iterator[Point]:
    """Yield what each model reaches on each size and seed.

    Args:
        sized: The same task at several sizes.
        n_seeds: Public seeds 1 … n.
        agent_rows: Up to this size the experiment agent is run as well.
        time_limit: Seconds it may take for one instance.
    """
    for task in sized:
        for seed in range(1, n_seeds + 1):
            ready = prepare(task, Seed.public(seed))
            yield from panel_points(ready, seed)
            if own_size(task) <= agent_rows:
                with scratch("calibrate") as folder:
                    trial = _trial(ready, folder, time_limit)
                    yield from _of_trial(ready, seed, trial)


def panel_points(ready: Prepared, seed: int) -> Iterator[Point]:
    """Yield what each model of the panel reaches on the instance of public seed `seed`.

    Of an analysis, what the claims of a profile of the columns earn.
    """
    table = next(iter(ready.instance.public.values()))
    if ready.instance.facts is not None and isinstance(table, Table):
        yield _of_profile(ready, seed, table, ready.instance.facts)
    for model, prediction, seconds in _panel(ready):
        yield from _point(ready, seed, model, prediction, seconds)


def _of_profile(ready: Prepared, seed: int, table: Table, facts: Facts) -> Point:
    begin = time.perf_counter()
    with scratch("claims") as results:
        profile.write_claims(table.columns(), results)
        seconds = time.perf_counter() - begin
        report = grade_insights(results, facts)
    return Point(
        size=own_size(ready.task),
        seed=seed,
        model=profile.NAME,
        score=report.score,
        floor=report.floor,
        ceiling=report.ceiling,
        skill=(report.score - report.floor) / (report.ceiling - report.floor),
        seconds=seconds,
    )


def _panel(ready: Prepared) -> Iterator[tuple[str, Prediction, float]]:
    if reference.installed():
        for found in reference.panel(ready.instance):
            yield found.name, found.prediction, found.seconds


def _point(
    ready: Prepared, seed: int, model: str, prediction: Prediction, seconds: float
) -> Iterator[Point]:
    contract, answers = ready.instance.contract, ready.instance.answers
    if contract is None or answers is None:
        return
    measure = measure_of(ready.task)
    if measure == EXPECTED_COST and prediction.p is not None:
        # Whoever knows what mistakes cost says the class that is cheapest by its probabilities.
        prediction = decide(measure, Categorical(p=prediction.p), costs=contract.costs)
    mark = Marker(contract, answers).mark(measure, prediction)
    if mark.skill is not None and mark.ceiling is not None:
        yield Point(
            size=own_size(ready.task),
            seed=seed,
            model=model,
            score=mark.score,
            floor=mark.floor,
            ceiling=mark.ceiling,
            skill=mark.skill,
            seconds=seconds,
        )


def _trial(ready: Prepared, folder: Path, time_limit: float) -> Trial:
    return TaskRunner(folder).run_task(ready.task, timeout=time_limit, prepared=ready)


def _of_trial(ready: Prepared, seed: int, trial: Trial) -> Iterator[Point]:
    scores = trial.evaluation.scores if trial.evaluation else {}
    mark = scores.get(measure_of(ready.task))
    if isinstance(mark, Mapping) and mark.get("skill") is not None:
        numbers = {key: float(mark[key]) for key in ("score", "floor", "ceiling", "skill")}
        size, seconds = own_size(ready.task), trial.outcome.seconds
        yield Point(size=size, seed=seed, model=AGENT, seconds=seconds, **numbers)


# --- what they say -----------------------------------------------------------------------------


def summaries(found: Sequence[Point]) -> list[Summary]:
    """Return the means by size and model, in the order they came."""
    groups: dict[tuple[int, str], list[Point]] = {}
    for point in found:
        groups.setdefault((point.size, point.model), []).append(point)
    return [_summary(size, model, group) for (size, model), group in groups.items()]


def _summary(size: int, model: str, group: Sequence[Point]) -> Summary:
    skills = [point.skill for point in group]
    names = ("score", "skill", "floor", "ceiling", "seconds")
    means = {n: float(np.mean([getattr(point, n) for point in group])) for n in names}
    return Summary(
        size=size,
        model=model,
        seeds=len(group),
        lowest=min(skills),
        highest=max(skills),
        **means,
    )


def headroom(task: Task, found: Sequence[Summary]) -> Headroom | None:
    """Return the headroom at the task's own size; None where nothing was measured there."""
    skills = {one.model: one.skill for one in found if one.size == own_size(task)}
    if not skills:
        return None
    default = max([skills[name] for name in DEFAULTS if name in skills], default=0.0)
    expert = max(skills.values())
    fits = expert - default >= HEADROOM[task.difficulty]
    return Headroom(default=default, expert=expert, difficulty=task.difficulty, fits=fits)


def redraws(
    task: Task, n: int, *, with_agent: bool = False, time_limit: float = 600
) -> Iterator[Redrawn]:
    """Yield how z spreads over `n` redraws of the labels: for oracle, floors, panel and agent.

    Of the oracle of values z is 0 by definition, and left out.
    """
    ready = prepare(task, Seed.public(1))
    contract, answers = ready.instance.contract, ready.instance.answers
    if contract is None or answers is None or answers.law is None:
        return
    with scratch("calibrate") as folder:
        said: dict[str, Prediction] = {
            ORACLE: decide(measure_of(task), answers.law, contract.quantiles, contract.costs),
            **{model: prediction for model, prediction, _ in _panel(ready)},
        }
        if with_agent:
            trial = _trial(ready, folder, time_limit)
            checked = check_submission(trial.workspace.outputs, contract)
            said |= {AGENT: checked.prediction} if checked.prediction else {}
        for model, prediction in said.items():
            spread = spread_of_z(prediction, contract, answers, n)
            if spread is not None:
                yield Redrawn(model=model, spread=spread)


def population(task: Task) -> PopulationCeiling | None:
    """Return the ceiling of seed 1's population, to about 0.001; None where no law is known."""
    return population_ceiling(task, Seed.public(1), measure_of(task))


def plot(task: Task, found: Sequence[Summary], file: Path) -> None:
    """Draw the learning curves: skill by size, floor at 0, ceiling at 1.

    Raises:
        MissingPart: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPart(f"a plot needs matplotlib: {install('ml')}") from error
    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    for model in dict.fromkeys(one.model for one in found):
        curve = sorted((one for one in found if one.model == model), key=lambda one: one.size)
        skills = np.array([one.skill for one in curve])
        below, above = (np.array([getattr(one, n) for one in curve]) for n in ("lowest", "highest"))
        errors = np.stack([skills - below, above - skills])
        axes.errorbar(
            [one.size for one in curve], skills, errors, marker="o", capsize=3, label=model
        )
    axes.axhline(1, color="black", linewidth=1)
    axes.axhline(0, color="black", linewidth=1, linestyle=":")
    if min(one.size for one in found) > 0:
        axes.set_xscale("log")
    axes.set_xlabel("training rows (n_samples)")
    axes.set_ylabel(f"skill ({measure_of(task)}); 0 floor, 1 ceiling")
    axes.set_title(
        f"{task.id}: mean and range over {counted(max(one.seeds for one in found), 'seed')}"
    )
    axes.legend()
    figure.savefig(file)
