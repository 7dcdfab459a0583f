"""`metrics.jsonl`: one JSON object a line, for agents without a tracker. Standard library only."""

import json
from typing import Any

from tasks.logged.found import Found

LINE_BYTES = 2**16
_STEPS = ("step", "_step", "epoch")
_TIMES = ("time", "timestamp", "_timestamp")


def read(data: bytes, found: Found) -> None:
    """Take in lines such as `{"step": 3, "loss": 0.2}` or `{"metric": "loss", "value": 0.2}`."""
    bad = 0
    for number, line in enumerate(data.split(b"\n")):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            bad += 1
            continue
        _points(entry, number, found)
    if bad:
        found.problem(f"metrics.jsonl: {bad} lines are no JSON objects")


def _entry(line: bytes) -> dict[str, Any] | None:
    if len(line) > LINE_BYTES:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _points(entry: dict[str, Any], number: int, found: Found) -> None:
    step = next((entry[key] for key in _STEPS if key in entry), number)
    at = next((entry[key] for key in _TIMES if key in entry), 0.0)
    if isinstance(entry.get("metric"), str):
        found.point(entry["metric"], entry.get("value"), step, at)
        return
    for name, value in entry.items():
        if name in ("step", "_step", *_TIMES) or isinstance(value, str | list | dict | None):
            continue
        found.point(name, value, step, at)
