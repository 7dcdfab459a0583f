"""The command line: a file per group of commands, heavy imports inside commands."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `aexp …`; return its exit status."""
    from tasks.cli.app import app_for

    given = _given(arguments)
    return _run(app_for(given), "aexp", given)


def run_task(arguments: Sequence[str] | None = None) -> int:
    """Run `python run_task.py …`; return its exit status."""
    from tasks.cli.app import run_app

    return _run(run_app, "run_task.py", _given(arguments))


def _given(arguments: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if arguments is None else arguments)


def _run(app: Callable[..., Any], program: str, given: list[str]) -> int:
    """Call a Typer application; turn every ending into a status and at most one line."""
    import typer

    from tasks.cli import console

    console.typed = (program, *given)
    try:
        status = app(args=given, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return _complain(program, "interrupted", 130)
    except BrokenPipeError:
        # The reader of our output is gone, as in `aexp list | head -1`; nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost border: people get a line
        if "--verbose" in (given[: given.index("--")] if "--" in given else given):
            import traceback

            traceback.print_exc()
        return _complain(program, *_ending(error, program))
    return status if isinstance(status, int) else 0


def _ending(error: Exception, program: str) -> tuple[str, int]:
    """Return what to say of an error, and the exit status."""
    from tasks.errors import TasksError

    if isinstance(error, TasksError):
        return str(error), error.exit_status
    if isinstance(error, OSError):
        return _os_words(error), 8
    if format_message := getattr(error, "format_message", None):  # Typer's own, about our options
        words = format_message()  # none where the help was shown already
        return words and f"{words} (--help lists what there is)", 2
    where = f"({program} --verbose … shows where)"
    return f"a fault of ours: {type(error).__name__}: {error} {where}", 8


def _complain(program: str, message: str, status: int) -> int:
    from tasks.cli import console

    if message:  # it may hold a name that an agent chose
        console.say(f"{program}: {console.printable(' '.join(message.split()))}")
    return status


def _os_words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    hint = {
        errno.ENOSPC: "; free some space or name another place",
        errno.EROFS: "; name a place that can be written",
        errno.EACCES: "; name a place that you may write",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{hint}"
