"""The population behind a data-analysis table: which column does what, and how rows are drawn.

Rows are made of IEEE-exact operations on random numbers only, so every build draws the same bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.insights.catalogue import KINDS
from tasks.insights.kind import Chunk, Planted, Setting
from tasks.insights.sample import OUTCOME, ROW, TIME
from tasks.instance import CHUNK_ROWS, Floats, Streams, on_grid

SHAPES = ("normal", "uniform", "triangular", "skewed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Column numbers by role; None or empty where the role is not played."""

    additive: tuple[int, ...]
    """Act on the outcome, each on its own."""
    product: tuple[int, int] | None = None
    """Act on the outcome mostly together."""
    twins: tuple[int, int] | None = None
    """The second is a near-copy of the first."""
    outlying: int | None = None
    shifting: int | None = None
    incomplete: int | None = None
    driver: int | None = None
    """Says which cells of `incomplete` are missing; None for a missingness by pure chance."""
    decoy: tuple[int, int] | None = None
    """The second is correlated with the first, which matters, and does nothing itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Everything needed to draw rows, in standard units; p features."""

    names: tuple[str, ...]
    shapes: tuple[str, ...]
    location: Floats
    scale: Floats
    roles: Roles
    bent: tuple[bool, ...]
    """Per additive column: whether it acts by its square instead of itself."""
    effects: Floats
    """Signed, per additive column."""
    noise: float
    outlier_share: float
    missing: tuple[float, float]
    """Missing probability where the driver is low and where it is high."""
    change: tuple[float, float]
    """Position of the level shift as a share of the rows, and its size."""
    clock: tuple[int, int, int]
    """First time, time between rows, and rows in the table the agent gets."""
    mirrored: bool
    """Whether the near-copy has the opposite sign."""
    timed: bool = False
    """Whether rows have a time."""
    added: Mapping[str, Planted] = field(default_factory=dict)
    """Facts that bring columns of their own, by type, in the order in which they are made."""
    order: tuple[str, ...] = ()
    """Names of all features in the order of the table; those of the population if empty."""

    def rows(self, streams: Streams, k: int, n_rows: int) -> dict[str, NDArray[Any]]:
        """Return chunk `k` of a table of `n_rows` rows."""
        first = k * CHUNK_ROWS
        row = np.arange(first, min(first + CHUNK_ROWS, n_rows), dtype=np.int64)
        z = self._latent(streams, k, len(row))
        outcome = self._outcome(z, streams.stream("outcome", k).standard_normal(len(row)))
        start, step, own = self.clock
        chunk = Chunk(
            k=k,
            position=row * own // n_rows,
            rows=own,
            lead=z[self.roles.additive[0]].copy(),
            outcome=outcome,
            columns={ROW: row},
        )
        self._spoil(z, streams, k, row >= self._change_row(n_rows))
        if self.timed:
            chunk.columns[TIME] = start + step * chunk.position
        for j, name in enumerate(self.names):
            chunk.columns[name] = on_grid(self.location[j] + self.scale[j] * z[j])
        for kind, fact in self.added.items():
            fact.act(chunk, streams.child(kind))
        chunk.columns[OUTCOME] = on_grid(self.location[-1] + self.scale[-1] * outcome)
        for kind, fact in self.added.items():
            fact.finish(chunk, streams.child(kind))
        clock = [TIME] if self.timed else []
        features = self.order or self.names
        return {name: chunk.columns[name] for name in (ROW, *clock, *features, OUTCOME)}

    def truth(self, kind: str) -> dict[str, Any]:
        """Return the arguments of the planted fact of this type."""
        if kind in self.added:
            return dict(self.added[kind].args)
        roles, names = self.roles, self.names
        relevant = (*roles.additive, *(roles.product or ()))
        column: dict[str, int | None] = {
            "outliers": roles.outlying,
            "missingness": roles.incomplete,
            "change_point": roles.shifting,
        }
        columns = {
            "relevant_features": relevant,
            "interaction": roles.product,
            "redundant_pair": roles.twins,
        }
        if kind in columns:
            own = [names[j] for j in columns[kind] or ()]
            if kind == "relevant_features":
                own += [name for fact in self.added.values() for name in fact.relevant]
            return {"columns": tuple(sorted(own))}
        args: dict[str, Any] = {"column": names[column[kind] or 0]}
        if kind == "missingness":
            driver = None if roles.driver is None else names[roles.driver]
            args |= {"mechanism": "MCAR" if driver is None else "MAR", "driver": driver}
        if kind == "change_point":
            start, step, rows = self.clock
            args["at"] = start + step * self._change_row(rows)
        return args

    def describe(self) -> dict[str, Any]:
        """Return the hidden structure by column name, for the manifest."""
        roles = self.roles
        decoy = [self.names[j] for j in roles.decoy or ()]
        return {
            "additive": [self.names[j] for j in roles.additive],
            "squared": [self.names[j] for j, b in zip(roles.additive, self.bent, strict=True) if b],
            "correlated_but_idle": decoy[1:],
        }

    def _change_row(self, n_rows: int) -> int:
        return int(np.rint(self.change[0] * n_rows))

    def _latent(self, streams: Streams, k: int, n: int) -> Floats:
        """Return (p, n) columns in standard units, before anything is shifted, hit or lost."""
        z = np.empty((len(self.names), n))
        for j, shape in enumerate(self.shapes):
            z[j] = _standard(shape, streams.stream(f"column {j}", k), n)
        if self.roles.decoy is not None:
            parent, child = self.roles.decoy
            z[child] = 0.6 * z[parent] + 0.8 * z[child]
        if self.roles.twins is not None:
            original, copy = self.roles.twins
            own = -z[original] if self.mirrored else z[original]
            z[copy] = own + 0.12 * z[copy]
        return z

    def _outcome(self, z: Floats, noise: Floats) -> Floats:
        outcome = self.noise * noise
        for j, effect, bent in zip(self.roles.additive, self.effects, self.bent, strict=True):
            outcome += effect * (z[j] * z[j] - 1.0 if bent else z[j])
        if self.roles.product is not None:
            a, b = self.roles.product
            outcome += 0.35 * z[a] - 0.35 * z[b] + 0.7 * (z[a] * z[b])
        return outcome

    def _spoil(self, z: Floats, streams: Streams, k: int, after: NDArray[np.bool_]) -> None:
        """Shift a level, hit cells with gross errors and lose others, in place."""
        roles, n = self.roles, z.shape[1]
        if roles.shifting is not None:
            z[roles.shifting] += self.change[1] * after
        if roles.outlying is not None:
            u = streams.stream("outliers", k).random((3, n))
            gross = np.where(u[1] < 0.5, -1.0, 1.0) * (9.0 + 6.0 * u[2])  # noqa: PLR2004 - an even coin
            z[roles.outlying] = np.where(u[0] < self.outlier_share, gross, z[roles.outlying])
        if roles.incomplete is not None:
            low, high = self.missing
            driver = np.zeros(n) if roles.driver is None else z[roles.driver]
            p = np.where(driver > 0.4, high, low)  # noqa: PLR2004 - about the upper third
            lost = streams.stream("missing", k).random(n) < p
            z[roles.incomplete, lost] = np.nan


