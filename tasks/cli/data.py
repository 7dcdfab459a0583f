"""`generate-data`, `validate`, `check-submission`: instances and results in folders."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.cli import console
from tasks.cli.lookups import find_task, with_samples
from tasks.cli.options import Json, TaskOrFile, TasksDir
from tasks.errors import InvalidInput, UsageError

if TYPE_CHECKING:
    from tasks.prepared import Prepared

LONG_ROWS = 200_000
"""From here on writing takes long enough to show a progress bar."""


class TableFormat(StrEnum):
    """How tables are written."""

    csv = "csv"
    parquet = "parquet"


SeedNumber = Annotated[
    int | None,
    typer.Option("--seed", help="A seed of your own; by default the task's public practice seed."),
]
Samples = Annotated[int | None, typer.Option("--n-samples", help="Another number of rows.")]


def generate_data(
    task_id: TaskOrFile,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    *,
    seed: SeedNumber = None,
    n_samples: Samples = None,
    table_format: Annotated[TableFormat, typer.Option("--format")] = TableFormat.csv,
    with_answers: Annotated[
        bool, typer.Option("--with-answers", help="Write DIR/private too: answers and their law.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Write into a folder that is not empty.")] = False,
    tasks_dir: TasksDir = None,
) -> None:
    """Write a task's data to a folder, as an agent would get them."""
    task = with_samples(find_task(task_id, tasks_dir), n_samples)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: there is a file of this name")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder}: not empty; --force writes into it and replaces its data")
    from tasks.instance import Seed
    from tasks.prepared import prepare

    chosen = Seed.practice(task.id) if seed is None else Seed.public(seed)
    ready = prepare(task, chosen)
    with _staged(folder) as staging:
        _write(ready, staging, table_format, with_answers=with_answers)
    for path in sorted(folder.iterdir()):
        size = "" if path.is_dir() else f"  {console.size(path.stat().st_size)}"
        console.out(f"{path}{size}")
    same = "" if seed is None else f" --seed {seed}"
    same += "" if n_samples is None else f" --n-samples {n_samples}"
    console.say(f"next: work on {folder}, then: aexp validate {task_id} RESULTS_DIR{same}")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder`, whose content moves there only if all went well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield staging
        folder.mkdir(exist_ok=True)
        _remove_earlier(folder, {path.name for path in staging.iterdir()})
        for path in sorted(staging.iterdir()):
            target = folder / path.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            os.replace(path, target)  # noqa: PTH105 - atomic, file by file
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _remove_earlier(folder: Path, names: set[str]) -> None:
    """Remove what an earlier instance would leave beside the new one: tables and answers."""
    for name in names:
        for old, new in ((".csv", ".parquet"), (".parquet", ".csv")):
            if name.endswith(new):
                (folder / name.removesuffix(new)).with_suffix(old).unlink(missing_ok=True)
    private = folder / "private"
    if "private" not in names and (private / "manifest.json").is_file():
        shutil.rmtree(private)


def _write(
    ready: "Prepared", staging: Path, table_format: TableFormat, *, with_answers: bool
) -> None:
    from tasks import datasets
    from tasks.instance import Table
    from tasks.prepared import manifest_of

    tables = [part for part in ready.instance.public.values() if isinstance(part, Table)]
    total = sum(table.n_rows for table in tables)
    with _progress(total) as on_rows:
        datasets.write_public(
            ready.task, ready.instance, staging, table_format=table_format.value, on_rows=on_rows
        )
    if with_answers:
        manifest = {**manifest_of(ready), "hashes": datasets.digests(staging)}
        datasets.write_private(ready.instance, ready.seed, staging / "private", manifest)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None] | None]:
    if total < LONG_ROWS or not sys.stderr.isatty():
        yield None
        return
    with typer.progressbar(length=total, label="writing rows", file=sys.stderr) as bar:
        yield bar.update


def validate(
    task_id: TaskOrFile,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The results of an agent.")],
    *,
    seed: SeedNumber = None,
    n_samples: Samples = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The data folder: checked to be of this draw; if made with --with-answers, its "
            "answers are used."
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what the columns mean.")] = False,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Grade results made on data from `generate-data`; exit status 1 if criteria are not met."""
    task = with_samples(find_task(task_id, tasks_dir), n_samples)
    from tasks import datasets
    from tasks.validator import draw_words, validator_for

    evaluation = validator_for(task).evaluate_task(task, folder, seed=seed, data_dir=data)
    own = data is not None and datasets.has_answers(data)
    graded_on = f"the answers in {data}" if own else draw_words(seed)
    if json_:
        console.out_json({**evaluation.as_dict(), "graded_on": graded_on})
    else:
        from tasks.cli.report import print_evaluation

        print_evaluation(evaluation, explain=explain, graded_on=graded_on)
    if evaluation.submission and not evaluation.submission["valid"]:
        raise typer.Exit(4)
    if not evaluation.success:
        raise typer.Exit(1)


def check_submission(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A submission or its folder.")],
    *,
    data: Annotated[Path, typer.Option(help="The public data folder.")] = Path(),
    json_: Json = False,
) -> None:
    """Check the form of a submission without answers; measures nothing."""
    from tasks import datasets, grading
    from tasks.datasets.folders import CONFIG_FILE

    if not (data / CONFIG_FILE).is_file():
        raise InvalidInput(
            f"{data}: no data folder, as there is no {CONFIG_FILE} in it: give the "
            "public one with --data DIR"
        )
    checked = grading.check_submission(place, datasets.read_contract(data))
    problems = [str(problem) for problem in checked.problems]
    if json_:
        payload = {"valid": not problems, "file": checked.file, "problems": problems}
        console.out_json(payload)
    else:
        console.out("\n".join(problems) if problems else f"valid: {checked.file}")
    if problems:
        raise typer.Exit(4)
