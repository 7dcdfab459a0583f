"""TaskRunner: one trial, from a task to a report."""

import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tasks
from tasks import agents, datasets, grading, home, logged, plugins, trajectory
from tasks.agents import AgentSpec
from tasks.collect import Collected, collect, promote
from tasks.errors import GraderError, InfrastructureError, MissingPart
from tasks.feedback import Feedback, graded_side
from tasks.grading import Evaluation, Hidden, Outputs
from tasks.instance import Instance, Seed
from tasks.logged import Logged
from tasks.outcome import Limits, Outcome, demanded, isolation, refuse_unmet
from tasks.registry import TaskRegistry
from tasks.runtimes import disk_wall
from tasks.runtimes.base import Cancel, InImages, Runtime
from tasks.runtimes.nursery import NURSERY
from tasks.spec import Task
from tasks.trackers import Feed
from tasks.trajectory import Trajectory
from tasks.validator import TaskValidator, hidden_side, validator_for
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.desk import Desk
    from tasks.gateway import Access
    from tasks.model_door import TrialDoor

log = logging.getLogger(__name__)

Observer = Callable[[str, Mapping[str, Any]], None]
"""Told of each hop: created, prepared, started, ended, collected, graded, recorded."""

KEPT_BYTES = 32 * 2**20
"""Public files of an instance up to so large together are kept in memory for its next trial."""

