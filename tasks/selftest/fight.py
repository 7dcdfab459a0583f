"""Run attacks against a runtime, and judge what came of each."""

import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks import datasets
from tasks.collect import Collected, collect
from tasks.errors import counted
from tasks.files import pretty_json
from tasks.grading import Outputs
from tasks.instance import Categorical, Seed
from tasks.outcome import Limits, Outcome
from tasks.prepared import Prepared, prepare
from tasks.runtimes import procfs
from tasks.runtimes.base import Runtime
from tasks.scratch import scratch
from tasks.selftest.arena import Arena
from tasks.selftest.attack import PRELUDE, Attack
from tasks.spec import Task
from tasks.validator import validator_for
from tasks.workspace import Workspace

LATE_S = 3.0
"""Beyond limit and grace, by the outcome's clock; the machine may be busy."""

STUCK_S = 60.0
"""Beyond that by ours: a container engine may take long to begin."""

ENGINE_S = 20.0
"""What a container engine may take besides, to make a container and to remove it."""

GONE_S = 1.0
TAG = "AEXP_ATTACK"

_BROKEN = ("Traceback ", "  File ", "SyntaxError")

CHANCE_SE = 3.0
"""Standard errors above the floor that a score without knowledge may reach."""

_TASK = {
    "id": "selftest",
    "name": "Selftest",
    "task_type": "classification",
    "data_requirements": {"n_samples": 60, "n_test": 500, "n_features": 4},
}

_DRAWING = threading.Lock()

_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one attack."""

    attack: Attack
    findings: tuple[str, ...]
    """What it gained, changed or outlived; none: it was held."""
    promised: bool
    """Whether this runtime promises to hold it here; it is not run where it does not."""
    reason: str = ""
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether nothing came of it."""
        return self.promised and not self.findings


def fight(attacks: Iterable[Attack], runtime: Runtime) -> Iterator[Verdict]:
    """Run each attack that the runtime promises to hold; yield its verdict.

    Raises:
        MissingPart: The runtime does not work here.
    """
    runtime.check()
    with Arena() as arena, scratch("selftest") as folder:
        for attack in attacks:
            yield fight_one(attack, runtime, arena, folder)


def fight_one(
    attack: Attack, runtime: Runtime, arena: Arena, folder: Path, *, dared: bool = False
) -> Verdict:
    """Run one attack in a workspace of its own below `folder`; `dared`, promised or not."""
    limits = attack.run_limits()
    if not dared and not attack.is_promised(runtime.enforces(limits)):
        return Verdict(attack=attack, findings=(), promised=False)
    prepared = given()
    workspace, public = _laid_out(folder, attack, prepared, linked=runtime.home is None)
    tag = secrets.token_hex(16)
    env = {**_ENV, TAG: tag, "AEXP_TARGETS": arena.targets()}
    python = sys.executable if runtime.host_programs else "python3"
    command = [python, "-I", "-S", "-c", PRELUDE + attack.script]
    started = time.monotonic()
    outcome = runtime.run(command, workspace, env, limits)
    wall_s = time.monotonic() - started
    own_s = wall_s if runtime.host_programs else wall_s - ENGINE_S
    findings = [*_said(workspace), *_ended(attack, outcome, own_s, limits)]
    findings += [*_alive(tag), *arena.touched(), *_changed(workspace, public)]
    findings += _scored(workspace, collect(workspace, limits), prepared)
    findings += _carried(workspace, arena)
    return Verdict(
        attack=attack,
        findings=tuple(findings),
        promised=True,
        reason=outcome.reason,
        seconds=wall_s,
    )


def _laid_out(
    folder: Path, attack: Attack, prepared: Prepared, *, linked: bool
) -> tuple[Workspace, dict[str, str]]:
    """Make what a trial would find; return it, and the digests of its public files."""
    workspace = Workspace.create(folder, attack.id)
    workspace.public.mkdir()
    public = prepared.write_public(workspace.public)
    for name in ("submission", "code", "logs", "agent"):
        (workspace.home / name).mkdir(parents=True)
    if linked:
        (workspace.home / "data").symlink_to("../public")
    else:
        (workspace.home / "data").mkdir()
    for name in ("results", "models"):
        (workspace.experiments / name).mkdir(parents=True)
    workspace.write_json(workspace.trial_file, {})
    workspace.events_file.write_text("")
    return workspace, public


