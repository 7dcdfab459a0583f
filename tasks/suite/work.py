"""One attempt of one trial, supervised where it runs: needs the package and the suite's folder."""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from tasks import datasets
from tasks.agents import AgentSpec
from tasks.errors import TasksError
from tasks.gateway import Access
from tasks.instance import Seed
from tasks.prepared import manifest_of, prepare
from tasks.runner import TaskRunner
from tasks.runtimes.nursery import NURSERY
from tasks.spec import Task
from tasks.store.folders import Planned, Product, SuiteFolder, append_event
from tasks.store.states import GIVEN_UP, Row, given_up, read_attempt, row_of
from tasks.suite.budget import Granted
from tasks.suite.cache import Shared
from tasks.suite.cassettes import cassette, recorded
from tasks.suite.janitor import Janitor, remove_world
from tasks.suite.places import Place
from tasks.suite.plan import Plan, reopened

JANITOR: Final = Janitor()
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is told: which trial of which suite, and the secret behind its instance."""

    folder: str
    """The suite's."""
    n: int
    attempt: int
    sealed: bool
    """Whether nobody could know the instance yet."""
    place: Place
    secret: bytes = field(repr=False)
    access: Access | None = None
    """What the agents may use of models; None: as `TaskRunner` has it."""
    models: Mapping[str, str] = field(default_factory=dict)
    lasts: bool = False
    """Whether the worker ends when it has tidied up, so that it may do so beside its next trial."""
    granted: Granted | None = None
    """What the trial may spend, where the suite has a budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended."""

    n: int
    attempt: int
    row: Row | None
    """None where it came to nothing and nothing was recorded."""
    detail: str = ""
    no_space: bool = False
    """Whether it was our disk that had no room."""
    out_of_budget: bool = False
    """Whether it used up what the suite had left for it."""


@dataclass(frozen=True, slots=True)
class _Suite:
    """A suite as a worker holds it, from trial to trial."""

    folder: SuiteFolder
    plan: Plan
    product: Product
    tasks: Mapping[str, Task]
    agents: Mapping[str, AgentSpec]


@lru_cache(maxsize=4)
def _suite(folder: str) -> _Suite:
    opened = SuiteFolder(Path(folder))
    plan = reopened(opened)
    tasks = {task.id: task for task in plan.tasks}
    return _Suite(opened, plan, plan.product, tasks, {agent.id: agent for agent in plan.agents})


@lru_cache(maxsize=16)
def _runner(folder: str, gpus: tuple[str, ...]) -> TaskRunner:
    suite = _suite(folder)
    plan = suite.plan
    limits = replace(plan.limits, gpus=",".join(gpus)) if gpus else plan.limits
    return TaskRunner(
        suite.folder.trials,
        runtime=plan.runtime,
        limits=limits,
        requires=plan.requires,
        feedback=plan.feedback.chosen(),
    )


@lru_cache(maxsize=4)
def _instance(folder: str, task: str, secret: bytes, sealed: bool) -> Shared:  # noqa: FBT001
    ready = prepare(_suite(folder).tasks[task], Seed(secret=secret, sealed=sealed))
    return Shared(task=ready.task, seed=ready.seed, instance=ready.instance)


def attempt(job: Job) -> Ended:
    """Run one attempt to its end, whatever that is.

    What the machine did is an ending too; it is written into the attempt's folder, so that the
    folder alone tells.
    """
    folder = SuiteFolder(Path(job.folder))
    place: Path | None = None
    try:
        suite = _suite(job.folder)
        cell = suite.product.cell(job.n)
        place = folder.attempt(cell, job.attempt)
        if place.exists():  # somebody else's, or our own of a life before
            return Ended(n=job.n, attempt=job.attempt, row=read_attempt(place))
        return _run(suite, cell, job, place)
    except (TasksError, OSError) as error:
        return _fault(job, place, error)
    except Exception as error:  # noqa: BLE001 - one broad net around one trial of many
        return _fault(job, place, error)


