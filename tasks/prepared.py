"""An instance at hand: drawn once, met by one trial or by many."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tasks
from tasks import datasets, grading
from tasks.grading import Evaluation, Hidden
from tasks.instance import Instance, Seed
from tasks.spec import Task
from tasks.validator import hidden_side

KEPT_BYTES = 32 * 2**20
"""Public files of an instance up to so large together are kept in memory for its next trial."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An instance at hand, to be met by one trial or by many."""

    task: Task
    seed: Seed
    instance: Instance
    _files: dict[str, bytes] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def hidden(self) -> Hidden:
        """What grading needs of the instance, kept for the next trial with what was found of it."""
        return hidden_side(self.instance)

    @cached_property
    def commitment(self) -> str:
        """The instance's, which each of its trials publishes."""
        return self.instance.commitment(self.seed)

    def write_public(self, folder: Path) -> dict[str, str]:
        """Write the public files into `folder`; small ones are made once and then kept.

        Returns:
            Their SHA-256, by name.
        """
        if self._files:
            datasets.put_files(folder, self._files)
            return self._digests
        datasets.write_public(self.task, self.instance, folder)
        files = [path for path in folder.iterdir() if path.is_file()]
        digests = datasets.digests(folder)
        if len(files) == len(list(folder.iterdir())) and _bytes(files) <= KEPT_BYTES:
            self._files.update({path.name: path.read_bytes() for path in sorted(files)})
            self._digests.update(digests)
        return digests


def _bytes(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def prepare(task: Task, seed: Seed | None = None) -> Prepared:
    """Draw the instance of a secret seed, or of the one given."""
    chosen = seed or Seed.fresh()
    return Prepared(task=task, seed=chosen, instance=datasets.draw(task, chosen))


def manifest_of(ready: Prepared, evaluation: Evaluation | None = None) -> dict[str, Any]:
    """Return what a private folder tells of its instance: family, versions, floors, ceilings."""
    family = ready.task.family
    return {
        "task_id": ready.task.id,
        "family": None if family is None else type(family).__name__,
        "generator_version": None if family is None else family.version,
        "tier": None if family is None else family.tier,
        "parameters": None if family is None else family.model_dump(mode="json"),
        "sealed": ready.seed.sealed,
        "commitment": ready.commitment,
        "marks": _brackets(ready, evaluation),
        "planted": [
            {"type": fact.type, "args": dict(fact.args), "text": fact.text}
            for fact in (ready.instance.facts.planted if ready.instance.facts else ())
        ],
        "versions": versions(),
    }


def _brackets(ready: Prepared, evaluation: Evaluation | None) -> dict[str, Any]:
    marks = evaluation.scores if evaluation is not None else {}
    found = {
        name: {"floor": mark["floor"], "ceiling": mark["ceiling"]}
        for name, mark in marks.items()
        if isinstance(mark, dict) and "floor" in mark
    }
    return found or grading.brackets(ready.task, ready.hidden)


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Return the versions a number depends on."""
    found = {"aexp": tasks.__version__, "python": platform.python_version()}
    for name in ("numpy", "polars"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # it may come from elsewhere than a package index
            found[name] = "unknown"
    return found | {"platform": f"{sys.platform} {platform.machine()}"}
