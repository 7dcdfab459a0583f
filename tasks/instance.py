"""What a task and a secret seed make: public files, hidden answers and the law behind them."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from tasks.errors import UsageError

CHUNK_ROWS = 65_536
"""Rows per chunk. Fixed for ever: the bits of a table depend on it, never on threads."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Seed:
    """The secret behind an instance: 32 bytes. `sealed` says that nobody could have guessed it."""

    secret: bytes
    sealed: bool

    @classmethod
    def fresh(cls) -> "Seed":
        """Draw a secret seed from the operating system."""
        return cls(secret=secrets.token_bytes(32), sealed=True)

    @classmethod
    def practice(cls, task_id: str) -> "Seed":
        """Return the public seed of a task, for practice; never sealed."""
        return cls(secret=hashlib.sha256(f"practice {task_id}".encode()).digest(), sealed=False)

    @classmethod
    def of(cls, chosen: "Seed | int | None") -> "Seed | None":
        """Return a seed; a number stands for the public one of that number.

        Raises:
            UsageError: It is neither.
        """
        if chosen is None or isinstance(chosen, Seed):
            return chosen
        if isinstance(chosen, bool) or not isinstance(chosen, int):
            raise UsageError(f"a seed must be a Seed or a whole number, not {chosen!r}")
        return cls.public(chosen)

    @classmethod
    def public(cls, number: int) -> "Seed":
        """Return the seed a user asked for by number; small numbers can be tried out, so public."""
        return cls(secret=hashlib.sha256(f"seed {number}".encode()).digest(), sealed=False)


class Streams:
    """Independent random streams, one per purpose and chunk, out of one seed.

    Philox4x64 (Salmon et al. 2011): the key is SHA-256 of seed and purpose, the top counter word
    is the chunk, so a new purpose shifts no other stream and any chunk is computable alone.
    """

    def __init__(self, seed: bytes) -> None:
        """Derive from `seed`, any bytes."""
        self._seed = seed

    def stream(self, purpose: str, chunk: int = 0) -> Generator:
        """Return the generator of one purpose and chunk, at its start."""
        digest = hashlib.sha256(self._seed + b"\0" + purpose.encode()).digest()
        key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
        counter = np.array([0, 0, 0, chunk], dtype=np.uint64)
        return Generator(Philox(key=key, counter=counter))

    def child(self, purpose: str) -> "Streams":
        """Return streams of their own, for a part that names its purposes itself."""
        return Streams(hashlib.sha256(self._seed + b"\1" + purpose.encode()).digest())


