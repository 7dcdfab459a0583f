"""Targets as numbers, and numbers as a submission."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from agent_io import AgentError, Form, Job
from arrays import Booleans, Floats, Ints
from blending import DECISIONS, best_exponent, decide

VALUE_MEASURES = ("r2", "r2_score", "rmse", "mse", "mae")
DECIMALS = 6
COST = "expected_cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The column to be predicted, on the train rows that have it."""

    form: Form
    known: Booleans
    """(n_rows,) which rows of `train` are labelled."""
    classes: tuple[str, ...]
    codes: Ints | None
    """(n_known,) class codes; None for values."""
    values: Floats | None
    """(n_known,) values; None for classes."""
    matrix: Floats
    """(n_known, k): one-hot classes, or standardised values."""
    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def read(cls, job: Job, train: pd.DataFrame) -> "Target":
        """Take the target out of the train table.

        Raises:
            AgentError: The task names no target, or train lacks it.
        """
        form = job.form
        if form is None or form.target not in train:
            raise AgentError(f"train has no target column; its columns: {list(train.columns)}")
        column = train[form.target]
        if form.kind == "values":
            return cls._of_values(form, column.to_numpy(dtype=np.float64, na_value=np.nan))
        return cls._of_classes(form, column)

    @classmethod
    def _of_values(cls, form: Form, values: Floats) -> "Target":
        known = np.isfinite(values)
        values = values[known]
        centre, spread = (float(values.mean()), float(values.std())) if len(values) else (0.0, 1.0)
        spread = spread or 1.0
        matrix = ((values - centre) / spread)[:, None]
        return cls(
            form=form,
            known=known,
            classes=(),
            codes=None,
            values=values,
            matrix=matrix,
            centre=centre,
            spread=spread,
        )

    @classmethod
    def _of_classes(cls, form: Form, column: "pd.Series[Any]") -> "Target":
        known = column.notna().to_numpy(dtype=bool)
        names = column[known].astype(str)
        classes = form.classes or tuple(sorted(names.unique()))
        codes = pd.Index(classes).get_indexer(pd.Index(names))
        if (codes < 0).any():
            strange = sorted(set(names[codes < 0]))[:5]
            raise AgentError(f"train has classes that the task does not name: {strange}")
        codes = codes.astype(np.int64)
        matrix = np.eye(len(classes))[codes]
        return cls(form=form, known=known, classes=classes, codes=codes, values=None, matrix=matrix)

    def class_codes(self) -> Ints:
        """Return the class codes, (n_known,).

        Raises:
            AgentError: The target is a number.
        """
        if self.codes is None:
            raise AgentError(f"numbers cannot be predicted from such data ({self.form.target!r})")
        return self.codes

    def prior(self, n: int) -> Floats:
        """Return what is best to say of n rows without looking at them, like `matrix`."""
        mean = self.matrix.mean(axis=0) if len(self.matrix) else np.zeros(self.matrix.shape[1])
        return np.tile(mean, (n, 1))


def submit(
    job: Job,
    target: Target,
    ids: "pd.Series[str]",
    prediction: Floats,
    held_out: tuple[Ints, Floats] | None,
) -> str:
    """Hand in predictions, shaped like `Target.matrix`; return the estimate in words.

    Args:
        job: Whose submission it is.
        target: What is predicted.
        ids: (n_test,).
        prediction: (n_test, k).
        held_out: Train rows and the predictions (n_held_out, k) made without them, by which
            the estimate is made and decisions are tuned.
    """
    if target.codes is not None:
        return _submit_classes(job, target, ids, prediction, held_out)
    return _submit_values(job, target, ids, prediction[:, 0], held_out)


def _submit_classes(
    job: Job,
    target: Target,
    ids: "pd.Series[str]",
    p: Floats,
    held_out: tuple[Ints, Floats] | None,
) -> str:
    measure = job.measure([*DECISIONS, COST], "accuracy")
    exponent, words = 0.0, "no estimate"
    if measure == COST and target.form.costs:
        words = _claim_cost(job, target, held_out)
    elif held_out is not None:
        rows, out = held_out
        measure = "accuracy" if measure == COST else measure
        exponent, score = best_exponent(out, target.class_codes()[rows], measure)
        job.claim(**{measure: score})
        words = f"{measure} {score:.4f}"
    p = p / p.sum(axis=1, keepdims=True)
    said = decide(p, target.prior(1)[0], exponent)
    if measure == COST and target.form.costs:
        said = cheapest(p, np.array(target.form.costs))
    names = np.array(target.classes, dtype=object)[said]
    columns: dict[str, Any] = {target.form.id_column: ids, target.form.target: names}
    rounded = np.round(p, DECIMALS)
    columns |= {f"proba_{name}": rounded[:, k] for k, name in enumerate(target.classes)}
    job.submit(pd.DataFrame(columns))
    return words


def cheapest(p: Floats, costs: Floats) -> Ints:
    """Return the class that costs least in expectation; `costs` is (true, said)."""
    codes: Ints = (p @ costs).argmin(axis=1)
    return codes


def _claim_cost(job: Job, target: Target, held_out: tuple[Ints, Floats] | None) -> str:
    if held_out is None:
        return "no estimate"
    rows, out = held_out
    costs = np.array(target.form.costs)
    score = float(costs[target.class_codes()[rows], cheapest(out, costs)].mean())
    job.claim(**{COST: score})
    return f"{COST} {score:.4f}"


def _submit_values(
    job: Job,
    target: Target,
    ids: "pd.Series[str]",
    scaled: Floats,
    held_out: tuple[Ints, Floats] | None,
) -> str:
    values = scaled * target.spread + target.centre
    errors = target.matrix[:, 0] * target.spread
    words = "no estimate"
    if held_out is not None:
        rows, out = held_out
        errors = (target.matrix[rows, 0] - out[:, 0]) * target.spread
        words = claim_values(job, errors, target.spread)
    columns: dict[str, Any] = {target.form.id_column: ids, target.form.target: values}
    for level in target.form.quantiles:
        columns[f"q{level:g}"] = values + np.quantile(errors, level)
    job.submit(pd.DataFrame(columns))
    return words


def claim_values(job: Job, errors: Floats, spread: float) -> str:
    """Record R², RMSE and MAE of held-out errors; return the first in words."""
    mse = float((errors**2).mean())
    r2 = 1 - mse / spread**2
    job.claim(r2=r2, rmse=float(np.sqrt(mse)), mae=float(np.abs(errors).mean()))
    return f"r2 {r2:.4f}"
