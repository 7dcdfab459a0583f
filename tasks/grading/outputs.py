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
DEEPEST = 100


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
        return any(
            _is_content(folder / name) and _behind_no_link(folder, name)
            for folder in (self.root, self.results)
        )

    def models(self) -> int:
        """Count the non-empty files in `models/`."""
        folder = self.root / "models"
        return 0 if folder.is_symlink() else sum(map(_is_content, walk(folder)))

    def files(self) -> int:
        """Count the non-empty files among the results."""
        return sum(map(_is_content, walk(self.results)))

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
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # noqa: PLR2004 - larger ones overflow when worked with
        }
        return {key: value for key, value in numbers.items() if math.isfinite(value)}


def walk(folder: Path) -> Iterator[Path]:
    """Yield files below `folder` in a fixed order, following no link.

    At most 20,000 entries and 100 levels are looked at: the folder may be anybody's.
    """
    seen = 0
    todo = [(folder, 0)]
    while todo:
        here, depth = todo.pop()
        inner = []
        for entry in _listing(here):
            seen += 1
            if seen > MOST_FILES:
                return
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
            elif depth < DEEPEST:
                inner.append((Path(entry.path), depth + 1))
        todo.extend(reversed(inner))


def _listing(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _behind_no_link(folder: Path, name: str) -> bool:
    wanted = os.path.join(os.path.realpath(folder), os.path.normpath(name))  # noqa: PTH118
    return os.path.realpath(folder / name) == wanted


def _is_content(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
