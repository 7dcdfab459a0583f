"""`calibrate`: what a task measures, from its floor to its ceiling."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console
from tasks.cli.lookups import find_task, with_samples
from tasks.cli.options import Json, TaskOrFile, TasksDir, TimeLimit, WithAgent
from tasks.errors import InvalidTask, UsageError, install
from tasks.spec import Task

if TYPE_CHECKING:
    from tasks.calibrate import Headroom, Point, Redrawn, Summary
    from tasks.ceilings import PopulationCeiling

DEFAULT_SIZES = (1000, 10_000, 100_000)
AGENT_ROWS = 10_000
"""Larger sizes than the task's own are measured without the agent, which would take hours."""
BAR = 40
"""Characters from floor to ceiling."""
MOST_CELLS = 30_000_000
"""Rows times pixels of a size that is measured unless it is asked for."""


def calibrate(
    task_id: TaskOrFile,
    *,
    sizes: Annotated[
        str | None,
        typer.Option(help="Training rows, such as 1000,10000,100000; the task's own are added."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Instances per size.")] = 3,
    redraws: Annotated[
        int, typer.Option(min=0, max=100_000, help="Also redraw labels so often for the leak test.")
    ] = 0,
    agent: WithAgent = True,
    time_limit: TimeLimit = 600,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the learning curves.")
    ] = None,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Measure floor, reference models, learning curve and ceiling; exit status 4 if too easy.

    A medium task leaves a skill of 0.1 between the best of the panel and a default pipeline, a
    hard one 0.2.
    """
    task = find_task(task_id, tasks_dir)
    from tasks import calibrate as work
    from tasks import reference

    measure = work.measure_of(task)  # which refuses a task that has none
    if not reference.installed():
        console.say(f"the panel needs scikit-learn: {install('ml')}")
    agent_rows = max(work.own_size(task), AGENT_ROWS) if agent else -1
    points = work.points(_sized(task, sizes), seeds, agent_rows=agent_rows, time_limit=time_limit)
    table = work.summaries(list(_told(points)))
    found = _Found(
        task=task.id,
        measure=measure,
        table=table,
        room=work.headroom(task, table),
        exact=work.population(task),
        spreads=list(work.redraws(task, redraws, with_agent=agent)) if redraws > 1 else [],
    )
    if plot is not None and table:
        work.plot(task, table, plot)
    if json_:
        console.out_json(found.as_dict())
    else:
        _print(found)
    if found.room is not None and not found.room.fits:
        raise typer.Exit(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was measured of a task."""

    task: str
    measure: str
    table: "Sequence[Summary]"
    room: "Headroom | None"
    exact: "PopulationCeiling | None"
    """The ceiling of a population, which needs no instance."""
    spreads: "Sequence[Redrawn]"

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "task": self.task,
            "measure": self.measure,
            "table": [asdict(one) for one in self.table],
            "population_ceiling": None if self.exact is None else asdict(self.exact),
            "headroom": None
            if self.room is None
            else asdict(self.room) | {"value": self.room.value},
            "leak_z": [{"model": one.model, **asdict(one.spread)} for one in self.spreads],
        }


def _told(points: "Iterable[Point]") -> "Iterator[Point]":
    for point in points:
        console.say(
            f"{point.size:>8,} rows, seed {point.seed}: {point.model} skill {point.skill:.3f} "
            f"in {point.seconds:.1f} s"
        )
        yield point


def _sized(task: Task, sizes: str | None) -> list[Task]:
    """Return the task at each size, its own among them, the smallest first."""
    from tasks.calibrate import own_size

    own = own_size(task)
    if not own:
        if sizes is not None:
            raise UsageError(f"{task.id}: its data have a fixed size; --sizes does not apply")
        return [task]
    wanted = DEFAULT_SIZES if sizes is None else _numbers(sizes)
    found = []
    for size in sorted({own, *wanted}):
        try:
            sized = with_samples(task, size)
            if sizes is not None or size == own or _cells(sized) <= MOST_CELLS:
                found.append(sized)
        except InvalidTask:
            if sizes is not None:
                raise
    return found


def _cells(task: Task) -> int:
    height, width = getattr(task.family, "image_size", (0, 0))
    return int(getattr(task.family, "n_samples", 0)) * height * width


def _numbers(sizes: str) -> list[int]:
    try:
        return [int(part) for part in sizes.split(",")]
    except ValueError as error:
        raise UsageError(f"--sizes {sizes!r}: give numbers such as 1000,10000") from error


def curves(table: "Sequence[Summary]") -> list[str]:
    """Return the learning curves as bars of characters, a model after the other."""
    order = list(dict.fromkeys(one.model for one in table))
    width = max(len(model) for model in order)
    lines = []
    for one in sorted(table, key=lambda one: (order.index(one.model), one.size)):
        bar = "#" * round(BAR * min(1.0, max(0.0, one.skill)))
        size = f"{one.size:,}" if one.size else "all"
        lines.append(f"{one.model:<{width}}  {size:>9}  |{bar:<{BAR}}|  {one.skill:.3f}")
    return lines


def _print(found: _Found) -> None:
    _print_table(found.measure, found.table)
    if found.room is not None:
        room = found.room
        verdict = "fits" if room.fits else "DOES NOT FIT"
        console.out(
            f"\nheadroom {room.value:.3f} = best {room.expert:.3f} - default pipeline "
            f"{room.default:.3f}: {room.difficulty} {verdict}"
        )
    if found.spreads:
        console.out(f"\nleak z over {found.spreads[0].spread.n} redraws of the labels")
        cells = [
            (one.model, f"{one.spread.mean:+.3f}", f"{one.spread.sd:.3f}",
             "ok" if one.spread.standard else "OFF")
            for one in found.spreads
        ]  # fmt: skip
        console.table(("MODEL", "MEAN", "SD", "N(0, 1)"), cells)
    if found.exact is not None:
        console.out(
            f"\nceiling of seed 1's population {found.exact.value:.4f} ± {found.exact.se:.4f} "
            f"({found.exact.rows:,} rows)"
        )


def _print_table(measure: str, table: "Sequence[Summary]") -> None:
    header = ("ROWS", "MODEL", "SEEDS", measure.upper(), "FLOOR", "CEILING", "SKILL", "RANGE")
    rows = [
        (
            f"{one.size:,}" if one.size else "all",
            one.model,
            str(one.seeds),
            *(console.number(value) for value in (one.score, one.floor, one.ceiling, one.skill)),
            f"{one.lowest:.3f} to {one.highest:.3f}",
            f"{one.seconds:.1f}",
        )
        for one in table
    ]
    console.table((*header, "SECONDS"), rows)
    if table:
        console.out("\nskill from the floor, 0, to the ceiling, 1")
        for line in curves(table):
            console.out(line)
