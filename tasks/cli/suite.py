"""`suite`: many trials, planned, run, watched, stopped and gone on with."""

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console, tracking
from tasks.cli.gateway import KeyEnv, Loose, Models, PriceTable, Upstreams
from tasks.cli.options import Json
from tasks.cli.suite_view import RUNS, duration
from tasks.cli.suite_work import How, elsewhere, open_store, show, work, workers_of
from tasks.errors import InvalidInput, UnknownName, UsageError, counted, suggestion

if TYPE_CHECKING:
    from tasks.store.folders import SuiteFolder
    from tasks.suite import Plan

app = typer.Typer(
    name="suite",
    help="Run many trials: tasks x agents x repeats, that stop and go on.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Option("--out", help="The store: the folder that holds suites.")]
SuiteName = Annotated[
    str | None,
    typer.Argument(metavar="[SUITE]", help="A suite's id, the beginning of one, or its folder."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="AEXP_STORE",
        metavar="URL",
        help="postgresql://user@host/database: the index of suites that several machines run.",
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", help="Trials at a time.")]
MaxTime = Annotated[
    str | None, typer.Option("--max-time", help="Start no trial after so long, such as 90, 2h.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", help="Of all trials together: no trial starts past it, none goes on.", min=1
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", help="Of all trials together, in US dollars; likewise.", min=0),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")]
ExecutorName = Annotated[
    str | None,
    typer.Option("--executor", help="Where trials run: pool (default), dask, ray or slurm."),
]


@app.command()
def run(
    file: Annotated[
        Path | None, typer.Argument(metavar="[SUITE.yaml]", help="A suite file.")
    ] = None,
    *,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            help="Ids, selectors (type:…, tag:…, difficulty:…, all), files or folders (mine/) of "
            "tasks, by comma.",
        ),
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agents", help="An id, or 'command:python my_agent.py'; may be repeated."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="Instances of each task.")
    ] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="What contains a trial.")] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="Of one trial, such as 90, 30m or 2h.")
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Of one trial: 4g.")] = None,
    disk: Annotated[str | None, typer.Option("--disk", help="Of one trial: 20g.")] = None,
    cpus: Annotated[float | None, typer.Option("--cpus", help="Of one trial: 1.5.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="Of one trial: a count.")] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="none, host or bridge: what it may reach.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help="A guarantee to be enforced or refused, such as network."),
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="Trackers to be told, by comma.")
    ] = None,
    model: Models = None,
    upstream: Upstreams = None,
    key_env: KeyEnv = None,
    trial_requests: Annotated[
        int | None, typer.Option("--trial-requests", help="Calls of one trial.", min=1)
    ] = None,
    trial_tokens: Annotated[
        int | None, typer.Option("--trial-tokens", help="Tokens of one trial.", min=1)
    ] = None,
    trial_cost: Annotated[
        float | None, typer.Option("--trial-cost", help="US dollars of one trial.", min=0)
    ] = None,
    prices: PriceTable = None,
    record: Annotated[
        Path | None, typer.Option("--record", help="A folder: a cassette for each trial.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--play", help="That folder, or one cassette for all trials.")
    ] = None,
    loose: Loose = False,
    feedback: Annotated[
        str | None,
        typer.Option(
            "--feedback",
            metavar="none|validation",
            help="What agents may learn of their score: nothing, or that on rows not graded.",
        ),
    ] = None,
    feedback_queries: Annotated[
        int | None, typer.Option("--feedback-queries", help="How often one may ask.", min=1)
    ] = None,
    tasks_dir: Annotated[
        list[str] | None, typer.Option("--tasks-dir", help="A folder of task files of your own.")
    ] = None,
    agents_dir: Annotated[
        str | None, typer.Option("--agents-dir", help="Where agents of your own lie.")
    ] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    max_time: MaxTime = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    fail_fast: FailFast = False,
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Stop at a look that tells the agents apart."),
    ] = False,
    looks: Annotated[
        int | None, typer.Option("--looks", help="Looks that are planned; by default 5.", min=1)
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Whom all are compared with; by default the first agent."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, its size and time; run nothing.")
    ] = False,
    json_: Json = False,
) -> None:
    """Plan a suite and run it; `suite resume` goes on with one that was stopped or killed."""
    from tasks.comparison.sequential import LOOKS
    from tasks.suite import SuiteFile, begin, load_suite, merged, preflight, resolve
    from tasks.suite.asked import absolute
    from tasks.suite.places import Machine, places

    limits = {
        "time": time_limit,
        "memory": memory,
        "disk": disk,
        "cpus": cpus,
        "network": network,
        "gpus": gpus,
    }
    door = {
        "models": model,
        "upstream": upstream,
        "key_env": key_env,
        "requests": trial_requests,
        "tokens": trial_tokens,
        "cost": trial_cost,
        "prices": _absolute(prices),
        "record": _absolute(record),
        "replay": _absolute(replay),
        "loose": loose or None,
    }
    planned = {"looks": looks, "baseline": baseline}
    budget = {"tokens": max_tokens, "cost": max_cost}
    how = How(
        store=store,
        executor=executor,
        workers=workers,
        max_time=max_time,
        fail_fast=fail_fast,
        json_=json_,
    )
    given = {
        "tasks": list(
            absolute((name for part in tasks or () for name in part.split(",")), Path.cwd())
        ),
        "agents": [name for part in agents or () for name in _by_comma(part)],
        "repeats": repeats,
        "runtime": runtime,
        "limits": _chosen(limits),
        "door": _chosen(door),
        "feedback": _chosen({"mode": feedback, "queries": feedback_queries}),
        "budget": _chosen(budget),
        "until_decided": _chosen(planned) or ({"looks": LOOKS} if until_decided else None),
        "requires": require,
        "trackers": [name for part in track or () for name in part.split(",")],
        "tasks_dirs": [str(Path(folder).absolute()) for folder in tasks_dir or ()],
        "agents_dir": None if agents_dir is None else str(Path(agents_dir).absolute()),
    }
    options = {key: value for key, value in given.items() if value not in (None, [], {})}
    how.check()
    if file is None:
        asked = SuiteFile.of(options, source="the command line")
    else:
        asked = merged(load_suite(file), options, source=f"{file} and the command line")
    plan = resolve(asked)
    preflight(plan)
    tracking.feed(asked.trackers, out)  # which looks them up and starts nothing
    if how.engine == "pool":
        places(Machine.here(), plan.limits, workers)
    if dry_run:
        _show_plan(plan, workers, json_=json_)
        return
    folder = begin(plan, out.absolute(), asked, file, how=how.kept(), **options)
    work(folder, how)


