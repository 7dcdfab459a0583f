"""The rows of a table with knobs: train, test, copies of rows, and the instance they make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import columns
from tasks.datasets.columns import Rows, World, joined
from tasks.datasets.complete import complete
from tasks.datasets.knobs import Law, Model
from tasks.datasets.tabular import ids_of, rows_in
from tasks.families import Knobs
from tasks.instance import (
    CHUNK_ROWS,
    Answers,
    Categorical,
    Contract,
    Gaussian,
    Instance,
    Ints,
    Streams,
    Table,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Public columns and hidden targets of a chunk."""

    shown: dict[str, NDArray[Any]]
    target: NDArray[Any]
    law: Law | None = None
    naive: Law | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """All rows of an instance."""

    params: Knobs
    model: Model
    world: World
    labels: Streams
    """Streams of the targets."""

    def with_every_class(self, n_classes: int) -> "Draw":
        """Return the draw with label streams under which every class occurs in train."""
        if self.params.n_samples > CHUNK_ROWS:
            return self
        labels = complete(
            self.world.streams,
            "labels",
            lambda own: replace(self, labels=own).train(0).target,
            n_classes=n_classes,
            n_samples=self.params.n_samples,
        )
        return replace(self, labels=labels)

    def train(self, k: int) -> Sheet:
        """Return a chunk of train."""
        _, sheet = self._train(k)
        order = self._order(k)
        if order is None:
            return sheet
        shown = {name: values[order] for name, values in sheet.shown.items()}
        return Sheet(shown=shown, target=sheet.target[order])

    def _train(self, k: int) -> tuple[Rows, Sheet]:
        """Return a chunk of train before rows are duplicated."""
        rows = self.world.rows("train", k, rows_in(k, self.params.n_samples))
        target = self.model.draw(rows, self.labels.stream("train/labels", k), test=False)
        proxy = self._proxy("train", k, target)
        return rows, Sheet(shown=self.world.show(rows, "train", k, proxy), target=target)

    def _order(self, k: int) -> Ints | None:
        """Return which row each row of a chunk of train is a copy of; mostly of itself."""
        if not self.params.duplicates:
            return None
        n = rows_in(k, self.params.n_samples)
        rng = self.world.streams.stream("knobs/duplicates", k)
        own = rng.random(n) >= self.params.duplicates
        return np.where(own, np.arange(n), rng.integers(0, n, n))

    def _proxy(self, part: str, k: int, target: NDArray[Any]) -> NDArray[Any] | None:
        if not self.params.leakage_trap:
            return None
        return self.model.proxy(target, self.world.streams.stream(f"knobs/{part}/proxy", k))

    def test(self, k: int) -> Sheet:
        """Return a chunk of test, its law, and the best predictor's under the law of train."""
        n = rows_in(k, self.params.test_rows)
        rows = self._tilted(k, n)
        copied, source = self._copied(k, n)
        originals: Sheet | None = None
        if len(copied):
            train, originals = self._train(0)
            rows = rows.replaced(copied, train, source)
        target = self.model.draw(rows, self.labels.stream("test/labels", k), test=True)
        law = self.model.law(rows, test=True)
        proxy = self._stray_proxy(k, n)
        shown = self.world.show(rows, "test", k, proxy)
        if originals is not None:
            rng = self.labels.stream("test/labels of copies", k)
            target[copied] = self.model.of_law(_some(law, copied), rng)
            _copy(self.world, shown, copied, originals.shown, source)
        return Sheet(shown=shown, target=target, law=law, naive=self._naive(rows, proxy))

    def _copied(self, k: int, n: int) -> tuple[Ints, Ints]:
        """Return which rows of a chunk of test are copies, and of which row of train."""
        if not self.params.duplicates_across:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        rng = self.world.streams.stream("knobs/duplicates across", k)
        where = np.flatnonzero(rng.random(n) < self.params.duplicates_across)
        source = rng.integers(0, rows_in(0, self.params.n_samples), len(where))
        order = self._order(0)
        return where, source if order is None else order[source]

    def _stray_proxy(self, k: int, n: int) -> NDArray[Any] | None:
        """Return what the proxy tells of rows that are not there."""
        if not self.params.leakage_trap:
            return None
        strangers = self.world.rows("strangers", k, n)
        target = self.model.draw(strangers, self.labels.stream("strangers", k), test=False)
        return self._proxy("test", k, target)

    def _naive(self, rows: Rows, proxy: NDArray[Any] | None) -> Law | None:
        if proxy is None and self.params.shift is None:
            return None
        law = self.model.law(rows, test=False)
        return law if proxy is None else self.model.told(law, proxy)

    def _tilted(self, k: int, n: int) -> Rows:
        """Draw test rows, by rejection where some are met more often than in train."""
        tilt = self.model.tilt
        if tilt is None:
            return self.world.rows("test", k, n)
        kept: list[Rows] = []
        block = 0
        while sum(part.n for part in kept) < n:
            rows = self.world.rows(f"test/{block}", k, n)
            uniform = self.world.streams.stream(f"knobs/kept {block}", k).random(n)
            kept.append(rows.take(np.flatnonzero(uniform < tilt(rows))))
            block += 1
        return joined(kept).take(np.arange(n))