LOCAL = ("bubblewrap", "process")
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
    model: Mapping[str, Any] | None = None
    """What went through the door to its models; None where it had none."""
    feedback: Mapping[str, Any] = field(default_factory=lambda: {"mode": "none"})
    """What the agent was told of its score while it worked."""

    @property
    def report_file(self) -> Path:
        """The report on disk."""
        return self.workspace.report_file


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An instance at hand, to be met by one trial or by many."""

    task: Task
    seed: Seed
    instance: Instance
    _files: dict[str, bytes] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def hidden(self) -> Hidden:
        """What grading needs of the instance, kept for the next trial with what was found of it."""
        return hidden_side(self.instance)

    def write_public(self, folder: Path) -> dict[str, str]:
        """Write the public files into `folder`; small ones are made once and then kept.

        Returns:
            Their SHA-256, by name.
        """
        if self._files:
            datasets.put_files(folder, self._files)
            return self._digests
        datasets.write_public(self.task, self.instance, folder)
        files = [path for path in folder.iterdir() if path.is_file()]
        digests = datasets.digests(folder)
        if len(files) == len(list(folder.iterdir())) and _bytes(files) <= KEPT_BYTES:
            self._files.update({path.name: path.read_bytes() for path in sorted(files)})
            self._digests.update(digests)
        return digests


def _bytes(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def prepare(task: Task, seed: Seed | None = None) -> Prepared:
    """Draw the instance of a secret seed, or of the one given."""
    chosen = seed or Seed.fresh()
    return Prepared(task=task, seed=chosen, instance=datasets.draw(task, chosen))


def runtime_named(name: str) -> Runtime:
    """Return a runtime; `local` is the tightest one that works without a container.

    Raises:
        MissingPart: It is not there, or does not work on this machine.
        UnknownName: There is no such runtime.
    """
    if name == "local":
        return _tightest(LOCAL)
    runtime: Runtime = plugins.load("runtime", name)()
    runtime.check()
    return runtime


def _tightest(names: Sequence[str]) -> Runtime:
    """Return the first of these that works here; of the last, why it does not is the error."""
    for name in names[:-1]:
        try:
            return runtime_named(name)
        except MissingPart as error:
            log.info("not the %s runtime: %s", name, error)
    return runtime_named(names[-1])


def fitting(runtime: Runtime, agent: AgentSpec) -> Runtime:
    """Return the runtime with the agent's image, where there are images at all."""
    return runtime.in_image(agent.image) if isinstance(runtime, InImages) else runtime


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
        hops = _Hops(
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


def _agent(command: Sequence[str] | AgentSpec | None) -> AgentSpec:
    if command is None:
        return agents.load("experiment")
    return command if isinstance(command, AgentSpec) else agents.from_command(command)


@dataclass(slots=True)
class _Hops:
    """The hops of one trial, in order; what one finds out the next ones need."""

    runner: TaskRunner
    runtime: Runtime
    ready: Prepared
    agent: AgentSpec
    limits: Limits
    workspace: Workspace
    cancel: Cancel | None
    on_output: Callable[[bytes], None] | None
    withheld: bool
    """Whether other trials may meet the instance, so that nothing of it may lie on disk yet."""
    stamp: Mapping[str, Any]
    desk: "Desk | None" = None
    """Where the agent asks what it scores, if it may."""
    public: dict[str, str] = field(default_factory=dict)
    """Hashes of the public files, taken before the agent could touch them."""
    events: list[str] = field(default_factory=list)
    """The lines of events.jsonl so far."""
    model: Mapping[str, Any] | None = None
    """What went through the door to its models, if it had one."""
    tampered: list[str] = field(default_factory=list)
    """Files of ours that the agent had changed or put there."""
    steps: Trajectory | None = None
    """What the agent did, as it tells itself."""
    marked: str | None = None
    """The submission that the agent marked as its answer."""
    logged: Logged = field(default_factory=Logged)
    """What the agent told trackers of its own."""

    def run(self) -> Trial:
        asked = self._create()
        with disk_wall.raised(self.workspace, self.limits):
            command = self._lay_out()
            outcome = self._execute(command, asked)
            collected = collect(self.workspace, self.limits)
        self.marked = promote(self.workspace, collected)
        self._tell("collected", files=collected.files, refused=len(collected.refused))
        self._read_logs()
        self.steps = trajectory.read(self.workspace.outputs / "logs")
        evaluation, grader_error = self._grade(outcome, collected)
        self._record(asked, outcome, evaluation, collected, grader_error)
        return Trial(
            task_id=self.ready.task.id,
            outcome=outcome,
            evaluation=evaluation,
            workspace=self.workspace,
            grader_error=grader_error,
            model=self.model,
            feedback=self._told_of_score(),
        )

    def _tell(self, event: str, **fields: Any) -> None:
        self.events.append(self.workspace.append_event(event, **fields))
        if self.runner.feed is not None:
            self.runner.feed.event(self.workspace.root, self.events[-1])
        if self.runner.observer is not None:
            self.runner.observer(event, fields)
        told = {name: value for name, value in fields.items() if name != "points"}
        log.info("trial %s: %s %s", self.workspace.root.name, event, told or "")

    def _create(self) -> dict[str, Any]:
        ready = self.ready
        asked = {
            "trial": self.workspace.root.name,
            "task": ready.task.definition(),
            "agent": {"id": self.agent.id, "command": list(self.agent.command)},
            "runtime": self.runtime.name,
            "limits": asdict(self.limits),
            "sealed": ready.seed.sealed,
            "commitment": ready.instance.commitment(ready.seed),
            "feedback": asdict(self.runner.feedback),
            "versions": versions(),
            "started": time.time(),
            **self.stamp,
        }
        self.workspace.write_json(self.workspace.trial_file, asked)
        if self.runner.feed is not None:
            self.runner.feed.start(self.workspace.root, asked)
        self._tell("created", task=ready.task.id, agent=self.agent.id)
        return asked

    def _lay_out(self) -> list[str]:
        workspace, ready = self.workspace, self.ready
        workspace.public.mkdir()
        self.public = ready.write_public(workspace.public)
        if self.runner.data_dir is not None:
            home.copy_data(self.runner.data_dir / ready.task.id, workspace)
            self.public = datasets.digests(workspace.public)
        runtime = self.runtime
        home.lay_out(workspace, runtime.home, host_programs=runtime.host_programs)
        if self.desk is not None:
            home.instruct(workspace, self.desk.words())
        if self.agent.folder is not None:
            home.copy_agent(self.agent.folder, workspace)
        self._tell("prepared", files=len(self.public))
        start = self.agent.start(home.seen(workspace, runtime.home) / "agent")
        return home.copy_named_files(start, workspace, runtime.home)

    def _execute(self, command: Sequence[str], asked: Mapping[str, Any]) -> Outcome:
        runtime = self.runtime
        env = home.environment(
            self.workspace,
            self.ready.task,
            self.limits,
            self.agent.env,
            runtime.home,
            host_programs=runtime.host_programs,
        )
        self._tell("started", command=list(command))
        if self.desk is not None:
            env["AEXP_FEEDBACK"] = self.desk.feedback.mode
        with self._door() as door:
            if door is not None:
                command, env = door.wrap(command), door.told(env)
            home.write_deadline(self.workspace, self.limits)
            outcome = runtime.run(
                command,
                self.workspace,
                env,
                self.limits,
                on_output=self.on_output,
                cancel=self.cancel,
            )
        # Only now: a call that was under way when the agent died is booked as the door closes.
        summary = None if door is None else door.gateway.summary()
        self.model = summary if door is not None and door.models else None
        self.tampered = self.workspace.reclaim(asked, self.events)
        if summary is not None and not summary["intact"]:
            self.tampered.append(self.workspace.calls_file.name)
        if self.tampered:
            log.warning("the agent changed files of the harness: %s", ", ".join(self.tampered))
        for query in () if self.desk is None else self.desk.queries:
            self._tell("feedback", at=query.at, score=query.score, sha256=query.sha256)
        self._tell("ended", reason=outcome.reason, seconds=round(outcome.seconds, 3))
        return outcome

    def _door(self) -> "AbstractContextManager[TrialDoor | None]":
        runner = self.runner
        if not runner.has_door(self.agent) and self.desk is None:
            return nullcontext()
        from tasks import model_door

        return model_door.opened(
            runner.access,
            self.agent,
            runner.models,
            self.workspace,
            self.runtime,
            time_s=self.limits.time_s,
            services=None if self.desk is None else self.desk.services(),
        )

    @property
    def _hidden(self) -> Hidden:
        """What is graded: all hidden rows, or those that no feedback is about."""
        ready, mode = self.ready, self.runner.feedback.mode
        split = mode == "validation"
        return graded_side(ready.instance, ready.seed, mode) if split else ready.hidden

    def _told_of_score(self) -> dict[str, Any]:
        return {"mode": "none"} if self.desk is None else self.desk.summary()

    def _read_logs(self) -> None:
        """Take in what the agent told trackers of its own; it is shown and never scored."""
        self.logged = logged.read(self.workspace.outputs / "logs")
        for points in self.logged.batches():
            self._tell("metrics", claimed=True, count=len(points), points=points)

    def _grade(
        self, outcome: Outcome, collected: Collected
    ) -> tuple[Evaluation | None, str | None]:
        ready = self.ready
        outputs = Outputs(self.workspace.outputs, refused=collected.refused)
        try:
            evaluation = self.runner.validator_of(ready.task).grade(
                ready.task,
                self._hidden,
                outputs,
                sealed=ready.seed.sealed,
                outcome=outcome.reason,
                seconds=outcome.seconds,
            )
        except GraderError as error:
            self._tell("grader failed", error=str(error))
            return None, str(error)
        if self.tampered:
            said = f"the agent changed files of the harness: {', '.join(self.tampered)}"
            evaluation = evaluation.voided(said)
        if outcome.breach:
            evaluation = evaluation.voided(outcome.breach)
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
        if not self.withheld:
            manifest = manifest_of(ready, evaluation)
            datasets.write_private(ready.instance, ready.seed, workspace.private, manifest)
        report = {
            "trial": {**asked, "seed": None if self.withheld else ready.seed.secret.hex()},
            "outcome": ended,
            "evaluation": None if evaluation is None else evaluation.as_dict(),
            "grader_error": grader_error,
            "isolation": isolation(outcome.enforced),
            "enforced": ended.pop("enforced"),
            "claimed": {} if evaluation is None else evaluation.claimed,
            "logged": self.logged.summary(),
            "model": self.model,
            "trajectory": None if self.steps is None else self.steps.summary(),
            "feedback": self._told_of_score(),
            "marked": self.marked,
            "collected": asdict(collected),
            "tampered": self.tampered,
            "hashes": {"public": self.public, "outputs": datasets.digests(workspace.outputs)},
            "finished": time.time(),
        }
        if self.steps is not None:
            self.steps.write(workspace.trajectory_file)
        workspace.write_json(workspace.report_file, report)
        if self.runner.output_dir is not None:
            home.copy_results(workspace, self.runner.output_dir)
        self._tell("recorded", report=str(workspace.report_file))
        if self.runner.feed is not None:
            self.runner.feed.finish(workspace.root, report)


def reveal(ready: Prepared, trials: Iterable[Trial]) -> None:
    """Publish seed and answers of an instance in its trials, when the last of them is over.

    Args:
        ready: The instance; its seed was withheld from the reports.
        trials: The finished trials that met it.
    """
    for trial in trials:
        workspace = trial.workspace
        if not workspace.private.exists():
            manifest = manifest_of(ready, trial.evaluation)
            datasets.write_private(ready.instance, ready.seed, workspace.private, manifest)
        report = json.loads(workspace.report_file.read_text(encoding="utf-8"))
        report["trial"]["seed"] = ready.seed.secret.hex()
        workspace.write_json(workspace.report_file, report)


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
    return found or grading.brackets(ready.task, ready.hidden)


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Return the versions a number depends on."""
    found = {"aexp": tasks.__version__, "python": platform.python_version()}
    for name in ("numpy", "polars"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # it may come from elsewhere than a package index
            found[name] = "unknown"
    return found | {"platform": f"{sys.platform} {platform.machine()}"}
