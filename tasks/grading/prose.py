"""The free-text report of an agent: kept and shown, never scored."""

from pathlib import Path

from tasks.grading.inert import inert
from tasks.grading.untrusted import UntrustedFileError, read_bytes

FILE = "report.md"
MAX_BYTES, MAX_LINES, MAX_LINE = 2**20, 400, 1000
"""Read at most, and shown at most."""


def read_report(results: Path) -> list[str]:
    """Return the lines of `results/report.md`, each printable; empty if there is none to read."""
    try:
        text = read_bytes(results / FILE, limit=MAX_BYTES).decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, UntrustedFileError):
        return []  # nothing is asked of it
    lines = text.splitlines()
    shown = [inert(line, MAX_LINE) for line in lines[:MAX_LINES]]
    return shown if len(lines) <= MAX_LINES else [*shown, f"… ({len(lines):,} lines)"]
