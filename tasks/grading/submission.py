"""The submission contract E01 to E13: one table, checked without answers, said in one line each."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.grading.prediction import Prediction
from tasks.grading.tables import Bad, Column, EmptyError, TextTable, read_table, shown
from tasks.grading.untrusted import TooLargeError, UnreadableError, UntrustedFileError
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


def find(root: Path, refused: Mapping[str, str] | None = None) -> str | None:
    """Return the first place below `root` where something lies, or lay and was refused.

    Links and odd files are found, not judged: a folder that is a link stands for what it hides.
    """
    for place in PLACES:
        folder = (root / place).parent
        if folder != root and folder.is_symlink():
            return folder.relative_to(root).as_posix()
        if place in (refused or {}) or os.path.lexists(root / place):
            return place
    return None


def check(root: Path, contract: Contract, *, refused: Mapping[str, str] | None = None) -> Checked:
    """Look for a submission below `root` and hold it against the contract.

    Where there are several, the first of `PLACES` counts and no other is looked at.

    Args:
        root: What the agent left, one flat folder, or the file itself.
        contract: The form that is asked for.
        refused: Files that were not even collected, and why.
    """
    inside = root.is_dir()
    file = find(root, refused) if inside else root.name
    if file is None:
        wanted = f"write {PLACES[0]} with the columns of sample_submission.csv"
        problem = _problem("E01", f"no submission found; {wanted}")
        return Checked(file=None, prediction=None, problems=(problem,))
    if refused and file in refused:
        problem = _not_collected(file, refused[file])
        return Checked(file=file, prediction=None, problems=(problem,))
    try:
        prediction = read(root / file if inside else root, contract)
    except _Invalid as invalid:
        return Checked(file=file, prediction=None, problems=invalid.problems)
    return Checked(file=file, prediction=prediction, problems=())


def _not_collected(file: str, reason: str) -> Problem:
    code = "E02" if "bytes" in reason else "E01"
    return _problem(code, f"{file} is {reason}; a submission is a regular file")


def read(path: Path, contract: Contract) -> Prediction:
    """Read one file; problems leave as the private exception that `check` turns into values."""
    columns = _columns(_table(path, contract), contract)
    rows = _rows(columns.pop(contract.id_column), contract)
    readers = {
        "classes": _classes,
        "multilabel": _label_sets,
        "values": _values,
        "clusters": _clusters,
    }
    return readers[contract.kind](columns, rows, contract)


# --- the file and its header -------------------------------------------------------------------


def _table(path: Path, contract: Contract) -> TextTable:
    width = 2 + 2 * len(contract.classes) + len(contract.quantiles)
    limit = max(2**24, ROW_BYTES * width * (len(contract.ids) + 1))
    most_rows = 2 * len(contract.ids) + 1000
    try:
        labels = contract.kind in {"classes", "clusters"}
        table = read_table(path, limit=limit, most_rows=most_rows + 1, labels=labels)
    except FileNotFoundError as error:
        raise _Invalid(_problem("E01", "no such file; write a CSV or Parquet file")) from error
    except UntrustedFileError as error:
        code = "E02" if isinstance(error, TooLargeError) else "E01"
        fix = "a row per id is enough" if code == "E02" else "a submission is a regular file"
        raise _Invalid(_problem(code, f"{error}; {fix}")) from error
    except UnreadableError as error:
        code = "E01" if isinstance(error, EmptyError) else "E03"
        fix = "write UTF-8 CSV with a header, or Parquet"
        raise _Invalid(_problem(code, f"{error}; {fix}")) from error
    if table.n_rows > most_rows:
        wrong = f"more than {most_rows:,} rows; every id of test.csv once: {len(contract.ids):,}"
        raise _Invalid(_problem("E07", wrong))
    return table


def _columns(table: TextTable, contract: Contract) -> dict[str, Column]:
    known = _known_columns(contract)
    there = Counter(table.header)
    twice = [name for name, times in there.items() if times > 1]
    unknown = [name for name in there if name not in known]
    missing = [name for name in _required(there, contract) if name not in there]
    said = []
    if missing:
        said.append(f"missing {_list(missing)}")
    if unknown:
        said.append(f"unknown {_list(unknown)}")
    if twice:
        said.append(f"twice {_list(twice)}")
    if said:
        wanted = _required(there, contract)
        some = ", ".join([*wanted[:10], *(["…"] if len(wanted) > 10 else [])])  # noqa: PLR2004 - names that fit in a line
        raise _Invalid(_problem("E04", f"header: {'; '.join(said)}; wanted: {some}"))
    return {name: table.column(index) for index, name in enumerate(table.header)}


def _known_columns(contract: Contract) -> list[str]:
    if contract.kind == "multilabel":
        names = [f"{part}_{name}" for part in ("label", "proba") for name in contract.classes]
        return [contract.id_column, *names]
    return [
        contract.id_column,
        contract.target,
        *(f"proba_{name}" for name in contract.classes),
        *(f"q{level:g}" for level in contract.quantiles),
    ]


def _required(header: Iterable[str], contract: Contract) -> list[str]:
    """Return the columns that must be there, given what is: probabilities come all or none."""
    if contract.kind == "multilabel":
        return _required_labels(header, contract)
    proba = [f"proba_{name}" for name in contract.classes]
    some = any(name in header for name in proba)
    quantiles = [f"q{level:g}" for level in contract.quantiles]
    if contract.kind == "classes" and (contract.probabilities or some):
        return [contract.id_column, *proba]
    return [contract.id_column, contract.target, *quantiles]


def _required_labels(header: Iterable[str], contract: Contract) -> list[str]:
    """Of labels and of probabilities come all or none, and one of the two."""
    labels = [f"label_{name}" for name in contract.classes]
    proba = [f"proba_{name}" for name in contract.classes]
    with_proba = contract.probabilities or any(name in header for name in proba)
    with_labels = not with_proba or any(name in header for name in labels)
    return [
        contract.id_column,
        *(labels if with_labels else ()),
        *(proba if with_proba else ()),
    ]


# --- ids ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a file: whose they are, and in which order they are wanted."""

    ids: Ints
    order: Ints | None
    """Where each wanted id stands; None if they stand in order already."""

    def arranged(self, values: NDArray[Number]) -> NDArray[Number]:
        return values if self.order is None else values[self.order]

    def first(self, bad: Bad, show: Callable[[int], str]) -> str:
        """Name the first rows that are wrong by their ids, each with what it shows."""
        rows = np.flatnonzero(bad)
        some = ", ".join(f"{show(int(row))} (id {self.ids[row]})" for row in rows[:FIRST])
        return f"{_count(len(rows), 'row')} wrong, first {some}"


