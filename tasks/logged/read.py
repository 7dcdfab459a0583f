"""Reading an agent's own logs by a process that may crash or hang and takes nothing with it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tasks.logged.found import (
    MOST_NAMES,
    MOST_POINTS,
    NAME_LENGTH,
    SOURCES,
    finite,
    printable,
    whole,
)
from tasks.scratch import scratch

SECONDS = 15.0
ANSWER_BYTES = 8 * 2**20
BATCH = 500
"""Points of one event."""

_HERE = Path(__file__).parent
_FOLDERS = {"tasks": str(_HERE.parent), "tasks.logged": str(_HERE)}
_START = f"""\
import sys
for name, path in {_FOLDERS!r}.items():
    # Without their __init__, which load packages that this Python does without.
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = [path]
from tasks.logged.reader import main
main()
"""


class Point(NamedTuple):
    """One value that the agent logged."""

    name: str
    value: float
    step: int
    at: float
    """Seconds since 1970; 0 where the agent did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What an agent told its own tracker."""

    points: Sequence[Point] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()
    """What could not be read, for the agent's author."""
    left_out: int = 0
    """Points that are not kept: not finite, or beyond a bound."""

    def batches(self) -> Iterator[Sequence[Point]]:
        """Yield the points in pieces that make an event of bearable length."""
        for begin in range(0, len(self.points), BATCH):
            yield self.points[begin : begin + BATCH]

    def summary(self) -> dict[str, Any]:
        """Return what a report says: the last value and the number of points by name."""
        last: dict[str, dict[str, Any]] = {}
        for point in self.points:
            count = last[point.name]["points"] if point.name in last else 0
            last[point.name] = {"last": point.value, "step": point.step, "points": count + 1}
        return {
            "metrics": last,
            "params": dict(self.params),
            "left_out": self.left_out,
            "problems": list(self.problems),
        }


def read(logs: Path) -> Logged:
    """Read what lies in the collected copy of an agent's logs; nothing there costs nothing."""
    if not any(os.path.lexists(f"{logs}/{name}") for name in SOURCES):
        return Logged()
    with scratch("logged") as folder:
        answer, problem = _ask(logs, folder)
    if problem:
        return Logged(problems=(problem,))
    try:
        return _checked(json.loads(answer))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Logged(problems=("the reader of the agent's logs answered nonsense",))


def _ask(logs: Path, folder: Path) -> tuple[bytes, str]:
    """Return the reader's answer, or what became of it."""
    target = folder / "answer.json"
    with target.open("wb") as answer:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, str(logs.resolve()), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"SQLITE_TMPDIR": str(folder)},
        )
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return b"", f"the agent's logs took more than {SECONDS:g} s to read"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    if status:
        return b"", f"the agent's logs cannot be read (their reader ended with {status})"
    if target.stat().st_size > ANSWER_BYTES:
        return b"", "the agent's logs hold more than is kept"
    return target.read_bytes(), ""


def _checked(answer: Any) -> Logged:
    """Trust nothing that a process said which has read hostile bytes."""
    points = [
        Point(printable(name, 2 * NAME_LENGTH), float(value), whole(step), finite(at) or 0.0)
        for name, rows in answer["points"].items()
        for value, step, at in rows
        if finite(value) is not None
    ]
    params = [
        (printable(name, 2 * NAME_LENGTH), printable(value, 2 * NAME_LENGTH))
        for name, value in answer["params"].items()
    ]
    return Logged(
        points=tuple(points[: len(SOURCES) * MOST_POINTS]),
        params=dict(params[: len(SOURCES) * MOST_NAMES]),
        problems=tuple(printable(problem, 500) for problem in answer["problems"][:100]),
        left_out=whole(answer["left_out"]),
    )
