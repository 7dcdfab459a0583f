"""`power`: how many trials it takes."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.cli import console
from tasks.cli.options import Json
from tasks.cli.tables import Cell, Format, TableFormat, show
from tasks.errors import UsageError, counted

if TYPE_CHECKING:
    from tasks.comparison.power import Spread

REPEATS = (1, 2, 3, 5, 10)
"""What a plan is made for."""


def power(
    *,
    gap: Annotated[
        float, typer.Option(help="The difference in skill that should not be missed.", min=0.0)
    ] = 0.05,
    chance: Annotated[
        float, typer.Option("--power", help="The wanted chance of finding it.", min=0.5, max=0.999)
    ] = 0.8,
    sd_run: Annotated[float | None, typer.Option(help="SD of skill from run to run.")] = None,
    sd_task: Annotated[
        float | None, typer.Option(help="SD of an agent's leaning towards a task.")
    ] = None,
    failures: Annotated[
        float | None, typer.Option(help="Share of trials that fail.", min=0.0, max=0.9)
    ] = None,
    measured: Annotated[
        list[Path] | None, typer.Option("--from", help="Measure the three in these trials.")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(help="Instead: what gap do so many tasks find?", min=2)
    ] = None,
    looks: Annotated[int, typer.Option(min=1, max=50, help="Looks before the end.")] = 5,
    form: Format = TableFormat.text,
    json_: Json = False,
) -> None:
    """Plan how many tasks and repeats find a difference of two agents (level 5 %, two-sided)."""
    if gap == 0.0:
        raise UsageError("--gap 0: no number of runs finds a difference that is not there")
    spread = _spread(measured, sd_run, sd_task, failures)
    header = ["repeats", "tasks", "runs of each agent"]
    if tasks is None:
        header.append("runs if not on the same instances")
        rows = [_needed(gap, repeats, spread, chance) for repeats in REPEATS]
    else:
        header.append("gap found")
        rows = [_found_by(tasks, repeats, spread, chance) for repeats in REPEATS]
    levels = _levels(looks)
    if json_:
        keys = [name.replace(" ", "_") for name in header]
        plans = [dict(zip(keys, row, strict=True)) for row in rows]
        console.out_json({
            "gap": None if tasks else gap, "power": chance, "spread": asdict(spread),
            "plans": plans, "levels": levels,
        })  # fmt: skip
        return
    show(header, rows, form)
    if form is TableFormat.text:
        _explain(spread, levels)


def _needed(gap: float, repeats: int, spread: "Spread", chance: float) -> list[Cell]:
    from tasks.comparison.power import plan

    ours = plan(gap, repeats=repeats, spread=spread, power=chance)
    apart = plan(gap, repeats=repeats, spread=spread, power=chance, paired=False)
    same = [ours.tasks, ours.runs] if ours else [None, None]
    return [repeats, *same, apart.runs if apart else None]


def _found_by(tasks: int, repeats: int, spread: "Spread", chance: float) -> list[Cell]:
    from tasks.comparison.power import detectable

    smallest = detectable(tasks, repeats=repeats, spread=spread, power=chance)
    return [repeats, tasks, tasks * repeats, smallest]


def _levels(looks: int) -> list[float]:
    from tasks.comparison.sequential import Boundary

    boundary = Boundary.of(looks)
    return [boundary.level(look) for look in range(1, looks + 1)]


def _explain(spread: "Spread", levels: Sequence[float]) -> None:
    run, leaning, hardness, failures = (
        told + " (assumed)" * (name in spread.assumed)
        for name, told in (
            ("run", f"{spread.run:.3f}"),
            ("interaction", f"{spread.interaction:.3f}"),
            ("task", f"{spread.task:.3f}"),
            ("failures", f"{spread.failures:.0%}"),
        )
    )
    console.out(
        f"\nSD from run to run {run}, of an agent's leaning to a task {leaning}, "
        f"of tasks {hardness}; {failures} fail"
    )
    if spread.assumed:
        console.out(
            "assumed: as trials of two capable agents showed; --from RUNS measures all of them "
            "where two agents completed the same two tasks, one of them twice"
        )
    listed = ", ".join(f"{level:.2g}" for level in levels)
    console.out(
        f"looking {counted(len(levels), 'time')}: stop at p ≤ {listed} (O'Brien and Fleming)"
    )


def _spread(
    places: list[Path] | None, run: float | None, task: float | None, failures: float | None
) -> "Spread":
    from tasks.comparison import records
    from tasks.comparison.power import Spread
    from tasks.comparison.spread import measure

    usual = Spread(assumed=("interaction", "run", "task", "failures"))
    found = measure(records.read(places).records) if places else usual
    chosen = {"run": run, "interaction": task, "failures": failures}
    given = {key: value for key, value in chosen.items() if value is not None}
    for key, value in given.items():
        if value < 0 or not math.isfinite(value):
            raise UsageError(f"{key} of {value:g}: a standard deviation is 0 or more")
    assumed = tuple(name for name in found.assumed if name not in given)
    return Spread(**{**asdict(found), **given, "assumed": assumed})
