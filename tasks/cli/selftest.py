"""`selftest`: attack the runtimes of this machine, as hostile agents would."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console
from tasks.cli.options import Json
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.selftest.fight import Verdict


def selftest(
    *,
    hostile: Annotated[
        bool, typer.Option("--hostile", help="Run the collection of hostile agents.")
    ] = False,
    runtime: Annotated[
        list[str] | None, typer.Option("--runtime", help="Which one; may be repeated.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Attacks whose id begins so, such as net-.")
    ] = None,
    json_: Json = False,
) -> None:
    """Run hostile agents against each runtime and say which are held; exit 1 if one is not.

    An attack that a runtime does not promise to hold, since it has no such wall, is not run.
    """
    if not hostile:
        raise UsageError("selftest needs --hostile (`aexp doctor` has the quick test of each part)")
    from tasks.runtimes.named import runtime_named
    from tasks.selftest.attacks import ATTACKS, HONEST
    from tasks.selftest.fight import fight

    attacks = [attack for attack in ATTACKS if attack.id.startswith(only or "")]
    if not attacks:
        raise UsageError(f"--only {only}: no attack begins so")
    found: list[dict[str, Any]] = []
    for chosen in [runtime_named(name) for name in runtime or ["local"]]:
        for verdict in fight([HONEST, *attacks], chosen):
            found.append({"runtime": chosen.name, **_row(verdict)})
            if not json_:
                _say(chosen.name, verdict)
    if json_:
        console.out_json(found)
    broken = [row for row in found if row["promised"] and not row["held"]]
    if not json_:
        held = sum(row["held"] for row in found)
        console.out(
            f"{held} held, {len(broken)} not held, {len(found) - held - len(broken)} not run"
        )
    if broken:
        raise typer.Exit(1)


def _row(verdict: "Verdict") -> dict[str, Any]:
    return {
        "attack": verdict.attack.id,
        "threat": verdict.attack.threat,
        "promised": verdict.promised,
        "held": verdict.held,
        "findings": list(verdict.findings),
        "reason": verdict.reason,
        "seconds": round(verdict.seconds, 3),
    }


def _say(runtime: str, verdict: "Verdict") -> None:
    word = "held" if verdict.held else "NOT HELD" if verdict.promised else "no such wall"
    findings = console.printable("; ".join(verdict.findings))
    line = f"{runtime}  {verdict.attack.threat:3} {verdict.attack.id:20}  {word:12}  {findings}"
    console.out(line.rstrip())
