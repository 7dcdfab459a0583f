"""Instances drawn class first: the class by equal odds, the columns from the class.

Bayes' rule then gives p(y | columns), as long as p(columns | y) can be worked out (tier B).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets.complete import complete
from tasks.errors import InvalidTask
from tasks.families import Sampled
from tasks.instance import (
    CHUNK_ROWS,
    Answers,
    Categorical,
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    Table,
    class_names,
    on_grid,
)

ROOT_STEPS = 14
"""Halvings, in ratio: from 1 : 10,000 down to 1 : 1.0006."""
RESOLVED, CLOSE = 5e-4, 2e-3
"""Where a root find stops, and how near it must come."""
PILOT_ROWS = 32_768
"""Rows behind a root find whose rows are cheap; their mean accuracy errs by about 0.0008."""
SOME_ROWS, MOST_ROWS = 4096, 131_072
"""Where rows are dear: those that find about the place, and at most that many that correct it."""
PRECISE = 0.0007
"""Standard error of the mean over the latter."""
SLOPE_STEP = 1.05
"""Factor between two places that tell the slope."""
STEPS = 6
"""Places at most where the mean is taken over many rows."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One chunk of the train, test or pilot rows: where its random numbers come from."""

    streams: Streams
    name: str
    chunk: int
    n_rows: int

    def stream(self, purpose: str) -> Generator:
        """Return the generator of one purpose, at its start."""
        return self.streams.stream(f"{self.name}/{purpose}", self.chunk)

    def codes(self, n_classes: int) -> Ints:
        """Return the classes of the rows, (n_rows,)."""
        codes: Ints = self.stream("labels").integers(0, n_classes, self.n_rows)
        return codes

    def ids(self, first: int) -> Ints:
        """Return the ids of the rows, where `first` is that of chunk 0."""
        start = first + self.chunk * CHUNK_ROWS
        return np.arange(start, start + self.n_rows, dtype=np.int64)


def pilot(streams: Streams, n_rows: int = PILOT_ROWS) -> Part:
    """Return rows that only a root find sees."""
    return Part(streams=streams, name="pilot", chunk=0, n_rows=n_rows)


