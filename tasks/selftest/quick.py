"""The quick test of a runtime: one attack or two on each part of its walls."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TasksError
from tasks.runtimes.base import Runtime
from tasks.scratch import scratch
from tasks.selftest.arena import Arena
from tasks.selftest.attack import Attack
from tasks.selftest.attacks import ATTACKS, QUICK
from tasks.selftest.fight import Verdict, fight_one

AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the test of one part found."""

    part: str
    held: bool
    """False too where it is not promised."""
    mechanism: str
    """What is said to enforce it; a dash where nothing is."""
    findings: tuple[str, ...]


def probe(runtime: Runtime) -> list[Probe]:
    """Attack each part of a runtime's walls, several at once.

    Raises:
        MissingPart: The runtime does not work here.
    """
    runtime.check()
    by_id = {attack.id: attack for attack in ATTACKS}
    names = [name for part in QUICK.values() for name in part]
    with (
        Arena() as arena,
        scratch("doctor") as folder,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        verdicts = pool.map(lambda name: _tried(by_id[name], runtime, arena, folder), names)
        found = dict(zip(names, verdicts, strict=True))
    return [_probe(part, [found[name] for name in ids], runtime) for part, ids in QUICK.items()]


def _tried(attack: Attack, runtime: Runtime, arena: Arena, folder: Path) -> Verdict:
    try:
        return fight_one(attack, runtime, arena, folder)
    except TasksError as error:
        return Verdict(attack=attack, findings=(str(error),), promised=True)


def _probe(part: str, verdicts: list[Verdict], runtime: Runtime) -> Probe:
    findings = tuple(text for verdict in verdicts for text in verdict.findings)
    first = verdicts[0].attack
    enforced = runtime.enforces(first.run_limits())
    walls = first.walls or ("time",)
    return Probe(
        part=part,
        held=all(verdict.held for verdict in verdicts),
        mechanism=enforced.get(walls[0]) or "-",
        findings=findings,
    )
