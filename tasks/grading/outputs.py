"""What an agent left, by role: a trial's outputs, or one flat folder of results."""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import InvalidInput
from tasks.grading.untrusted import UntrustedFileError, read_bytes

METRICS_FILE = "metrics.json"
METRICS_BYTES = 2**20
MOST_CLAIMS = 100
MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Outputs:
    """A folder that holds `submission/`, `results/`, … or, flat, what would be in `results/`."""

    root: Path
    refused: Mapping[str, str] = field(default_factory=dict)
    """What was not collected and why, by name relative to `root`."""

    @classmethod
    def at(cls, folder: Path) -> "Outputs":
        """Find the outputs in a trial's folder, an outputs folder or a flat results folder.

        Raises:
            InvalidInput: `folder` is no folder.
        """
        if not folder.is_dir():
            raise InvalidInput(f"{folder}: no such folder of results")
        inner = folder / "outputs"
        return cls(inner if inner.is_dir() and not inner.is_symlink() else folder)

    def part(self, name: str) -> Path:
        """Return the folder of one role, or the whole where there is no such folder."""
        folder = self.root / name
        return folder if folder.is_dir() and not folder.is_symlink() else self.root

    @property
    def results(self) -> Path:
        """Where figures, insights and metrics lie."""
        return self.part("results")

    def has_file(self, name: str) -> bool:
        """Whether a regular, non-empty file of that relative name is among the outputs."""
        return any(_is_content(folder / name) for folder in (self.root, self.results))

    def models(self) -> int:
        """Count the non-empty files in `models/`."""
        folder = self.root / "models"
        if not folder.is_dir() or folder.is_symlink():
            return 0
        return sum(_is_content(path) for path in walk(folder))

    def claimed(self) -> dict[str, float]:
        """Return what the agent says of itself in `metrics.json`; recorded, never a score."""
        try:
            data = json.loads(read_bytes(self.results / METRICS_FILE, limit=METRICS_BYTES))
        except (FileNotFoundError, UntrustedFileError, ValueError, RecursionError):
            return {}  # saying nothing, or nothing readable, about oneself is no fault
        if not isinstance(data, dict):
            return {}
        numbers = {
            ascii(key)[1:81].rstrip("'"): float(value)
            for key, value in list(data.items())[:MOST_CLAIMS]
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # noqa: PLR2004
        }
        return {key: value for key, value in numbers.items() if math.isfinite(value)}


def walk(folder: Path) -> Iterator[Path]:
    """Yield files below `folder` in a fixed order, following no link, at most 20,000."""
    seen = 0
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            seen += 1
            if seen > MOST_FILES:
                return
            yield Path(parent) / name


def _is_content(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
