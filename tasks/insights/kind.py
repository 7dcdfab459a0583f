"""What one type of claim is: its form, its planting, its detection and its check."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.insights.forms import Args, Column, Form
from tasks.insights.sample import Sample
from tasks.instance import Floats, Ints, Streams


@dataclass(slots=True, kw_only=True)
class Chunk:
    """Rows being made."""

    k: int
    position: Ints
    """(n,) row numbers in the table the agent gets, whose order matters to facts on time."""
    rows: int
    """Rows of that table."""
    lead: Floats
    """(n,) a feature that acts on the outcome in a straight line, standardised."""
    outcome: Floats
    """(n,) in units of about one standard deviation of one effect; facts add to it in place."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By name; facts add those of their own."""

    def noise(self, streams: Streams) -> Floats:
        """Return what is a fact's own in each row: normal, of mean 0 and variance 1."""
        noise: Floats = streams.stream("noise", self.k).standard_normal(len(self.lead))
        return noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a fact may know when it is planted."""

    names: Sequence[str]
    """Names for its own columns, as many as `Kind.n_columns`."""
    lead_sign: float
    """Direction in which `Chunk.lead` acts on the outcome."""
    rows: int
    step: int
    """Time between two rows."""
    start: int
    """Time of the first."""


def _nothing(chunk: Chunk, streams: Streams) -> None:
    del chunk, streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One fact in a population."""

    args: Args
    act: Callable[[Chunk, Streams], None] = _nothing
    """Adds its columns, and what they do to the outcome."""
    finish: Callable[[Chunk, Streams], None] = _nothing
    """Is called when the outcome and all other columns are there."""
    relevant: tuple[str, ...] = ()
    """Columns of its own that the outcome depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of claim."""

    type: str
    says: str
    """What a claim of this type states, for agents; one sentence, Markdown."""
    form: Form
    example: Args
    text: Callable[[Args], str]
    """The fact in words, for people."""
    detect: Callable[[Sample], Sequence[Args]]
    """Finds all such facts, the strongest first."""
    agree: Callable[[Args, Args, float], bool] = lambda claim, fact, _: dict(claim) == dict(fact)
    """Whether a claim states a fact; the number is the range of the clock."""
    true: Callable[[Sample, Args], bool] | None = None
    """Whether a claim is true of a sample; by default, if it agrees with anything detected."""
    check: Callable[[Args], Args] = lambda args: args
    """Puts arguments in normal form that depend on each other, or raises `FormError`."""
    n_columns: int = 0
    plant: Callable[[Generator, Setting], Planted] | None = None
    """None for the facts that the population itself makes."""
    ordered: bool = False
    """Whether it is about the order of the rows, which then have a `time`."""
    same: Callable[[Args, Args], bool] | None = None
    """Given where the truth is a number measured in the agent's very table rather than the
    population's: whether two such facts are about the same thing."""

    def found(self, sample: Sample) -> Sequence[Args]:
        """Return what is detected, searched once a sample."""
        return sample.found(self.type, self.detect)

    def holds(self, sample: Sample, args: Args) -> bool:
        """Say whether a claim is true of a sample."""
        if self.true is not None:
            return self.true(sample, args)
        return any(self.agree(args, fact, sample.span) for fact in self.found(sample))

    def measured(self, sample: Sample, args: Args) -> Args:
        """Return a fact of the population as it stands in this sample."""
        if self.same is None:
            return args
        return next(fact for fact in self.found(sample) if self.same(args, fact))

    def strongest(self, sample: Sample, args: Args, others: frozenset[str] = frozenset()) -> bool:
        """Say whether `args` agree with the strongest finding that names none of `others`."""
        own = (fact for fact in self.found(sample) if not others & mentioned(fact))
        return any(self.agree(args, fact, sample.span) for fact in list(own)[:1])


def about_column(
    kind: str,
    says: str,
    *,
    example: str,
    is_so: str,
    detect: Callable[[Sample], Sequence[Args]],
    plant: Callable[[Generator, Setting], Planted] | None = None,
    true: Callable[[Sample, Args], bool] | None = None,
) -> Kind:
    """Return a type of claim that names a column and nothing else.

    Args:
        kind: Its name.
        says: As of `Kind`.
        example: A column's name.
        is_so: What follows the column's name in the words for people.
        detect: As of `Kind`.
        plant: As of `Kind`.
        true: As of `Kind`.
    """
    return Kind(
        type=kind,
        says=says,
        form={"column": Column()},
        example={"column": example},
        text=lambda args: f"{args['column']} {is_so}",
        detect=detect,
        true=true,
        n_columns=0 if plant is None else 1,
        plant=plant,
    )


def mentioned(args: Mapping[str, Any]) -> set[str]:
    """Return the texts among arguments, column names included."""
    flat: set[str] = set()
    for value in args.values():
        flat |= (
            set(value) if isinstance(value, tuple) else {value} if isinstance(value, str) else set()
        )
    return flat


def number(rng: Generator, low: float, high: float, decimals: int = 2) -> float:
    """Return a number in [low, high] on a decimal grid."""
    scale = 10.0**decimals
    return float(np.rint((low + (high - low) * float(rng.random())) * scale) / scale)


def scale(rng: Generator) -> tuple[float, float]:
    """Return location and unit of a column, on which nothing depends."""
    return number(rng, -90, 90), number(rng, 2, 20)


def sign(rng: Generator) -> float:
    """Return -1 or 1."""
    return -1.0 if rng.random() < 0.5 else 1.0  # noqa: PLR2004 - a coin


def pick(rng: Generator, options: Sequence[Any]) -> Any:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]
