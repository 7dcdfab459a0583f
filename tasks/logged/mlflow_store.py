"""MLflow's SQLite file, as a stranger may have made it. Standard library only.

No view, trigger, function or virtual table of theirs is ever run: an authorizer lets nothing
through but reading the columns named here from tables, and a watch stops what takes too long.
"""

import sqlite3
from pathlib import Path
from time import monotonic

from tasks.logged.found import Found

SECONDS = 5.0
_STEPS_BETWEEN_LOOKS = 20_000
_LONGEST_CELL = 2**16
_TABLES = {"runs", "metrics", "params"}
_RUNS = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' LIMIT 100"
_METRICS = "SELECT run_uuid, key, value, step, timestamp, is_nan FROM metrics"
_PARAMS = "SELECT run_uuid, key, value FROM params LIMIT 1000"


def read(file: Path, found: Found) -> None:
    """Take in all runs of a copy that may be written to (an unfinished transaction is undone).

    With several runs the names of all but the first carry the run's name.

    Raises:
        sqlite3.Error, ValueError: It is no such file; what was read before is kept.
    """
    connection = sqlite3.connect(file)
    try:
        _fence(connection)
        prefixes: dict[object, str] = {}
        for uuid, name in connection.execute(_RUNS):
            prefixes[uuid] = f"{name}/" if prefixes else ""
        for uuid, key, value in connection.execute(_PARAMS):
            if uuid in prefixes:
                found.param(f"{prefixes[uuid]}{key}", value)
        for uuid, key, value, step, stamp, is_nan in connection.execute(_METRICS):
            if uuid in prefixes:
                at = stamp / 1000 if isinstance(stamp, int | float) else 0.0
                found.point(f"{prefixes[uuid]}{key}", None if is_nan else value, step, at)
    finally:
        connection.close()


def _fence(connection: sqlite3.Connection) -> None:
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")
    until = monotonic() + SECONDS
    connection.set_progress_handler(lambda: monotonic() > until, _STEPS_BETWEEN_LOOKS)
    connection.set_authorizer(_allowed)


def _allowed(
    action: int, table: str | None, _column: str | None, _base: str | None, via: str | None
) -> int:
    """Let a plain read of our tables through; `via` names a view or trigger that asks."""
    if action == sqlite3.SQLITE_SELECT and via is None:
        return sqlite3.SQLITE_OK
    reads = action == sqlite3.SQLITE_READ and table in _TABLES and via is None
    return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY
