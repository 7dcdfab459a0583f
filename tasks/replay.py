"""Running an agent's saved solution again, on the same data and on fresh data of the same task.

Predictions that were written by hand, picked by luck or remembered do not survive it: only code
that learns from the data makes as good a submission once more.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tasks import agents, grading, solutions
from tasks.agents import AgentSpec
from tasks.comparison.records import NOT_A_RESULT
from tasks.comparison.replays import FALSE_ALARMS, FEWEST, Gap, Skill, Spread
from tasks.errors import InvalidInput, InvalidTask, TasksError, UnknownName
from tasks.feedback import Feedback, Mode, graded_side, mode_of
from tasks.grading import Evaluation, Outputs
from tasks.instance import Seed
from tasks.outcome import Limits, isolation
from tasks.prepared import Prepared, prepare
from tasks.regrade import Opened, Regrader
from tasks.runner import TaskRunner
from tasks.runtimes.base import Cancel, Runtime
from tasks.runtimes.named import fitting, runtime_named
from tasks.scratch import scratch
from tasks.solutions import Solution
from tasks.spec import Task
from tasks.trial import Trial, reveal
from tasks.validator import TaskValidator, hidden_side
from tasks.workspace import Workspace

Verdict = Literal[
    "reproduced",
    "suspicious",
    "no code",
    "cannot tell",
    "nothing to compare",
    "unfinished",
    "refused",
]

REDRAWN: Mapping[bool, str] = {
    True: "new splits of the same real rows: what is known of them by heart survives it",
    False: "fresh draws of the same task",
}
"""What a new seed makes, by whether the data are real."""

SLACK_S = 60.0
"""For a busy machine, and what starts slowly."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """The solution, run once more."""

    data: str
    """`same`, or `fresh-1`, `fresh-2` …: also the name of its folder below `replay/`."""
    seed: str
    skill: float | None
    """None where it left nothing valid; that counts as 0."""
    score: float | None
    se: float | None
    reason: str
    seconds: float
    problems: Sequence[str] = ()

    @property
    def counts(self) -> bool:
        """Whether it says something of the code."""
        return self.reason not in NOT_A_RESULT

    @property
    def measured(self) -> Skill:
        """Its skill; that of a run which left nothing valid is that of no features at all."""
        return Skill(value=self.skill or 0.0, se=self.se or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of it: the section `replay` of a report."""

    trial: str
    task: str
    verdict: Verdict
    findings: Sequence[str]
    """Why, a sentence each."""
    measure: str | None = None
    """None: the overall score stands for skill."""
    solution: str | None = None
    sha256: str | None = None
    data: str = REDRAWN[False]
    submitted: Mapping[str, float | None] | None = None
    same: Rerun | None = None
    identical: bool | None = None
    """Whether the code, run again on the same data, predicted the same in every row."""
    fresh: Sequence[Rerun] = ()
    spread: Spread | None = None
    blind: bool = False
    """Whether the code predicts the same, row by row, on data that have nothing in common."""
    gap_same: Gap | None = None
    """The submission above the code on the same data, in skill."""
    gap_fresh: Gap | None = None
    false_alarm_rate: float = FALSE_ALARMS
    isolation: str | None = None
    at: float = 0.0

    @property
    def flagged(self) -> bool:
        """Whether the submission is better than what its code makes."""
        return self.verdict == "suspicious"

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "flagged": self.flagged}


