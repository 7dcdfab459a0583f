"""A trial's door to its models: opened for an agent, wrapped around its command, summed up."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks import datasets, grading, home
from tasks.agents import DOOR_KEYS, AgentSpec
from tasks.errors import MissingPart
from tasks.gateway import Access, Gateway, forwarder
from tasks.gateway.door import Service
from tasks.gateway.http1 import Head
from tasks.gateway.uploads import uploaded
from tasks.instance import Contract
from tasks.runtimes.base import Runtime
from tasks.scratch import scratch
from tasks.workspace import Workspace

FOLDER = ".door"
"""In the agent's home: the socket, and what leads to it."""

PORT = 5000
"""Of the forwarder, where the agent has a network of its own; there MLE-bench's agents look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDoor:
    """An open door."""

    gateway: Gateway
    seen: str
    """Where the agent sees `FOLDER`."""
    python: str
    """What runs the forwarder: the agent's own Python, so that a sandbox shows its packages."""
    port: int
    env: Mapping[str, str]
    """What the agent is told: its key, the names of models, where its packages are."""
    models: Mapping[str, str]
    """What it leads to; it may also lead to services alone."""

    def wrap(self, command: Sequence[str]) -> list[str]:
        """Return the command behind the forwarder."""
        start = [self.python, "-I", "-S", f"{self.seen}/forwarder.py", f"{self.seen}/door.sock"]
        return [*start, str(self.port), "--", *command]

    def told(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the agent's variables with those of the door; its own programs come first."""
        both = {**env, **self.env}
        if "VIRTUAL_ENV" in both and "PATH" in both:
            both["PATH"] = f"{both['VIRTUAL_ENV']}/bin{os.pathsep}{both['PATH']}"
        return both


def models_of(agent: AgentSpec, granted: Mapping[str, str]) -> dict[str, str]:
    """Return the models of a trial: those the agent calls, by the names the user gives them."""
    return {**agent.keys.models, **granted}


def check(
    access: Access | None, agent: AgentSpec, granted: Mapping[str, str], runtime: Runtime
) -> None:
    """Refuse a trial whose models or packages are not there.

    Raises:
        MissingPart, InvalidInput, UsageError: As `Access.setup`; or `aexp agents setup` is due.
    """
    if runtime.host_programs:
        own_python(agent)
    models = models_of(agent, granted)
    if models:
        (access or Access()).setup(models)


def own_python(agent: AgentSpec) -> Path | None:
    """Return the Python of the agent's own environment; None where it has none.

    Raises:
        MissingPart: It was not made yet.
    """
    environment = agent.environment
    if environment is None:
        return None
    python = environment / "bin" / "python"
    if not (environment / "ready").is_file():
        raise MissingPart(f"the packages of {agent.id} are not here: aexp agents setup {agent.id}")
    return python


@contextmanager
def opened(
    access: Access | None,
    agent: AgentSpec,
    granted: Mapping[str, str],
    workspace: Workspace,
    runtime: Runtime,
    *,
    time_s: float,
    services: Mapping[tuple[str, str], Service] | None = None,
) -> Iterator[TrialDoor | None]:
    """Open a trial's door; None where it would lead to nothing.

    That is so where the agent calls no model, has no packages of its own and gets no feedback.

    Args:
        access: What the user grants; by default the providers whose key is set.
        agent: Its models and its packages.
        granted: Further models, or names for those of the agent.
        workspace: The door is put into its home.
        runtime: How the home is seen.
        time_s: The trial's limit, which the door tells as well.
        services: What else it offers, such as feedback.
    """
    models = models_of(agent, granted)
    python = own_python(agent) if runtime.host_programs else None
    if not models and python is None and not services:
        yield None
        return
    folder = workspace.home / FOLDER
    folder.mkdir()
    shutil.copyfile(forwarder.__file__, folder / "forwarder.py")
    seen = str(home.seen(workspace, runtime.home))
    contract = datasets.read_contract(workspace.public)
    grant = (access or Access()) if models else Access(replay=_nothing(folder))
    seconds = min(time_s, time_s if grant.policy.seconds is None else grant.policy.seconds)
    grant = replace(grant, policy=replace(grant.policy, seconds=seconds))
    setup = grant.setup(
        models,
        ledger=workspace.calls_file,
        places={seen: "{{HOME}}", workspace.root.name: "{{TRIAL}}"},
        services={
            ("GET", "/health"): _health,
            ("POST", "/validate"): _Validation(contract),
        },
        keyed=services,
    )
    with Gateway(setup) as gateway:
        gateway.start_unix(folder)
        token = setup.token
        yield TrialDoor(
            gateway=gateway,
            seen=f"{seen}/{FOLDER}",
            python=str(python or (sys.executable if runtime.host_programs else "python3")),
            # Without a network of its own all trials share the ports of the host.
            port=0 if runtime.home is None else PORT,
            models=models,
            env={
                "AEXP_DOOR_KEY": token,
                **(dict.fromkeys(DOOR_KEYS, token) if models else {}),
                **({"AEXP_MODEL": next(iter(models))} if models else {}),
                **({} if python is None else {"VIRTUAL_ENV": str(python.parent.parent)}),
            },
        )


def _nothing(folder: Path) -> Path:
    """Return an empty cassette: a door that leads to no model."""
    path = folder / "none"
    path.touch()
    return path


async def _health(_head: Head, _body: bytes) -> tuple[int, dict[str, Any]]:
    return 200, {"status": "running"}


class _Validation:
    """MLE-bench's `POST /validate`: the form of a submission, and never a score."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._lock = asyncio.Lock()

    async def __call__(self, head: Head, body: bytes) -> tuple[int, dict[str, Any]]:
        content = uploaded(head.fields.get("content-type", ""), body)
        if content is None:
            return 400, {"error": "send the file as the field `file` of a form"}
        async with self._lock:
            return 200, {"result": await asyncio.to_thread(self._said, content)}

    def _said(self, content: bytes) -> str:
        with scratch("submission") as folder:
            file = folder / "submission.csv"
            file.write_bytes(content)
            problems = grading.check_submission(file, self._contract).problems
        if not problems:
            return "Submission is valid."
        return "Submission invalid! " + "\n".join(str(problem) for problem in problems)
