"""Classification, imbalanced and regression tables whose p(y | x) is known in closed form (tier E).

The target is a sink of the causal graph and depends on the columns as they are written, after
rounding, so the law holds for the data as stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets import scm
from tasks.datasets.complete import complete
from tasks.errors import InvalidTask
from tasks.families import Classification, Imbalanced, Regression, Sampled
from tasks.instance import (
    CHUNK_ROWS,
    Answers,
    Categorical,
    Contract,
    Floats,
    Gaussian,
    Instance,
    Streams,
    Table,
    class_names,
    draw_classes,
    on_grid,
)

RESOLVED = 2e-4
"""A fifth of what a mean over the pilot can resolve."""

Function = tuple[scm.Term, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the three families share: the columns' law, the relevant ones, a pilot sample."""

    covariates: scm.Covariates
    relevant: tuple[int, ...]
    pilot: Floats
    """(n_features, PILOT_ROWS) as stored."""
    streams: Streams

    def features(self, part: str, chunk: int, n: int) -> Floats:
        """Return rows of `part` as stored, (n_features, n)."""
        return on_grid(self.covariates.sample(self.streams.stream(f"{part}/features", chunk), n))


def frame_of(n_features: int, streams: Streams, *, rich: bool = False) -> Frame:
    """Draw the causal graph of the columns, and which of them act on the target."""
    structure, noise = streams.stream("structure"), streams.stream("pilot")
    if rich:
        pilot = np.empty((n_features, scm.PILOT_ROWS), dtype=np.float32)
        covariates = scm.rich_covariates(structure, n_features, pilot, noise)
    else:
        pilot = noise.standard_normal((n_features, scm.PILOT_ROWS), dtype=np.float32)
        covariates = scm.random_covariates(structure, n_features, pilot)
    relevant = relevant_of(structure, n_features)
    return Frame(covariates=covariates, relevant=relevant, pilot=on_grid(pilot), streams=streams)


def relevant_of(rng: Generator, n_features: int) -> tuple[int, ...]:
    """Draw which columns act on the target."""
    n_relevant = max(2, round(0.6 * n_features)) if n_features <= 20 else 12  # noqa: PLR2004 - of many columns twelve act
    return tuple(sorted(int(j) for j in rng.permutation(n_features)[:n_relevant]))


def class_functions(
    params: Classification, relevant: Sequence[int], pilot: Floats, streams: Streams
) -> list[Function]:
    """Draw the score of each class, a function of up to six relevant columns."""
    rng = streams.stream("target")
    functions = []
    for _ in range(params.n_classes):
        some = sorted(relevant[int(i)] for i in rng.permutation(len(relevant))[:6])
        rich = params.structure == "rich"
        functions.append(scm.random_function(rng, some, params.interactions, pilot, rich=rich))
    return functions


def classification(params: Classification, streams: Streams) -> Instance:
    """Draw K classes whose Bayes accuracy is `params.ceiling`."""
    frame = frame_of(params.n_features, streams)
    functions = class_functions(params, frame.relevant, frame.pilot, streams)
    scores = [_centred(function, frame.pilot) for function in functions]

    def accuracy(temperature: float) -> float:
        return float(softmax(scores, temperature).max(axis=0).mean())

    temperature = root(accuracy, params.ceiling, 0.01, 200.0)
    offsets = [float(_offset(function, frame.pilot)) for function in functions]

    def posterior(x: Floats) -> Floats:
        centred = [
            scm.evaluate(function, x) - offset
            for function, offset in zip(functions, offsets, strict=True)
        ]
        return softmax(centred, temperature)

    details = {
        "relevant": [f"f{j}" for j in frame.relevant],
        "temperature": temperature,
        "terms": [[term.describe() for term in function] for function in functions],
    }
    return _classes(params, frame, posterior, params.n_classes, details)


