"""`cache`: the public files of large instances, which trials of suites share."""

import time
from typing import Annotated

import typer

from tasks.cli import console
from tasks.cli.options import Json, group, parse_size, parse_time
from tasks.cli.suite_view import duration
from tasks.errors import counted

app = group("Public files of large instances, shared by the trials of suites; no answers.")


@app.command("list")
def list_entries(*, json_: Json = False) -> None:
    """Show what is kept, the longest unused first."""
    from tasks.suite import cache

    found, now = cache.entries(), time.time()
    if json_:
        entries = [
            {"key": one.folder.name, "task": one.task, "bytes": one.n_bytes, "used": one.used}
            for one in found
        ]
        console.out_json({"folder": str(cache.place()), "entries": entries})
        return
    rows = [
        (one.folder.name[:12], one.task, console.size(one.n_bytes), duration(now - one.used))
        for one in found
    ]
    if rows:
        console.table(("KEY", "TASK", "SIZE", "UNUSED FOR"), rows)
    total = console.size(sum(one.n_bytes for one in found))
    console.out(f"{counted(len(found), 'instance')}, {total}, in {cache.place()}")


@app.command()
def prune(
    *,
    unused: Annotated[
        float | None,
        typer.Option(
            "--unused",
            help="Only what no trial was given for so long: 7d.",
            parser=parse_time,
            metavar="TIME",
        ),
    ] = None,
    max_size: Annotated[
        int | None,
        typer.Option(
            "--max-size",
            help="The longest unused, until so much is left: 10g.",
            parser=parse_size,
            metavar="SIZE",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Remove what is kept, all of it or a part; running trials write anew what they miss."""
    from tasks.suite import cache

    gone = cache.prune(unused_s=unused, most_bytes=max_size)
    freed = sum(one.n_bytes for one in gone)
    if json_:
        console.out_json({"removed": len(gone), "bytes": freed})
        return
    console.out(f"removed {counted(len(gone), 'instance')}, {console.size(freed)}")
