"""The process that reads what an agent logged: limits itself first. Standard library only."""

import json
import os
import resource
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.logged import lines, mlflow_store, wandb_file
from tasks.logged.found import LINES, MLFLOW, WANDB, Found, Full

MEMORY_BYTES = 768 * 2**20
CPU_SECONDS = 10
FILE_BYTES = 64 * 2**20
"""A larger file is not read."""
MOST_FILES = 20
"""Files of W&B that are read."""


def main() -> None:
    """Read the folder of the first argument; the second is a scratch folder of our own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * FILE_BYTES, 2 * FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    json.dump(_all(Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout)


def _all(logs: Path, scratch: Path) -> dict[str, object]:
    points: dict[str, list[object]] = {}
    params: dict[str, str] = {}
    problems: list[str] = []
    left_out = 0
    sources: dict[str, Callable[[Found], None]] = {
        "mlflow": lambda found: _mlflow(logs, scratch, found),
        "wandb": lambda found: _wandb(logs, found),
        "lines": lambda found: _lines(logs, found),
    }
    for source, read in sources.items():
        found = Found()
        try:
            read(found)
        except Full:
            found.problem(f"{source}: more points than are looked at")
        except (OSError, ValueError, MemoryError, sqlite3.Error) as error:
            found.problem(f"{source}: {str(error) or type(error).__name__}")
        kept = found.thinned()
        left_out += found.left_out + sum(map(len, found.series.values())) - len(kept)
        # Two trackers may be told the same name; neither is to hide the other.
        taken = set(points)
        for name, *rest in kept:
            label = f"{source}/{name}" if name in taken else name
            points.setdefault(label, []).append(rest)
        params = {**found.params, **params}
        problems += found.problems
    return {"points": points, "params": params, "problems": problems, "left_out": left_out}


def _mlflow(logs: Path, scratch: Path, found: Found) -> None:
    file = logs / MLFLOW
    if not os.path.lexists(file):
        return
    # An unfinished transaction is undone in the copy: what was collected stays as it was.
    copy = scratch / MLFLOW
    for suffix in ("", "-journal", "-wal"):
        part = file.with_name(file.name + suffix)
        if os.path.lexists(part):
            copy.with_name(copy.name + suffix).write_bytes(_bytes(part))
    mlflow_store.read(copy, found)


def _wandb(logs: Path, found: Found) -> None:
    if (logs / WANDB).is_symlink():
        return
    files = sorted((logs / WANDB).glob("*run-*/*.wandb"))
    if len(files) > MOST_FILES:
        found.problem(f"wandb: {len(files)} runs, of which {MOST_FILES} are read")
    for file in files[:MOST_FILES]:
        try:
            wandb_file.read(_bytes(file), found)
        except ValueError as error:
            found.problem(f"{file.name}: {error}")


def _lines(logs: Path, found: Found) -> None:
    if os.path.lexists(logs / LINES):
        lines.read(_bytes(logs / LINES), found)


def _bytes(file: Path) -> bytes:
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{file.name}: not a regular file")
        if status.st_size > FILE_BYTES:
            raise ValueError(f"{file.name}: {status.st_size:,} bytes; at most {FILE_BYTES:,}")
        return stream.read(FILE_BYTES)
