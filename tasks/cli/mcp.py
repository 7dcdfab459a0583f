"""`mcp`: what an agent may ask, as tools of the Model Context Protocol."""

from pathlib import Path
from typing import Annotated

import typer

from tasks.cli.lookups import load_folders
from tasks.cli.options import TasksDir


def mcp(
    *,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where practice data are made, outside of a trial.")
    ] = Path("practice"),
    tasks_dir: TasksDir = None,
) -> None:
    """Serve list_tasks, get_task, validate, submit and budget on standard input and output.

    Within a trial the tools are about that trial. Needs the extra `mcp`.
    """
    from tasks.mcp_server import Bench, server

    load_folders(tasks_dir)
    server(Bench(folder.absolute())).run("stdio")