@app.command()
def resume(
    suite: SuiteName = None,
    *,
    out: Out = RUNS,
    store: StoreUrl = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    max_time: MaxTime = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    to_the_end: Annotated[
        bool, typer.Option("--to-the-end", help="Run what is left though a look decided it.")
    ] = False,
    fail_fast: FailFast = False,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="If it has changed, begin a new suite of it.")
    ] = False,
    json_: Json = False,
) -> None:
    """Go on with a suite: what is graded stays, what was lost is run again."""
    from tasks.suite import asked_again, begin, differences, preflight, resolve

    how = How(
        store=store,
        executor=executor,
        workers=workers,
        max_time=max_time,
        max_tokens=max_tokens,
        max_cost=max_cost,
        to_the_end=to_the_end,
        fail_fast=fail_fast,
        json_=json_,
    )
    folder = find_suite(suite, out)
    how = how.as_begun(folder)
    how.check()
    asked = asked_again(folder)
    plan = resolve(asked)
    preflight(plan)
    if found := differences(folder, plan):
        if not as_new:
            console.say("\n".join(found))
            raise InvalidInput(
                f"{folder.id} is not what it was when it was begun (see above): undo that, or "
                "begin a suite of its own with --as-new"
            )
        said = folder.load()
        file = None if said["file"] is None else Path(said["file"])
        folder = begin(plan, folder.root.parent, asked, file, how=how.kept(), **said["options"])
    work(folder, how, again="cancelled")


