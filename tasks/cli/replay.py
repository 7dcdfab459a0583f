"""`replay`: an agent's saved solution, run again on fresh data."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from tasks import registry
from tasks.cli import console
from tasks.cli.lookups import folder_of_trials, load_folders
from tasks.cli.options import AgentsDir, Json, RuntimeName, TasksDir, TrialPlace
from tasks.errors import UnknownName

if TYPE_CHECKING:
    from tasks.replay import Replayed, Rerun


def replay(
    place: TrialPlace,
    *,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Fresh instances for each trial.", min=1)
    ] = 5,
    runtime: RuntimeName = None,
    agents_dir: AgentsDir = None,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Run saved solutions again, on the same and on fresh data; exit status 1 if one is suspicious.

    A solution is code/solution.py, AIDE's best_solution.py, or a notebook; it runs in a fresh
    sandbox without network or model, of the trial's own runtime unless another is named. What comes
    of it is kept in the report under `replay`; a trial that left none is `no code`, which is not
    suspicious.
    """
    from tasks.comparison.records import trial_folders
    from tasks.replay import Replayer

    folder = folder_of_trials(place)
    load_folders(tasks_dir)
    replayer = Replayer(
        fresh=seeds,
        runtime=runtime,
        agents_dir=agents_dir,
        definitions={task.id: task for task in registry.list_tasks()},
        progress=lambda line: None if json_ else console.say(line),
    )
    found = []
    for one in replayer.trials(trial_folders(folder)):
        found.append(one)
        if not json_:
            show(one)
    if not found:
        raise UnknownName(f"{place}: no trials there")
    counts = Counter(one.verdict for one in found)
    if json_:
        console.out_json({"counts": counts, "trials": [one.as_dict() for one in found]})
    elif len(found) > 1:
        console.out(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    if counts["refused"]:
        raise typer.Exit(4)
    if counts["suspicious"]:
        raise typer.Exit(1)


def show(found: "Replayed") -> None:
    """Print what came of one trial."""
    console.out(console.printable(f"{found.trial}: {found.solution or 'no solution'}"))
    if found.submitted is not None and found.same is not None:
        submitted = found.submitted["skill"]
        console.out(f"submitted   skill {console.number(submitted)}")
        identical = ", the same in every row" if found.identical else ""
        console.out(f"same data   {_told(found.same)}{identical}")
        for rerun in found.fresh:
            console.out(f"{rerun.data:<11} {_told(rerun)}")
        if found.spread is not None:
            console.out(f"fresh data  skill {found.spread.mean:.3f} ± {found.spread.sd:.3f}")
        console.out(f"data        {found.data}")
    for line in found.findings:
        console.out(f"- {console.printable(line)}")
    alarms = f" (an honest one once in {1 / found.false_alarm_rate:,.0f}, at most)"
    console.out(f"REPLAY: {found.verdict}{alarms if found.flagged and found.spread else ''}")


def _told(rerun: "Rerun") -> str:
    if rerun.skill is None:
        return f"nothing valid ({rerun.reason}); counts as skill 0"
    return f"skill {rerun.skill:.3f}"
