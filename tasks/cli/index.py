"""`index`: the index over a store of suites."""

from tasks.cli import console
from tasks.cli.options import RUNS, Store, StoreUrl, group
from tasks.errors import counted

app = group("The index over run folders; the folders are the truth.")


@app.callback()
def _common() -> None:
    """Keep `rebuild` a command of its own."""


@app.command()
def rebuild(out: Store = RUNS, store: StoreUrl = None) -> None:
    """Make the index of a store anew from its folders."""
    from tasks.store.rebuild import rebuild as make_anew

    count = make_anew(out.absolute(), store)
    console.out(f"{out}: {counted(count, 'suite')}")
