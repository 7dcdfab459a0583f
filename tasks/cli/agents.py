"""`agents`: which there are, what one is, what it needs, and whether it works."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console
from tasks.cli.gateway import granted, models_named
from tasks.cli.options import (
    AgentsDir,
    Json,
    KeyEnv,
    KnownRuntime,
    MaxCost,
    Models,
    Play,
    Record,
    TimeLimit,
    Upstreams,
    group,
)
from tasks.errors import MissingPart, counted
from tasks.scratch import scratch

if TYPE_CHECKING:
    from tasks.agents import AgentSpec
    from tasks.trial import Trial

app = group("The agents of a folder: list, show, set up, check.")

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="An agent's id, such as aide/dev.")]

TINY = {
    "id": "tiny",
    "name": "Tiny",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 300, "n_features": 4},
    "evaluation_criteria": {},
}
"""What `check` lets an agent try."""


@app.command("list")
def list_agents(agents_dir: AgentsDir = None, *, json_: Json = False) -> None:
    """List the agents, the models they call, and whether their packages are here."""
    from tasks import agents

    rows = [(name, *_state(name, agents_dir)) for name in agents.names(agents_dir)]
    if json_:
        console.out_json([dict(zip(("id", "models", "state"), row, strict=True)) for row in rows])
    else:
        console.table(("ID", "MODELS", "STATE"), rows)


def _state(name: str, agents_dir: Path | None) -> tuple[str, str]:
    from tasks import agents

    try:
        agent = agents.load(name, agents_dir)
    except MissingPart as error:  # a secret that is not set; the others are still worth a list
        return "-", f"not ready: {str(error).rpartition(': ')[0].rpartition(': ')[2] or error}"
    models = ", ".join(agent.keys.models) or "-"
    if agent.environment is None:
        return models, "ready"
    ready = (agent.environment / "ready").is_file()
    return models, "ready" if ready else f"not set up: aexp agents setup {name}"


@app.command()
def show(agent: AgentId, agents_dir: AgentsDir = None, *, json_: Json = False) -> None:
    """Show what an entry says: what is started, with which variables, models and limits."""
    from tasks import agents

    spec = agents.load(agent, agents_dir)
    told = dict(_entry(spec))
    if json_:
        console.out_json(told)
        return
    for name, value in told.items():
        console.out(console.printable(f"{name + ':':14}{value}"))


def _entry(agent: "AgentSpec") -> Iterator[tuple[str, Any]]:
    keys = agent.keys
    yield "id", agent.id
    yield "folder", str(agent.folder)
    yield "command", " ".join(agent.command)
    # A value may be a secret of this machine: its name is enough.
    yield "variables", ", ".join(agent.env) or "-"
    yield "models", ", ".join(f"{a}={b}" if a != b else a for a, b in keys.models.items()) or "-"
    yield "network", keys.network
    yield "requires", ", ".join(keys.requires) or "-"
    limits = keys.limits.model_dump(exclude_none=True)
    yield "limits", ", ".join(f"{name} {value:g}" for name, value in limits.items()) or "-"
    yield "dockerfile", str(agent.dockerfile or "-")
    yield "privileged", "asked for" if agent.privileged else "no"
    yield "packages", str(agent.setup or "-")
    yield "environment", str(agent.environment or "-")
    for note in agent.notes:
        yield "note", note


@app.command()
def setup(
    wanted: Annotated[
        list[str], typer.Argument(metavar="AGENT…", help="Ids of agents, such as aide/dev.")
    ],
    agents_dir: AgentsDir = None,
) -> None:
    """Install the packages of agents, each into an environment of its own."""
    from tasks import agent_setup, agents

    for spec in [agents.load(agent, agents_dir) for agent in wanted]:
        console.say(f"installing the packages of {spec.id}; this may take minutes")
        console.out(f"ready: {agent_setup.install(spec)}")


@app.command()
def check(
    agent: AgentId,
    agents_dir: AgentsDir = None,
    *,
    time_limit: TimeLimit = 300,
    runtime: KnownRuntime = "local",
    model: Models = None,
    upstream: Upstreams = None,
    key_env: KeyEnv = None,
    max_cost: MaxCost = None,
    record: Record = None,
    play: Play = None,
    seed: Annotated[int | None, typer.Option(help="Fix the data, to replay a cassette.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the trial below this folder.")] = None,
) -> None:
    """Run an agent on a tiny task and say what it did.

    Exit status: 0 it left a valid submission, 4 it left none that is valid, 6 it failed,
    7 it hit a limit.
    """
    from tasks import Task, agents
    from tasks.runner import TaskRunner

    spec = agents.load(agent, agents_dir)
    for note in spec.notes:
        console.out(f"note: {note}")
    with scratch("tiny") as folder:
        runner = TaskRunner(
            keep or folder,
            runtime=runtime,
            access=granted(upstream, key_env, max_cost=max_cost, record=record, play=play),
            models=models_named(model),
        )
        task = Task.from_dict(TINY, source="aexp agents check")
        trial = runner.run_task(task, spec, time_limit, seed=seed)
        for line in _findings(trial):
            console.out(line)
        status = _status(trial)
    if status:
        raise typer.Exit(status)


def _findings(trial: "Trial") -> Iterator[str]:
    from tasks.cli.trial_view import model_words

    outcome = trial.outcome
    detail = f": {console.printable(outcome.detail)}" if outcome.detail else ""
    yield f"ended: {outcome.reason}{detail}, after {outcome.seconds:.1f} s"
    used = console.size(outcome.peak_memory_bytes)
    yield f"used: {outcome.cpu_seconds:.1f} s of CPU, {used} of memory"
    if outcome.killed_processes:
        killed = counted(outcome.killed_processes, "process", "processes")
        yield f"left running, and killed: {killed}"
    if trial.model is not None:
        yield model_words(trial.model)
    yield f"printed: {outcome.log_bytes:,} bytes"
    for line in _last_lines(trial.workspace.log_file):
        yield f"  agent | {line}"
    left = sorted(p for p in trial.workspace.outputs.rglob("*") if p.is_file())
    yield f"left: {counted(len(left), 'file')}"
    for path in left[:20]:
        name = console.printable(os.path.relpath(path, trial.workspace.outputs))
        yield f"  {name} ({console.size(path.stat().st_size)})"
    evaluation = trial.evaluation
    if evaluation is None:
        yield f"the grader failed: {trial.grader_error}"
        return
    if evaluation.submission and evaluation.submission["valid"]:
        for name, mark in evaluation.scores.items():
            if isinstance(mark, dict) and mark.get("score") is not None:
                floor, ceiling = console.number(mark["floor"]), console.number(mark["ceiling"])
                score = console.number(mark["score"])
                yield f"{name}: {score} (no features {floor}, best possible {ceiling})"
    else:
        for line in evaluation.feedback:
            yield f"submission: {console.printable(line)}"


def _last_lines(log: Path, count: int = 5) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [console.printable(line[:200]) for line in lines[-count:]]


def _status(trial: "Trial") -> int:
    if trial.evaluation is None:
        return 8
    if status := trial.outcome.exit_status():
        return status
    submission = trial.evaluation.submission
    return 0 if submission and submission["valid"] else 4
