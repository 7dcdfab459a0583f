"""`index`: the index over a store of suites."""

import typer

from tasks.cli import console
from tasks.cli.suite import Out, StoreUrl
from tasks.cli.suite_view import RUNS
from tasks.errors import counted

app = typer.Typer(
    name="index",
    help="The index over run folders; the folders are the truth.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _common() -> None:
    """Keep `rebuild` a command of its own."""


@app.command()
def rebuild(out: Out = RUNS, store: StoreUrl = None) -> None:
    """Make the index of a store anew from its folders."""
    from tasks.store.rebuild import rebuild as make_anew

    count = make_anew(out.absolute(), store)
    console.out(f"{out}: {counted(count, 'suite')}")
