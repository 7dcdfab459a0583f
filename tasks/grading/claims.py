"""Reading `results/insights.json`: claims of a known form, and a problem for everything else."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.grading.inert import inert, parse_json
from tasks.grading.untrusted import UntrustedFileError, read_bytes

FILE, SCHEMA = "insights.json", "insights/1"
MAX_BYTES = 2**20
MAX_CLAIMS = 20
MAX_TEXT = 300

Args = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as far as it could be read."""

    type: str
    args: Args
    """Column names, tuples of them, numbers; empty if the claim is malformed."""
    confidence: float
    """In [0, 1]; 1 if the agent gave none."""
    text: str = ""
    malformed: str = ""
    """What is wrong with its form; empty for a claim that can be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The content of a file, at most `MAX_CLAIMS` claims."""

    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = field(default=())


def read_claims(results: Path, columns: Collection[str]) -> Claims:
    """Read the claims on a table with these columns; whatever lies there, it never raises."""
    try:
        data = parse_json(read_bytes(results / FILE, limit=MAX_BYTES))
    except FileNotFoundError:
        return Claims(problems=(f"{FILE} is missing: write your claims to results/{FILE}",))
    except UntrustedFileError as error:
        return Claims(problems=(f"{FILE} is not read: {error}",))
    except ValueError as error:
        return Claims(problems=(f"{FILE} is no JSON in UTF-8: {inert(str(error))}",))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        return Claims(problems=(f'{FILE} is not read: it must be {{"schema": "{SCHEMA}", …}}',))
    claims = data.get("claims")
    if not isinstance(claims, list):
        return Claims(problems=(f"{FILE} is not read: `claims` must be a list",))
    read = tuple(_claim(entry, columns) for entry in claims[:MAX_CLAIMS])
    problems = [f"claim {k + 1}: {c.malformed}" for k, c in enumerate(read) if c.malformed]
    if len(claims) > MAX_CLAIMS:
        problems.append(f"{len(claims):,} claims; only the first {MAX_CLAIMS} are read")
    return Claims(claims=read, problems=tuple(problems))


def _claim(entry: object, columns: Collection[str]) -> Claim:
    if not isinstance(entry, dict):
        return _malformed("", "a claim must be an object")
    kind, args, text = entry.get("type"), entry.get("args"), entry.get("text", "")
    shown = inert(text, MAX_TEXT) if isinstance(text, str) else ""
    if not isinstance(kind, str) or kind not in _ARGS:
        known = ", ".join(_ARGS)
        return _malformed(inert(kind, 40), f"type {inert(kind, 40)!r}; known: {known}", shown)
    try:
        return Claim(
            type=kind,
            args=_ARGS[kind](_object(args), columns),
            confidence=_confidence(entry.get("confidence", 1)),
            text=shown,
        )
    except _FormError as error:
        return _malformed(kind, f"{kind}: {error}", shown)


def _malformed(kind: str, problem: str, text: str = "") -> Claim:
    return Claim(type=kind, args={}, confidence=0.0, text=text, malformed=problem)


class _FormError(Exception):
    """A claim has not the form of its type."""


def _object(value: object) -> Args:
    if not isinstance(value, dict):
        raise _FormError("`args` must be an object")
    return value


def _confidence(value: object) -> float:
    number = _number("confidence", value)
    if not 0 <= number <= 1:
        raise _FormError("`confidence` must lie between 0 and 1")
    return number


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except OverflowError:
        pass  # an integer of hundreds of digits is as useless as an infinity
    raise _FormError(f"`{name}` must be a finite number")


def _column(name: str, value: object, columns: Collection[str]) -> str:
    if not isinstance(value, str):
        raise _FormError(f"`{name}` must be the name of a column")
    if value not in columns:
        raise _FormError(f"`{name}`: no column {inert(value, 40)!r}")
    return value


def _columns(args: Args, columns: Collection[str]) -> tuple[str, ...]:
    named = args.get("columns")
    if not isinstance(named, list) or not named:
        raise _FormError("`columns` must be a list of column names")
    if len(named) > len(columns):
        raise _FormError("`columns` names more columns than there are")
    return tuple(sorted({_column("columns", name, columns) for name in named}))


def _set(args: Args, columns: Collection[str]) -> Args:
    return {"columns": _columns(args, columns)}


def _pair(args: Args, columns: Collection[str]) -> Args:
    pair = _columns(args, columns)
    if len(pair) != 2:  # noqa: PLR2004 - a pair
        raise _FormError("`columns` must name two different columns")
    return {"columns": pair}


def _single(args: Args, columns: Collection[str]) -> Args:
    return {"column": _column("column", args.get("column"), columns)}


def _missing(args: Args, columns: Collection[str]) -> Args:
    mechanism, driver = args.get("mechanism"), args.get("driver")
    if mechanism not in ("MAR", "MCAR"):
        raise _FormError('`mechanism` must be "MAR" or "MCAR"')
    if mechanism == "MCAR" and driver is not None:
        raise _FormError("`driver` must be null where cells are missing by chance (MCAR)")
    return {
        **_single(args, columns),
        "mechanism": mechanism,
        "driver": None if mechanism == "MCAR" else _column("driver", driver, columns),
    }


def _change(args: Args, columns: Collection[str]) -> Args:
    return {**_single(args, columns), "at": _number("at", args.get("at"))}


_ARGS: dict[str, Callable[[Args, Collection[str]], Args]] = {
    "relevant_features": _set,
    "interaction": _pair,
    "redundant_pair": _pair,
    "outliers": _single,
    "missingness": _missing,
    "change_point": _change,
}
