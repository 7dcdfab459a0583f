"""From a workspace to a report: what is done for one trial, in order."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks import datasets, home, logged, trajectory
from tasks.agents import AgentSpec
from tasks.collect import Collected, collect, promote
from tasks.errors import GraderError
from tasks.feedback import graded_side
from tasks.files import json_fields
from tasks.grading import Evaluation, Hidden, Outputs
from tasks.logged import Logged
from tasks.outcome import Limits, Outcome, isolation
from tasks.prepared import Prepared, manifest_of, versions
from tasks.runtimes import disk_wall
from tasks.runtimes.base import Cancel, Runtime
from tasks.trajectory import Trajectory
from tasks.trial import Trial
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.desk import Desk
    from tasks.model_door import TrialDoor
    from tasks.runner import TaskRunner

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hops:
    """The hops of one trial, in order; what one finds out the next ones need."""

    runner: "TaskRunner"
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
    asked: str = ""
    """What trial.json holds."""
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
        """Go through them all."""
        asked = self._create()
        with disk_wall.raised(self.workspace, self.limits):
            command = self._lay_out()
            outcome = self._execute(command)
            collected = collect(self.workspace, self.limits)
        self.marked = promote(self.workspace, collected)
        self._tell("collected", files=collected.files, refused=len(collected.refused))
        self._read_logs()
        self.steps = trajectory.read(self.workspace.outputs / "logs")
        evaluation, grader_error = self._grade(outcome, collected)
        report = self._record(asked, outcome, evaluation, collected, grader_error)
        return Trial(
            task_id=self.ready.task.id,
            outcome=outcome,
            evaluation=evaluation,
            workspace=self.workspace,
            grader_error=grader_error,
            model=self.model,
            feedback=self._told_of_score(),
            report=report,
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
            "agent": self.agent.recorded(),
            "runtime": self.runtime.name,
            "limits": json_fields(self.limits),
            "sealed": ready.seed.sealed,
            "commitment": ready.commitment,
            "feedback": json_fields(self.runner.feedback),
            "versions": versions(),
            "started": time.time(),
            **self.stamp,
        }
        self.asked = self.workspace.write_json(self.workspace.trial_file, asked)
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

    def _execute(self, command: Sequence[str]) -> Outcome:
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
        self.tampered = self.workspace.reclaim(self.asked, self.events)
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
    ) -> dict[str, Any]:
        ready, workspace = self.ready, self.workspace
        ended = json_fields(outcome)
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
            "collected": json_fields(collected),
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
        return report
