"""`export`: trials in other people's formats, and in trackers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks import plugins
from tasks.cli import console
from tasks.cli.lookups import folders_of_tasks, load_folders
from tasks.cli.options import TasksDir, TrialPlace
from tasks.cli.tracking import export_to
from tasks.errors import UnknownName, UsageError, counted, suggestion

if TYPE_CHECKING:
    from tasks.comparison.records import Trials

TABLES = ("parquet", "csv")


def export(
    place: TrialPlace,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A new or empty folder; may be left out for trackers."),
    ] = None,
    *,
    to: Annotated[
        str,
        typer.Option("--to", help="csv, parquet or mlebench; a tracker: mlflow, trackio or wandb."),
    ],
    tasks_dir: TasksDir = None,
) -> None:
    """Write trials as MLE-bench's run groups and grading reports, as tables, or into a tracker.

    A tracker gets what `--track` would have told it live.
    MLE-bench ranks every task on a leaderboard; a task without one gets a synthetic one, evenly
    spread over skill. Trials that are nobody's result are left out and listed in aexp.json.
    """
    trackers = plugins.names("tracker")
    if ":" not in to and to not in {"mlebench", *TABLES, *trackers}:
        raise UnknownName(f"no format {to!r}{suggestion(to, ['mlebench', *TABLES, *trackers])}")
    if to not in ("mlebench", *TABLES):
        export_to(to, place, folder)
        return
    if folder is None:
        raise UsageError(f"--to {to} needs a folder: aexp export {place} DIR --to {to}")
    from tasks.comparison import records
    from tasks.exports import tables

    load_folders(tasks_dir)
    trials = records.read([place])
    tables.new_folder(folder)
    if to in TABLES:
        for file in tables.write_tables(trials, folder, to):
            console.out(str(file))
        return
    _export_to_mlebench(trials, folder)


def _export_to_mlebench(trials: "Trials", folder: Path) -> None:
    from tasks.exports import mlebench

    groups = mlebench.export(trials.records, folder, folders_of_tasks())
    for group in groups:
        console.out(str(group.folder))
        medal = group.metrics["any_medal_percentage"]
        left_out = f"; {group.left_out} left out" if group.left_out else ""
        console.out(
            f"  {console.printable(group.agent)}: any medal {medal.mean:.1f} ± "
            f"{medal.standard_error:.1f} % (mean ± SEM, {counted(group.seeds, 'seed')}), "
            f"{counted(group.runs, 'run')}{left_out}"
        )
    for agent in sorted({one.agent for one in trials.records} - {group.agent for group in groups}):
        console.say(f"left out: {console.printable(agent)}, of which no trial is a result")
    console.say(f"next: mlebench grade reads {folder}/*/submission.jsonl")
