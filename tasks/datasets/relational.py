"""A table of customers and a table of their events, whose aggregates decide the class (tier E).

The target depends on nothing but the public tables, as they are written: amounts are whole cents
and times whole minutes, so that sums over events are exact, and p(class | tables) is known in
closed form. Events differ between customers by hidden habits, of which the aggregates tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import given_class, scm, sinks
from tasks.datasets.given_class import Part
from tasks.families import Relational
from tasks.instance import (
    Answers,
    Categorical,
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    Table,
    draw_classes,
    on_grid,
)

KINDS = ("view", "cart", "order")
MINUTES = 90 * 24 * 60
"""Events lie within 90 days before the day the question is asked."""
AGGREGATES = (
    "number of events",
    "mean amount",
    "amount of the last event",
    "largest amount",
    "share of orders",
    "mean amount of orders",
    "days since the last event",
)
SHARPEST = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The events of n customers, a row each, sorted by customer and then by time."""

    owner: Ints
    """Position of the customer, ascending."""
    minute: Ints
    cents: Ints
    kind: Ints
    """Position in KINDS."""
    starts: Ints
    """(n + 1,) where the events of each customer begin, and the end."""

    @property
    def counts(self) -> Ints:
        """(n,) events of each customer, perhaps none."""
        return np.diff(self.starts)


