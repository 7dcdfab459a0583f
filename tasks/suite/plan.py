"""From what was asked to what will be run: names resolved, digests taken, a folder made."""

import difflib
import json
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

import tasks
from tasks import agents, plugins
from tasks.agents import AgentSpec
from tasks.errors import InvalidInput, TasksError, UnknownName, UsageError
from tasks.files import write_text
from tasks.outcome import Limits, refuse_unmet
from tasks.registry import TaskRegistry
from tasks.spec import Task
from tasks.store.folders import Product, SuiteFolder
from tasks.store.spread import spread
from tasks.suite import keys
from tasks.suite.asked import DoorFile, FeedbackFile, LooksFile, SuiteFile, is_path, load_suite
from tasks.suite.cassettes import cassette
from tasks.suite.digests import (
    agent_digest,
    grader_digest,
    image_of,
    is_file,
    task_digest,
)
from tasks.suite.looks import Looks

COMMAND: Final = "command:"
_SELECTORS: Final = {"type": "task_type", "difficulty": "difficulty", "tag": "tag"}
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A suite, resolved."""

    name: str
    tasks: tuple[Task, ...]
    agents: tuple[AgentSpec, ...]
    """Their ids are the names they have in the suite, each once."""
    given: tuple[str, ...]
    """What the user wrote for each agent."""
    repeats: int
    runtime: str
    limits: Limits
    requires: tuple[str, ...]
    attempts: int
    keep_worlds: bool
    agents_dir: str | None
    door: DoorFile = field(default_factory=DoorFile)
    feedback: FeedbackFile = field(default_factory=FeedbackFile)
    looks: LooksFile | None = None

    @property
    def product(self) -> Product:
        """Tasks x agents x repeats."""
        return Product(
            tasks=tuple(task.id for task in self.tasks),
            agents=tuple(agent.id for agent in self.agents),
            repeats=self.repeats,
        )

    def planned_looks(self) -> Looks | None:
        """Return the looks before the end, if there are any.

        Raises:
            UsageError, UnknownName: They cannot be taken.
        """
        if self.looks is None:
            return None
        return Looks.planned(self.product, self.looks.looks, self.looks.baseline)

    def resolved(self) -> dict[str, Any]:
        """Return what matters for the results, for people and for comparison."""
        return {
            "name": self.name,
            "tasks": [{"id": task.id, "digest": task_digest(task)} for task in self.tasks],
            "agents": [
                {"name": agent.id, "agent": given, "digest": agent_digest(agent)}
                for agent, given in zip(self.agents, self.given, strict=True)
            ],
            "repeats": self.repeats,
            "runtime": self.runtime,
            "limits": asdict(self.limits),
            "requires": list(self.requires),
            **({"door": matters} if (matters := self.door.matters()) else {}),
            **(
                {"feedback": told}
                if (told := self.feedback.model_dump(exclude_defaults=True))
                else {}
            ),
            **({} if self.looks is None else {"until_decided": self.looks.model_dump()}),
        }


def resolve(asked: SuiteFile, registry: TaskRegistry | None = None) -> Plan:
    """Find all that a suite names.

    Raises:
        UnknownName: Tasks or agents that nobody knows, all of them at once.
        InvalidTask: A task file is wrong.
        UsageError: Nothing is left to run, or a name stands twice.
    """
    known = registry or tasks.registry
    for folder in asked.tasks_dirs:
        known.load_directory(folder)
    plugins_named = {"local", "docker", *plugins.names("runtime")}
    problems: list[TasksError] = []
    if asked.runtime not in plugins_named:
        names = ", ".join(sorted(plugins_named))
        problems.append(UnknownName(f"no runtime {asked.runtime!r}; known: {names}"))
    found = list(_each(asked.tasks, lambda name: _tasks(name, known), problems))
    specs = list(_each(asked.agents, lambda name: _agent(name, asked.agents_dir), problems))
    if problems:
        raise type(problems[0])("; ".join(map(str, problems)))
    wanted = _each_once(task for group in found for task in group)
    for what, listed in (("tasks", wanted), ("agents", specs)):
        if not listed:
            raise UsageError(f"the suite has no {what}: give --{what}, or {what} in its file")
    plan = Plan(
        name=asked.name,
        tasks=tuple(wanted.values()),
        agents=tuple(_named_once(specs)),
        given=tuple(asked.agents),
        repeats=asked.repeats,
        runtime=asked.runtime,
        limits=asked.limits.limits(),
        requires=asked.requires,
        attempts=asked.attempts,
        keep_worlds=asked.keep_worlds,
        agents_dir=asked.agents_dir,
        door=asked.door,
        feedback=asked.feedback,
        looks=asked.until_decided,
    )
    plan.planned_looks()  # which refuses those that cannot be
    return plan


def _each(
    names: Sequence[str], find: Callable[[str], _Found], problems: list[TasksError]
) -> Iterator[_Found]:
    for name in names:
        try:
            yield find(name)
        except TasksError as error:
            problems.append(error)


def _each_once(found: Iterable[Task]) -> dict[str, Task]:
    wanted: dict[str, Task] = {}
    for task in found:
        if wanted.setdefault(task.id, task) != task:
            raise UsageError(f"two tasks that differ are called {task.id!r}: give one another id")
    return wanted


def _tasks(name: str, registry: TaskRegistry) -> list[Task]:
    if name == "all":
        return registry.list_tasks()
    if is_path(name):
        return [Task.load(name)] if name.endswith(".json") else registry.load_directory(name)
    if ":" not in name:
        return [_by_id(name, registry)]
    wanted = dict(part.partition(":")[::2] for part in name.split("+"))
    if unknown := wanted.keys() - _SELECTORS.keys():
        raise UnknownName(f"no selector {min(unknown)!r}; known: {', '.join(_SELECTORS)}")
    found = registry.list_tasks(**{_SELECTORS[key]: value for key, value in wanted.items()})
    if not found:
        raise UnknownName(f"no task fits {name!r}")
    return found


def _by_id(name: str, registry: TaskRegistry) -> Task:
    try:
        return registry.get_task(name)
    except UnknownName as error:
        if not Path(name).is_dir():
            raise
        raise UnknownName(f"no task {name!r}; its folder's tasks are {name}{os.sep}") from error


def _agent(given: str, agents_dir: str | None) -> AgentSpec:
    name, equals, rest = given.partition("=")
    named = bool(equals) and agents.is_name(name)
    what = rest if named else given
    if what.startswith(COMMAND):
        try:
            words = shlex.split(what.removeprefix(COMMAND))
        except ValueError as error:
            raise UsageError(f"{given!r}: {error}") from error
        if not any(words[:1]):
            raise UsageError(
                f"agent {given!r}: the command is empty; as in: {COMMAND}python agent.py"
            )
        spec = agents.from_command(_absolute(words))
    else:
        spec = agents.load(what, None if agents_dir is None else Path(agents_dir))
    return replace(spec, id=name) if named else spec


def _absolute(words: Sequence[str]) -> list[str]:
    """Name files by their whole path: a worker may start elsewhere, and so may a resume."""
    program = words[:1]
    if program and os.sep in program[0]:
        program = [os.path.abspath(program[0])]  # noqa: PTH100 - no link is followed
    return [*program, *(os.path.abspath(w) if is_file(w) else w for w in words[1:])]  # noqa: PTH100


def _named_once(specs: Sequence[AgentSpec]) -> Iterator[AgentSpec]:
    taken: set[str] = set()
    for spec in specs:
        name, count = spec.id, 1
        while name in taken:
            count += 1
            name = f"{spec.id}-{count}"
        taken.add(name)
        yield replace(spec, id=name)


# --- the folder --------------------------------------------------------------------------------


def begin(
    plan: Plan,
    store: Path,
    asked: SuiteFile,
    file: Path | None = None,
    *,
    how: Mapping[str, Any] | None = None,
    **options: Any,
) -> SuiteFolder:
    """Make the suite's folder and key; the plan is written last and makes it one.

    Args:
        plan: What will be run.
        store: Where the folder is made.
        asked: What was asked, to be resolved anew when the suite goes on.
        file: Where it was written, which is then read anew.
        how: What was asked of how it is worked on; no result depends on it.
        options: What was asked beside the file.
    """
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    folder = SuiteFolder(store / f"{stamp}_{plan.name}_{secrets.token_hex(3)}")
    folder.trials.mkdir(parents=True)
    spread(folder.trials)
    key = keys.make(folder.id)
    resolved = plan.resolved()
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    write_text(folder.suite_file, text)
    payload = {
        "id": folder.id,
        "created": time.time(),
        "commitment": keys.commitment(key),
        "most_faults": plan.attempts,
        "keep_worlds": plan.keep_worlds,
        **resolved,
        "tasks": [
            {
                "id": task.id,
                "digest": task_digest(task),
                "definition": task.definition(),
                "version": 0 if task.family is None else task.family.version,
                "folder": None if task.folder is None else str(task.folder),
            }
            for task in plan.tasks
        ],
        "agents": [
            {
                **entry,
                "command": list(agent.command) if agent.folder is None else None,
                "image": image_of(agent, plan.runtime),
            }
            for entry, agent in zip(resolved["agents"], plan.agents, strict=True)
        ],
        "agents_dir": plan.agents_dir,
        "asked": asked.model_dump(mode="json"),
        "file": None if file is None else str(file.absolute()),
        "options": options,
        "how": dict(how or {}),
        "version": tasks.__version__,
        "grader": grader_digest(),
    }
    folder.append("begun")
    write_text(folder.plan_file, json.dumps(payload, indent=1, ensure_ascii=False) + "\n")
    return folder


def reopened(folder: SuiteFolder) -> Plan:
    """Read a suite's plan back, its tasks as they were; agents are looked up again.

    Raises:
        InvalidInput: It is no plan of ours.
        UnknownName, MissingPart: An agent is gone.
    """
    said = folder.load()
    asked = SuiteFile.of(said["asked"], source=str(folder.plan_file))
    try:
        found = [
            Task.from_dict(
                entry["definition"],
                source=f"{folder.plan_file}: {entry['id']}",
                folder=None if entry["folder"] is None else Path(entry["folder"]),
            )
            for entry in said["tasks"]
        ]
        return Plan(
            name=said["name"],
            tasks=tuple(found),
            agents=tuple(_again(entry, said["agents_dir"]) for entry in said["agents"]),
            given=tuple(entry["agent"] for entry in said["agents"]),
            repeats=said["repeats"],
            runtime=said["runtime"],
            limits=Limits(**said["limits"]),
            requires=tuple(said["requires"]),
            attempts=said["most_faults"],
            keep_worlds=said["keep_worlds"],
            agents_dir=said["agents_dir"],
            door=asked.door,
            feedback=asked.feedback,
            looks=asked.until_decided,
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{folder.plan_file}: no plan of a suite: {error}") from error


def _again(entry: dict[str, Any], agents_dir: str | None) -> AgentSpec:
    if entry["command"] is not None:
        spec = agents.from_command(entry["command"])
    else:
        spec = _agent(entry["agent"], agents_dir)
    return replace(spec, id=entry["name"])


def asked_again(folder: SuiteFolder) -> SuiteFile:
    """Return what is asked of a suite by now: its file may have changed.

    Raises:
        InvalidInput: The file is wrong, or the plan is none of ours.
    """
    said = folder.load()
    file = None if said["file"] is None else Path(said["file"])
    if file is None or not file.is_file():
        return SuiteFile.of(said["asked"], source=str(folder.plan_file))
    return merged(load_suite(file), said["options"], source=str(file))


def merged(written: SuiteFile, options: Mapping[str, Any], *, source: str) -> SuiteFile:
    """Return a suite file with options that win over it.

    Raises:
        InvalidInput: An option is wrong.
    """
    given = {**written.model_dump(), **options}
    for part in ("limits", "door", "feedback", "budget", "until_decided"):
        before = written.model_dump()[part] or {}
        given[part] = {**before, **options.get(part, {})} or None
    return SuiteFile.of(given, source=source)


def preflight(plan: Plan) -> None:
    """Find out before the first trial whether this machine can run them at all.

    Raises:
        MissingPart: The runtime is not there, or does not enforce what is demanded; or no model.
        InvalidInput: A cassette that is to be replayed is not there.
    """
    from tasks import model_door
    from tasks.runtimes.named import fitting, runtime_named

    runtime = runtime_named(plan.runtime)
    access, models = plan.door.access(), plan.door.named()
    for agent in plan.agents:
        model_door.check(access, agent, models, fitting(runtime, agent))
    _find_cassettes(plan)
    demands = dict.fromkeys(name for task in plan.tasks for name in task.demands)
    refuse_unmet([*demands, *plan.requires], runtime.enforces(plan.limits), runtime.name)


def _find_cassettes(plan: Plan) -> None:
    product, place = plan.product, plan.door.access().replay
    if place is None:
        return
    named = plan.door.named()
    calling = {agent.id for agent in plan.agents if named or agent.keys.models}
    for cell in map(product.cell, range(len(product))):
        if cell.agent in calling:
            cassette(place, cell)


def differences(folder: SuiteFolder, now: Plan) -> list[str]:
    """Return, as lines of a diff, how what a suite would run now differs from what it was.

    Only what matters for a result is compared: no paths, ports or numbers of workers.
    """
    before = folder.suite_file.read_text(encoding="utf-8").splitlines()
    after = yaml.safe_dump(now.resolved(), sort_keys=False, allow_unicode=True).splitlines()
    lines = difflib.unified_diff(before, after, "as begun", "as it is now", lineterm="", n=1)
    return list(lines)
