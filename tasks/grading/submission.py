"""The submission contract E01 to E13: one table, checked without answers, said in one line each."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.grading.prediction import Prediction
from tasks.grading.tables import Bad, Column, TextTable, UnreadableError, read_table, shown
from tasks.grading.untrusted import UntrustedFileError
from tasks.instance import Contract, Floats, Ints

PLACES = (
    "submission/submission.csv",
    "submission/submission.parquet",
    "submission.csv",
    "submission.parquet",
    "results/predictions.csv",
    "predictions.csv",
)
"""Where a submission is looked for, below what the agent left; the first that is there counts."""

ROW_BYTES = 400
"""Room per row and column before a file is too large."""
LARGEST = 1e100
"""Values beyond overflow when squared and summed."""
SUM_TOLERANCE = 1e-3
ROUNDING = 1e-9
FIRST = 5

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a submission is not valid: a stable code and one line that says what would do."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission after its checks; `prediction` is there exactly if there is no problem."""

    file: str | None
    prediction: Prediction | None
    problems: tuple[Problem, ...]


class _Invalid(Exception):  # noqa: N818 - private control flow, caught in `check`
    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def find(root: Path) -> Path | None:
    """Return where a submission lies below `root`; links and odd files are found, not judged."""
    for place in PLACES:
        if os.path.lexists(root / place):
            return root / place
    return None


def check(root: Path, contract: Contract, *, refused: Mapping[str, str] | None = None) -> Checked:
    """Look for a submission below `root` and hold it against the contract.

    Args:
        root: What the agent left, one flat folder, or the file itself.
        contract: The form that is asked for.
        refused: Files that were not even collected, and why.
    """
    path = find(root) if root.is_dir() else root
    if path is None:
        return Checked(file=None, prediction=None, problems=(_absent(refused or {}),))
    file = path.relative_to(root).as_posix() if path != root else path.name
    try:
        prediction = read(path, contract)
    except _Invalid as invalid:
        return Checked(file=file, prediction=None, problems=invalid.problems)
    return Checked(file=file, prediction=prediction, problems=())


def _absent(refused: Mapping[str, str]) -> Problem:
    for place in PLACES:
        if place in refused:
            code = "E02" if "bytes" in refused[place] else "E01"
            return _problem(code, f"{place} is {refused[place]}; a submission is a regular file")
    wanted = f"no submission found; write {PLACES[0]} with the columns of sample_submission.csv"
    return _problem("E01", wanted)


def read(path: Path, contract: Contract) -> Prediction:
    """Read one file; problems leave as the private exception that `check` turns into values."""
    table = _table(path, contract)
    columns = _columns(table, contract)
    order = _order(columns.pop(contract.id_column), contract)
    readers = {"classes": _classes, "values": _values, "clusters": _clusters}
    return readers[contract.kind](columns, order, contract)


# --- the file and its header -------------------------------------------------------------------


def _table(path: Path, contract: Contract) -> TextTable:
    width = 2 + len(contract.classes) + len(contract.quantiles)
    limit = max(2**24, ROW_BYTES * width * (len(contract.ids) + 1))
    try:
        table = read_table(path, limit=limit)
    except FileNotFoundError as error:
        raise _Invalid(_problem("E01", "the file is gone")) from error
    except UntrustedFileError as error:
        code = "E02" if "bytes" in str(error) else "E01"
        raise _Invalid(_problem(code, f"{error}; a submission is a regular file")) from error
    except UnreadableError as error:
        code = "E01" if "empty" in str(error) else "E03"
        fix = "write UTF-8 CSV with a header, or Parquet"
        raise _Invalid(_problem(code, f"{error}; {fix}")) from error
    if table.n_rows > 2 * len(contract.ids) + 1000:
        more = f"{table.n_rows:,} rows; {len(contract.ids):,} are wanted"
        raise _Invalid(_problem("E07", more))
    return table


def _columns(table: TextTable, contract: Contract) -> dict[str, Column]:
    known = _known_columns(contract)
    twice = sorted({name for name in table.header if table.header.count(name) > 1})
    unknown = [name for name in table.header if name not in known]
    missing = [name for name in _required(table.header, contract) if name not in table.header]
    said = []
    if missing:
        said.append(f"missing {_list(missing)}")
    if unknown:
        said.append(f"unknown {_list(unknown)}")
    if twice:
        said.append(f"twice {_list(twice)}")
    if said:
        wanted = ", ".join(sorted(_required((), contract), key=known.index))
        raise _Invalid(_problem("E04", f"header: {'; '.join(said)}; wanted: {wanted}"))
    return {name: table.column(index) for index, name in enumerate(table.header)}


def _known_columns(contract: Contract) -> list[str]:
    return [
        contract.id_column,
        contract.target,
        *(f"proba_{name}" for name in contract.classes),
        *(f"q{level:g}" for level in contract.quantiles),
    ]


def _required(header: Iterable[str], contract: Contract) -> list[str]:
    """Return the columns that must be there, given what is: probabilities come all or none."""
    proba = [f"proba_{name}" for name in contract.classes]
    some = any(name in header for name in proba)
    quantiles = [f"q{level:g}" for level in contract.quantiles]
    if contract.kind == "classes" and (contract.probabilities or some):
        return [contract.id_column, *proba]
    return [contract.id_column, contract.target, *quantiles]