def imbalanced(params: Imbalanced, streams: Streams) -> Instance:
    """Draw two classes; class 1 has the prevalence r / (1 + r), r = `params.imbalance_ratio`."""
    frame = frame_of(params.n_features, streams)
    rng = streams.stream("target")
    function = scm.random_function(rng, frame.relevant, 2, frame.pilot)
    prevalence = params.imbalance_ratio / (1 + params.imbalance_ratio)
    spread = scm.moments(scm.evaluate(function, frame.pilot))[1]
    slope = params.sharpness / spread / 2
    score = scm.evaluate(function, frame.pilot)

    def share(offset: float) -> float:
        return float(softmax([np.zeros_like(score), score + offset], slope)[1].mean())

    offset = root(share, prevalence, -60.0, 60.0)

    def posterior(x: Floats) -> Floats:
        lifted = scm.evaluate(function, x) + offset
        return softmax([np.zeros_like(lifted), lifted], slope)

    details = {
        "relevant": [f"f{j}" for j in frame.relevant],
        "prevalence": prevalence,
        "terms": [term.describe() for term in function],
    }
    return _classes(params, frame, posterior, 2, details)


def regression(params: Regression, streams: Streams) -> Instance:
    """Draw y = f(x) + noise; the noise makes the R² of f equal `params.ceiling`."""
    frame = frame_of(params.n_features, streams)
    rng = streams.stream("target")
    function = scm.random_function(rng, frame.relevant, params.interactions, frame.pilot)
    shift, spread = scm.moments(scm.evaluate(function, frame.pilot))
    location, unit = on_grid(np.array([200 * rng.random() - 100, 1 + 20 * rng.random()]), 2)
    noise = float(on_grid(np.array([np.sqrt(1 / params.ceiling - 1)]), 6)[0])

    def mean(x: Floats) -> Floats:
        mu: Floats = (scm.evaluate(function, x) - shift) * (unit / spread) + location
        return mu

    def rows(part: str, chunk: int, n: int) -> tuple[Floats, Floats, Floats]:
        x = frame.features(part, chunk, n)
        mu = mean(x)
        epsilon = streams.stream(f"{part}/labels", chunk).standard_normal(n)
        return x, mu, on_grid(mu + (unit * noise) * epsilon)

    def train(k: int) -> dict[str, Floats]:
        n = rows_in(k, params.n_samples)
        x, _, y = rows("train", k, n)
        return {"id": ids_of(k, n), **_named(x), "target": y}

    n_test = params.test_rows
    parts = [rows("test", k, rows_in(k, n_test)) for k in range(-(-n_test // CHUNK_ROWS))]
    mu, y = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    ids = np.arange(params.n_samples, params.n_samples + n_test, dtype=np.int64)
    known = train(0)["target"]
    return Instance(
        public={
            "train": Table(n_rows=params.n_samples, chunk=train),
            "test": _test_table(params.n_samples, parts),
        },
        notes=_notes(params, frame, "`target` is a number to be predicted."),
        contract=Contract(kind="values", ids=ids),
        answers=Answers(
            labels=y,
            law=Gaussian(mean=mu, sd=np.full(n_test, unit * noise)),
            trivial={
                "mean": np.full(n_test, known.mean()),
                "median": np.full(n_test, np.median(known)),
            },
        ),
        details={
            "relevant": [f"f{j}" for j in frame.relevant],
            "noise_sd": unit * noise,
            "terms": [term.describe() for term in function],
        },
    )


# --- parts of the three ------------------------------------------------------------------------


def _classes(
    params: Classification | Imbalanced,
    frame: Frame,
    posterior: Callable[[Floats], Floats],
    n_classes: int,
    details: dict[str, object],
) -> Instance:
    names = tuple(str(k) for k in range(n_classes))
    streams = _complete(params.n_samples, frame, posterior, n_classes)

    def rows(part: str, chunk: int, n: int) -> tuple[Floats, Floats, NDArray[Any]]:
        x = frame.features(part, chunk, n)
        p = posterior(x).T
        return x, p, draw_classes(p, streams.stream(f"{part}/labels", chunk).random(n))

    def train(k: int) -> dict[str, NDArray[Any]]:
        n = rows_in(k, params.n_samples)
        x, _, codes = rows("train", k, n)
        return {"id": ids_of(k, n), **_named(x), "target": class_names(codes, names)}

    n_test = params.test_rows
    parts = [rows("test", k, rows_in(k, n_test)) for k in range(-(-n_test // CHUNK_ROWS))]
    p, codes = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    ids = np.arange(params.n_samples, params.n_samples + n_test, dtype=np.int64)
    prior = np.bincount(train(0)["target"], minlength=n_classes)
    prior = prior / prior.sum()
    return Instance(
        public={
            "train": Table(n_rows=params.n_samples, chunk=train),
            "test": _test_table(params.n_samples, parts),
        },
        notes=_notes(params, frame, f"`target` is the class, one of {', '.join(names)}."),
        contract=Contract(kind="classes", ids=ids, classes=names, costs=params.costs or ()),
        answers=Answers(
            labels=codes,
            law=Categorical(p=p),
            trivial={"prior": np.broadcast_to(prior, p.shape)},
        ),
        details=details,
    )


def _complete(
    n_samples: int, frame: Frame, posterior: Callable[[Floats], Floats], n_classes: int
) -> Streams:
    """Return label streams under which every class occurs in the training rows."""
    if n_samples > CHUNK_ROWS:
        return frame.streams  # a class rarer than 1 in 10,000 is refused by the family's checks
    p = posterior(frame.features("train", 0, n_samples)).T
    return complete(
        frame.streams,
        "labels",
        lambda own: draw_classes(p, own.stream("train/labels", 0).random(n_samples)),
        n_classes=n_classes,
        n_samples=n_samples,
    )


def rows_in(chunk: int, n_rows: int) -> int:
    """Return how many of `n_rows` lie in a chunk."""
    return min(CHUNK_ROWS, n_rows - chunk * CHUNK_ROWS)


def ids_of(chunk: int, n: int, first: int = 0) -> NDArray[Any]:
    """Return the ids of a chunk of n rows."""
    start = first + chunk * CHUNK_ROWS
    return np.arange(start, start + n, dtype=np.int64)


def _named(x: Floats) -> dict[str, Floats]:
    return {f"f{j}": column for j, column in enumerate(x)}


def _test_table(first: int, parts: Sequence[tuple[Floats, ...]]) -> Table:
    def chunk(k: int) -> dict[str, NDArray[Any]]:
        x = parts[k][0]
        return {"id": ids_of(k, x.shape[1], first), **_named(x)}

    return Table(n_rows=sum(part[0].shape[1] for part in parts), chunk=chunk)


def _notes(params: Sampled, frame: Frame, target: str) -> str:
    last = len(frame.covariates.nodes) - 1
    return (
        f"- `train.csv`: {params.n_samples:,} labelled rows, columns `id`, `f0` … `f{last}`, "
        f"`target`.\n"
        f"- `test.csv`: {params.test_rows:,} rows, the same columns without `target`.\n\n"
        f"All features are numbers without missing cells; some have nothing to do with the "
        f"target. {target} Rows are independent of each other and in no order; ids mean nothing."
    )


def _offset(function: Function, pilot: Floats) -> float:
    return scm.moments(scm.evaluate(function, pilot))[0]


def _centred(function: Function, pilot: Floats) -> Floats:
    return scm.evaluate(function, pilot) - _offset(function, pilot)


def softmax(scores: Sequence[Floats], temperature: float) -> Floats:
    """Return (K, n) probabilities ∝ h(T · (s_k - max s))⁴, h(v) = v + √(v² + 1).

    h is an algebraic stand-in for exp: the same shape, and the same bits on every machine.
    """
    top = scores[0]
    for score in scores[1:]:
        top = np.maximum(top, score)
    p = np.empty((len(scores), len(top)))
    total = np.zeros(len(top))
    for k, score in enumerate(scores):
        v = (top - score) * (temperature / 4)
        h = 1.0 / (np.sqrt(v * v + 1.0) + v)  # v + √(v² + 1) at -v, without cancellation
        h *= h
        p[k] = h * h
        total += p[k]
    p /= total
    return p


def root(function: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return where an increasing function meets `wanted`, by bisection.

    Raises:
        InvalidTask: The wanted value lies outside what [low, high] can give.
    """
    at_low, at_high = function(low) - wanted, function(high) - wanted
    if at_low > 0 or at_high < 0:
        raise InvalidTask(
            f"data_requirements: {wanted} (ceiling or prevalence) cannot be reached; "
            f"possible here: {at_low + wanted:.3f} to {at_high + wanted:.3f}"
        )
    for _ in range(60):
        middle = (low + high) / 2
        value = function(middle) - wanted
        if abs(value) < RESOLVED:
            break
        low, high = (middle, high) if value < 0 else (low, middle)
    return float(on_grid(np.array([(low + high) / 2]), 6)[0])
