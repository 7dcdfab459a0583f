"""Several labels per row, each there or not, whose joint law is known in closed form (tier E)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import given_class, scm, sinks
from tasks.datasets.given_class import Part
from tasks.families import MultiLabel
from tasks.instance import Answers, Bernoulli, Contract, Floats, Instance, Ints, Streams

SHARPEST = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    """p(label k | columns, label k - 1) = logistic(sharpness · (score - threshold ± link))."""

    scores: tuple[sinks.Score, ...]
    thresholds: Floats
    """(K,) at 0 half of the rows have the label, at 1 about a sixth."""
    links: Floats
    """(K,) added where the label before is there, else taken off; 0 where labels are
    independent."""
    sharpness: float = 1.0

    def centred(self, x: Floats) -> Floats:
        """Return score - threshold, (n, K); `x` is (n_features, n)."""
        return np.column_stack([score(x) for score in self.scores]) - self.thresholds

    def given(self, centred: Floats) -> Floats:
        """Return p(label k | columns, label k - 1 not there, there), (n, K, 2)."""
        without, with_it = centred - self.links, centred + self.links
        return sinks.logistic(self.sharpness * np.stack([without, with_it], axis=2))

    def draw(self, given: Floats, uniform: Floats) -> Ints:
        """Draw the labels one after the other, (n, K); comparisons only."""
        labels = np.zeros(uniform.shape, dtype=np.int64)
        for k in range(uniform.shape[1]):
            p = (
                given[:, 0, 0]
                if k == 0
                else np.where(labels[:, k - 1] > 0, given[:, k, 1], given[:, k, 0])
            )
            labels[:, k] = uniform[:, k] < p
        return labels


def marginals(given: Floats) -> Floats:
    """Return p(label k | columns), (n, K), by a forward pass along the chain."""
    p = given[:, :, 0].copy()
    for k in range(1, given.shape[1]):
        p[:, k] += p[:, k - 1] * (given[:, k, 1] - given[:, k, 0])
    return p


def draw(params: MultiLabel, streams: Streams) -> Instance:
    """Draw K labels; a share `params.ceiling` of them can be told right.

    Raises:
        InvalidTask: No sharpness gives that ceiling.
    """
    frame = sinks.frame(params.n_features, streams)
    blunt = _labels(params, frame, streams)
    pilot = blunt.centred(frame.pilot)

    def at(sharpness: float) -> _Labels:
        return _Labels(
            scores=blunt.scores,
            thresholds=blunt.thresholds,
            links=blunt.links,
            sharpness=sharpness,
        )

    def told_right(sharpness: float) -> float:
        p = marginals(at(sharpness).given(pilot))
        return float(np.maximum(p, 1 - p).mean())

    labels = at(given_class.root(told_right, params.ceiling, 0.01, SHARPEST))
    names = tuple(str(k) for k in range(params.n_labels))

    def rows(part: Part) -> tuple[Floats, Floats, Ints]:
        x = frame.sample(part)
        given = labels.given(labels.centred(x))
        uniform = part.stream("labels").random((part.n_rows, params.n_labels))
        return x, given, labels.draw(given, uniform)

    train = given_class.parts(streams, "train", params.n_samples)
    test = given_class.parts(streams, "test", params.test_rows)

    def known(part: Part) -> dict[str, NDArray[Any]]:
        x, _, there = rows(part)
        columns = {f"label_{name}": there[:, i] for i, name in enumerate(names)}
        return {**sinks.named(x), **columns}

    hidden = [rows(part) for part in test]
    given = np.concatenate([part[1] for part in hidden])
    first = rows(train[0])[2]
    return Instance(
        public=given_class.both(train, known, test, [sinks.named(x) for x, _, _ in hidden]),
        notes=_notes(params),
        contract=Contract(
            kind="multilabel",
            ids=given_class.ids_of(test, params.n_samples),
            classes=names,
            probabilities=True,
        ),
        answers=Answers(
            labels=np.concatenate([part[2] for part in hidden]),
            law=Bernoulli(p=marginals(given), given=given if params.chain else None),
            trivial=_trivial(first, params.test_rows),
        ),
        details={
            "relevant": [f"f{j}" for j in frame.relevant],
            "sharpness": labels.sharpness,
            "thresholds": labels.thresholds,
            "links": labels.links,
            "terms": [score.describe() for score in labels.scores],
        },
    )


def _labels(params: MultiLabel, frame: sinks.Frame, streams: Streams) -> _Labels:
    rng = streams.stream("target")
    scores = []
    for _ in range(params.n_labels):
        some = sorted(frame.relevant[int(i)] for i in rng.permutation(len(frame.relevant))[:4])
        terms = scm.random_function(rng, some, params.interactions, frame.pilot)
        scores.append(sinks.Score.of(terms, frame.pilot))
    thresholds = np.array([abs(scm.weight(rng, 0.0, 1.0)) for _ in scores])
    links = np.array([0.0, *(scm.weight(rng, 0.5, 1.0) for _ in scores[1:])])
    return _Labels(
        scores=tuple(scores), thresholds=thresholds, links=links if params.chain else 0.0 * links
    )


def _trivial(known: Ints, n_test: int) -> dict[str, Floats]:
    """Return what can be said without columns: how often, always, and the commonest set."""
    sets, counts = np.unique(known, axis=0, return_counts=True)
    said = {
        "prior": known.mean(axis=0),
        "every label": np.ones(known.shape[1]),
        "commonest set": sets[counts.argmax()].astype(np.float64),
    }
    shape = (n_test, known.shape[1])
    return {name: np.broadcast_to(values, shape) for name, values in said.items()}


def _notes(params: MultiLabel) -> str:
    last = params.n_labels - 1
    relation = (
        "depends on the features and on the label before it"
        if params.chain
        else "depends on the features alone"
    )
    return (
        f"- `train.csv`: {params.n_samples:,} labelled rows, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, `label_0` … `label_{last}`.\n"
        f"- `test.csv`: {params.test_rows:,} rows, the same columns without the labels.\n\n"
        f"All features are numbers without missing cells; some have nothing to do with any label. "
        f"A row has any number of labels: `label_k` is 1 where label k is there, else 0, and "
        f"{relation}. Rows are independent of each other and in no order; ids mean nothing."
    )
