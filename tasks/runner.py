"""TaskRunner: one trial, from a task to a report."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tasks
from tasks import agents, grading
from tasks.agents import AgentSpec
from tasks.errors import InfrastructureError, MissingPart
from tasks.feedback import Feedback
from tasks.grading import Evaluation
from tasks.hops import Hops
from tasks.instance import Seed
from tasks.outcome import Limits, demanded, refuse_unmet
from tasks.prepared import Prepared, prepare
from tasks.registry import TaskRegistry
from tasks.runtimes import disk_wall
from tasks.runtimes.base import Cancel, Runtime
from tasks.runtimes.named import fitting, runtime_named
from tasks.runtimes.nursery import NURSERY
from tasks.spec import Task
from tasks.trackers import Feed
from tasks.trial import Trial
from tasks.validator import TaskValidator, validator_for
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.desk import Desk
    from tasks.gateway import Access

Observer = Callable[[str, Mapping[str, Any]], None]
"""Told of each hop: created, prepared, started, ended, collected, graded, recorded."""


class TaskRunner:
    """Runs agents on tasks and grades what they leave."""

    def __init__(
        self,
        work_dir: str | os.PathLike[str] = "runs",
        data_dir: str | os.PathLike[str] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        *,
        runtime: str | Runtime = "local",
        registry: TaskRegistry | None = None,
        validator: TaskValidator | None = None,
        limits: Limits | None = None,
        requires: Sequence[str] = (),
        observer: Observer | None = None,
        access: "Access | None" = None,
        models: Mapping[str, str] | None = None,
        feed: Feed | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        """Choose the parts; nothing is made or started yet.

        Args:
            work_dir: Where each trial gets a folder of its own.
            data_dir: Folders `<task id>/` that hold files of your own for the agent, copied
                beside the generated ones.
            output_dir: Where `<trial>/report.json` and the outputs are copied to, if anywhere.
            runtime: `local`, the name of a runtime, or one that is set up already.
            registry: Where task ids are looked up; by default the installed tasks.
            validator: A `TaskValidator` of your own.
            limits: Memory, disk, log and output limits; the time limit is each call's own.
            requires: Guarantees that must be enforced, such as `network`, whatever the task says.
            observer: Called at each hop.
            access: What agents may use of models; by default the providers whose key is set.
            models: Models that every agent may call, and the provider's names for those it calls.
            feed: The trackers that are told of the trials.
            feedback: What agents may learn of their score while they work; by default nothing.

        Raises:
            MissingPart, UnknownName: As `runtime_named`.
            UsageError: There is no such guarantee.
        """
        self.work_dir = Path(work_dir)
        self.data_dir = None if data_dir is None else Path(data_dir)
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.runtime = runtime_named(runtime) if isinstance(runtime, str) else runtime
        self.registry = registry or tasks.registry
        self.validator = validator
        self.limits = limits or Limits()
        self.requires = demanded(requires, "requires")
        self.observer = observer
        self.access = access
        self.models = dict(models or {})
        self.feed = feed
        self._begun = 0
        self.feedback = feedback or Feedback()

    def run_task(
        self,
        task: str | Task,
        command: Sequence[str] | AgentSpec | None = None,
        timeout: float = 3600,
        *,
        seed: Seed | int | None = None,
        prepared: Prepared | None = None,
        cancel: Cancel | None = None,
        on_output: Callable[[bytes], None] | None = None,
        folder: Path | None = None,
        stamp: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Run one trial: prepare, execute, collect, grade, record.

        Args:
            task: A task or its id.
            command: What to run, such as `["python", "my_agent.py"]`; an agent; or None for the
                experiment agent. Files a command names are copied into the agent's world.
            timeout: Seconds of wall time, owned by the harness.
            seed: By default a secret one, new for each trial; a number stands for a public one. A
                sealed one that is given here may be met again, so that it and the answers stay
                off the disk until `reveal`.
            prepared: An instance drawn before, instead of a new one; withheld likewise.
            cancel: Lets another thread or a signal stop the agent.
            on_output: Gets what the agent prints, as it prints it.
            folder: The trial's folder, which must not be there yet; by default a new name below
                `work_dir`.
            stamp: Further keys of `trial.json`, such as the suite the trial is part of.

        Raises:
            UnknownName, InvalidTask: Before anything is started.
            MissingPart: Likewise; the runtime does not enforce what is demanded, for one.
            InfrastructureError: The machine failed us; a failing agent is a graded report instead.
        """
        wanted = self.registry.get_task(task) if isinstance(task, str) else task
        agent = _agent(command)
        limits = agents.limited(agent, replace(self.limits, time_s=float(timeout)))
        demands = dict.fromkeys((*wanted.demands, *self.requires, *agent.keys.requires))
        runtime = fitting(self.runtime, agent)
        if runtime.name == "docker":
            agents.refuse_privileged(agent)
        if self.has_door(agent):
            from tasks import model_door  # an HTTP server, for which most trials have no use

            model_door.check(self.access, agent, self.models, runtime)
        if limits.disk_wall:
            disk_wall.check()
        refuse_unmet([*demands], runtime.enforces(limits), runtime.name)
        ready = prepared or prepare(wanted, Seed.of(seed))
        grading.check_measurable(wanted, ready.hidden)
        desk = self._desk(wanted, ready)
        withheld = ready.seed.sealed and not (seed is None and prepared is None)
        if folder is None:
            label = f"{wanted.id}_{agent.id.replace('/', '-')}"
            workspace = Workspace.create(self.work_dir, label)
        else:
            workspace = Workspace.at(folder)
        if self._begun:  # not for one trial alone: the nursery costs as much as it saves
            NURSERY.open()
        self._begun += 1
        hops = Hops(
            self,
            runtime,
            ready,
            agent,
            limits,
            workspace,
            cancel,
            on_output,
            withheld,
            stamp or {},
            desk,
        )
        try:
            with _given_up(workspace) if folder is None else nullcontext():
                return hops.run()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message = f"{workspace.root}: {error.strerror or error}{where}"
            raise InfrastructureError(message) from error

    def _desk(self, task: Task, ready: Prepared) -> "Desk | None":
        if self.feedback.mode == "none":
            return None
        from tasks.desk import Desk

        return Desk.open(task, ready.instance, ready.seed, self.feedback)

    def evaluate_task_results(
        self, task: str | Task, results_dir: str | os.PathLike[str]
    ) -> Evaluation:
        """Grade results that were made on the task's practice data (see `generate-data`)."""
        wanted = self.registry.get_task(task) if isinstance(task, str) else task
        return self.validator_of(wanted).evaluate_task(wanted, results_dir)

    def has_door(self, agent: AgentSpec) -> bool:
        """Whether a trial of it gets a door: it calls models, or has packages of its own."""
        return bool(agent.keys.models or self.models or agent.environment)

    def validator_of(self, task: Task) -> TaskValidator:
        """Return the validator given, or the one that fits the task's type."""
        return self.validator or validator_for(task)


@contextmanager
def _given_up(workspace: Workspace) -> Iterator[None]:
    """Leave word of a trial that ends without a report; a suite leaves its own."""
    try:
        yield
    except Exception as error:
        from tasks.store.states import GIVEN_UP  # the rare end of a trial

        reason = "a part is missing" if isinstance(error, MissingPart) else "infrastructure"
        workspace.append_event(GIVEN_UP, reason=reason, detail=str(error))
        raise


def _agent(command: Sequence[str] | AgentSpec | None) -> AgentSpec:
    if command is None:
        return agents.load("experiment")
    return command if isinstance(command, AgentSpec) else agents.from_command(command)