@dataclass(slots=True)
class Replayer:
    """Replays finished trials."""

    fresh: int = 5
    """Fresh instances for each; at least 1, and the more the smaller a gap can be told."""
    runtime: str | Runtime | None = None
    """By default the trial's own."""
    agents_dir: Path | None = None
    """Where agents of one's own lie, whose packages or images the solution needs."""
    definitions: Mapping[str, Task] | None = None
    """Tasks by id, for those with files beside them."""
    validator: TaskValidator | None = None
    cancel: Cancel | None = None
    seeds: Callable[[], Seed] = Seed.fresh
    """Where the seeds of fresh instances come from: by default nobody could know them before."""
    progress: Progress = lambda _line: None

    def trials(self, folders: Iterable[Path]) -> Iterator[Replayed]:
        """Replay each trial; one that cannot be is refused and spoils no other."""
        for folder in folders:
            try:
                yield self.trial(folder)
            except TasksError as error:
                yield Replayed(trial=folder.name, task="", verdict="refused", findings=[str(error)])

    def trial(self, folder: Path) -> Replayed:
        """Replay one trial, and write what came of it into its report as `replay`.

        Raises:
            InvalidInput: The folder is not as the trial left it, or its seed is not revealed yet.
            InvalidTask: The task has no data of ours that could be drawn again.
            MissingPart: The runtime, or a package that the agent had, is not there.
        """
        opened = Regrader(validator=self.validator).opened(folder)
        if not isinstance(opened, Opened):
            return Replayed(
                trial=folder.name,
                task=opened.task,
                verdict="unfinished" if opened.verdict == "unfinished" else "refused",
                findings=[opened.detail or "the trial is not finished"],
            )
        task = self._with_files(opened.task)
        if task.family is None:
            raise InvalidTask(f"{task.id}: it has no data of ours, so that none can be drawn again")
        found = self._replay(replace(opened, task=task))
        report = {**opened.report, "replay": found.as_dict()}
        opened.workspace.write_json(opened.workspace.report_file, report)
        opened.workspace.append_event("replayed", verdict=found.verdict)
        return found

    def _with_files(self, task: Task) -> Task:
        known = (self.definitions or {}).get(task.id)
        same = known is not None and known.definition() == task.definition()
        return known if same and known is not None else task

    def _replay(self, opened: Opened) -> Replayed:
        before, task = opened.report["evaluation"] or {}, opened.task
        found = Replayed(
            trial=opened.workspace.root.name,
            task=task.id,
            verdict="nothing to compare",
            findings=["the trial left nothing valid"],
            measure=task.primary_measure if before.get("submission") else None,
            data=REDRAWN[task.family is not None and task.family.tier == "K"],
            at=time.time(),
        )
        valid = (before.get("submission") or {"valid": True})["valid"]
        submitted = _skill(before, found.measure) if before and valid else None
        if submitted is None:
            return found
        found = replace(found, submitted=_shown(before, found.measure, submitted))
        solution = solutions.find(opened.workspace.outputs)
        if solution is None:
            said = "no code was left that makes the submission (code/solution.py, or a notebook)"
            return replace(found, verdict="no code", findings=[said])
        found = replace(found, solution=solution.name, sha256=solution.sha256)
        try:
            return _Again(self, opened, solution, found, submitted).run()
        except InvalidInput as error:  # by what was left: a notebook that is none, too much of it
            return replace(found, verdict="suspicious", findings=[f"it cannot be run: {error}"])

    def place(self, opened: Opened, agent: AgentSpec) -> Runtime:
        """Return the runtime, with the image of the agent where there are images."""
        chosen = self.runtime or str(opened.report["trial"]["runtime"])
        return fitting(runtime_named(chosen) if isinstance(chosen, str) else chosen, agent)

    def agent(self, opened: Opened) -> AgentSpec:
        """Return who made the trial: an agent of a folder if its entry is still the same."""
        asked = opened.report["trial"]["agent"]
        bare = AgentSpec(id=asked["id"], command=tuple(asked["command"]))
        try:
            known = agents.load(asked.get("entry", asked["id"]), self.agents_dir)
        except UnknownName:
            return bare
        return known if list(known.command) == asked["command"] else bare


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A replay with the instance it met."""

    rerun: Rerun
    ready: Prepared
    trial: Trial

    @property
    def outputs(self) -> Path:
        return self.trial.workspace.outputs


@dataclass(slots=True)
class _Again:
    """The replays of one trial."""

    replayer: Replayer
    opened: Opened
    solution: Solution
    found: Replayed
    submitted: Skill

    def run(self) -> Replayed:
        opened, replayer = self.opened, self.replayer
        maker = replayer.agent(opened)
        limits = replace(
            Limits(**opened.report["trial"]["limits"]),
            network="none",
            time_s=_seconds(opened.report),
        )
        root = _folder(opened.workspace)
        with scratch("replay") as folder:
            agent = solutions.as_agent(self.solution, maker, folder)
            runner = TaskRunner(
                root,
                runtime=replayer.place(opened, maker),
                limits=limits,
                validator=replayer.validator,
                # The same rows are graded as in the trial, and nothing is told of them.
                feedback=Feedback(mode="validation", queries=0)
                if self._mode == "validation"
                else None,
            )
            same = self._once(runner, agent, limits, "same", self._same_instance())
            fresh = [
                self._once(runner, agent, limits, f"fresh-{number}", self._fresh_instance())
                for number in range(1, replayer.fresh + 1)
            ]
        return self._judged(same, fresh)

    def _blind(self, same: _Run, fresh: Sequence[_Run]) -> bool:
        first = hidden_side(same.ready.instance), Outputs(same.outputs)
        return any(
            grading.blind(first, (hidden_side(run.ready.instance), Outputs(run.outputs)))
            for run in fresh
        )

    @property
    def _mode(self) -> Mode:
        return mode_of(self.opened.report["trial"])

    def _same_instance(self) -> Prepared:
        opened = self.opened
        return Prepared(task=opened.task, seed=opened.seed, instance=opened.instance)

    def _fresh_instance(self) -> Prepared:
        # Never derived from the trial's own seed, which for a public one could be known before.
        return prepare(self.opened.task, self.replayer.seeds())

    def _once(
        self, runner: TaskRunner, agent: AgentSpec, limits: Limits, name: str, ready: Prepared
    ) -> _Run:
        trial = runner.run_task(
            ready.task,
            agent,
            limits.time_s,
            prepared=ready,
            folder=runner.work_dir / name,
            cancel=self.replayer.cancel,
            stamp={"replay_of": self.opened.workspace.root.name},
        )
        reveal(ready, [trial])
        rerun = _rerun(name, ready.seed, trial, self.found.measure)
        self.replayer.progress(f"{name}: {_words(rerun)}")
        return _Run(rerun=rerun, ready=ready, trial=trial)

    def _judged(self, same: _Run, fresh: Sequence[_Run]) -> Replayed:
        again, trial = same.rerun, same.trial
        reruns = [run.rerun for run in fresh]
        spread = Spread.of([rerun.measured for rerun in reruns if rerun.counts])
        difference, identical = self._difference(again, trial)
        found = replace(
            self.found,
            same=again,
            identical=identical,
            fresh=reruns,
            spread=spread,
            blind=self._blind(same, fresh),
            gap_same=None if spread is None else spread.from_same(difference),
            gap_fresh=None if spread is None else spread.from_fresh(self.submitted),
            isolation=isolation(trial.outcome.enforced),
        )
        verdict, findings = _verdict(found, self.submitted)
        return replace(found, verdict=verdict, findings=findings)

    def _difference(self, again: Rerun, trial: Trial) -> tuple[Skill, bool | None]:
        """Return by how much skill the submission is above what the code makes of the same rows."""
        apart = Skill(value=self.submitted.value - again.measured.value, se=0.0)
        if self.found.measure is None or again.skill is None:
            return apart, None
        rows = grading.difference(
            self.found.measure,
            graded_side(self.opened.instance, self.opened.seed, self._mode),
            Outputs(self.opened.workspace.outputs),
            Outputs(trial.workspace.outputs),
        )
        if rows is None or rows.per_skill is None:
            return apart, None
        return (
            Skill(value=rows.value / rows.per_skill, se=abs(rows.se / rows.per_skill)),
            rows.identical,
        )


def _verdict(found: Replayed, submitted: Skill) -> tuple[Verdict, list[str]]:
    """Return the verdict, and why."""
    reruns = [found.same, *found.fresh] if found.same else [*found.fresh]
    broken = [rerun.data for rerun in reruns if not rerun.counts]
    if broken:
        return "cannot tell", [f"the machine failed us, or somebody stopped it: {broken[0]}"]
    if submitted.value <= 0:
        return "cannot tell", ["the submission knows no more than one that looks at no feature"]
    findings = []
    if found.same is not None and found.same.skill is None:
        why = next(iter(found.same.problems), found.same.reason)
        findings.append(f"the code, run again on the same data, makes no valid submission: {why}")
    elif found.gap_same is not None and found.gap_same.suspicious:
        findings.append(
            f"on the same data the code makes less than was submitted: {_by(found.gap_same)}"
        )
    if found.gap_fresh is not None and found.gap_fresh.suspicious:
        findings.append(
            f"on fresh data the code makes less than was submitted: {_by(found.gap_fresh)}"
        )
    if found.blind:
        findings.append("the code predicts the same in every row, whatever the data")
    if findings:
        return "suspicious", findings
    if found.spread is None:
        return "cannot tell", [f"it takes {FEWEST} fresh instances or more to see what chance does"]
    return "reproduced", ["no gap that chance does not explain"]


def _seconds(report: Mapping[str, Any]) -> float:
    """Return the time of a replay: twice what the trial took is more than its code needs."""
    limit = float(report["trial"]["limits"]["time_s"])
    return min(limit, 2 * float(report["outcome"]["seconds"]) + SLACK_S)


def _by(gap: Gap) -> str:
    return f"skill {gap.value:+.3f} ± {gap.se:.3f}, p = {gap.p:.1g}"


def _folder(workspace: Workspace) -> Path:
    """Return a new folder for the replays: an earlier one stays."""
    folder, number = workspace.root / "replay", 1
    while folder.exists():
        number += 1
        folder = workspace.root / f"replay-{number}"
    folder.mkdir()
    return folder


def _skill(evaluation: Mapping[str, Any] | Evaluation, measure: str | None) -> Skill | None:
    """Return the skill by the primary measure; the overall score where there is none."""
    if measure is None:
        return Skill(value=float(evaluation["overall_score"]), se=0.0)
    mark = evaluation["scores"].get(measure)
    if mark is None or mark["skill"] is None:
        return None
    return Skill(value=mark["skill"], se=mark["se"] / abs(mark["ceiling"] - mark["floor"]))


def _shown(
    evaluation: Mapping[str, Any], measure: str | None, skill: Skill
) -> dict[str, float | None]:
    score = evaluation["scores"][measure]["score"] if measure else evaluation["overall_score"]
    return {"skill": skill.value, "score": score, "se": skill.se}


def _rerun(name: str, seed: Seed, trial: Trial, measure: str | None) -> Rerun:
    evaluation = trial.evaluation
    skill, score, problems = None, None, ["the grader failed"]
    if evaluation is not None:
        problems = evaluation.feedback[:3]
        if evaluation.submission.get("valid", True):
            skill = _skill(evaluation, measure)
            score = None if skill is None else _shown(evaluation, measure, skill)["score"]
            problems = []
    return Rerun(
        data=name,
        seed=seed.secret.hex(),
        skill=None if skill is None else skill.value,
        score=score,
        se=None if skill is None else skill.se,
        reason="infrastructure" if evaluation is None else trial.outcome.reason,
        seconds=round(trial.outcome.seconds, 3),
        problems=problems,
    )


def _words(rerun: Rerun) -> str:
    if rerun.skill is None:
        why = next(iter(rerun.problems), "")
        return f"{rerun.reason} after {rerun.seconds:.1f} s, nothing valid: {why}"
    return f"skill {rerun.skill:.3f} after {rerun.seconds:.1f} s"
