"""Reading the claims an agent made: those of a known form, and a problem for everything else."""

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.grading.inert import inert, parse_json
from tasks.grading.untrusted import UntrustedFileError, read_bytes
from tasks.insights import forms
from tasks.insights.catalogue import KINDS
from tasks.insights.forms import Args, FormError

FILE, TABLE, SCHEMA = "insights.json", "insights.csv", "insights/1"
MAX_BYTES = 2**20
MAX_CLAIMS = 20
MAX_TEXT = 300
MAX_EVIDENCE, MAX_NAME = 3, 200
"""Figures that a claim may cite, so that one claim does not carry them all; characters a name."""
COLUMNS = ("type", "args", "confidence", "text", "evidence")
"""Of `insights.csv`; the last three may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as far as it could be read."""

    type: str
    args: Args
    """In the form of its type; empty if the claim is malformed."""
    confidence: float
    """In [0, 1]; 1 if the agent gave none."""
    text: str = ""
    evidence: tuple[str, ...] = ()
    """Names of figures, as the agent wrote them."""
    malformed: str = ""
    """What is wrong with its form; empty for a claim that can be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The content of a file, at most `MAX_CLAIMS` claims."""

    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = field(default=())


class _UnreadableError(Exception):
    """There are no claims; the text says why, safe to show."""


def read_claims(results: Path, columns: Collection[str]) -> Claims:
    """Read the claims on a table with these columns; whatever lies there, it never raises.

    `insights.json` is read, or `insights.csv` where there is none.
    """
    try:
        entries = _entries(results)
    except _UnreadableError as error:
        return Claims(problems=(str(error),))
    read = tuple(_claim(entry, columns) for entry in entries[:MAX_CLAIMS])
    problems = [f"claim {k + 1}: {c.malformed}" for k, c in enumerate(read) if c.malformed]
    if len(entries) > MAX_CLAIMS:
        problems.append(f"{len(entries):,} claims; only the first {MAX_CLAIMS} are read")
    return Claims(claims=read, problems=tuple(problems))


def _entries(results: Path) -> list[Any]:
    for name, read in ((FILE, _in_json), (TABLE, _in_table)):
        try:
            return read(read_bytes(results / name, limit=MAX_BYTES))
        except FileNotFoundError:
            continue
        except UntrustedFileError as error:
            raise _UnreadableError(f"{name} is not read: {error}") from error
    raise _UnreadableError(f"{FILE} is missing: write your claims to results/{FILE}")


def _in_json(content: bytes) -> list[Any]:
    try:
        data = parse_json(content)
    except ValueError as error:
        raise _UnreadableError(f"{FILE} is no JSON in UTF-8: {inert(str(error))}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise _UnreadableError(f'{FILE} is not read: it must be {{"schema": "{SCHEMA}", …}}')
    claims = data.get("claims")
    if not isinstance(claims, list):
        raise _UnreadableError(f"{FILE} is not read: `claims` must be a list")
    return claims


def _in_table(content: bytes) -> list[Any]:
    """Return the rows of a CSV file in the form of the JSON file."""
    try:
        text = content.decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header, rows = reader.fieldnames or (), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _UnreadableError(f"{TABLE} is no CSV in UTF-8: {inert(str(error))}") from error
    if not {"type", "args"} <= set(header):
        raise _UnreadableError(f"{TABLE} is not read: its columns must be {', '.join(COLUMNS)}")
    return [_from_row(row) for row in rows]


def _from_row(row: Mapping[str | None, Any]) -> dict[str, Any]:
    """Return one row; what is no JSON stays text, and is refused where an object is wanted."""
    entry: dict[str, Any] = {"type": row["type"], "args": _value(row["args"] or "")}
    if row.get("confidence"):
        entry["confidence"] = _value(row["confidence"])
    entry["text"] = row.get("text") or ""
    names = _value(row.get("evidence") or "[]")
    entry["evidence"] = names.split(";") if isinstance(names, str) else names
    return entry


def _value(text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8"))
    except ValueError:
        return text


def _claim(entry: object, columns: Collection[str]) -> Claim:
    if not isinstance(entry, dict):
        return _malformed("", "a claim must be an object")
    kind, text = entry.get("type"), entry.get("text", "")
    shown = inert(text, MAX_TEXT) if isinstance(text, str) else ""
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        return _malformed(inert(kind, 40), f"type {inert(kind, 40)!r}; known: {known}", shown)
    try:
        return Claim(
            type=kind,
            args=KINDS[kind].check(forms.read(KINDS[kind].form, entry.get("args"), columns)),
            confidence=_confidence(entry.get("confidence", 1)),
            text=shown,
            evidence=_evidence(entry.get("evidence", [])),
        )
    except FormError as error:
        return _malformed(kind, f"{kind}: {error}", shown)


def _malformed(kind: str, problem: str, text: str = "") -> Claim:
    return Claim(type=kind, args={}, confidence=0.0, text=text, malformed=problem)


def _confidence(value: object) -> float:
    number = forms.finite("confidence", value)
    if not 0 <= number <= 1:
        raise FormError("`confidence` must lie between 0 and 1")
    return number


def _evidence(value: object) -> tuple[str, ...]:
    """Return the names that can be read; evidence is no part of what a claim states."""
    names = value if isinstance(value, list) else [value]
    texts = [name.strip() for name in names[: 2 * MAX_EVIDENCE] if isinstance(name, str)]
    return tuple(name for name in texts if 0 < len(name) <= MAX_NAME)[:MAX_EVIDENCE]