def parts(streams: Streams, name: str, n_rows: int) -> list[Part]:
    """Cut `n_rows` rows into chunks."""
    return [
        Part(streams=streams, name=name, chunk=k, n_rows=min(CHUNK_ROWS, n_rows - k * CHUNK_ROWS))
        for k in range(-(-n_rows // CHUNK_ROWS))
    ]


def ids_of(test: Sequence[Part], first: int) -> Ints:
    """Return the ids of hidden rows, the first of which is `first`."""
    return np.concatenate([part.ids(first) for part in test])


def both(
    train: Sequence[Part],
    known: Callable[[Part], Columns],
    test: Sequence[Part],
    hidden: Sequence[Columns],
) -> dict[str, Table]:
    """Return the tables `train` and `test`, whose ids go on from those of train.

    Args:
        train: Its chunks.
        known: Makes the columns of a chunk of train, whenever it is asked for.
        test: Its chunks.
        hidden: The public columns of each.
    """
    n_train = sum(part.n_rows for part in train)
    return {
        "train": Table(n_rows=n_train, chunk=lambda k: {"id": train[k].ids(0), **known(train[k])}),
        "test": Table(
            n_rows=sum(part.n_rows for part in test),
            chunk=lambda k: {"id": test[k].ids(n_train), **hidden[k]},
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """A law of columns given the class."""

    n_classes: int
    columns: Callable[[Part, Ints], Columns]
    """Draws rows of these classes, as they are stored."""
    posterior: Callable[[Columns], Floats]
    """Returns p(class | columns), (n, K)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The rows of an instance; the training rows are computed when they are asked for."""

    train: list[Part]
    test: list[tuple[Part, Columns]]
    contract: Contract
    answers: Answers


def draw(params: Sampled, streams: Streams, law: Conditional) -> Drawn:
    """Draw training and hidden rows, and what is known of the hidden ones."""
    streams = complete(
        streams,
        "rows",
        lambda own: parts(own, "train", params.n_samples)[0].codes(law.n_classes),
        n_classes=law.n_classes,
        n_samples=params.n_samples,
    )
    names = tuple(str(k) for k in range(law.n_classes))
    test = [(part, part.codes(law.n_classes)) for part in parts(streams, "test", params.test_rows)]
    hidden = [(part, law.columns(part, codes)) for part, codes in test]
    train = parts(streams, "train", params.n_samples)
    p = np.concatenate([law.posterior(columns) for _, columns in hidden])
    known = np.bincount(train[0].codes(law.n_classes), minlength=law.n_classes)
    return Drawn(
        train=train,
        test=hidden,
        contract=Contract(
            kind="classes",
            ids=ids_of([part for part, _ in test], params.n_samples),
            classes=names,
        ),
        answers=Answers(
            labels=np.concatenate([codes for _, codes in test]),
            law=Categorical(p=p),
            trivial={"prior": np.broadcast_to(known / known.sum(), p.shape)},
        ),
    )


def tables(law: Conditional, drawn: Drawn) -> dict[str, Table]:
    """Return the tables `train`, with the target, and `test`, without."""

    def known(part: Part) -> Columns:
        codes = part.codes(law.n_classes)
        target = class_names(codes, drawn.contract.classes)
        return {**law.columns(part, codes), "target": target}

    test, hidden = zip(*drawn.test, strict=True)
    return both(drawn.train, known, test, hidden)


def instance(
    params: Sampled, streams: Streams, law: Conditional, *, notes: str, details: Mapping[str, Any]
) -> Instance:
    """Draw an instance whose columns fit into tables."""
    drawn = draw(params, streams, law)
    return Instance(
        public=tables(law, drawn),
        notes=notes,
        contract=drawn.contract,
        answers=drawn.answers,
        details=details,
    )


def root(
    accuracy: Callable[[float], float],
    ceiling: float,
    low: float,
    high: float,
    *,
    name: str = "ceiling",
) -> float:
    """Return, to 4 decimals, where an increasing accuracy meets `ceiling`, by bisection.

    `name` is the parameter that a refusal blames.

    The accuracy is a mean of exponentials, whose last bits depend on the build. Only comparisons
    of it count, which differ between builds if it meets the ceiling to 13 digits at a midpoint.

    Raises:
        InvalidTask: Nothing in [low, high] gives the ceiling, to `CLOSE`.
    """
    lowest, highest = low, high
    for _ in range(ROOT_STEPS):
        middle = float(on_grid(np.sqrt(np.array([low * high])))[0])
        surplus = accuracy(middle) - ceiling
        if abs(surplus) < RESOLVED:
            return middle
        low, high = (middle, high) if surplus < 0 else (low, middle)
    if abs(accuracy(low) - ceiling) < CLOSE:
        return low
    least, most = accuracy(lowest), accuracy(highest)
    raise InvalidTask(
        f"data_requirements.{name} is {ceiling}; possible here: {least:.3f} to {most:.3f}"
    )


def precise_root(
    chances: Callable[[float, int], Floats],
    ceiling: float,
    low: float,
    high: float,
    *,
    name: str = "ceiling",
) -> float:
    """Return, to 4 decimals, where the mean chance of being right meets `ceiling`.

    Bisection on some rows comes near; as many as make the standard error of the mean `PRECISE`
    are drawn at a few places only, between which the slope that some rows tell is followed.

    Args:
        chances: Of being right at a place, on each of so many pilot rows.
        ceiling: What their mean should be.
        low: Where it is less.
        high: Where it is more.
        name: The parameter that a refusal blames.

    Raises:
        InvalidTask: Nothing in [low, high] gives the ceiling, to `CLOSE`.
    """

    def roughly(place: float) -> float:
        return float(chances(place, SOME_ROWS).mean())

    place = root(roughly, ceiling, low, high, name=name)
    further = min(place * SLOPE_STEP, high)
    nearer = further / SLOPE_STEP
    slope = (roughly(further) - roughly(nearer)) / (further - nearer)
    spread = float(chances(place, SOME_ROWS).std())
    n = min(MOST_ROWS, max(SOME_ROWS, math.ceil((spread / PRECISE) ** 2)))
    tried: dict[float, float] = {}
    for _ in range(STEPS):
        tried[place] = float(chances(place, n).mean()) - ceiling
        if abs(tried[place]) < RESOLVED or slope <= 0:
            break
        moved = min(max(place - tried[place] / slope, low), high)
        place = float(on_grid(np.array([moved]))[0])
    # Where a step draws other rows, too, such as texts that go on differently, steps scatter.
    best = min(tried, key=lambda each: abs(tried[each]))
    if abs(tried[best]) < CLOSE:
        return best
    raise InvalidTask(
        f"data_requirements.{name} is {ceiling}; the nearest found here is "
        f"{ceiling + tried[best]:.4f}"
    )


def softmax(scores: Floats) -> Floats:
    """Return exp(scores), (n, K), divided by its row sums."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    normalised: Floats = p / p.sum(axis=1, keepdims=True)
    return normalised