# --- what the agent gets -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows that are computed chunk by chunk, so that ten million fit through a small memory.

    `chunk(k)` returns the rows from `k * CHUNK_ROWS` on, a column each: int64, float64 (NaN is a
    missing cell), or object arrays of str (None is a missing cell). It must be thread-safe.
    """

    n_rows: int
    chunk: Callable[[int], Mapping[str, NDArray[Any]]]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> "Table":
        """Wrap columns that are in memory already."""
        n_rows = len(next(iter(columns.values())))

        def chunk(k: int) -> Mapping[str, NDArray[Any]]:
            rows = slice(k * CHUNK_ROWS, (k + 1) * CHUNK_ROWS)
            return {name: values[rows] for name, values in columns.items()}

        return cls(n_rows=n_rows, chunk=chunk)

    @property
    def n_chunks(self) -> int:
        """The number of chunks; an empty table has one, for its header."""
        return max(1, -(-self.n_rows // CHUNK_ROWS))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all rows at once, for small tables and data frames."""
        chunks = [self.chunk(k) for k in range(self.n_chunks)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A public file that is no table: `write(path)` makes it, the same bytes each time."""

    write: Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The form of a submission, derived from public things only.

    A submission is one table: the id column, and by `kind`
    `classes` → `target` (one of `classes`) and/or one column `proba_<class>` per class;
    `multilabel` → per label `label_<class>`, 0 or 1, and/or `proba_<class>`, in [0, 1];
    `values` → `target`, a finite number, and optionally quantile columns `q0.1`, `q0.5`, …;
    `clusters` → `target`, any integer.
    """

    kind: Literal["classes", "multilabel", "values", "clusters"]
    ids: Ints
    """(n,) the ids to be answered, in the order of the test table."""
    id_column: str = "id"
    target: str = "target"
    classes: tuple[str, ...] = ()
    """Class or label names as they stand in the files; codes are positions in this tuple."""
    probabilities: bool = False
    """Whether the columns `proba_<class>` are required (else they are optional)."""
    quantiles: tuple[float, ...] = ()
    """Levels whose columns are required."""
    costs: tuple[tuple[float, ...], ...] = ()
    """What it costs to say the class of the column where that of the row is true, for the
    expected cost; empty where the task names none."""


# --- what the agent never gets -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    """p(y | everything public) of each hidden row: (n, K), rows sum to 1."""

    p: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """The predictive law of each hidden row: mean (n,) and standard deviation (n,)."""

    mean: Floats
    sd: Floats
    covariance: Floats | None = None
    """(g, h, h): of the rows in g consecutive blocks of h; None where they are independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The predictive law of each hidden row: one of R normal laws, each with its weight."""

    weights: Floats
    """(n, R); rows sum to 1."""
    means: Floats
    """(n, R)"""
    sds: Floats
    """(n, R) above 0"""
    covariance: Floats | None = None
    """(g, h, h): of the rows in g consecutive blocks of h; None where they are independent."""

    @property
    def mean(self) -> Floats:
        """(n,)."""
        mean: Floats = np.sum(self.weights * self.means, axis=1)
        return mean

    @property
    def sd(self) -> Floats:
        """(n,) standard deviation of the whole."""
        around = self.means - self.mean[:, None]
        sd: Floats = np.sqrt(np.sum(self.weights * (self.sds**2 + around**2), axis=1))
        return sd

    def parts(self) -> list[tuple[Floats, Gaussian]]:
        """Return weight (n,) and law of each of the R."""
        each = zip(self.weights.T, self.means.T, self.sds.T, strict=True)
        return [(weight, Gaussian(mean=mean, sd=sd)) for weight, mean, sd in each]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bernoulli:
    """The law of K labels per hidden row, each there or not; independent, or a chain."""

    p: Floats
    """(n, K) p(label k | everything public)."""
    given: Floats | None = None
    """(n, K, 2) p(label k | everything public, label k - 1 not there, there); for k = 0 both are
    p. None where the labels of a row are independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """The law of each hidden time until an event: P(T > t) = exp(-(t / scale)^shape), Weibull."""

    scale: Floats
    """(n,)."""
    shape: float
    """Common to all rows; infinite for times that are known."""


Law = Categorical | Gaussian | Mixture | Bernoulli | Durations


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The hidden side of an instance to be predicted, aligned with `Contract.ids`."""

    labels: NDArray[Any]
    """(n,) realised answers: int64 class or cluster codes, or float64 values; (n, K) int64 of 0
    and 1 where there are several labels."""
    law: Law | None
    """None for real data, whose law nobody knows (tier K)."""
    trivial: Mapping[str, Floats]
    """Predictions that need no features, by name, each (n, K) probabilities or (n,) values; the
    floor is the best of them. May use the training labels, never the hidden ones."""
    naive: Categorical | Gaussian | None = None
    """Where test differs from train: what the best predictor of train rows says of each row."""
    scale: Floats | None = None
    """(n,) in-sample mean absolute seasonal difference of each row's series, for MASE."""
    groups: Ints | None = None
    """(n,) rows with the same number have dependent residuals; the leak test sums within."""
    reference: Mapping[str, float] = field(default_factory=dict)
    """Tier K only: measured scores of a reference panel, by measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedFact:
    """One true statement about a data-analysis instance, in the words of insights/1."""

    type: str
    args: Mapping[str, Any]
    text: str
    """The same for people; shown when the trial is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The hidden side of a data-analysis instance."""

    planted: tuple[PlantedFact, ...]
    columns: tuple[str, ...]
    redraw: Callable[[int], Mapping[str, NDArray[Any]]]
    """`redraw(n)` gives a fresh sample of the same population, to test other claims on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One draw of a task: what is public, what is hidden, and how the ceiling is known."""

    public: Mapping[str, Table | Blob]
    """By file name; a table's name has no suffix (`train`, `test`), the writer adds it."""
    notes: str
    """Markdown on the columns and files, for description.md; holds nothing of the answers."""
    contract: Contract | None = None
    answers: Answers | None = None
    facts: Facts | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest should tell about the hidden structure, once the trial is over."""

    def commitment(self, seed: Seed) -> str:
        """SHA-256 over seed and realised answers, published before the agent starts.

        The seed's 256 bits hide the answers however few they are. The law is left out: its last
        bits may differ between numpy builds.
        """
        digest = hashlib.sha256(seed.secret)
        if self.contract is not None and self.answers is not None:
            digest.update(np.ascontiguousarray(self.contract.ids).tobytes())
            digest.update(np.ascontiguousarray(self.answers.labels).tobytes())
        for fact in self.facts.planted if self.facts else ():
            digest.update(repr((fact.type, sorted(fact.args.items()))).encode())
        return digest.hexdigest()


def on_grid(values: NDArray[Any], decimals: int = 4) -> Floats:
    """Round to a decimal grid, so that every build prints and reads the same number."""
    scale = 10.0**decimals
    grid = np.empty(np.shape(values))
    np.multiply(values, scale, out=grid, dtype=np.float64)
    # In place: temporaries of ten megabytes cost more than the arithmetic.
    np.rint(grid, out=grid)
    grid /= scale
    grid += 0.0  # turns -0.0 into 0.0
    return grid


def draw_classes(p: Floats, uniform: Floats) -> Ints:
    """Draw a class per row from p (n, K), given uniform numbers (n,); comparisons only."""
    codes = np.zeros(len(p), dtype=np.int64)
    cumulative = np.zeros(len(p))
    for k in range(p.shape[1] - 1):
        cumulative = cumulative + p[:, k]
        codes += uniform >= cumulative  # uniform is in [0, 1): a class of p = 0 never comes
    return codes


def class_names(codes: Ints, classes: Sequence[str]) -> NDArray[Any]:
    """Return the class of each row as it stands in files: int64 if all names are integers."""
    if all(name.lstrip("-").isdigit() for name in classes):
        return np.array([int(name) for name in classes], dtype=np.int64)[codes]
    return np.array(classes, dtype=object)[codes]
