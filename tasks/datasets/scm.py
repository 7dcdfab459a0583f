"""Random structural causal tables: columns that cause each other, and functions of them.

Only IEEE-exact operations act on the data (+ - * / sqrt, comparisons, rint), so every numpy build
makes the same bits; pilot statistics, which are sums, are rounded before they are used.

Source: the mechanisms follow the structural-causal-model priors of TabPFN (Hollmann et al. 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.instance import Floats, on_grid

PILOT_ROWS = 32_768
"""Rows behind standardisation and root finds; a mean over them errs by about 1/180 of its sd."""

MIN_VARIANCE = 1e-6

Columns = NDArray[np.float32]
"""(n_features, n) values, a row of memory per column."""
Array = NDArray[Any]


def _step(x: Array) -> Array:
    return (x > 0).astype(x.dtype)


def _wave(x: Array) -> Array:
    half = x * x.dtype.type(0.4)
    away: Array = np.abs(half - np.rint(half))
    return away


def _box(x: Array) -> Array:
    return (np.abs(x) < 0.8).astype(x.dtype)  # noqa: PLR2004 - holds half of a standard normal


MECHANISMS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "hinge": lambda x: np.maximum(x, 0),
    "step": _step,
    "bend": np.abs,
    "wave": _wave,
    "box": _box,
}


LARGEST = 12.0
"""Values of a rich graph are cut here: products of heavy tails would leave any scale."""


def _uniform(rng: Generator, n: int) -> Array:
    return (rng.random(n, dtype=np.float32) - np.float32(0.5)) * np.float32(np.sqrt(12.0))


def _skewed(rng: Generator, n: int) -> Array:
    u = rng.random(n, dtype=np.float32)
    return (u * u - np.float32(1 / 3)) * np.float32(np.sqrt(45 / 4))


def _heavy(rng: Generator, n: int) -> Array:
    z = rng.standard_normal(n, dtype=np.float32)
    return z * np.abs(z) * np.float32(np.sqrt(1 / 3))


NOISES: dict[str, Callable[[Generator, int], Array]] = {
    "normal": lambda rng, n: rng.standard_normal(n, dtype=np.float32),
    "uniform": _uniform,
    "skewed": _skewed,
    "heavy": _heavy,
}
"""Laws of a column's own noise, each with mean 0 and variance 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`weight · standardised mechanism(x_first [· x_second])`."""

    weight: float
    mechanism: str
    first: int
    second: int | None = None
    shift: float = 0.0
    scale: float = 1.0

    def raw(self, x: Sequence[Array] | Array) -> Array:
        """Return the mechanism's values, (n,), not standardised."""
        base = x[self.first] if self.second is None else x[self.first] * x[self.second]
        return MECHANISMS[self.mechanism](base)

    def __call__(self, x: Sequence[Array] | Array) -> Array:
        """Return the term's contribution, (n,)."""
        raw = self.raw(x)
        kind = raw.dtype.type
        effect: Array = (raw - kind(self.shift)) * kind(self.weight / self.scale)
        return effect

    def standardised(self, x: Sequence[Array] | Array) -> "Term":
        """Return the term with mean 0 and variance weight² over the pilot columns `x`."""
        shift, scale = moments(self.raw(x))
        return replace(self, shift=shift, scale=scale)

    def describe(self) -> dict[str, object]:
        """Return what a manifest tells about the term."""
        columns = [self.first] if self.second is None else [self.first, self.second]
        return {"mechanism": self.mechanism, "columns": columns, "weight": round(self.weight, 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One column: a sum of terms over earlier columns and its own noise, standardised."""

    terms: tuple[Term, ...]
    noise: float
    shift: float
    scale: float
    law: str = "normal"
    """Law of the noise, a key of NOISES."""


@dataclass(frozen=True, slots=True)
class Covariates:
    """The joint law of the columns; every column has mean 0 and variance 1."""

    nodes: tuple[Node, ...]
    rich: bool = False

    def sample(self, rng: Generator, n: int) -> Columns:
        """Draw n rows, (n_features, n), not yet rounded."""
        if self.rich:
            return self._rich_sample(rng, n)
        x = rng.standard_normal((len(self.nodes), n), dtype=np.float32)
        for j, node in enumerate(self.nodes):
            if node.terms:
                x[j] = _settled(node, x, j)
        return x

    def _rich_sample(self, rng: Generator, n: int) -> Columns:
        x = np.empty((len(self.nodes), n), dtype=np.float32)
        for j, node in enumerate(self.nodes):
            x[j] = NOISES[node.law](rng, n)
            settled = _settled(node, x, j) if node.terms else x[j]
            x[j] = np.clip(settled, -LARGEST, LARGEST)
        return x


def _settled(node: Node, x: Columns, j: int) -> Array:
    total = x[j] * np.float32(node.noise)
    for term in node.terms:
        total = total + term(x)
    settled: Array = (total - np.float32(node.shift)) * np.float32(1 / node.scale)
    return settled


def moments(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation, rounded so that every build gets the same."""
    doubles = values.astype(np.float64)
    scale = float(np.sqrt(max(doubles.var(), MIN_VARIANCE)))
    mean, sd = on_grid(np.array([doubles.mean(), scale]), 5)
    return float(mean), max(float(sd), 1e-3)


def random_covariates(rng: Generator, n_features: int, pilot: Columns) -> Covariates:
    """Draw a causal graph over the columns, each with at most three earlier parents.

    Args:
        rng: The stream of the structure.
        n_features: Number of columns.
        pilot: (n_features, n) standard normal noise; becomes the pilot columns in place.
    """
    nodes = []
    for j in range(n_features):
        n_parents = int(rng.integers(0, min(j, 3) + 1))
        parents = rng.permutation(j)[:n_parents]
        terms = tuple(_edge(rng, int(parent), pilot) for parent in parents)
        node = Node(terms=terms, noise=_noise(rng), shift=0.0, scale=1.0)
        if terms:
            shift, scale = moments(_settled(node, pilot, j))
            node = Node(terms=terms, noise=node.noise, shift=shift, scale=scale)
            pilot[j] = _settled(node, pilot, j)
        nodes.append(node)
    return Covariates(tuple(nodes))


def rich_covariates(
    rng: Generator, n_features: int, pilot: Columns, noise: Generator
) -> Covariates:
    """Draw a causal graph with every mechanism, products of two parents and four laws of noise.

    Args:
        rng: The stream of the structure.
        n_features: Number of columns.
        pilot: (n_features, n), overwritten with the pilot columns.
        noise: The stream of the pilot's noise.
    """
    nodes: list[Node] = []
    laws, names = tuple(NOISES), tuple(MECHANISMS)
    for j in range(n_features):
        parents = [int(k) for k in rng.permutation(j)[: int(rng.integers(0, min(j, 3) + 1))]]
        law = laws[int(rng.integers(len(laws)))]
        pilot[j] = NOISES[law](noise, pilot.shape[1])
        terms = [_edge(rng, parent, pilot, names) for parent in parents]
        if len(parents) > 1 and rng.random() < 0.5:  # noqa: PLR2004 - a fair coin
            both = Term(weight=weight(rng, 0.4, 1.0), mechanism="linear", first=parents[0])
            terms.append(replace(both, second=parents[1]).standardised(pilot))
        node = Node(terms=tuple(terms), noise=_noise(rng), shift=0.0, scale=1.0, law=law)
        if terms:
            shift, scale = moments(_settled(node, pilot, j))
            node = replace(node, shift=shift, scale=scale)
            pilot[j] = _settled(node, pilot, j)
        np.clip(pilot[j], -LARGEST, LARGEST, out=pilot[j])
        nodes.append(node)
    return Covariates(tuple(nodes), rich=True)


def _noise(rng: Generator) -> float:
    return float(on_grid(0.6 + 0.8 * rng.random(1), 3)[0])


EDGES = ("linear", "linear", "hinge", "step", "bend")


def _edge(rng: Generator, parent: int, pilot: Columns, names: Sequence[str] = EDGES) -> Term:
    name = names[int(rng.integers(len(names)))]
    return Term(weight=weight(rng, 0.4, 1.0), mechanism=name, first=parent).standardised(pilot)


def weight(rng: Generator, low: float, high: float) -> float:
    """Draw a weight of random sign whose size lies in [low, high]."""
    size = low + (high - low) * rng.random()
    sign = 1 if rng.random() < 0.5 else -1  # noqa: PLR2004 - a fair coin
    return float(on_grid(np.array([sign * size]), 3)[0])


def random_function(
    rng: Generator,
    relevant: Sequence[int],
    interactions: int,
    pilot: Floats,
    *,
    rich: bool = False,
) -> tuple[Term, ...]:
    """Draw an additive function of the relevant columns plus products of pairs of them.

    Two thirds of the main effects are monotone, so that linear models get part of the way and
    leave part of it to those who look further; a rich function has boxes too, also of products.
    """
    names = ("linear", "linear", "hinge", "step", "bend", "wave", *(["box"] if rich else []))
    of_products = ("linear", "step", *(["box"] if rich else []))
    terms = []
    for column in relevant:
        name = names[int(rng.integers(len(names)))]
        terms.append(Term(weight=weight(rng, 0.5, 1.0), mechanism=name, first=column))
    for _ in range(interactions if len(relevant) > 1 else 0):
        first, second = (relevant[int(i)] for i in rng.permutation(len(relevant))[:2])
        name = of_products[int(rng.integers(len(of_products)))]
        effect = weight(rng, 0.4, 0.8)
        terms.append(Term(weight=effect, mechanism=name, first=first, second=second))
    return tuple(term.standardised(pilot) for term in terms)


def evaluate(terms: Sequence[Term], x: Floats) -> Floats:
    """Return Σ terms, (n,), in float64; `x` is (n_features, n)."""
    total = np.zeros(x.shape[1])
    for term in terms:
        total += term(x)
    return total
