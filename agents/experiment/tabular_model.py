"""Classes or numbers from tables: sparse splines, boosting and forests, blended out of fold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import linear_model
import numpy as np
import pandas as pd
from agent_io import AgentError, Job
from arrays import Booleans, Floats, Ints
from blending import Blend, Member, folds
from features import Features, encode
from predictions import Target, submit

SEED = 0
LINEAR_ROWS = 20_000
"""Rows a linear model is fitted on; more hardly move it."""
BOOSTING_ROWS = 200_000
SMALL = 5000
"""Up to so many rows boosting stays shallow and runs to its end."""
FEW_ROWS, MANY_COLUMNS, FOREST_ROWS = 800, 30, 20_000
"""Where forests earn their time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Features and targets, ready to be fitted."""

    features: Features
    y: Floats
    """(n_train, k): one-hot classes, or standardised values (k = 1)."""
    codes: Ints | None
    """(n_train,) class codes; None for values."""

    @property
    def classes(self) -> bool:
        """Whether classes are asked for."""
        return self.codes is not None


Fitted = Iterator[tuple[str, Floats, Floats]]
"""Per setting its name and its predictions on the held-out and on the test rows."""
Model = Callable[[Problem, Ints, Ints], Fitted]


def run(job: Job) -> None:
    """Predict the target of `test` from `train`, better and better until all models are in."""
    test, train = job.table("test"), job.table("train")
    target = Target.read(job, train)
    train = train[target.known].reset_index(drop=True)
    if len(train) < 2:  # noqa: PLR2004 - nothing to learn from
        raise AgentError(f"train holds {len(train)} labelled rows")
    ids = test[target.form.id_column]
    submit(job, target, ids, target.prior(len(test)), None)
    job.log(f"handed in the prior; {len(train)} train rows, {len(test)} test rows")
    problem = prepare(train, test, target)
    job.log(f"features: {problem.features.trees.shape[1]} columns")
    improve(job, target, ids, problem)


def prepare(train: pd.DataFrame, test: pd.DataFrame, target: Target) -> Problem:
    """Encode the features of both tables."""
    features = encode(train, test, without={target.form.id_column, target.form.target})
    return Problem(features=features, y=target.matrix, codes=target.codes)


def improve(job: Job, target: Target, ids: "pd.Series[str]", problem: Problem) -> None:
    """Fit one model after the other; hand in the blend after each."""
    for step in blended(problem):
        estimate = submit(job, target, ids, step.best.test, (step.held, step.best.held_out))
        job.log(f"{step.name}: {estimate}; blend {step.weights}")
        job.write_json(job.experiment / "models" / "blend.json", step.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The blend after one more model."""

    name: str
    best: Member
    held: Ints
    """(n_held_out,) the train rows that `best.held_out` is of."""
    weights: dict[str, float]


def blended(problem: Problem) -> Iterator[Step]:
    """Fit one model after the other out of fold; yield the blend after each."""
    splits = folds(len(problem.y), problem.codes)
    held = np.concatenate([out for _, out in splits])
    blend = Blend(truth=problem.y[held], classes=problem.classes)
    for name, model in models(problem):
        for member in _cross_validated(model, problem, splits):
            blend.members.append(member)
        best = blend.best()
        yield Step(name=name, best=best, held=held, weights=blend.weights)


def models(problem: Problem) -> list[tuple[str, Model]]:
    """Return the models worth their time here, the quickest first."""
    n, d = problem.features.n_train, problem.features.dense.shape[1]
    chosen: list[tuple[str, Model]] = [("sparse splines", _linear), ("boosting", _boosting)]
    if n <= FOREST_ROWS and (n < FEW_ROWS or d > MANY_COLUMNS):
        chosen.append(("forest", _forest))
    return chosen


def _cross_validated(
    model: Model, problem: Problem, splits: list[tuple[Ints, Ints]]
) -> list[Member]:
    """Fit on each split; test predictions are the mean of the splits' models."""
    held_out: dict[str, list[Floats]] = {}
    test: dict[str, Floats] = {}
    for fit, out in splits:
        for name, on_held_out, on_test in model(problem, fit, out):
            held_out.setdefault(name, []).append(on_held_out)
            test[name] = test.get(name, 0.0) + on_test / len(splits)
    return [
        Member(name=name, held_out=np.concatenate(parts), test=test[name])
        for name, parts in held_out.items()
    ]


# --- the models ----------------------------------------------------------------------------------


def _some(rows: Ints, most: int) -> Ints:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:most])


def _linear(problem: Problem, fit: Ints, out: Ints) -> Fitted:
    x = problem.features.dense
    fit = _some(fit, LINEAR_ROWS)
    basis = linear_model.Basis(x[fit], problem.y[fit], problem.features.numeric)
    held_out, test = basis(x[out]), basis(x[problem.features.n_train :])
    paths = linear_model.path(basis(x[fit]), problem.y[fit], classes=problem.classes)
    for penalty, weights in zip(linear_model.PENALTIES, paths, strict=True):
        yield (
            f"splines {penalty}",
            linear_model.predict(held_out, weights, classes=problem.classes),
            linear_model.predict(test, weights, classes=problem.classes),
        )


def _boosting(problem: Problem, fit: Ints, out: Ints) -> Fitted:
    x = problem.features.trees
    fit = _some(fit, BOOSTING_ROWS)
    test = x[problem.features.n_train :]
    categorical = problem.features.categorical
    yield from _boosted("boosting", problem, fit, (x[fit], x[out], test), categorical)


def _boosted(
    name: str,
    problem: Problem,
    fit: Ints,
    parts: tuple[Floats, Floats, Floats],
    categorical: Booleans | None,
) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    small = len(fit) <= SMALL
    kind = HistGradientBoostingClassifier if problem.classes else HistGradientBoostingRegressor
    n_outputs = problem.y.shape[1]
    model = kind(
        max_iter=max(30, (150 if small else 400) * 3 // max(n_outputs, 3)),
        learning_rate=0.08,
        max_leaf_nodes=6 if small else 31,
        l2_regularization=1.0,
        early_stopping=not small,
        categorical_features=categorical,
        random_state=SEED,
    )
    # On small tables threads cost more than they bring.
    with threadpool_limits(1 if small else None):
        fitted = _fitted(model, problem, fit, parts)
    yield name, *fitted


def _forest(problem: Problem, fit: Ints, out: Ints) -> Fitted:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    x = problem.features.dense
    kind = ExtraTreesClassifier if problem.classes else ExtraTreesRegressor
    model = kind(200, min_samples_leaf=2, random_state=SEED)
    parts = (x[fit], x[out], x[problem.features.n_train :])
    yield "forest", *_fitted(model, problem, fit, parts)


def _fitted(
    model: Any, problem: Problem, fit: Ints, parts: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    x, held_out, test = parts
    if problem.codes is None:
        model.fit(x, problem.y[fit, 0])
        return model.predict(held_out)[:, None], model.predict(test)[:, None]
    model.fit(x, problem.codes[fit])
    k = problem.y.shape[1]
    return _spread(model, held_out, k), _spread(model, test, k)


def _spread(model: Any, x: Floats, k: int) -> Floats:
    """Return (n, k) probabilities, zero for classes that no fitted row had."""
    p = np.zeros((len(x), k))
    p[:, model.classes_] = model.predict_proba(x)
    return p