def _run(suite: _Suite, cell: Planned, job: Job, place: Path) -> Ended:
    ready = _instance(job.folder, cell.task, job.secret, job.sealed)
    stamp = {
        "suite": {
            "id": suite.folder.id,
            "repeat": cell.repeat,
            "task": cell.task,
            "agent": cell.agent,
            "attempt": job.attempt,
            "n": cell.n,
            "instance": f"../../instances/{suite.folder.instance(cell.task, cell.repeat).name}",
        }
    }
    if job.granted is not None:
        stamp["suite"]["granted"] = asdict(job.granted.amount)
    agent = suite.agents[cell.agent]
    if job.place.cores:
        os.sched_setaffinity(0, job.place.cores)  # what is started from here is pinned likewise
    else:
        NURSERY.open()
    runner = _runner(job.folder, job.place.gpus)
    runner.access, runner.models = _access(job, cell), dict(job.models)
    trial = runner.run_task(
        ready.task,
        replace(agent, env={**job.place.variables(), **agent.env}),
        suite.plan.limits.time_s,
        prepared=ready,
        folder=place,
        stamp=stamp,
    )
    if not suite.plan.keep_worlds:
        JANITOR.remove(place) if job.lasts else remove_world(place)
    if job.granted is not None and job.granted.by_suite and (trial.model or {}).get("over_budget"):
        return _cut_short(job, place)
    return Ended(n=job.n, attempt=job.attempt, row=row_of(trial.report))


def _access(job: Job, cell: Planned) -> Access | None:
    """Return a trial's own grant: its part of the budget, its cassette."""
    access = job.access
    if access is None:
        return None
    if job.granted is not None:
        access = replace(access, policy=job.granted.bound(access.policy))
    if access.record is not None:
        return replace(access, record=recorded(access.record, cell, job.attempt))
    if access.replay is not None:
        return replace(access, replay=cassette(access.replay, cell))
    return access


def _cut_short(job: Job, place: Path) -> Ended:
    """Void an attempt that ran out of what the suite had left: that was not its agent's doing."""
    (place / "report.json").rename(place / "report.cut.json")
    said = "the suite had no more to spend"
    return Ended(
        n=job.n, attempt=job.attempt, row=give_up(place, "cancelled", said), out_of_budget=True
    )


def _fault(job: Job, place: Path | None, error: Exception) -> Ended:
    said = f"{type(error).__name__}: {error}"
    if _has_no_space(error) or place is None:
        no_space = _has_no_space(error)
        row = None if no_space else given_up("infrastructure", time.time())
        return Ended(n=job.n, attempt=job.attempt, row=row, detail=said, no_space=no_space)
    row = give_up(place, "infrastructure", said)
    return Ended(n=job.n, attempt=job.attempt, row=row, detail=said)


def _has_no_space(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def give_up(place: Path, reason: str, detail: str) -> Row:
    """Write into an attempt's folder that it says nothing about its agent, and why.

    An attempt that has a report after all is as the report says.
    """
    if (found := read_attempt(place)) is not None:
        return found
    place.mkdir(parents=True, exist_ok=True)
    when = append_event(place / "events.jsonl", GIVEN_UP, reason=reason, detail=detail)
    return given_up(reason, when, place)


def publish(folder: str, task: str, repeat: int, secret: bytes) -> None:
    """Write seed and answers of an instance that no trial will meet any more."""
    suite = SuiteFolder(Path(folder))
    place = suite.instance(task, repeat)
    if place.exists():
        return
    ready = _instance(folder, task, secret, True)
    aside = place.with_name(f".{place.name}")
    shutil.rmtree(aside, ignore_errors=True)
    datasets.write_private(ready.instance, ready.seed, aside / "private", manifest_of(ready))
    with contextlib.suppress(FileExistsError):  # another runner was faster
        aside.rename(place)
    ready.forget()
