"""What an agent is told about a data-analysis table and about reporting what it found."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tasks.insights.page import short_forms
from tasks.insights.sample import OUTCOME, ROW, TIME


def notes(n_rows: int, rows: Mapping[str, NDArray[Any]]) -> str:
    """Return the Markdown on the table, the form of insights.json and the rules for figures.

    Args:
        n_rows: Rows of the table.
        rows: Some of them, by column.
    """
    features = [cells for name, cells in rows.items() if name not in {ROW, TIME, OUTCOME}]
    texts = sum(cells.dtype == object for cells in features)
    clock = f", `{TIME}` (a whole number that grows with each row)" if TIME in rows else ""
    groups = f" and {texts} text" if texts else ""
    return (
        f"- `data.csv`: {n_rows:,} rows, columns `{ROW}` (its number){clock}, "
        f"{len(features) - texts} numeric{groups} features whose names mean nothing, and "
        f"`{OUTCOME}`, a number. An empty cell is a missing value. Some features have nothing to "
        "do with the outcome.\n\n" + _FORM.format(types=short_forms())
    )


_FORM = """### Reporting what you found

Write `$EXPERIMENT_DIR/results/insights.json` (UTF-8, at most 1 MiB):

```json
{{"schema": "insights/1", "claims": [
  {{"type": "missingness", "args": {{"column": "g", "mechanism": "MAR", "driver": "h"}},
   "confidence": 0.7, "text": "for people, not scored", "evidence": ["fig2.png"]}}
]}}
```

or, instead, `insights.csv` with the columns `type`, `args` (as JSON), `confidence`, `text`, \
`evidence` (names with `;` between). The types, each with an example of its `args` (column names \
and values are made up):

{types}

Not every type need occur. At most 20 claims are read. A claim that states a fact of this table \
that was planted in it counts 1, once; one that is true otherwise counts 0; a false one costs \
0.5: guessing loses. A claim in a wrong form counts nothing. `confidence` (0 to 1; 1 if left out) \
is your probability that the claim is true, and is judged by the Brier score.

### Figures

Save figures as PNG, JPEG, WebP or SVG anywhere below `$EXPERIMENT_DIR/results/`; images in \
notebook outputs there and images inlined in HTML count too. Where figures are asked for, one \
counts only if a claim that is verified names it in its `evidence`, at most three names a claim. \
Blank figures, noise, pictures of text and near copies of other figures are not counted; the same \
name with another suffix is the same figure; an SVG counts if it draws enough marks of its own."""
