"""The folder of one suite: every name on disk is spelt here and nowhere else."""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.errors import InvalidInput
from tasks.store.states import read_events

_TRIAL: Final = re.compile(r"(\d{6,})\..*\.a(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One cell of a suite's product."""

    n: int
    """Its place in the order of execution, from 0."""
    task: str
    agent: str
    repeat: int
    """From 0; all agents meet the same instance of a task in the same repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Tasks x agents x repeats, computed and not stored.

    Agents change fastest and repeats slowest, so that half a suite already compares all agents
    on the same instances.
    """

    tasks: tuple[str, ...]
    agents: tuple[str, ...]
    repeats: int

    def __len__(self) -> int:
        """Count the trials."""
        return len(self.tasks) * len(self.agents) * self.repeats

    def cell(self, n: int) -> Planned:
        """Return the trial that is number `n` in the order."""
        rest, agent = divmod(n, len(self.agents))
        repeat, task = divmod(rest, len(self.tasks))
        return Planned(n=n, task=self.tasks[task], agent=self.agents[agent], repeat=repeat)

    def meeting(self, task: str, repeat: int) -> range:
        """Return the numbers of the trials that meet one instance."""
        first = (repeat * len(self.tasks) + self.tasks.index(task)) * len(self.agents)
        return range(first, first + len(self.agents))


@dataclass(frozen=True, slots=True)
class SuiteFolder:
    """One suite on disk.

    ```
    <store>/index.sqlite     over all suites of the store
    <store>/<suite>/
      suite.yaml             what was asked, as resolved, with the digests of tasks and agents
      suite.json             the product, the tasks as they were, the commitment to the key
      events.jsonl           what was done to it: begun, resumed, queued again, revealed …
      trials/                a folder an attempt: <number>.<task>.<agent>.r<repeat>.a<attempt>
      instances/             seed and answers of an instance once its last trial is over
    ```
    """

    root: Path

    @property
    def id(self) -> str:
        """The suite's id."""
        return self.root.name

    @property
    def suite_file(self) -> Path:
        """What was asked, for people."""
        return self.root / "suite.yaml"

    @property
    def plan_file(self) -> Path:
        """What was asked, for us; written last, so that a suite without it was never begun."""
        return self.root / "suite.json"

    @property
    def events_file(self) -> Path:
        """What was done to the suite."""
        return self.root / "events.jsonl"

    @property
    def stop_file(self) -> Path:
        """There while somebody wants it to stop: `gently` or `now`."""
        return self.root / "stop"

    @property
    def trials(self) -> Path:
        """The attempts."""
        return self.root / "trials"

    def instance(self, task: str, repeat: int) -> Path:
        """Where an instance is published when nobody will meet it any more."""
        return self.root / "instances" / f"{task}.r{repeat}"

    def published(self) -> set[str]:
        """Return the names of the instances that are published."""
        place = self.root / "instances"
        return {entry.name for entry in os.scandir(place)} if place.is_dir() else set()

    def attempt(self, cell: Planned, attempt: int) -> Path:
        """Return the folder of one attempt."""
        agent = re.sub(r"[^A-Za-z0-9-]+", "-", cell.agent)[:40]
        return self.trials / f"{cell.n:06d}.{cell.task}.{agent}.r{cell.repeat}.a{attempt}"

    def attempts(self) -> dict[int, list[tuple[int, Path]]]:
        """Return attempts and their folders by the trial's number, each list in order."""
        found: dict[int, list[tuple[int, Path]]] = {}
        for folder in self.trials.iterdir() if self.trials.is_dir() else ():
            if match := _TRIAL.fullmatch(folder.name):
                found.setdefault(int(match[1]), []).append((int(match[2]), folder))
        return {n: sorted(found[n]) for n in sorted(found)}

    def attempts_of(self, cell: Planned, most: int) -> list[tuple[int, Path]]:
        """Return the attempts 1 … `most` of one trial that have a folder."""
        named = ((number, self.attempt(cell, number)) for number in range(1, most + 1))
        return [(number, folder) for number, folder in named if folder.is_dir()]

    def load(self) -> dict[str, Any]:
        """Read the plan.

        Raises:
            InvalidInput: It is no plan of ours.
        """
        try:
            plan: dict[str, Any] = json.loads(self.plan_file.read_bytes())
            self.product(plan)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{self.plan_file}: no plan of a suite: {error}") from error
        return plan

    @staticmethod
    def product(plan: dict[str, Any]) -> Product:
        """Return the product of a plan."""
        return Product(
            tasks=tuple(task["id"] for task in plan["tasks"]),
            agents=tuple(agent["name"] for agent in plan["agents"]),
            repeats=plan["repeats"],
        )

    def append(self, event: str, **fields: Any) -> None:
        """Add a line to the events, durably."""
        append_event(self.events_file, event, **fields)

    def why_stopped(self) -> str | None:
        """Return why its last runner stopped before the end; None if nothing stopped it."""
        last = next(reversed(read_events(self.events_file)), None)
        return str(last["why"]) if last is not None and last["event"] == "stopped" else None

    def looks(self) -> list[dict[str, Any]]:
        """Return the looks that were taken before its end, each once."""
        events = read_events(self.events_file)
        return list({one["number"]: one for one in events if one["event"] == "look"}.values())

    def kept_in(self) -> str | None:
        """Return the identity of the index that holds it; None before any has."""
        found = [one for one in read_events(self.events_file) if one["event"] == "kept"]
        return str(found[-1]["identity"]) if found else None

    def kept_at(self) -> str | None:
        """Return the name of that index, for people."""
        found = [one for one in read_events(self.events_file) if one["event"] == "kept"]
        return str(found[-1]["at"]) if found else None

    def queued_again(self) -> dict[int, int]:
        """Return the trials a person has queued again, and after which attempt."""
        found: dict[int, int] = {}
        for event in read_events(self.events_file):
            if event["event"] == "queued again":
                found.update(dict(event["trials"]))
        return found


def append_event(file: Path, event: str, **fields: Any) -> float:
    """Add an event durably and return its time; a line a crash has torn gets an end first."""
    now = time.time()
    line = json.dumps({"time": now, "event": event, **fields}) + "\n"
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, ("\n" * torn + line).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    return now


def suites_in(store: Path) -> list[SuiteFolder]:
    """Return the suites of a store that were begun, by name."""
    folders: Iterator[Path] | Sequence[Path] = store.iterdir() if store.is_dir() else ()
    found = [SuiteFolder(folder) for folder in sorted(folders)]
    return [one for one in found if one.id[0] != "." and one.plan_file.is_file()]