def random_population(
    n_features: int, facts: Sequence[str], n_rows: int, streams: Streams
) -> Population:
    """Draw who does what, and how strongly, for a table of `n_rows` rows.

    Facts that the population does not make itself bring columns beside the `n_features`.
    """
    rng = streams.stream("structure")
    roles = _roles(rng, n_features, facts)
    low, high = on_grid(np.array([0.03 + 0.04 * rng.random(), 0.3 + 0.2 * rng.random()]))
    by_chance = float(on_grid(np.array([0.06 + 0.1 * rng.random()]))[0])
    signs = np.where(rng.random(len(roles.additive)) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - an even coin
    bent = tuple(bool(j > 0 and u < 0.4) for j, u in enumerate(rng.random(len(roles.additive))))  # noqa: PLR2004 - two of five
    sizes = on_grid(0.65 + 0.25 * rng.random(len(roles.additive)))
    added = [kind for kind in KINDS if kind in facts and KINDS[kind].plant is not None]
    n_added = sum(KINDS[kind].n_columns for kind in added)
    names = _names(rng, n_features, n_added)
    population = Population(
        names=names[:n_features],
        shapes=_shapes(rng, n_features, roles),
        location=on_grid(200 * rng.random(n_features + 1) - 100, 1),
        scale=on_grid(1 + 20 * rng.random(n_features + 1), 1),
        roles=roles,
        bent=bent,
        effects=on_grid(signs * sizes * np.where(bent, 0.75, 1.0)),
        noise=float(on_grid(np.array([0.6 + 0.3 * rng.random()]))[0]),
        outlier_share=float(on_grid(np.array([0.012 + 0.02 * rng.random()]))[0]),
        missing=(by_chance, by_chance) if roles.driver is None else (float(low), float(high)),
        change=(
            float(on_grid(np.array([0.25 + 0.5 * rng.random()]))[0]),
            float(on_grid(np.array([1.2 + 0.8 * rng.random()]))[0]),
        ),
        clock=(int(rng.integers(1_000, 50_000)), int(rng.integers(1, 61)), n_rows),
        mirrored=bool(rng.random() < 0.5),  # noqa: PLR2004 - an even coin
        timed=any(KINDS[kind].ordered for kind in facts),
    )
    return _with_facts(population, added, names[n_features:], streams) if added else population


def _with_facts(
    population: Population, kinds: Sequence[str], names: Sequence[str], streams: Streams
) -> Population:
    """Plant facts that bring their own columns, and mix these among the others."""
    start, step, rows = population.clock
    free, added = list(names), {}
    for kind in kinds:
        plant = KINDS[kind].plant
        if plant is None:
            continue
        own = [free.pop() for _ in range(KINDS[kind].n_columns)]
        setting = Setting(
            names=own,
            lead_sign=float(np.sign(population.effects[0])),
            rows=rows,
            step=step,
            start=start,
        )
        added[kind] = plant(streams.child(kind).stream("structure"), setting)
    every = (*population.names, *names)
    mixed = streams.stream("order of columns").permutation(len(every))
    return replace(population, added=added, order=tuple(every[int(j)] for j in mixed))


def _roles(rng: Generator, p: int, facts: Sequence[str]) -> Roles:
    """Deal columns to roles; with few columns, an additive one also has the missing cells."""
    free = [int(j) for j in rng.permutation(p)]
    additive = tuple(free.pop() for _ in range(3 if p >= 12 else 2))  # noqa: PLR2004 - with few columns, each has a role to play
    by_chance = rng.random() < 1 / 3
    product = (free.pop(), free.pop()) if "interaction" in facts else None
    twins = (free.pop(), free.pop()) if "redundant_pair" in facts else None
    outlying = free.pop() if "outliers" in facts else None
    shifting = free.pop() if "change_point" in facts else None
    incomplete = driver = None
    if "missingness" in facts:
        incomplete = free.pop() if free else additive[-1]
        if not by_chance:
            driver = free.pop() if len(free) > 1 else additive[0]
    return Roles(
        additive=additive,
        product=product,
        twins=twins,
        outlying=outlying,
        shifting=shifting,
        incomplete=incomplete,
        driver=driver,
        decoy=(additive[1], free.pop()) if free else None,
    )


def _names(rng: Generator, p: int, more: int) -> tuple[str, ...]:
    """Return p names, and more, that mean nothing and are in no order."""
    return tuple(f"v{100 + int(number)}" for number in rng.permutation(900)[: p + more])


def _shapes(rng: Generator, p: int, roles: Roles) -> tuple[str, ...]:
    shapes = [SHAPES[int(k)] for k in rng.integers(0, len(SHAPES), p)]
    for j in (*(roles.product or ()), roles.outlying):
        if j is not None:
            shapes[j] = "normal"
    return tuple(shapes)


def _standard(shape: str, rng: Generator, n: int) -> Floats:
    """Return n numbers with mean 0 and variance 1; bounded unless normal."""
    if shape == "normal":
        return rng.standard_normal(n)
    u: Floats = rng.random(n)
    if shape == "uniform":
        u = (u - 0.5) * np.sqrt(12.0)
    elif shape == "triangular":
        u = (u + rng.random(n) - 1.0) * np.sqrt(6.0)
    else:
        u = (u * u - 1 / 3) * np.sqrt(45 / 4)
    return u