def _said(workspace: Workspace) -> Iterator[str]:
    """Yield what the script owned up to; one that broke down has tried nothing."""
    with workspace.log_file.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(2**20).splitlines()
    for line in lines:
        if line.startswith("GAINED "):
            yield line.removeprefix("GAINED ")
    if any(line.startswith(_BROKEN) for line in lines):
        yield f"the script itself is broken: {lines[-1][:200]}"


def _ended(attack: Attack, outcome: Outcome, wall_s: float, limits: Limits) -> Iterator[str]:
    if outcome.reason == "infrastructure":
        yield f"broke the harness: {outcome.detail}"
    if outcome.reason == "never started":
        yield f"was never started, so that nothing was tried: {outcome.detail}"
    if attack.reason is not None and outcome.reason != attack.reason:
        yield f"ended as {outcome.reason!r} ({outcome.detail}), not {attack.reason!r}"
    latest = limits.time_s + limits.grace_s + LATE_S
    if outcome.seconds > latest or wall_s > latest + STUCK_S:
        yield f"held the harness up for {wall_s:.1f} s; the limit was {limits.time_s:g} s"
    if problem := attack.judge(outcome):
        yield problem


def _alive(tag: str) -> Iterator[str]:
    """Yield that processes of the attack still are; the kernel may take a moment."""
    until = time.monotonic() + GONE_S
    while found := _tagged(tag):
        if time.monotonic() > until:
            yield f"outlived its end: {counted(len(found), 'process', 'processes')}"
            return
        time.sleep(0.05)


def _tagged(tag: str) -> list[int]:
    mark = f"{TAG}={tag}".encode()
    return [
        pid
        for pid, process in procfs.processes().items()
        if not process.zombie and mark in procfs.read(f"/proc/{pid}/environ", 2**17)
    ]


def _changed(workspace: Workspace, public: dict[str, str]) -> Iterator[str]:
    """Yield what it changed of what is not its own; what is ours is put right again."""
    if tampered := workspace.reclaim(pretty_json({}), []):
        yield f"changed files of the trial: {', '.join(tampered)}"
    if datasets.digests(workspace.public) != public:
        yield "changed the public files"


def _carried(workspace: Workspace, arena: Arena) -> Iterator[str]:
    """Yield what its outputs and its log carry out, once they are collected like any trial's."""
    mark = arena.token.encode()
    for path in (workspace.log_file, *sorted(workspace.outputs.rglob("*"))):
        if path.is_symlink():
            yield f"a link was collected: {path.name}"
        elif path.is_file() and _holds(path, mark):
            yield f"got hold of the secret: it is in {path.name}"


def _scored(workspace: Workspace, collected: Collected, prepared: Prepared) -> Iterator[str]:
    """Yield that what it submitted is worth more than what needs no knowledge."""
    task = prepared.task
    outputs = Outputs(workspace.outputs, refused=collected.refused)
    found = validator_for(task).grade(task, prepared.hidden, outputs, sealed=False)
    mark = found.scores.get("accuracy")
    if not mark:
        return
    law = prepared.instance.answers.law if prepared.instance.answers else None
    # Whoever says one class of all rows may happen to say the commonest of the test rows.
    luck = float(law.p.mean(axis=0).max()) if isinstance(law, Categorical) else 0.0
    known = max(mark["floor"], luck)
    if mark["score"] > known + CHANCE_SE * mark["se"]:
        yield f"scored {mark['score']:.3f}; what needs no knowledge scores {known:.3f}"


def given() -> Prepared:
    """Return the instance that every attack is given, as a trial would give it."""
    with _DRAWING:  # several attacks may begin at once, and one instance is for all of them
        return _drawn()


@lru_cache(maxsize=1)
def _drawn() -> Prepared:
    return prepare(Task.from_dict(_TASK, source="aexp selftest"), Seed.fresh())


def _holds(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return mark in file.read(2**26)