def _copy(
    world: World,
    shown: dict[str, NDArray[Any]],
    where: Ints,
    originals: dict[str, NDArray[Any]],
    source: Ints,
) -> None:
    for column in world.columns:
        if column.role != "proxy":
            shown[column.name][where] = originals[column.name][source]


def _some(law: Law, rows: Ints) -> Law:
    if isinstance(law, Categorical):
        return Categorical(p=law.p[rows])
    return Gaussian(mean=law.mean[rows], sd=law.sd[rows])


def _joined_law(laws: list[Law]) -> Law:
    if all(isinstance(law, Categorical) for law in laws):
        return Categorical(p=np.concatenate([x.p for x in laws if isinstance(x, Categorical)]))
    normal = [law for law in laws if isinstance(law, Gaussian)]
    return Gaussian(
        mean=np.concatenate([law.mean for law in normal]),
        sd=np.concatenate([law.sd for law in normal]),
    )


def instance_of(
    draw: Draw,
    *,
    contract: Callable[[Ints], Contract],
    shown: Callable[[NDArray[Any]], NDArray[Any]],
    trivial: dict[str, Any],
    notes: str,
    details: dict[str, object],
) -> Instance:
    """Make the instance whose rows are those of a draw.

    Args:
        draw: All rows.
        contract: Takes the ids of the hidden rows.
        shown: Turns targets, (n,), into what stands in the public column.
        trivial: Constant predictions by name, of one row each.
        notes: What the target is.
        details: What a manifest tells beside the roles of the columns.
    """
    n_train, n_test = draw.params.n_samples, draw.params.test_rows
    sheets = [draw.test(k) for k in range(-(-n_test // CHUNK_ROWS))]

    def train(k: int) -> dict[str, NDArray[Any]]:
        sheet = draw.train(k)
        return {"id": ids_of(k, len(sheet.target)), **sheet.shown, "target": shown(sheet.target)}

    def test(k: int) -> dict[str, NDArray[Any]]:
        return {"id": ids_of(k, len(sheets[k].target), n_train), **sheets[k].shown}

    naive = [sheet.naive for sheet in sheets if sheet.naive is not None]
    return Instance(
        public={
            "train": Table(n_rows=n_train, chunk=train),
            "test": Table(n_rows=n_test, chunk=test),
        },
        notes=_notes(draw, notes),
        contract=contract(np.arange(n_train, n_train + n_test, dtype=np.int64)),
        answers=Answers(
            labels=np.concatenate([sheet.target for sheet in sheets]),
            law=_joined_law([sheet.law for sheet in sheets if sheet.law is not None]),
            trivial={
                name: np.broadcast_to(value, (n_test, *np.shape(value)))
                for name, value in trivial.items()
            },
            naive=_joined_law(naive) if naive else None,
        ),
        details=details | {"columns": columns.roles(draw.world)},
    )


def _notes(draw: Draw, target: str) -> str:
    params, names = draw.params, [column.name for column in draw.world.columns]
    words = [f"`{w.name}`" for w in draw.world.words]
    said = ["Some columns have nothing to do with the target."]
    if words:
        said.append(f"{', '.join(words)} hold words, all others numbers.")
    if params.missing_rate:
        said.append("Cells may be missing.")
    said.append(
        "As in life, columns may hold errors, and the test rows need not be like the train rows."
    )
    return (
        f"- `train.csv`: {params.n_samples:,} labelled rows, columns `id`, "
        f"{len(names)} features (`{names[0]}` … `{names[-1]}`) and `target`.\n"
        f"- `test.csv`: {params.test_rows:,} rows, the same columns without `target`.\n\n"
        f"{' '.join(said)} {target} Rows are in no order; ids mean nothing."
    )
