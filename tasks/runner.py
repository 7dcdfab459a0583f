"""TaskRunner: one trial, from a task to a report."""

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tasks
from tasks import agents, datasets, grading, home, plugins
from tasks.agents import AgentSpec
from tasks.collect import Collected, collect
from tasks.errors import GraderError, InfrastructureError, MissingPart, UnknownName
from tasks.grading import Evaluation, Outputs
from tasks.instance import Instance, Seed
from tasks.outcome import Limits, Outcome
from tasks.registry import TaskRegistry
from tasks.runtimes.base import Cancel, Runtime
from tasks.spec import Task
from tasks.validator import TaskValidator, hidden_side, validator_for
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

Observer = Callable[[str, Mapping[str, Any]], None]
"""Told of each hop: created, prepared, started, ended, collected, graded, recorded."""

LOCAL = ("process",)
"""Runtimes `--local` may use, the tightest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt, finished: how it ended and what it is worth."""

    task_id: str
    outcome: Outcome
    evaluation: Evaluation | None
    """None where the grader failed: such a trial is void, not zero."""
    workspace: Workspace
    grader_error: str | None = None

    @property
    def report_file(self) -> Path:
        """The report on disk."""
        return self.workspace.report_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An instance at hand, to be met by one trial or by many."""

    task: Task
    seed: Seed
    instance: Instance


def prepare(task: Task, seed: Seed | None = None) -> Prepared:
    """Draw the instance of a secret seed, or of the one given."""
    chosen = seed or Seed.fresh()
    return Prepared(task=task, seed=chosen, instance=datasets.draw(task, chosen))


def runtime_named(name: str) -> Runtime:
    """Return a runtime; `local` is the tightest one that works without a container.

    Raises:
        MissingPart: It is not there; the message names `--local`.
        UnknownName: There is no such runtime.
    """
    if name == "docker" and name not in plugins.names("runtime"):
        raise MissingPart(
            "the docker runtime is not part of this version: run with --local "
            "(a plain process; the report says what was enforced)"
        )
    runtime: Runtime = plugins.load("runtime", LOCAL[0] if name == "local" else name)()
    return runtime


class TaskRunner:
    """Runs agents on tasks and grades what they leave."""

    def __init__(
        self,
        work_dir: str | os.PathLike[str] = "runs",
        data_dir: str | os.PathLike[str] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        *,
        runtime: str = "local",
        registry: TaskRegistry | None = None,
        validator: TaskValidator | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Choose the parts; nothing is made or started yet.

        Args:
            work_dir: Where each trial gets a folder of its own.
            data_dir: Folders `<task id>/` that hold files of your own for the agent, copied
                beside the generated ones.
            output_dir: Where `<trial>/report.json` and the outputs are copied to, if anywhere.
            runtime: `local`, or the name of a runtime.
            registry: Where task ids are looked up; by default the installed tasks.
            validator: A `TaskValidator` of your own.
            limits: Memory, disk, log and output limits; the time limit is each call's own.
            observer: Called at each hop.

        Raises:
            MissingPart, UnknownName: As `runtime_named`.
        """
        self.work_dir = Path(work_dir)
        self.data_dir = None if data_dir is None else Path(data_dir)
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.runtime = runtime_named(runtime)
        self.registry = registry or tasks.registry
        self.validator = validator
        self.limits = limits or Limits()
        self.observer = observer

    def run_task(
        self,
        task: str | Task,
        command: Sequence[str] | AgentSpec | None = None,
        timeout: float = 3600,
        *,
        seed: Seed | None = None,
        prepared: Prepared | None = None,
        cancel: Cancel | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Trial:
        """Run one trial: prepare, execute, collect, grade, record.

        Args:
            task: A task or its id.
            command: What to run, such as `["python", "my_agent.py"]`; an agent; or None for the
                experiment agent. Files a command names are copied into the agent's world.
            timeout: Seconds of wall time, owned by the harness.
            seed: By default a secret one, new for each trial.
            prepared: An instance drawn before, instead of a new one.
            cancel: Lets another thread or a signal stop the agent.
            on_output: Gets what the agent prints, as it prints it.

        Raises:
            UnknownName, InvalidTask, MissingPart: Before anything is started.
            InfrastructureError: The machine failed us; a failing agent is a graded report instead.
        """
        wanted = self.registry.get_task(task) if isinstance(task, str) else task
        agent = _agent(command)
        ready = prepared or prepare(wanted, seed)
        limits = replace(self.limits, time_s=float(timeout))
        workspace = Workspace.create(self.work_dir, f"{wanted.id}_{agent.id.replace('/', '-')}")
        try:
            return _Hops(self, ready, agent, limits, workspace, cancel, on_output).run()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message = f"{workspace.root}: {error.strerror or error}{where}"
            raise InfrastructureError(message) from error

    def evaluate_task_results(
        self, task: str | Task, results_dir: str | os.PathLike[str]
    ) -> Evaluation:
        """Grade results that were made on the task's practice data (see `generate-data`)."""
        wanted = self.registry.get_task(task) if isinstance(task, str) else task
        return self.validator_of(wanted).evaluate_task(wanted, results_dir)

    def validator_of(self, task: Task) -> TaskValidator:
        """Return the validator given, or the one that fits the task's type."""
        return self.validator or validator_for(task)


def _agent(command: Sequence[str] | AgentSpec | None) -> AgentSpec:
    if command is None:
        return agents.load("experiment")
    return command if isinstance(command, AgentSpec) else agents.from_command(command)


@dataclass(slots=True)
class _Hops:
    """The hops of one trial, in order; what one finds out the next ones need."""

    runner: TaskRunner
    ready: Prepared
    agent: AgentSpec
    limits: Limits
    workspace: Workspace
    cancel: Cancel | None
    on_output: Callable[[bytes], None] | None
    public: dict[str, str] = field(default_factory=dict)
    """Hashes of the public files, taken before the agent could touch them."""

    def run(self) -> Trial:
        asked = self._create()
        command = self._lay_out()
        outcome = self._execute(command)
        collected = collect(self.workspace, self.limits)
        self._tell("collected", files=collected.files, refused=len(collected.refused))
        evaluation, grader_error = self._grade(outcome, collected)
        self._record(asked, outcome, evaluation, collected, grader_error)
        return Trial(
            task_id=self.ready.task.id,
            outcome=outcome,
            evaluation=evaluation,
            workspace=self.workspace,
            grader_error=grader_error,
        )

    def _tell(self, event: str, **fields: Any) -> None:
        self.workspace.append_event(event, **fields)
        if self.runner.observer is not None:
            self.runner.observer(event, fields)
        log.info("trial %s: %s %s", self.workspace.root.name, event, fields or "")

    def _create(self) -> dict[str, Any]:
        ready = self.ready
        asked = {
            "trial": self.workspace.root.name,
            "task": ready.task.definition(),
            "agent": {"id": self.agent.id, "command": list(self.agent.command)},
            "runtime": self.runner.runtime.name,
            "limits": asdict(self.limits),
            "sealed": ready.seed.sealed,
            "commitment": ready.instance.commitment(ready.seed),
            "versions": versions(),
            "started": time.time(),
        }
        self.workspace.write_json(self.workspace.trial_file, asked)
        self._tell("created", task=ready.task.id, agent=self.agent.id)
        return asked

    def _lay_out(self) -> list[str]:
        workspace, ready = self.workspace, self.ready
        workspace.public.mkdir()
        datasets.write_public(ready.task, ready.instance, workspace.public)
        if self.runner.data_dir is not None:
            home.copy_data(self.runner.data_dir / ready.task.id, workspace)
        home.lay_out(workspace)
        if self.agent.folder is not None:
            home.copy_agent(self.agent.folder, workspace)
        self.public = datasets.digests(workspace.public)
        self._tell("prepared", files=list(self.public))
        return home.copy_named_files(self.agent.start(workspace.home / "agent"), workspace)

    def _execute(self, command: Sequence[str]) -> Outcome:
        env = home.environment(self.workspace, self.ready.task, self.limits, self.agent.env)
        self._tell("started", command=list(command))
        outcome = self.runner.runtime.run(
            command,
            self.workspace,
            env,
            self.limits,
            on_output=self.on_output,
            cancel=self.cancel,
        )
        self._tell("ended", reason=outcome.reason, seconds=round(outcome.seconds, 3))
        return outcome

    def _grade(
        self, outcome: Outcome, collected: Collected
    ) -> tuple[Evaluation | None, str | None]:
        ready = self.ready
        outputs = Outputs(self.workspace.outputs, refused=collected.refused)
        try:
            evaluation = self.runner.validator_of(ready.task).grade(
                ready.task,
                hidden_side(ready.instance),
                outputs,
                sealed=ready.seed.sealed,
                outcome=outcome.reason,
                seconds=outcome.seconds,
            )
        except GraderError as error:
            self._tell("grader failed", error=str(error))
            return None, str(error)
        self._tell("graded", success=evaluation.success, overall_score=evaluation.overall_score)
        return evaluation, None

    def _record(
        self,
        asked: Mapping[str, Any],
        outcome: Outcome,
        evaluation: Evaluation | None,
        collected: Collected,
        grader_error: str | None,
    ) -> None:
        ready, workspace = self.ready, self.workspace
        ended = asdict(outcome)
        manifest = manifest_of(ready, evaluation)
        datasets.write_private(ready.instance, ready.seed, workspace.private, manifest)
        report = {
            "trial": {**asked, "seed": ready.seed.secret.hex()},
            "outcome": ended,
            "evaluation": None if evaluation is None else evaluation.as_dict(),
            "grader_error": grader_error,
            "enforced": ended.pop("enforced"),
            "claimed": {} if evaluation is None else evaluation.claimed,
            "collected": asdict(collected),
            "hashes": {"public": self.public, "outputs": datasets.digests(workspace.outputs)},
            "finished": time.time(),
        }
        workspace.write_json(workspace.report_file, report)
        if self.runner.output_dir is not None:
            home.copy_results(workspace, self.runner.output_dir)
        self._tell("recorded", report=str(workspace.report_file))


def manifest_of(ready: Prepared, evaluation: Evaluation | None = None) -> dict[str, Any]:
    """Return what a private folder tells of its instance: family, versions, floors, ceilings."""
    family = ready.task.family
    return {
        "task_id": ready.task.id,
        "family": None if family is None else type(family).__name__,
        "generator_version": None if family is None else family.version,
        "tier": None if family is None else family.tier,
        "parameters": None if family is None else family.model_dump(mode="json"),
        "sealed": ready.seed.sealed,
        "commitment": ready.instance.commitment(ready.seed),
        "marks": _brackets(ready, evaluation),
        "planted": [
            {"type": fact.type, "args": dict(fact.args), "text": fact.text}
            for fact in (ready.instance.facts.planted if ready.instance.facts else ())
        ],
        "versions": versions(),
    }


def _brackets(ready: Prepared, evaluation: Evaluation | None) -> dict[str, Any]:
    marks = evaluation.scores if evaluation is not None else {}
    found = {
        name: {"floor": mark["floor"], "ceiling": mark["ceiling"]}
        for name, mark in marks.items()
        if isinstance(mark, dict) and "floor" in mark
    }
    return found or grading.brackets(ready.task, hidden_side(ready.instance))


def versions() -> dict[str, str]:
    """Return the versions a number depends on."""
    found = {"aexp": tasks.__version__, "python": platform.python_version()}
    for name in ("numpy", "polars"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # it may come from elsewhere than a package index
            found[name] = "unknown"
    return found | {"platform": f"{sys.platform} {platform.machine()}"}
