"""`run`: one trial, watched live. `python run_task.py` is the same command."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.cli import tracking
from tasks.cli.container import contained, show
from tasks.cli.gateway import granted, models_named
from tasks.cli.limits import limits_of
from tasks.cli.lookups import find_task
from tasks.cli.options import (
    RUNS,
    AgentsDir,
    Cpus,
    Disk,
    Gpus,
    Json,
    KeyEnv,
    Loose,
    MaxCost,
    MaxRequests,
    MaxTokens,
    Memory,
    Models,
    Network,
    Play,
    PriceTable,
    Queries,
    Record,
    Replays,
    Require,
    RuntimeName,
    TaskOrFile,
    TasksDir,
    TimeLimit,
    Track,
    Upstreams,
)
from tasks.cli.trial_view import exit_status, print_trial
from tasks.cli.watch import Watch, interruptible
from tasks.errors import UsageError, brief, suggestion

if TYPE_CHECKING:
    from tasks.agents import AgentSpec
    from tasks.feedback import Feedback
    from tasks.replay import Replayed
    from tasks.runner import TaskRunner
    from tasks.spec import Task
    from tasks.trial import Trial


def run(
    task_id: TaskOrFile,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND …]", help="Any command as the agent, after `--`."),
    ] = None,
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Without a container: for development, less contained.")
    ] = False,
    runtime: RuntimeName = None,
    agent: Annotated[
        str, typer.Option("--agent", help="An agent of agents/, if no command is given.")
    ] = "experiment",
    agents_dir: AgentsDir = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What the agent is called in reports and leaderboards."),
    ] = None,
    time_limit: TimeLimit = 3600,
    grace: Annotated[
        float, typer.Option("--grace", help="Seconds to save its work at the limit.", min=0)
    ] = 10,
    memory: Memory = None,
    cpus: Cpus = None,
    pids: Annotated[
        int | None, typer.Option("--pids", help="Processes and threads at once.", min=1)
    ] = None,
    disk: Disk = None,
    disk_wall: Annotated[
        bool,
        typer.Option(
            "--disk-wall", help="Make --disk a file system of that size, not a watch: root only."
        ),
    ] = False,
    network: Network = "none",
    gpus: Gpus = None,
    require: Require = None,
    image: Annotated[
        str | None, typer.Option("--image", help="The image, instead of the agent's own.")
    ] = None,
    container_config: Annotated[
        Path | None, typer.Option("--container-config", help="MLE-bench's JSON file of limits.")
    ] = None,
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep the container when it has ended.")
    ] = False,
    mle_bench: Annotated[
        bool, typer.Option("--mle-bench", help="Run the image by MLE-bench's call sequence.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the container's command line; run nothing.")
    ] = False,
    model: Models = None,
    upstream: Upstreams = None,
    key_env: KeyEnv = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    prices: PriceTable = None,
    record: Record = None,
    play: Play = None,
    loose: Loose = False,
    replay: Replays = None,
    feedback: Annotated[
        str,
        typer.Option(
            "--feedback",
            metavar="none|validation|score",
            help="What it may learn of its score: nothing; that on hidden rows which do not count; "
            "or that on the graded ones, for practice.",
        ),
    ] = "none",
    feedback_queries: Queries = 20,
    validate: Annotated[
        bool, typer.Option("--validate", help="Print the evaluation; exit 1 if criteria are unmet.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Fix the instance; such a trial is not sealed.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where trial folders are made.")] = RUNS,
    track: Track = None,
    tasks_dir: TasksDir = None,
    json_: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log each step; show tracebacks.")
    ] = False,
) -> None:
    """Run an agent on a task and grade what it leaves.

    Exit status: 0 done, 1 criteria not met (with --validate), 3 no such task, 4 task or submission
    invalid, 5 a part is missing, 6 the agent failed, 7 time or memory limit, 8 our fault,
    130 interrupted.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    task = find_task(task_id, tasks_dir)
    from tasks.runner import TaskRunner

    feed = tracking.feed(tracking.names_of(track), out)
    watch = Watch(limit=time_limit, quiet=json_)
    limits = limits_of(
        grace_s=grace, memory_bytes=memory, cpus=cpus, pids=pids, disk_bytes=disk,
        disk_wall=disk_wall, network=network, gpus=gpus,
    )  # fmt: skip
    chosen = _agent(command, agent, agents_dir, name)
    if replay is not None and task.family is None:
        raise UsageError(f"{task.id}: --replay needs data that can be drawn again")
    place, limits = contained(
        _runtime(runtime, local=local), limits, container_config=container_config, image=image,
        retain=retain, mle_bench=mle_bench, dry_run=dry_run,
    )  # fmt: skip
    if dry_run:
        show(place, task, chosen, replace(limits, time_s=time_limit))
        return
    runner = TaskRunner(
        out,
        runtime=place,
        limits=limits,
        requires=require or (),
        observer=watch.event,
        access=granted(
            upstream, key_env, max_requests=max_requests, max_tokens=max_tokens, max_cost=max_cost,
            prices=prices, record=record, play=play, loose=loose,
        ),
        models=models_named(model),
        feed=feed,
        feedback=_feedback(feedback, feedback_queries),
    )  # fmt: skip
    trial, replayed = _watched(
        runner, task, chosen, watch, time_limit=time_limit, seed=seed, fresh=replay,
        agents_dir=agents_dir,
    )  # fmt: skip
    print_trial(trial, validate=validate, json_=json_, replayed=replayed)
    tracking.finish(feed)
    status = exit_status(trial, validate=validate)
    suspicious = validate and replayed is not None and replayed.flagged
    if status or suspicious:
        raise typer.Exit(status or 1)


def _watched(
    runner: "TaskRunner",
    task: "Task",
    agent: "AgentSpec",
    watch: Watch,
    *,
    time_limit: float,
    seed: int | None,
    fresh: int | None,
    agents_dir: Path | None,
) -> "tuple[Trial, Replayed | None]":
    """Run a trial, and its solution again if that was asked, until somebody interrupts it."""
    from tasks.instance import Seed
    from tasks.runtimes.base import Cancel

    cancel = Cancel()
    with interruptible(cancel), watch:
        trial = runner.run_task(
            task,
            agent,
            time_limit,
            seed=None if seed is None else Seed.public(seed),
            cancel=cancel,
            on_output=watch.output,
        )
        if fresh is None:
            return trial, None
        from tasks.replay import Replayer

        replayer = Replayer(
            fresh=fresh,
            runtime=runner.runtime,
            agents_dir=agents_dir,
            definitions={task.id: task},
            cancel=cancel,
            progress=lambda line: watch.say(f"[replay] {line}"),
        )
        return trial, replayer.trial(trial.workspace.root)


def _feedback(mode: str, queries: int) -> "Feedback":
    from tasks.feedback import MODES, Feedback

    for known in MODES:
        if mode == known:
            return Feedback(mode=known, queries=queries)
    raise UsageError(f"--feedback {brief(mode)}{suggestion(mode, MODES)}")


def _runtime(name: str | None, *, local: bool) -> str:
    if local and name not in {None, "bubblewrap", "process"}:
        raise UsageError(f"--local and --runtime {name} are two runtimes; give one")
    return name or ("local" if local else "docker")


def _agent(
    command: list[str] | None, entry: str, agents_dir: Path | None, name: str | None
) -> "AgentSpec":
    from tasks import agents

    if not command:
        return agents.named(agents.load(entry, agents_dir), name)
    if entry != "experiment":
        raise UsageError(f"--agent {entry} and a command after `--` are two agents; give one")
    return agents.named(agents.from_command(command), name)
