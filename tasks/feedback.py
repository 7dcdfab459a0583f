"""What an agent may learn of its score while it works: nothing, unless the user chose otherwise.

`validation` answers on a part of the hidden rows that is never graded; `score` on the graded ones,
for practice only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tasks.errors import InvalidTask
from tasks.grading import Hidden, split
from tasks.instance import Instance, Ints, Seed, Streams

Mode = Literal["none", "validation", "score"]
MODES: Final[tuple[Mode, ...]] = ("none", "validation", "score")
QUERIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What was chosen for a trial."""

    mode: Mode = "none"
    queries: int = QUERIES
    """Valid submissions that are answered."""


def mode_of(asked: Mapping[str, Any]) -> Mode:
    """Return what was chosen, as `trial.json` says; a trial older than the choice had none."""
    mode: Mode = (asked.get("feedback") or {}).get("mode", "none")
    return mode


def graded_side(instance: Instance, seed: Seed, mode: Mode) -> Hidden:
    """Return the hidden side of an instance with the rows that are graded in the end.

    Raises:
        InvalidTask: A feedback split was asked for, and there is none.
    """
    rows = parts(instance, seed)[1] if mode == "validation" else None
    return side(instance, rows)


def parts(instance: Instance, seed: Seed) -> tuple[Ints, Ints]:
    """Return the rows that feedback is about and those that are graded.

    Raises:
        InvalidTask: There are none, or too few of them are independent.
    """
    if instance.answers is None:
        raise InvalidTask("feedback needs a task that asks for predictions")
    return split.divide(instance.answers, Streams(seed.secret).stream("feedback split"))


def side(instance: Instance, rows: Ints | None) -> Hidden:
    """Return the hidden side of an instance, all rows or some."""
    return Hidden(
        contract=instance.contract, answers=instance.answers, facts=instance.facts, rows=rows
    )
