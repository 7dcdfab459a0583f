"""Tables beside train and test: their rows become aggregates per id, then columns of the tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import tabular_model
from agent_io import TABLE_SUFFIXES, Job, read_table
from predictions import Target, submit

KNOWN = frozenset({"train", "test", "sample_submission"})
MAX_CATEGORIES = 10
"""Values of a text column that get aggregates of their own."""


def side_tables(job: Job) -> list[Path]:
    """Return the tables that are neither train nor test nor the sample, by name."""
    paths = (path for path in sorted(job.data.iterdir()) if path.suffix in TABLE_SUFFIXES)
    return [path for path in paths if path.stem not in KNOWN]


def run(job: Job) -> None:
    """Join the aggregates of every table that names ids; then predict as from one table."""
    test, train = job.table("test"), job.table("train")
    target = Target.read(job, train)
    ids = test[target.form.id_column]
    submit(job, target, ids, target.prior(len(test)), None)
    train = train[target.known].reset_index(drop=True)
    for path in side_tables(job):
        rows = read_table(path, (target.form.id_column,))
        if target.form.id_column not in rows:
            continue
        columns = aggregates(rows, target.form.id_column, path.stem)
        train = train.join(columns, on=target.form.id_column)
        test = test.join(columns, on=target.form.id_column)
        counts = [str(name) for name in columns if str(name).endswith("count")]
        none = dict.fromkeys(counts, 0.0)
        train, test = train.fillna(none), test.fillna(none)
        job.log(f"{path.stem}: {len(rows)} rows became {columns.shape[1]} columns")
    problem = tabular_model.prepare(train, test, target)
    tabular_model.improve(job, target, ids, problem)


def aggregates(rows: pd.DataFrame, key: str, name: str) -> pd.DataFrame:
    """Return one row per id: how many, how large, of which kind, the first and the last."""
    grouped = rows.groupby(key, sort=False)
    parts = [grouped.size().rename(f"{name} count").astype(np.float64).to_frame()]
    others = [str(c) for c in rows if c != key]
    texts = [c for c in others if not pd.api.types.is_numeric_dtype(rows[c])]
    numbers = [c for c in others if c not in texts and not _counts_rows(rows[c])]
    parts += [
        grouped[numbers].agg(how).add_prefix(f"{name} {how} ")
        for how in ("mean", "min", "max", "sum", "std", "first", "last")
    ]
    for text in texts:
        parts += _by_category(rows, key, text, numbers, name)
    return pd.concat(parts, axis=1)


def _counts_rows(column: "pd.Series[float]") -> bool:
    """Whether a column only numbers the rows."""
    return len(column) > 1 and bool((np.diff(column.to_numpy()) == 1).all())


def _by_category(
    rows: pd.DataFrame, key: str, text: str, numbers: list[str], name: str
) -> list[pd.DataFrame]:
    """Return counts, shares and means of the numbers, per id and category."""
    common = rows[text].value_counts().index[:MAX_CATEGORIES]
    parts = []
    size = rows.groupby(key, sort=False).size()
    for category in common:
        some = rows[rows[text] == category].groupby(key, sort=False)
        label = f"{name} {text} {category}"
        count = some.size().reindex(size.index, fill_value=0)
        parts.append((count / size).rename(f"{label} share").to_frame())
        parts.append(count.rename(f"{label} count").astype(np.float64).to_frame())
        parts.append(some[numbers].mean().add_prefix(f"{label} mean "))
    return parts
