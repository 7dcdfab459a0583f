"""What a check says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One property of a task, and whether it holds."""

    check: str
    ok: bool
    detail: str