@app.command()
def retry(
    suite: SuiteName = None,
    *,
    only: Annotated[
        str | None, typer.Option("--only", help="Trials that failed for this reason; else all.")
    ] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Run failed trials once more; their earlier attempts stay."""
    from tasks.store import REASONS

    if only is not None and only not in REASONS:
        raise UsageError(f"--only {only!r}{suggestion(only, REASONS)}")
    folder = find_suite(suite, out)
    how = How(store=store, executor=executor, workers=workers, json_=json_).as_begun(folder)
    work(folder, how, again=only or "")


@app.command()
def rm(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's id or its folder.")],
    *,
    out: Out = RUNS,
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a suite: its trials, its key and its place in the index."""
    from tasks.suite import remove

    folder = find_suite(suite, out)
    if not yes:
        typer.confirm(f"remove {folder.root} with all its trials?", abort=True)
    remove(folder, store)
    console.say(f"removed {folder.id}")


@app.command()
def status(
    suite: SuiteName = None, *, out: Out = RUNS, store: StoreUrl = None, json_: Json = False
) -> None:
    """Show how far a suite has come."""
    folder = find_suite(suite, out)
    with closing(open_store(folder, store)) as found:
        show(folder, found, json_=json_)


@app.command("diff")
def show_difference(
    suite: SuiteName = None,
    *,
    against: Annotated[
        Path | None,
        typer.Option("--with", help="A suite file instead of what the suite's own says now."),
    ] = None,
    out: Out = RUNS,
    json_: Json = False,
) -> None:
    """Plan what a change costs: results that stay, are graded again, are run again."""
    from tasks.suite import asked_again, load_suite, resolve
    from tasks.suite.difference import UNDONE, difference

    folder = find_suite(suite, out)
    asked = asked_again(folder) if against is None else load_suite(against)
    found = difference(folder, resolve(asked))
    if json_:
        console.out_json({"suite": folder.id, **found.as_dict()})
        return
    rows = [
        (cell.task, cell.agent, str(cell.trials), cell.verdict, cell.why) for cell in found.cells
    ]
    console.table(("TASK", "AGENT", "TRIALS", "PLAN", "WHY"), rows)
    counts = found.counts
    console.out(", ".join(f"{verdict} {count}" for verdict, count in counts.items()))
    if found.dropped:
        dropped = counted(found.dropped, "result")
        console.out(f"{dropped} not asked for any more, and kept where it lies")
    if counts["regrade"]:
        place = shlex.quote(os.path.relpath(folder.root))
        today = " --current" if any("the criteria" in cell.why for cell in found.cells) else ""
        console.out(f"next: aexp regrade {place}{today}")
    if counts["rerun"]:
        changed = any(cell.verdict == "rerun" and cell.why != UNDONE for cell in found.cells)
        further = " --as-new" if changed else ""
        console.out(f"next: aexp suite resume {folder.id}{elsewhere(folder)}{further}")


@app.command()
def stop(
    suite: SuiteName = None,
    *,
    out: Out = RUNS,
    store: StoreUrl = None,
    now: Annotated[
        bool, typer.Option("--now", help="End the running trials too; resume runs them again.")
    ] = False,
) -> None:
    """Let the runners of a suite start no more trials and end."""
    folder = find_suite(suite, out)
    with closing(open_store(folder, store)) as found:
        alive, _ = found.runners(folder.id)
    if not alive:
        console.say(f"nobody is running {folder.id}")
        return
    folder.stop_file.write_text("now" if now else "gently", encoding="utf-8")
    console.say(f"asked {counted(len(alive), 'runner')} of {folder.id} to stop")


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _by_comma(agents: str) -> list[str]:
    return [agents] if "command:" in agents else agents.split(",")


def find_suite(name: str | None, out: Path) -> "SuiteFolder":
    """Return the suite of a name; without one the latest.

    Raises:
        UnknownName: There is none, or there are several.
    """
    from tasks.store.folders import SuiteFolder, suites_in

    if name is not None and (Path(name) / "suite.json").is_file():
        return SuiteFolder(Path(name).absolute())
    found = [folder for folder in suites_in(out.absolute()) if folder.id.startswith(name or "")]
    if not found:
        raise UnknownName(f"no suite {name or ''!r} in {out}; `aexp suite run` begins one")
    if name is not None and len(found) > 1 and name not in {folder.id for folder in found}:
        raise UnknownName(f"{name!r} may be {', '.join(folder.id for folder in found)}")
    return found[-1]


def _show_plan(plan: "Plan", workers: int | None, *, json_: bool) -> None:
    product = plan.product
    count = workers_of(workers)
    most = len(product) / count * plan.limits.time_s
    if json_:
        said = {**plan.resolved(), "trials": len(product), "seconds_at_most": most}
        console.out_json(said)
        return
    console.out(
        f"{counted(len(product), 'trial')}: {counted(len(product.tasks), 'task')} x "
        f"{counted(len(product.agents), 'agent')} x {counted(product.repeats, 'repeat')}; "
        f"runtime {plan.runtime}, {count} at a time"
    )
    console.out(f"at most {duration(most)}, if each takes its whole time limit")
    rows = [(task.id, task.task_type, task.difficulty) for task in plan.tasks]
    console.table(("TASK", "TYPE", "DIFFICULTY"), rows)
    agents = [(agent.id, given) for agent, given in zip(plan.agents, plan.given, strict=True)]
    console.table(("AGENT", "IS"), agents)
