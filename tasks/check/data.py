"""The files of a task: the same for the same seed, without answers, and not too easy."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks import datasets, grading
from tasks.check.finding import Finding
from tasks.datasets.writer import sample_submission, write_table
from tasks.errors import counted
from tasks.grading import Hidden, Outputs
from tasks.instance import Blob, Instance, Seed, Streams, Table, class_names
from tasks.prepared import Prepared, prepare
from tasks.spec import Task
from tasks.validator import hidden_side, validator_for

SAME = 0.99
"""Share of rows beyond which a public column is taken for the answers."""
ID_Z = 5.0
"""How far ids may correlate with answers, in standard errors."""
LABEL_STREAMS = frozenset({"train/labels", "test/labels"})
LABELS_COME_LAST = tuple(
    f"tasks.datasets.{module}:"
    for module in ("tabular", "multilabel", "relational", "survival", "causal")
)
"""Families that draw labels given the features, from `LABEL_STREAMS`."""


def deterministic(ready: Prepared, folder: Path) -> Finding:
    """Ask that the same seed gives the same files, and another one others."""
    first = _written(ready, folder / "first")
    again = _written(prepare(ready.task, ready.seed), folder / "again")
    other = _written(prepare(ready.task, Seed.public(1)), folder / "other")
    if first != again:
        changed = sorted(name for name in first if first[name] != again.get(name))
        return Finding(check="deterministic", ok=False, detail=f"differ: {', '.join(changed)}")
    if ready.instance.public and first == other:
        return Finding(check="deterministic", ok=False, detail="another seed gives the same data")
    detail = f"{counted(len(first), 'file')}, the same for the same seed only"
    return Finding(check="deterministic", ok=True, detail=detail)


def _written(ready: Prepared, folder: Path) -> dict[str, str]:
    folder.mkdir()
    datasets.write_public(ready.task, ready.instance, folder)
    return datasets.digests(folder)


def no_answers(instance: Instance) -> Finding:
    """Ask that no public column is, or follows, the answers."""
    contract, answers = instance.contract, instance.answers
    test = instance.public.get("test")
    if contract is None or answers is None or not isinstance(test, Table):
        return Finding(check="no answers in public", ok=True, detail="nothing is predicted")
    columns = test.columns()
    bad = [contract.target] if contract.target in columns else []
    labels = np.asarray(answers.labels, dtype=np.float64)
    spoken = list(labels.T) if labels.ndim > 1 else [labels]
    if contract.kind == "classes":
        spoken.append(class_names(answers.labels, contract.classes))
    bad += [
        name
        for name, values in columns.items()
        if any(np.mean(values == answer) > SAME for answer in spoken)
    ]
    spread = labels.std()
    if contract.kind == "classes" and spread > 0:
        z = abs(np.corrcoef(contract.ids, labels)[0, 1]) * np.sqrt(len(labels))
        bad += [f"{contract.id_column} (z = {z:.1f})"] if z > ID_Z else []
    detail = (
        f"found in: {', '.join(bad)}" if bad else f"{counted(len(columns), 'column')} looked at"
    )
    return Finding(check="no answers in public", ok=not bad, detail=detail)


def trivial_fails(task: Task, instance: Instance, folder: Path) -> Finding:
    """Ask that neither the sample submission nor the floor meets the criteria."""
    outputs = folder / "trivial" / "submission"
    outputs.mkdir(parents=True)
    if instance.contract is not None:
        write_table(sample_submission(instance.contract), outputs / "submission.csv")
    evaluation = validator_for(task).grade(
        task, hidden_side(instance), Outputs(outputs.parent), sealed=False, seconds=0.0
    )
    floors = _floors_passing(task, hidden_side(instance))
    detail = ", ".join(
        f"{k}: {'met' if ok else 'unmet'}" for k, ok in evaluation.criteria_met.items()
    )
    if floors:
        detail += f"; the floor itself meets {', '.join(floors)}"
    return Finding(check="trivial fails", ok=not evaluation.success and not floors, detail=detail)


def _floors_passing(task: Task, hidden: Hidden) -> list[str]:
    """Return the criteria on measures that the best trivial predictor meets, if it meets all."""
    brackets = grading.brackets(task, hidden)
    met = []
    on_measures = [c for c in task.criteria if c.subject in brackets]
    for criterion in on_measures:
        floor, threshold = brackets[criterion.subject]["floor"], criterion.threshold
        if floor is None or isinstance(threshold, tuple):
            continue
        if (floor >= threshold) if criterion.bound == "min" else (floor <= threshold):
            met.append(criterion.key)
    return met if on_measures and len(met) == len(on_measures) else []


class _Relabelled(Streams):
    """The same streams, but for those that draw labels of train and test rows."""

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._labels = Streams(seed + b"relabelled")

    def stream(self, purpose: str, chunk: int = 0) -> Generator:
        if purpose in LABEL_STREAMS:
            return self._labels.stream(purpose, chunk)
        return super().stream(purpose, chunk)

    def child(self, purpose: str) -> "Streams":
        return _Relabelled(hashlib.sha256(self._seed + b"\1" + purpose.encode()).digest())


def noise_stays_in_the_label(ready: Prepared) -> Iterator[Finding]:
    """Draw the labels anew: nothing public may follow them but the target of the train rows.

    Only where features come first and labels are drawn given them; where the class comes first
    (images, text, mixtures) its data must follow, and where the past makes the future (series).
    """
    family, contract = ready.task.family, ready.instance.contract
    if family is None or contract is None or not family.draws.startswith(LABELS_COME_LAST):
        return
    again = family.draw(_Relabelled(ready.seed.secret)).public
    changed = [
        f"{name}.{column}"
        for name, table in ready.instance.public.items()
        if isinstance(table, Table) and isinstance(other := again[name], Table)
        for column in _changed(table.columns(), other.columns())
    ]
    public = ready.instance.public
    answers = _columns(public, "train").keys() - _columns(public, "test").keys()
    targets = {f"train.{name}" for name in answers}
    beyond = sorted(set(changed) - targets)
    if getattr(family, "leakage_trap", 0.0):  # whose train column follows the label on purpose
        beyond = [name for name in beyond if not name.startswith("train.")]
    shown = ", ".join(sorted(targets & set(changed)))
    detail = f"also in {', '.join(beyond)}" if beyond else f"redrawn labels show in {shown} only"
    ok = not beyond and bool(shown)
    yield Finding(check="label noise stays in the label", ok=ok, detail=detail)


def _columns(public: Mapping[str, Table | Blob], name: str) -> Mapping[str, NDArray[Any]]:
    table = public.get(name)
    return table.columns() if isinstance(table, Table) else {}


def _changed(old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[Any]]) -> list[str]:
    return [
        name
        for name, values in old.items()
        if not np.array_equal(values, new[name], equal_nan=values.dtype.kind == "f")
    ]
