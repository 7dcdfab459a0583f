"""A table with planted facts, for analyses whose claims are checked.

Only facts that the reference detectors find on the very table the agent gets are planted: a draw
in which one is hidden by chance is thrown away and drawn anew.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets.facts import notes
from tasks.datasets.population import Population, random_population
from tasks.errors import InvalidTask
from tasks.families import DataAnalysis
from tasks.insights.catalogue import KINDS
from tasks.insights.kind import Kind
from tasks.insights.sample import Sample
from tasks.instance import CHUNK_ROWS, Facts, Instance, PlantedFact, Streams, Table

ATTEMPTS = 30
"""Draws until every wanted fact is found by the detectors; one is enough in most cases."""


def draw(params: DataAnalysis, streams: Streams) -> Instance:
    """Draw a table `data` that holds each of `params.facts` once.

    Raises:
        InvalidTask: No draw held them all visibly.
    """
    wanted = tuple(dict.fromkeys(params.facts))
    missed: tuple[str, ...] = ()
    for attempt in range(ATTEMPTS):
        own = streams.child(f"attempt {attempt}")
        population = random_population(params.n_features, wanted, params.n_samples, own)
        table = _table(population, own, params.n_samples)
        seen = Sample(_visible(table))
        planted = tuple(_fact(KINDS[kind], population, seen) for kind in wanted)
        missed = tuple(kind for kind, fact in zip(wanted, planted, strict=True) if fact is None)
        if not missed:
            held = tuple(fact for fact in planted if fact is not None)
            return _instance(params, population, own, table, held)
    raise InvalidTask(
        f"data_requirements: {ATTEMPTS} draws of {params.n_samples} rows and {params.n_features} "
        f"features never showed every fact, at last not {', '.join(missed)}; ask for more rows"
    )


def _instance(
    params: DataAnalysis,
    population: Population,
    streams: Streams,
    table: Table,
    planted: tuple[PlantedFact, ...],
) -> Instance:
    rows = table.chunk(0)

    def redraw(n: int) -> Mapping[str, NDArray[Any]]:
        return _table(population, streams.child("redraw"), n).columns()

    return Instance(
        public={"data": table},
        notes=notes(params.n_samples, rows),
        facts=Facts(planted=planted, columns=tuple(rows), redraw=redraw),
        details={"planted": [fact.text for fact in planted], **population.describe()},
    )


def _table(population: Population, streams: Streams, n_rows: int) -> Table:
    def chunk(k: int) -> Mapping[str, NDArray[Any]]:
        return population.rows(streams, k, n_rows)

    return Table(n_rows=n_rows, chunk=chunk)


def _visible(table: Table) -> Mapping[str, NDArray[Any]]:
    """Return the table, or evenly spaced rows of one too large to be searched whole."""
    step = table.n_chunks
    parts = []
    for k in range(table.n_chunks):
        first = -(k * CHUNK_ROWS) % step
        parts.append({name: cells[first::step] for name, cells in table.chunk(k).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fact(kind: Kind, population: Population, seen: Sample) -> PlantedFact | None:
    """Return the fact of this type if the detectors find it in the table, else None.

    A fact with columns of its own need not be the strongest of its type, only be there.
    """
    args = population.truth(kind.type)
    if kind.type not in population.added:
        foreign = frozenset(population.order) - frozenset(population.names)
        if not kind.strongest(seen, args, foreign - set(args.get("columns", ()))):
            return None
    elif not kind.holds(seen, args):
        return None
    args = dict(kind.measured(seen, args))
    return PlantedFact(type=kind.type, args=args, text=kind.text(args))
