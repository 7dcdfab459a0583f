"""Instances: one module per family, the chunked writer, bundled real data."""

from tasks.datasets.description import description
from tasks.datasets.folders import (
    digests,
    draw,
    read_contract,
    read_private,
    write_private,
    write_public,
)
from tasks.datasets.same import check_same, has_answers
from tasks.datasets.writer import fix_times, put_files

__all__ = [
    "check_same",
    "description",
    "digests",
    "draw",
    "fix_times",
    "has_answers",
    "put_files",
    "read_contract",
    "read_private",
    "write_private",
    "write_public",
]
