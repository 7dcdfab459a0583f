"""Claims of who looks at a profile of the columns and at their correlations, and no further."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.files import write_text

NAME = "profile"
OUTCOME = "outcome"
CLOCKS = frozenset({"row", "time"})
FAR = 6.0
"""Standard deviations from the mean that look like an error."""
CORRELATED, ALIKE, SAME = 0.1, 0.9, 0.95
"""With the outcome; between two columns; with the outcome as only a copy of it is."""
MOST_CLAIMS = 20

Columns = Mapping[str, NDArray[Any]]


def write_claims(table: Columns, results: Path) -> None:
    """Write the claims as an agent would, to `insights.json`."""
    claims = list(_claims(table))[:MOST_CLAIMS]
    text = json.dumps({"schema": "insights/1", "claims": claims})
    write_text(results / "insights.json", text, durable=False)


def _claims(table: Columns) -> Iterator[dict[str, Any]]:
    names = [name for name in table if name not in CLOCKS]
    features = [name for name in names if name != OUTCOME]
    for name in features:
        yield from _of_column(name, table[name])
    repeated = len(table[OUTCOME]) - len({*zip(*(table[n].tolist() for n in names), strict=True)})
    if repeated:
        yield _claim("duplicates", share=repeated / len(table[OUTCOME]))
    numbers = [n for n in features if table[n].dtype.kind in "if" and np.nanstd(table[n]) > 0]
    r = {name: _correlation(table[name], table[OUTCOME]) for name in numbers}
    for name in numbers:
        if abs(r[name]) > SAME:
            yield _claim("leakage_column", column=name)
    related = [name for name in numbers if CORRELATED < abs(r[name]) <= SAME]
    if related:
        yield _claim("relevant_features", columns=related)
    for i, one in enumerate(numbers):
        for other in numbers[i + 1 :]:
            if abs(_correlation(table[one], table[other])) > ALIKE:
                yield _claim("redundant_pair", columns=[one, other])
    for name in related:
        direction = "positive" if r[name] > 0 else "negative"
        yield _claim("effect_direction", column=name, direction=direction)


def _of_column(name: str, values: NDArray[Any]) -> Iterator[dict[str, Any]]:
    numeric = values.dtype.kind in "if"
    there = values[~np.isnan(values)] if numeric else values[values != None]  # noqa: E711 - cells
    n_kinds = len(np.unique(there.astype(str) if not numeric else there))
    if n_kinds == 1:
        yield _claim("constant", column=name)
    elif n_kinds == len(there) and values.dtype.kind != "f":
        yield _claim("id_like", column=name)
    elif len(there) < len(values):
        yield _claim("missingness", column=name, mechanism="MCAR")
    if numeric and (np.abs(there - there.mean()) > FAR * max(float(there.std()), 1e-12)).any():
        yield _claim("outliers", column=name)


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _claim(kind: str, **args: Any) -> dict[str, Any]:
    return {"type": kind, "args": args, "confidence": 0.7}
