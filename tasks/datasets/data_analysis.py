"""A table with planted facts, for analyses whose claims are checked.

Only facts that the reference detectors find on the very table the agent gets are planted: a draw
in which one is hidden by chance is thrown away and drawn anew.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import detectors
from tasks.datasets.facts import notes
from tasks.datasets.population import Population, random_population
from tasks.errors import InvalidTask
from tasks.families import DataAnalysis
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
        planted = tuple(_fact(kind, population) for kind in wanted)
        found = detectors.find(_visible(table))
        missed = tuple(fact.type for fact in planted if not found.strongest(fact.type, fact.args))
        if not missed:
            return _instance(params, population, own, table, planted)
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
    columns = tuple(table.chunk(0))

    def redraw(n: int) -> Mapping[str, NDArray[Any]]:
        return _table(population, streams.child("redraw"), n).columns()

    return Instance(
        public={"data": table},
        notes=notes(params.n_samples, columns),
        facts=Facts(planted=planted, columns=columns, redraw=redraw),
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


def _fact(kind: str, population: Population) -> PlantedFact:
    args = population.truth(kind)
    return PlantedFact(type=kind, args=args, text=_TEXTS[kind].format(**args))


_TEXTS = {
    "relevant_features": "the outcome depends on {columns} and on no other column",
    "interaction": "the product of {columns} acts on the outcome",
    "redundant_pair": "{columns} are near-copies",
    "outliers": "{column} holds gross outliers",
    "missingness": "cells of {column} are missing, {mechanism}, driver {driver}",
    "change_point": "the level of {column} changes at time {at}",
}
