"""Analyse a table with planted facts: claims are checked against the truth, without a judge.

    python tasks/examples/data_analysis_example.py

One claim below rests on the data, one is made up. The first is verified; the second costs points,
so that guessing does not pay.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from tasks import datasets, registry
from tasks.instance import Seed
from tasks.utils import TaskValidator


def claims(table: pl.DataFrame) -> list[dict[str, object]]:
    """Return one claim that the table supports, and one that nothing supports."""
    columns = [name for name in table.columns if name not in {"row", "time", "outcome"}]
    filled = table.select(pl.col(columns).fill_null(pl.col(columns).median()))
    ranks = filled.select(pl.all().rank()).to_numpy()
    likeness = np.abs(np.corrcoef(ranks, rowvar=False))
    np.fill_diagonal(likeness, 0.5)  # neither the most nor the least alike
    alike = [columns[k] for k in np.unravel_index(np.argmax(likeness), likeness.shape)]
    unlike = [columns[k] for k in np.unravel_index(np.argmin(likeness), likeness.shape)]
    return [
        {
            "type": "redundant_pair",
            "args": {"columns": alike},
            "confidence": 0.95,
            "text": f"{alike[0]} and {alike[1]} say nearly the same",
        },
        {
            "type": "redundant_pair",
            "args": {"columns": unlike},
            "confidence": 0.9,
            "text": "made up",
        },
    ]


def main() -> int:
    """Write practice data, make two claims on it and print the verdicts; return 0 if graded."""
    task = registry.get_task("data_analysis_exploratory")
    instance = datasets.draw(task, Seed.practice(task.id))
    with tempfile.TemporaryDirectory() as scratch:
        data, results = Path(scratch) / "data", Path(scratch) / "results"
        data.mkdir()
        results.mkdir()
        datasets.write_public(task, instance, data)
        table = pl.read_csv(data / "data.csv")
        print(f"{table.height} rows, {table.width} columns")
        insights = {"schema": "insights/1", "claims": claims(table)}
        (results / "insights.json").write_text(json.dumps(insights))
        evaluation = TaskValidator().evaluate_task(task, results)
    for claim in evaluation["shown"]["claims"]:
        print(f"{claim['type']}: {claim['verdict']}")
    for line in evaluation["feedback"]:
        print(f"- {line}")
    print(f"Overall Score: {evaluation['overall_score']}")
    print(f"Success: {evaluation['success']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
