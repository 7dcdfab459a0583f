"""Making what an agent wrote harmless: JSON with bounded depth, text that only shows itself."""

import json
import re
from typing import Any

DEPTH = 50
"""Levels of nesting that are read."""

# Possessive, and content with a string that never ends: one pass over any input.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_json(data: bytes) -> Any:
    """Read JSON of at most `DEPTH` levels without NaN and infinities.

    Raises:
        ValueError: It is not that; the text says why.
    """
    text = data.decode("utf-8-sig", errors="strict")
    level = 0
    for token in _TOKEN.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group()[0], 0)
        if level > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH} levels")
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def inert(value: object, limit: int = 200) -> str:
    """Return a text on one line: unprintable characters escaped, cut at about `limit`."""
    text = value if isinstance(value, str) else f"<{type(value).__name__}>"
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit]
    )
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"
