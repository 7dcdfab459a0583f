"""What an agent did, step by step, in one form whatever agent it was: shown, never scored.

AIDE's journal, mini-swe-agent's trajectory and OpenHands' events are hostile bytes like all that an
agent leaves: sizes, depths and counts are bounded, and what does not fit is left out.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.files import write_text
from tasks.grading.inert import parse_json
from tasks.grading.untrusted import UntrustedFileError, read_bytes

FILE_BYTES = 16 * 2**20
"""Of one file, and of all events together; what is parsed takes some twenty times as much."""
EVENT_BYTES = 2**20
STEPS = 5000
WORDS = 4000
"""Characters of an action, and of what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that an agent did, as it tells itself."""

    step: int
    action: str
    """What it did: a command, or code."""
    result: str
    """What it saw of that."""
    thought: str = ""
    failed: bool | None = None
    """None where it does not say."""
    seconds: float | None = None
    metric: float | None = None
    """What it measured of its own work; a claim."""
    parent: int | None = None
    """The step it went on from, where they are a tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The steps of a trial."""

    form: str
    steps: tuple[Step, ...]

    def summary(self) -> dict[str, Any]:
        """Return what a report holds of it."""
        metrics = [step.metric for step in self.steps if step.metric is not None]
        return {
            "form": self.form,
            "steps": len(self.steps),
            "failed_steps": sum(step.failed is True for step in self.steps),
            "last_metric": metrics[-1] if metrics else None,
        }

    def write(self, path: Path) -> None:
        """Write the steps, one a line."""
        lines = [json.dumps(asdict(step), ensure_ascii=True) + "\n" for step in self.steps]
        write_text(path, "".join(lines), durable=False)


def read(logs: Path) -> Trajectory | None:
    """Read the first form that is found below the collected `logs`; None where there is none."""
    if not os.path.isdir(logs):  # noqa: PTH112 - most trials have none, and no pattern need be tried
        return None
    for form, (pattern, steps) in FORMS.items():
        for path in _found(logs, pattern)[-1:]:
            if found := tuple(islice(steps(path), STEPS)):
                return Trajectory(form=form, steps=found)
    return None


def _found(logs: Path, pattern: str) -> list[Path]:
    try:
        return sorted(logs.glob(pattern))
    except OSError:  # folders of theirs that cannot be walked
        return []


def _json(path: Path, limit: int = FILE_BYTES) -> Any:
    try:
        return parse_json(read_bytes(path, limit=limit))
    except (OSError, UntrustedFileError, ValueError, MemoryError):
        return None  # it is the agent's own account: what cannot be read is not told


def _aide(journal: Path) -> Iterator[Step]:
    """Read AIDE's journal: a tree of solutions, each run and judged."""
    content = _dict(_json(journal))
    parents = _dict(content.get("node2parent"))
    nodes = [_dict(node) for node in _list(content.get("nodes"))[:STEPS]]
    numbers = {str(node.get("id")): number for number, node in enumerate(nodes)}
    for number, node in enumerate(nodes):
        failed = node.get("is_buggy")
        yield Step(
            step=number,
            thought=_text(node.get("plan")),
            action=_text(node.get("code")),
            result=_text("".join(map(_text, _list(node.get("_term_out"))))),
            failed=failed if isinstance(failed, bool) else None,
            seconds=_number(node.get("exec_time")),
            metric=_number(_dict(node.get("metric")).get("value")),
            parent=numbers.get(str(parents.get(str(node.get("id"))))),
        )


def _mini(trajectory: Path) -> Iterator[Step]:
    """Read mini-swe-agent's messages: each of the model's calls a command, each answer its end."""
    messages = [_dict(item) for item in _list(_dict(_json(trajectory)).get("messages"))]
    number = 0
    for place in range(len(messages)):
        for step in _mini_steps(messages, place):
            yield replace(step, step=number)
            number += 1


def _mini_steps(messages: Sequence[Mapping[str, Any]], place: int) -> Iterator[Step]:
    said = messages[place]
    extra = _dict(said.get("extra"))
    if extra.get("interrupt_type") == "FormatError":  # the model's words held no command
        chosen = _dict(next(iter(_list(_dict(extra.get("response")).get("choices"))), None))
        words = _text(_dict(chosen.get("message")).get("content"))
        yield Step(step=0, thought=words, action="", result=_text(said.get("content")), failed=True)
    if said.get("role") != "assistant":
        return
    actions = _list(extra.get("actions"))
    answers = {
        str(m.get("tool_call_id")): m for m in messages[place + 1 : place + 1 + len(actions)]
    }
    for action in map(_dict, actions):
        answer = answers.get(str(action.get("tool_call_id")), {})
        ended = _dict(answer.get("extra"))
        status = ended.get("returncode")
        begin, end = _number(extra.get("timestamp")), _number(ended.get("timestamp"))
        yield Step(
            step=0,
            thought=_text(said.get("content")),
            action=_text(action.get("command")),
            result=_text(ended.get("raw_output") or answer.get("content")),
            failed=status > 0 if isinstance(status, int) else None,
            seconds=None if begin is None or end is None else round(end - begin, 3),
        )


def _openhands(first: Path) -> Iterator[Step]:
    """Read OpenHands' events: actions, and the observations that name them."""
    actions: dict[str, Step] = {}
    for event in _events(_found(first.parent, "event-*.json")[: 2 * STEPS]):
        if event.get("kind") == "ActionEvent":
            action = _dict(event.get("action"))
            words = action.get("command") or action.get("message") or event.get("summary")
            thought = _parts(event.get("thought"))
            step = Step(step=len(actions), thought=thought, action=_text(words), result="")
            actions.setdefault(str(event.get("id"))[:WORDS], step)
    for event in _events(_found(first.parent, "event-*.json")[: 2 * STEPS]):
        observed, of = _dict(event.get("observation")), str(event.get("action_id"))[:WORDS]
        if observed and of in actions:
            status = observed.get("exit_code")
            failed = observed.get("is_error") is True or (isinstance(status, int) and status > 0)
            seen = _parts(observed.get("content"))
            actions[of] = replace(actions[of], result=seen, failed=failed)
    yield from actions.values()


def _events(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Read events one at a time, as many as fit: what all of them say would fill the memory."""
    room = FILE_BYTES
    for path in paths:
        room -= path.stat().st_size
        if room < 0:
            return
        yield _dict(_json(path, EVENT_BYTES))


FORMS: Mapping[str, tuple[str, Callable[[Path], Iterable[Step]]]] = {
    "aide": ("**/journal.json", _aide),
    "mini-swe-agent": ("**/trajectory.json", _mini),
    "openhands": ("openhands/*/events/event-00000-*.json", _openhands),
}
"""By form: where its file lies below the logs, and what reads it."""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:WORDS] if isinstance(value, str) else ""


def _parts(value: Any) -> str:
    return _text("".join(_text(_dict(part).get("text")) for part in _list(value)))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
