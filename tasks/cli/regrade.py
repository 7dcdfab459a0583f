"""`regrade`: grading again without running again."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tasks import registry
from tasks.cli import console
from tasks.cli.lookups import folder_of_trials, load_folders
from tasks.cli.options import Json, TasksDir, TrialPlace
from tasks.errors import UnknownName

if TYPE_CHECKING:
    from tasks.regrade import Regraded


def regrade(
    place: TrialPlace,
    *,
    current: Annotated[
        bool,
        typer.Option("--current", help="By today's definition of each task, not the trial's own."),
    ] = False,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Grade trials again from what lies on disk; exit status 4 if one is refused.

    The old report is kept as report.1.json, report.2.json …; trials whose seed is not revealed
    yet are left alone; outputs or answers that are not as the trial left them are refused.
    """
    from tasks.comparison.records import trial_folders
    from tasks.regrade import Regrader

    folder = folder_of_trials(place)
    load_folders(tasks_dir)
    regrader = Regrader(current=registry if current or tasks_dir else None)
    found = []
    for one in regrader.trials(trial_folders(folder)):
        found.append(one)
        if not json_:
            console.out(_line(one))
    if not found:
        raise UnknownName(f"{place}: no trials there")
    counts = Counter(one.verdict for one in found)
    if json_:
        console.out_json({"counts": counts, "trials": [asdict(one) for one in found]})
    else:
        console.out(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    if counts["refused"]:
        raise typer.Exit(4)


def _line(one: "Regraded") -> str:
    words = f"{one.verdict:<10} {one.trial}"
    if one.verdict == "changed":
        words += f": {_told(one.before, one.success_before)} -> "
        words += f"{_told(one.after, one.success_after)}, was kept as {one.kept}"
    detail = f": {one.detail}" if one.detail else ""
    return console.printable(words + detail)


def _told(score: float | None, success: bool | None) -> str:  # noqa: FBT001 - a report's value
    if score is None:
        return "void"
    return f"{score:.3f} ({'success' if success else 'no success'})"
