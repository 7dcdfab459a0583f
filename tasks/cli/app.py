"""The command line as one Typer application."""

from collections.abc import Callable

import typer

from tasks.cli import catalogue, data, doctor, run, sound

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
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback()
def _common(
    context: typer.Context,
    *,
    verbose: bool = typer.Option(False, "--verbose", help="Show tracebacks."),  # noqa: ARG001
) -> None:
    """Define, run and honestly grade machine-learning tasks for AI agents."""
    # `--verbose` is read where errors end up.
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