def _rows(column: Column, contract: Contract) -> _Rows:
    ids, bad = column.integers()
    if bad.any():
        wrong = np.flatnonzero(bad)
        some = ", ".join(f"{column.show(int(row))} (row {row + 2})" for row in wrong[:FIRST])
        count = _count(len(wrong), "id")
        fix = "whole numbers as in test.csv (7, not 007 nor 7.0)"
        raise _Invalid(_problem("E05", f"{count} wrong, first {some}; ids are {fix}"))
    if np.array_equal(ids, contract.ids):
        return _Rows(ids, None)
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
    return _Rows(ids, by_id[np.searchsorted(in_order, contract.ids)])


# --- predictions -------------------------------------------------------------------------------


def _classes(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Prediction:
    codes = p = None
    if contract.target in columns:
        column = columns[contract.target]
        codes, bad = column.codes(contract.classes)
        if bad.any():
            wanted = ", ".join(contract.classes[:10])
            wrong = f"{contract.target}: {rows.first(bad, column.show)}; classes: {wanted}"
            wrong += _whole(column.show(int(bad.argmax())).strip("'"), contract)
            raise _Invalid(_problem("E11", wrong))
        codes = rows.arranged(codes)
    if f"proba_{contract.classes[0]}" in columns:
        p = rows.arranged(_probabilities(columns, rows, contract))
    return Prediction(codes=codes, p=p)


def _whole(cell: str, contract: Contract) -> str:
    """Say how a class is written that somebody wrote as a float: pandas does where cells miss."""
    name = cell.removesuffix(".0")
    return f"; write {name}, not {cell}" if name != cell and name in contract.classes else ""


def _label_sets(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Prediction:
    sets = p = None
    if f"label_{contract.classes[0]}" in columns:
        names = [f"label_{name}" for name in contract.classes]
        sets = rows.arranged(np.column_stack([_zero_or_one(n, columns[n], rows) for n in names]))
    if f"proba_{contract.classes[0]}" in columns:
        p = rows.arranged(_chances(columns, rows, contract))
    return Prediction(label_sets=sets, label_p=p)


def _zero_or_one(name: str, column: Column, rows: _Rows) -> Ints:
    codes, bad = column.integers()
    if bad.any():
        wrong = f"{name}: {rows.first(bad, column.show)}; labels are 0 or 1"
        raise _Invalid(_problem("E08", wrong))
    if (outside := (codes < 0) | (codes > 1)).any():
        wrong = f"{name}: {rows.first(outside, column.show)}; labels are 0 or 1"
        raise _Invalid(_problem("E10", wrong))
    return codes


def _chances(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Floats:
    """Read the columns of probabilities, (n, K), each in [0, 1]."""
    names = [f"proba_{name}" for name in contract.classes]
    p = np.column_stack([_finite(name, columns[name], rows) for name in names])
    outside = (p < -ROUNDING) | (p > 1 + ROUNDING)
    for name, bad in zip(names, outside.T, strict=True):
        if bad.any():
            wrong = f"{name}: {rows.first(bad, columns[name].show)}"
            raise _Invalid(_problem("E10", f"{wrong}; probabilities lie in [0, 1]"))
    return np.clip(p, 0.0, 1.0)


def _probabilities(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Floats:
    p = _chances(columns, rows, contract)
    total = p.sum(axis=1)
    if (off := np.abs(total - 1.0) > SUM_TOLERANCE).any():
        wrong = f"sums of probabilities: {rows.first(off, lambda row: f'{total[row]:g}')}"
        raise _Invalid(_problem("E12", f"{wrong}; they must be 1 ± {SUM_TOLERANCE:g}"))
    p /= total[:, None]
    return p


def _values(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Prediction:
    values = _finite(contract.target, columns[contract.target], rows)
    levels = sorted(contract.quantiles)
    quantiles = {level: _finite(f"q{level:g}", columns[f"q{level:g}"], rows) for level in levels}
    for lower, upper in pairwise(levels):
        if (crossing := quantiles[lower] > quantiles[upper]).any():
            some = rows.first(crossing, columns[f"q{lower:g}"].show)
            wrong = f"q{lower:g} exceeds q{upper:g}: {some}; quantiles must not cross"
            raise _Invalid(_problem("E13", wrong))
    arranged = {level: rows.arranged(column) for level, column in quantiles.items()}
    return Prediction(values=rows.arranged(values), quantiles=arranged)


def _clusters(columns: dict[str, Column], rows: _Rows, contract: Contract) -> Prediction:
    column = columns[contract.target]
    codes, bad = column.integers()
    if bad.any():
        wrong = f"{contract.target}: {rows.first(bad, column.show)}; clusters are whole numbers"
        raise _Invalid(_problem("E08", wrong))
    return Prediction(codes=rows.arranged(codes))


def _finite(name: str, column: Column, rows: _Rows) -> Floats:
    values, bad = column.numbers()
    problems = (
        ("E08", bad, "give numbers such as -1.5e3"),
        ("E09", ~np.isfinite(values), "give finite numbers, none missing"),
        ("E10", np.abs(values) > LARGEST, f"give numbers within ±{LARGEST:g}"),
    )
    for code, wrong, fix in problems:
        if wrong.any():
            raise _Invalid(_problem(code, f"{name}: {rows.first(wrong, column.show)}; {fix}"))
    return values


# --- words -------------------------------------------------------------------------------------


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message)


def _count(n: int, what: str) -> str:
    return f"1 {what} is" if n == 1 else f"{n:,} {what}s are"


def _ids(ids: Ints) -> str:
    some = ", ".join(str(number) for number in ids[:FIRST])
    return f"{len(ids):,} ids (first: {some})" if len(ids) > 1 else f"id {some}"


def _list(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names[:FIRST])
