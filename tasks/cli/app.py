"""The command line as one Typer application."""

from collections.abc import Callable

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
    regrade,
    replay,
    run,
    selftest,
    sound,
    suite,
)

app = typer.Typer(
    name="aexp",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
    "power": compare.power,
    "regrade": regrade.regrade,
    "replay": replay.replay,
    "export": export.export,
    "doctor": doctor.doctor,
    "selftest": selftest.selftest,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(agents.app)
app.add_typer(suite.app)
app.add_typer(index.app)
app.add_typer(cache.app)
app.add_typer(image.app, name="image")


@app.callback()
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
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_app.command()(run.run)
