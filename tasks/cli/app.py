"""The command line as one Typer application."""

from collections.abc import Callable, Collection, Sequence

import typer

import tasks
from tasks.cli import (
    agents,
    cache,
    calibrate,
    catalogue,
    compare,
    data,
    doctor,
    export,
    gateway,
    image,
    index,
    mcp,
    power,
    regrade,
    replay,
    run,
    selftest,
    sound,
    suite,
)
from tasks.cli.options import HELP

COMMANDS: dict[str, Callable[..., None]] = {
    "list": catalogue.list_tasks,
    "show": catalogue.show,
    "create": catalogue.create,
    "config": catalogue.config,
    "generate-data": data.generate_data,
    "run": run.run,
    "validate": data.validate,
    "check-submission": data.check_submission,
    "check": sound.check,
    "calibrate": calibrate.calibrate,
    "gateway": gateway.gateway,
    "mcp": mcp.mcp,
    "leaderboard": compare.leaderboard,
    "compare": compare.compare,
    "power": power.power,
    "regrade": regrade.regrade,
    "replay": replay.replay,
    "export": export.export,
    "doctor": doctor.doctor,
    "selftest": selftest.selftest,
}
GROUPS: dict[str, typer.Typer] = {
    "agents": agents.app,
    "suite": suite.app,
    "index": index.app,
    "cache": cache.app,
    "image": image.app,
}


def app_for(words: Sequence[str]) -> typer.Typer:
    """Return the application as far as these words need it: all of it takes 25 ms to make."""
    called = next((word for word in words if not word.startswith("-")), None)
    known = {*COMMANDS, *GROUPS}
    return _application({called} if called in known else known)


def _application(names: Collection[str]) -> typer.Typer:
    app = typer.Typer(
        name="aexp",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )
    for name, command in COMMANDS.items():
        if name in names:
            app.command(name)(command)
    for name, group in GROUPS.items():
        if name in names:
            app.add_typer(group, name=name)
    app.callback()(_common)
    return app


def _common(
    context: typer.Context,
    *,
    verbose: bool = typer.Option(False, "--verbose", help="Show tracebacks."),  # noqa: ARG001
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    """Define, run and honestly grade machine-learning tasks for AI agents."""
    # `--verbose` is read where errors end up.
    if version:
        typer.echo(f"aexp {tasks.__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


run_app = typer.Typer(
    name="run_task.py",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=HELP,
)
run_app.command()(run.run)
