"""`check`: whether tasks are sound."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tasks import registry
from tasks.cli import console
from tasks.cli.lookups import find_task, load_folders
from tasks.cli.options import Json, TasksDir, WithAgent, complete_task
from tasks.errors import UsageError


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|FILE]…", autocompletion=complete_task),
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every known task.")] = False,
    agent: WithAgent = True,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the agent's trials here.")] = None,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Check that a task is sound; exit status 4 if one is not.

    The same seed gives the same files, public files hold no answer, a trivial submission fails,
    no mark is beyond the ceiling, redrawn labels show in the target only, reference models stay
    below the ceiling, labels follow their law, the leak test's z is standard normal over redraws,
    skill grows with data, the experiment agent succeeds, and its score lies between floor and
    ceiling.
    """
    load_folders(tasks_dir)
    if bool(names) == all_:
        raise UsageError("check needs task ids or files, or --all")
    tasks = registry.list_tasks() if all_ else [find_task(name) for name in names or ()]
    from tasks.check import check_task

    results = []
    for task in tasks:
        console.say(f"checking {task.id} …")
        for finding in check_task(task, with_agent=agent, work_dir=out):
            results.append({"task": task.id, **asdict(finding)})
            if not json_:
                state = "ok  " if finding.ok else "FAIL"
                console.out(f"{state}  {task.id}: {finding.check} ({finding.detail})")
    if json_:
        console.out_json(results)
    if not all(result["ok"] for result in results):
        raise typer.Exit(4)
