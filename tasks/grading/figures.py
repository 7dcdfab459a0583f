"""Counting the figures an agent left: each shows something, and none is a near copy of another."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.grading import documents, drawings, rasters
from tasks.grading.inert import inert
from tasks.grading.rasters import Bits, Budget, NotAFigureError
from tasks.grading.untrusted import UntrustedFileError, read_bytes

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".svg", ".ipynb", ".html", ".htm"}
DOCUMENTS = {".ipynb", ".html", ".htm"}
MAX_FILES, MAX_ENTRIES, MAX_DEPTH = 200, 20_000, 12
"""Files with these suffixes that are looked at; entries and levels that are walked."""
MAX_FILE_BYTES, MAX_BYTES, MAX_SVG_BYTES = 20 * 2**20, 200 * 2**20, 5 * 2**20
MAX_FINDINGS = 100
NEAR_COPY = 0.12
"""Share of the 256 hash bits up to which two images are near copies."""
ALIKE = 0.30
"""The same up to which two images look alike, for `FigureReport.kinds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureReport:
    """How many figures count, and why the others do not."""

    counted: int
    kinds: int
    """Groups of counted figures that look alike: a hint at variety, not a count of chart types.
    Two histograms may differ more than a histogram and a bar chart."""
    findings: tuple[str, ...]
    """One line per file that does not count, safe to show."""


@dataclass(slots=True)
class _Counter:
    seen: dict[str, Bits] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)
    """By name: perceptual hashes of images, digests of drawings."""
    stems: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    bytes_left: int = MAX_BYTES
    budget: Budget = field(default_factory=Budget)

    def file(self, path: Path, name: str) -> None:
        """Count one file, or say why not."""
        suffix = path.suffix.lower()
        limit = MAX_SVG_BYTES if suffix == ".svg" else MAX_FILE_BYTES
        try:
            data = read_bytes(path, limit=min(limit, self.bytes_left))
            self.bytes_left -= len(data)
            if suffix in DOCUMENTS:
                self.document(name, data)
            else:
                self.figure(name, data)
        except (NotAFigureError, UntrustedFileError, FileNotFoundError) as error:
            self.reject(name, str(error))

    def document(self, name: str, data: bytes) -> None:
        """Count the images inside a document, each on its own."""
        for k, image in enumerate(documents.images(name.lower(), data), start=1):
            label = f"{name}, image {k}"
            try:
                self.raster(label, image)
            except NotAFigureError as error:
                self.reject(label, str(error))

    def figure(self, name: str, data: bytes) -> None:
        """Count an image file; the same name with another suffix is the same figure."""
        suffix = PurePosixPath(name).suffix
        stem = name.removesuffix(suffix)  # with_suffix refuses some names
        if stem in self.stems:
            raise NotAFigureError(f"another format of {inert(self.stems[stem])}")
        if suffix.lower() == ".svg":
            self.drawing(name, data)
        else:
            self.raster(name, data)
        self.stems[stem] = name

    def raster(self, name: str, data: bytes) -> None:
        bits = rasters.look(data, self.budget)
        for other, own in self.seen.items():
            if rasters.distance(bits, own) <= NEAR_COPY:
                raise NotAFigureError(f"a near copy of {inert(other)}")
        self.seen[name] = bits

    def drawing(self, name: str, data: bytes) -> None:
        digest = drawings.read(data, self.budget)
        for other, own in self.drawn.items():
            if digest == own:
                raise NotAFigureError(f"draws the same as {inert(other)}")
        self.drawn[name] = digest

    def reject(self, name: str, why: str) -> None:
        self.note(f"{inert(name)}: not counted: {why}")

    def note(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)

    def keep(self, cited: Collection[str]) -> None:
        """Drop the figures that are not cited."""
        wanted = {_stem(name) for name in cited}
        for found in (self.seen, self.drawn):
            for name in [name for name in found if not wanted & {_stem(name), _file(name)}]:
                del found[name]
                self.reject(name, "no verified claim cites it as evidence")

    def report(self) -> FigureReport:
        return FigureReport(
            counted=len(self.seen) + len(self.drawn),
            kinds=_groups(list(self.seen.values())) + len(self.drawn),
            findings=tuple(self.findings),
        )


def count_figures(folder: Path, cited: Collection[str] | None = None) -> FigureReport:
    """Count the figures below `folder`: images, and those in notebooks and HTML pages.

    Names are walked in order and no link is followed; whatever lies there, it never raises.

    Args:
        folder: The results of an agent.
        cited: If given, only these count: names relative to `folder`, as an agent wrote them; a
            document's name stands for all its images, and an image's suffix does not matter.
    """
    counter = _Counter()
    for k, (path, name) in enumerate(_candidates(folder)):
        if k == MAX_FILES:
            counter.note(f"more than {MAX_FILES} files; the rest is not looked at")
            break
        counter.file(path, name)
    if cited is not None:
        counter.keep(cited)
    return counter.report()


def _stem(name: str) -> str:
    """Return a figure's name without the ways to the folder and without an image's suffix."""
    for prefix in ("$EXPERIMENT_DIR/", "./", "results/"):
        name = name.removeprefix(prefix)
    suffix = PurePosixPath(name).suffix.lower()
    return name[: -len(suffix)] if suffix in SUFFIXES - DOCUMENTS else name


def _file(name: str) -> str:
    """Return the document that an image stands in."""
    return name.rpartition(", image ")[0] or name


def _candidates(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield files by suffix with their relative names; folders reached by links are left out."""
    entries = 0
    todo = [(folder, "", 0)]
    while todo:
        here, prefix, depth = todo.pop(0)
        for entry in _listing(here):
            entries += 1
            if entries > MAX_ENTRIES:
                return
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    todo.append((Path(entry.path), f"{name}/", depth + 1))
            elif PurePosixPath(entry.name).suffix.lower() in SUFFIXES:
                yield Path(entry.path), name


def _listing(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _groups(hashes: list[Bits]) -> int:
    """Count the connected groups of images that look alike."""
    group = list(range(len(hashes)))
    for i, first in enumerate(hashes):
        for j in range(i):
            old, new = group[i], group[j]
            if old != new and rasters.distance(first, hashes[j]) <= ALIKE:
                group = [new if g == old else g for g in group]
    return len(set(group))