# --- ids ---------------------------------------------------------------------------------------


def _order(column: Column, contract: Contract) -> Ints | None:
    """Return where each wanted id stands in the file; None if they stand in order already."""
    ids, bad = column.integers()
    if bad.any():
        where = _cells(column, bad)
        raise _Invalid(_problem("E05", f"{where} no whole numbers as in test.csv (7, not 007)"))
    if np.array_equal(ids, contract.ids):
        return None
    by_id = np.argsort(ids, kind="stable")
    in_order = ids[by_id]
    problems = []
    if len(twice := np.unique(in_order[1:][in_order[1:] == in_order[:-1]])):
        problems.append(_problem("E06", f"{_ids(twice)} more than once; each id once"))
    if len(missing := np.setdiff1d(contract.ids, ids)):
        problems.append(_problem("E07", f"{_ids(missing)} missing; every id of test.csv once"))
    if len(unknown := np.setdiff1d(ids, contract.ids)):
        problems.append(_problem("E07", f"{_ids(unknown)} not asked for; only ids of test.csv"))
    if problems:
        raise _Invalid(*problems)
    return by_id[np.searchsorted(in_order, contract.ids)]


# --- predictions -------------------------------------------------------------------------------


def _classes(columns: dict[str, Column], order: Ints | None, contract: Contract) -> Prediction:
    codes = p = None
    if contract.target in columns:
        column = columns[contract.target]
        codes, bad = column.codes(contract.classes)
        if bad.any():
            wanted = ", ".join(contract.classes[:10])
            raise _Invalid(_problem("E11", f"{_cells(column, bad)} no class; classes: {wanted}"))
        codes = _arranged(codes, order)
    if f"proba_{contract.classes[0]}" in columns:
        p = _arranged(_probabilities(columns, contract), order)
    return Prediction(codes=codes, p=p)


def _probabilities(columns: dict[str, Column], contract: Contract) -> Floats:
    names = [f"proba_{name}" for name in contract.classes]
    p = np.column_stack([_finite(name, columns[name]) for name in names])
    if (outside := (p < -ROUNDING) | (p > 1 + ROUNDING)).any():
        row, k = np.argwhere(outside)[0]
        wrong = f"{names[k]} is {p[row, k]:g} in row {row + 2}; probabilities lie in [0, 1]"
        raise _Invalid(_problem("E10", wrong))
    p = np.clip(p, 0.0, 1.0)
    total = p.sum(axis=1)
    if (off := np.abs(total - 1.0) > SUM_TOLERANCE).any():
        row = int(np.flatnonzero(off)[0])
        wrong = f"probabilities sum to {total[row]:g} in row {row + 2}, and so in {off.sum():,}"
        raise _Invalid(_problem("E12", f"{wrong} rows; they must sum to 1 ± {SUM_TOLERANCE:g}"))
    p /= total[:, None]
    return p


def _values(columns: dict[str, Column], order: Ints | None, contract: Contract) -> Prediction:
    values = _finite(contract.target, columns[contract.target])
    levels = sorted(level for level in contract.quantiles if f"q{level:g}" in columns)
    quantiles = {level: _finite(f"q{level:g}", columns[f"q{level:g}"]) for level in levels}
    for lower, upper in pairwise(levels):
        if (crossing := quantiles[lower] > quantiles[upper]).any():
            row = int(np.flatnonzero(crossing)[0])
            wrong = f"q{lower:g} exceeds q{upper:g} in row {row + 2}; quantiles must not cross"
            raise _Invalid(_problem("E13", wrong))
    arranged = {level: _arranged(column, order) for level, column in quantiles.items()}
    return Prediction(values=_arranged(values, order), quantiles=arranged)


def _clusters(columns: dict[str, Column], order: Ints | None, contract: Contract) -> Prediction:
    column = columns[contract.target]
    codes, bad = column.integers()
    if bad.any():
        raise _Invalid(_problem("E08", f"{_cells(column, bad)} no cluster number; use integers"))
    return Prediction(codes=_arranged(codes, order))


def _finite(name: str, column: Column) -> Floats:
    values, bad = column.numbers()
    if bad.any():
        raise _Invalid(_problem("E08", f"{name}: {_cells(column, bad)} not a number"))
    if (strange := ~np.isfinite(values)).any():
        wrong = f"{name}: {_cells(column, strange)} missing, NaN or infinite; give finite numbers"
        raise _Invalid(_problem("E09", wrong))
    if (huge := np.abs(values) > LARGEST).any():
        raise _Invalid(_problem("E10", f"{name}: {_cells(column, huge)} beyond ±{LARGEST:g}"))
    return values


def _arranged(values: NDArray[Number], order: Ints | None) -> NDArray[Number]:
    return values if order is None else values[order]


# --- words -------------------------------------------------------------------------------------


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message)


def _cells(column: Column, bad: Bad) -> str:
    rows = np.flatnonzero(bad)
    some = ", ".join(f"{column.show(int(row))} (row {row + 2})" for row in rows[:FIRST])
    return f"{len(rows):,} cells are wrong, first {some}:"


def _ids(ids: Ints) -> str:
    some = ", ".join(str(int(number)) for number in ids[:FIRST])
    return f"{len(ids):,} ids (first: {some})" if len(ids) > 1 else f"id {some}"


def _list(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names[:FIRST])
