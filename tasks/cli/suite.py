"""`suite`: many trials, planned, run, watched, stopped and gone on with."""

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console, tracking
from tasks.cli.lookups import by_comma
from tasks.cli.options import (
    RUNS,
    AgentsDir,
    Cpus,
    Disk,
    ExecutorName,
    FailFast,
    Gpus,
    Json,
    KeyEnv,
    Loose,
    MaxTime,
    Memory,
    Models,
    Network,
    PriceTable,
    QueriesIfAny,
    Require,
    RuntimeName,
    Store,
    StoreUrl,
    SuiteCost,
    SuiteName,
    SuiteTokens,
    TasksDir,
    TimeLimitIfAny,
    Track,
    Upstreams,
    Workers,
    group,
)
from tasks.cli.suite_view import duration
from tasks.cli.suite_work import How, elsewhere, find_suite, open_store, show, work, workers_of
from tasks.errors import InvalidInput, UsageError, counted, suggestion

if TYPE_CHECKING:
    from tasks.suite import Plan

app = group("Run many trials: tasks x agents x repeats, that stop and go on.")


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
    runtime: RuntimeName = None,
    time_limit: TimeLimitIfAny = None,
    memory: Memory = None,
    disk: Disk = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    network: Network = None,
    require: Require = None,
    track: Track = None,
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
    feedback_queries: QueriesIfAny = None,
    tasks_dir: TasksDir = None,
    agents_dir: AgentsDir = None,
    out: Store = RUNS,
    store: StoreUrl = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    max_time: MaxTime = None,
    max_tokens: SuiteTokens = None,
    max_cost: SuiteCost = None,
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
    from tasks.suite.asked import absolute

    how = How(
        store=store, executor=executor, workers=workers, max_time=max_time, fail_fast=fail_fast,
        json_=json_,
    )  # fmt: skip
    planned = _chosen({"looks": looks, "baseline": baseline})
    options = _options(
        tasks=list(absolute(by_comma(tasks), Path.cwd())),
        agents=[name for part in agents or () for name in _agents(part)],
        repeats=repeats,
        runtime=runtime,
        limits=_chosen({
            "time": time_limit, "memory": memory, "disk": disk, "cpus": cpus, "gpus": gpus,
            "network": network,
        }),
        door=_chosen({
            "models": model, "upstream": upstream, "key_env": key_env, "loose": loose or None,
            "requests": trial_requests, "tokens": trial_tokens, "cost": trial_cost,
            "prices": _absolute(prices), "record": _absolute(record), "replay": _absolute(replay),
        }),
        feedback=_chosen({"mode": feedback, "queries": feedback_queries}),
        budget=_chosen({"tokens": max_tokens, "cost": max_cost}),
        until_decided=planned or ({"looks": LOOKS} if until_decided else None),
        requires=require,
        trackers=tracking.names_of(track),
        tasks_dirs=[_absolute(folder) for folder in tasks_dir or ()],
        agents_dir=_absolute(agents_dir),
    )  # fmt: skip
    _run(file, options, out, how, dry_run=dry_run)


def _run(file: Path | None, options: dict[str, Any], out: Path, how: How, *, dry_run: bool) -> None:
    from tasks.suite import SuiteFile, begin, load_suite, merged, resolve
    from tasks.suite.places import Machine, places

    how.check()
    if file is None:
        asked = SuiteFile.of(options, source="the command line")
    else:
        asked = merged(load_suite(file), options, source=f"{file} and the command line")
    plan = resolve(asked)
    _check(plan, how)
    tracking.feed(asked.trackers, out)  # which looks them up and starts nothing
    if how.engine == "pool":
        places(Machine.here(), plan.limits, how.workers)
    if dry_run:
        _show_plan(plan, how.workers, json_=how.json_)
        return
    work(begin(plan, out.absolute(), asked, file, how=how.kept(), **options), how)


def _check(plan: "Plan", how: How) -> None:
    """Find out before the first trial whether they can run at all; errors as what it calls."""
    from tasks.outcome import refuse_impossible
    from tasks.suite import preflight

    cores = os.cpu_count() if how.engine == "pool" else None  # a cluster's machines are its own
    refuse_impossible(plan.limits, cores, "limits.")
    preflight(plan)


@app.command()
def resume(
    suite: SuiteName = None,
    *,
    out: Store = RUNS,
    store: StoreUrl = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    max_time: MaxTime = None,
    max_tokens: SuiteTokens = None,
    max_cost: SuiteCost = None,
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
    from tasks.suite import asked_again, begin, differences, resolve

    how = How(
        store=store, executor=executor, workers=workers, max_time=max_time, fail_fast=fail_fast,
        max_tokens=max_tokens, max_cost=max_cost, to_the_end=to_the_end, json_=json_,
    )  # fmt: skip
    folder = find_suite(suite, out)
    how = how.as_begun(folder)
    how.check()
    asked = asked_again(folder)
    plan = resolve(asked)
    _check(plan, how)
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
    out: Store = RUNS,
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
    out: Store = RUNS,
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
    suite: SuiteName = None, *, out: Store = RUNS, store: StoreUrl = None, json_: Json = False
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
    out: Store = RUNS,
    json_: Json = False,
) -> None:
    """Plan what a change costs: results that stay, are graded again, are run again."""
    from tasks.suite import asked_again, differences, load_suite, resolve
    from tasks.suite.difference import difference

    folder = find_suite(suite, out)
    asked = asked_again(folder) if against is None else load_suite(against)
    plan = resolve(asked)
    found = difference(folder, plan)
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
        changed = bool(differences(folder, plan))
        if against is not None and changed:
            console.out(f"next: aexp suite run {shlex.quote(str(against))}{elsewhere(folder)}")
            return
        further = " --as-new" if changed else ""  # `resume` takes no suite that was changed
        console.out(f"next: aexp suite resume {folder.id}{elsewhere(folder)}{further}")


@app.command()
def stop(
    suite: SuiteName = None,
    *,
    out: Store = RUNS,
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


def _options(**given: Any) -> dict[str, Any]:
    """Return what was given, as a suite file says it."""
    return {key: value for key, value in given.items() if value not in (None, [], {})}


def _agents(part: str) -> list[str]:
    return [part] if "command:" in part else part.split(",")


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
