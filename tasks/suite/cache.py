"""Public files of large instances, written once and then copied for each trial that meets them.

What is small is kept in a worker's memory, and answers are never on a disk: see decision 024.
"""

import contextlib
import hmac
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tasks
from tasks import datasets
from tasks.files import write_text
from tasks.prepared import Prepared
from tasks.suite.digests import task_digest

ENVIRONMENT: Final = "AEXP_CACHE"
"""Where it lies, if not below the user's cache folder."""

FILES: Final = "public"
ABOUT: Final = "about.json"
ASIDE: Final = ".aside-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One instance's public files."""

    folder: Path
    task: str
    n_bytes: int
    used: float
    """When a trial was last given them, in seconds since 1970."""


def place() -> Path:
    """Return where instances are kept."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aexp" / "instances"


@dataclass(frozen=True, kw_only=True)
class Shared(Prepared):
    """An instance whose public files all processes of a user share.

    An agent without walls could write there. So what a copy is compared with is authenticated by
    the instance's secret, which no agent has; what does not agree is written anew.
    """

    def write_public(self, folder: Path) -> dict[str, str]:
        """Write the public files into `folder`: from memory, from the cache, or anew."""
        if self._files:
            return super().write_public(folder)
        with contextlib.suppress(OSError):  # a cache that cannot be read is none
            if (found := self._copied(folder)) is not None:
                return found
        digests = super().write_public(folder)
        if not self._files:
            with contextlib.suppress(OSError):  # nor is one that cannot be written
                self._keep(folder, digests)
        return digests

    @property
    def entry(self) -> Path:
        """Its folder, named by all that its content depends on."""
        parts = (task_digest(self.task), self.commitment, tasks.__version__)
        return place() / self._tag(*parts)

    def _tag(self, *parts: str) -> str:
        return hmac.digest(self.seed.secret, "\0".join(parts).encode(), "sha256").hex()

    def _copied(self, folder: Path) -> dict[str, str] | None:
        entry = self.entry
        about = _about(entry)
        if about is None or not _is_tag(about, self._tag(json.dumps(about["files"]))):
            return None
        _copy(entry / FILES, folder, about["files"])
        digests = datasets.digests(folder)
        if digests != about["files"]:
            shutil.rmtree(entry, ignore_errors=True)
            _empty(folder)
            return None
        os.utime(entry)
        return digests

    def _keep(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Copy what was written aside, then give it its name; the first of many writers wins."""
        entry = self.entry
        entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=entry.parent))
        try:
            (aside / FILES).mkdir()
            files = dict(digests)
            _copy(folder, aside / FILES, files)
            about = {"task": self.task.id, "files": files, "tag": self._tag(json.dumps(files))}
            write_text(aside / ABOUT, json.dumps(about), durable=False)
            aside.rename(entry)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def forget(self) -> None:
        """Remove its files, as no trial will meet it any more."""
        shutil.rmtree(self.entry, ignore_errors=True)


def entries() -> list[Entry]:
    """Return what is kept, the longest unused first."""
    return sorted(_entries(), key=lambda entry: entry.used)


def _entries() -> Iterator[Entry]:
    root = place()
    for folder in root.iterdir() if root.is_dir() else ():
        about = None if folder.name.startswith(ASIDE) else _about(folder)
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            used = folder.stat().st_mtime
            task = "(being written)" if about is None else about["task"]
            yield Entry(folder=folder, task=task, n_bytes=size, used=used)


def prune(*, unused_s: float | None = None, most_bytes: int | None = None) -> list[Entry]:
    """Remove what was not used for so long, and the longest unused until the rest is small enough.

    A trial that is just being given what is removed writes it anew.

    Args:
        unused_s: Seconds.
        most_bytes: What may stay. Without either nothing stays.

    Returns:
        What was removed.
    """
    kept, now = entries(), time.time()
    left = sum(entry.n_bytes for entry in kept)
    gone = []
    for entry in kept:
        old = unused_s is not None and now - entry.used >= unused_s
        large = most_bytes is not None and left > most_bytes
        if old or large or (unused_s is None and most_bytes is None):
            shutil.rmtree(entry.folder, ignore_errors=True)
            gone.append(entry)
            left -= entry.n_bytes
    return gone


def _about(entry: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((entry / ABOUT).read_bytes())
        return {"task": str(found["task"]), "files": dict(found["files"]), "tag": str(found["tag"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_tag(about: Mapping[str, Any], tag: str) -> bool:
    return hmac.compare_digest(about["tag"], tag)


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy these files and nothing else; a link that stands for one is no file of ours."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name, follow_symlinks=False)
    datasets.fix_times(target)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
