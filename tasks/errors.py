"""Everything that can go wrong by name; one class per thing a caller does differently."""

import difflib
import reprlib
import textwrap
from collections.abc import Iterable

BRIEF = 100
"""Characters of a stranger's value that a message shows; it stays one line on a terminal."""
LISTED = 300
"""Characters of a list of known names that a message shows."""


class TasksError(Exception):
    """Base of all errors raised on purpose; `exit_status` is what the command line ends with."""

    exit_status = 8


class UsageError(TasksError):
    """The call's words are off."""

    exit_status = 2


class UnknownName(TasksError):  # noqa: N818 - named for what the caller reads
    """A task, run or plug-in of that name does not exist."""

    exit_status = 3


class InvalidTask(TasksError):  # noqa: N818
    """A task file, or a parameter in it, cannot be used."""

    exit_status = 4


class InvalidInput(TasksError):  # noqa: N818
    """A config, data folder or results folder cannot be used."""

    exit_status = 4


class MissingPart(TasksError):  # noqa: N818
    """A runtime or an optional package is not there; the message holds what would bring it."""

    exit_status = 5


class GraderError(TasksError):
    """Grading itself failed: the trial is void, not zero."""


class InfrastructureError(TasksError):
    """The machine failed us: a full disk, a process that could not be started."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` or the list of known names, ready to append to a message."""
    names = sorted(known)
    lower = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lower[close[0]]!r}?"
    listed = textwrap.shorten(", ".join(names), LISTED, placeholder=" …")
    return f"; known: {listed}" if names else ""


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return `1 agent` or `2 agents`; `many` where that is not the word with an s."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def install(extra: str, *, upgrade: bool = False) -> str:
    """Return the command that brings an optional part, as this installation is kept.

    A checkout is installed from its own folder; its environment, if made by uv, holds no pip.
    """
    import shlex
    import shutil
    from pathlib import Path

    tool = "uv pip" if shutil.which("uv") else "pip"
    root = Path(__file__).resolve().parent.parent
    of = f"aexp[{extra}]"
    if (root / "pyproject.toml").is_file():
        of = f".[{extra}]" if Path.cwd() == root else f"{root}[{extra}]"
        return f"{tool} install {'-U ' if upgrade else ''}-e {shlex.quote(of)}"
    return f"{tool} install {'-U ' if upgrade else ''}{shlex.quote(of)}"


def brief(value: object) -> str:
    """Return a value as a message shows it: printable, on one line, cut where it is long."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = BRIEF
    text = short.repr(value)
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 3]}..."


def word(part: str | int) -> str:
    """Return a key as it stands in the file, unless it would spoil the message."""
    text = str(part)
    return text if text.isprintable() and len(text) <= BRIEF else brief(text)