def draw_events(part: Part, mean_events: int) -> Events:
    """Draw each customer's habits, then events by them; whole numbers and exact operations."""
    n = part.n_rows
    habits = part.stream("habits")
    counts = habits.integers(0, 2 * mean_events + 1, n)
    level = habits.integers(1000, 9000, n)  # cents
    keen = habits.integers(5, 60, n)  # of a hundred events, orders
    recent = habits.integers(0, MINUTES // 2, n)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    owner = np.repeat(np.arange(n, dtype=np.int64), counts)
    rng, total = part.stream("events"), int(starts[-1])
    minute = rng.integers(0, MINUTES - recent[owner], dtype=np.int64)
    order = np.lexsort((minute, owner))
    share = rng.integers(30, 171, total)  # of a hundred, about the customer's level
    hundred = rng.integers(0, 100, total)
    kind = np.where(hundred < keen[owner], 2, np.where(hundred % 3 == 0, 1, 0)).astype(np.int64)
    cents = level[owner] * share // 100 * (1 + (kind == 2))  # noqa: PLR2004 - orders are dearer
    return Events(owner=owner, minute=minute[order], cents=cents, kind=kind, starts=starts)


def aggregate(events: Events) -> Floats:
    """Return the aggregates in the order of AGGREGATES, (7, n).

    Without events, or without orders, amounts are 0 and the last event is 90 days ago. Sums are
    of whole numbers, hence exact; all else is one division.
    """
    n, counts = len(events.counts), events.counts
    there = counts > 0
    total = _sums(events.owner, events.cents, n)
    orders = events.kind == KINDS.index("order")
    n_orders = _sums(events.owner, orders.astype(np.int64), n)
    spent = _sums(events.owner, events.cents * orders, n)
    last = np.maximum(events.starts[1:] - 1, 0)
    largest = np.zeros(n, dtype=np.int64)
    np.maximum.at(largest, events.owner, events.cents)
    newest = np.where(there, _at(events.minute, last), 0)
    return np.stack(
        [
            counts.astype(np.float64),
            total / np.maximum(counts, 1),
            np.where(there, _at(events.cents, last), 0).astype(np.float64),
            largest.astype(np.float64),
            n_orders / np.maximum(counts, 1),
            spent / np.maximum(n_orders, 1),
            (MINUTES - newest) / 1440.0,
        ]
    )


def _sums(owner: Ints, values: Ints, n: int) -> Ints:
    sums = np.zeros(n, dtype=np.int64)
    np.add.at(sums, owner, values)
    return sums


def _at(values: Ints, places: Ints) -> Ints:
    return values[places] if len(values) else np.zeros(len(places), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Mean and standard deviation of each aggregate over the pilot customers."""

    shift: Floats
    spread: Floats

    @classmethod
    def of(cls, aggregates: Floats) -> "_Scale":
        moments = [scm.moments(row) for row in aggregates]
        return cls(
            shift=np.array([[mean] for mean, _ in moments]),
            spread=np.array([[sd] for _, sd in moments]),
        )

    def __call__(self, aggregates: Floats) -> Floats:
        return (aggregates - self.shift) / self.spread


def draw(params: Relational, streams: Streams) -> Instance:
    """Draw customers and events; `params.ceiling` is the accuracy of the Bayes-optimal class.

    Raises:
        InvalidTask: No sharpness gives that ceiling.
    """
    frame = sinks.frame(params.n_features, streams)
    pilot = given_class.pilot(streams, frame.pilot.shape[1])
    raw = aggregate(draw_events(pilot, params.mean_events))
    scale = _Scale.of(raw)
    x = np.vstack([frame.pilot, scale(raw)])
    rng = streams.stream("target")
    chosen = sorted(int(j) for j in rng.permutation(len(AGGREGATES))[: params.n_aggregates])
    relevant = [*frame.relevant[:2], *(params.n_features + j for j in chosen)]
    score = sinks.Score.of(scm.random_function(rng, relevant, params.interactions, x), x)
    threshold = scm.weight(rng, 0.0, 0.5)
    pilot_score = score(x) - threshold

    def accuracy(sharpness: float) -> float:
        p = sinks.logistic(sharpness * pilot_score)
        return float(np.maximum(p, 1 - p).mean())

    sharpness = given_class.root(accuracy, params.ceiling, 0.01, SHARPEST)

    def rows(name: str, n: int) -> tuple[Floats, Events, Floats, Ints]:
        """Return features, events, p(class) and class of all rows of a table."""
        parts = given_class.parts(streams, name, n)
        features = np.concatenate([frame.sample(part) for part in parts], axis=1)
        events = _joined([draw_events(part, params.mean_events) for part in parts])
        inputs = np.vstack([features, scale(aggregate(events))])
        positive = sinks.logistic(sharpness * (score(inputs) - threshold))
        p = np.column_stack([1.0 - positive, positive])
        uniform = np.concatenate([part.stream("labels").random(part.n_rows) for part in parts])
        return features, events, p, draw_classes(p, uniform)

    known, past, _, codes = rows("train", params.n_samples)
    fresh, present, p, hidden = rows("test", params.test_rows)
    ids = np.arange(params.n_samples + params.test_rows, dtype=np.int64)
    train_ids, test_ids = np.split(ids, [params.n_samples])
    share = float(codes.mean())
    return Instance(
        public={
            "train": Table.of({"id": train_ids, **sinks.named(known), "target": codes}),
            "test": Table.of({"id": test_ids, **sinks.named(fresh)}),
            "events": Table.of(_log([past, present], streams)),
        },
        notes=_notes(params),
        contract=Contract(kind="classes", ids=test_ids, classes=("0", "1")),
        answers=Answers(
            labels=hidden,
            law=Categorical(p=p),
            trivial={"prior": np.broadcast_to(np.array([1 - share, share]), p.shape)},
        ),
        details={
            "relevant": [f"f{j}" for j in frame.relevant[:2]] + [AGGREGATES[j] for j in chosen],
            "columns": [f"f{j}" for j in range(params.n_features)] + list(AGGREGATES),
            "sharpness": sharpness,
            "terms": score.describe(),
        },
    )


def _joined(parts: list[Events]) -> Events:
    """Put the customers of several parts one after the other."""
    owners, ends, n, total = [], [np.zeros(1, dtype=np.int64)], 0, 0
    for part in parts:
        owners.append(part.owner + n)
        ends.append(part.starts[1:] + total)
        n, total = n + len(part.counts), total + len(part.owner)
    return Events(
        owner=np.concatenate(owners),
        minute=np.concatenate([part.minute for part in parts]),
        cents=np.concatenate([part.cents for part in parts]),
        kind=np.concatenate([part.kind for part in parts]),
        starts=np.concatenate(ends),
    )


def _log(parts: list[Events], streams: Streams) -> Mapping[str, NDArray[Any]]:
    """Return the events of all customers as they happened; who is in test shows nowhere."""
    events = _joined(parts)
    # Events of one minute come in any order, but those of one customer in theirs.
    ties = streams.stream("ties").integers(0, 2**40, len(events.counts))[events.owner]
    order = np.lexsort((np.arange(len(events.owner)), ties, events.minute))
    return {
        "event_id": np.arange(len(order), dtype=np.int64),
        "id": events.owner[order],
        "day": on_grid(events.minute[order] / 1440.0),
        "kind": np.array(KINDS, dtype=object)[events.kind[order]],
        "amount": events.cents[order] / 100.0,
    }


def _notes(params: Relational) -> str:
    return (
        f"- `train.csv`: {params.n_samples:,} customers, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, `target`.\n"
        f"- `test.csv`: {params.test_rows:,} customers, the same columns without `target`.\n"
        f"- `events.csv`: what customers of both tables did, a row per event in the order of time, "
        f"columns `event_id` (later events have larger ones), `id` (of the customer), `day` (0 to "
        f"90; the question is asked on day 90), `kind` ({', '.join(KINDS)}) and `amount`.\n\n"
        f"`target` is the class of a customer, 0 or 1. It depends on some of the features and, "
        f"more so, on the customer's events: how many, how large, of which kind, how long ago. A "
        f"customer may have none. Customers are independent of each other and in no order; ids "
        f"mean nothing."
    )
