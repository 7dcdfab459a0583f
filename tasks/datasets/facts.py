"""What an agent is told about a data-analysis table and about reporting what it found."""

from collections.abc import Sequence

from tasks.detectors import OUTCOME, ROW, TIME


def notes(n_rows: int, columns: Sequence[str]) -> str:
    """Return the Markdown on the table, the form of insights.json and the rules for figures."""
    n_features = len([name for name in columns if name not in {ROW, TIME, OUTCOME}])
    order = TIME if TIME in columns else ROW
    clock = f", `{TIME}` (a whole number that grows with each row)" if TIME in columns else ""
    return (
        f"- `data.csv`: {n_rows:,} rows, columns `{ROW}` (its number){clock}, "
        f"{n_features} numeric features whose names mean nothing, and `{OUTCOME}`, a number. "
        "An empty cell is a missing value. Some features have nothing to do with the outcome.\n\n"
        + _FORM.format(order=order)
    )


_FORM = """### Reporting what you found

Write `$EXPERIMENT_DIR/results/insights.json` (UTF-8, at most 1 MiB):

```json
{{"schema": "insights/1", "claims": [
  {{"type": "relevant_features", "args": {{"columns": ["a", "b", "c"]}}, "confidence": 0.9}},
  {{"type": "interaction", "args": {{"columns": ["a", "b"]}}, "confidence": 0.8}},
  {{"type": "redundant_pair", "args": {{"columns": ["d", "e"]}}, "confidence": 0.95}},
  {{"type": "outliers", "args": {{"column": "f"}}, "confidence": 0.9}},
  {{"type": "missingness", "args": {{"column": "g", "mechanism": "MAR", "driver": "h"}},
   "confidence": 0.7, "text": "for people, not scored", "evidence": ["fig2.png"]}},
  {{"type": "change_point", "args": {{"column": "i", "at": 4200}}, "confidence": 0.8}}
]}}
```

- `relevant_features`: all columns the outcome depends on, given the others, alone or together; \
being correlated with one of them is not enough. A quarter may be missing, none may be wrong.
- `interaction`: two columns whose product acts on the outcome.
- `redundant_pair`: two columns that are near-copies of each other.
- `outliers`: a column with gross errors, far outside all other values.
- `missingness`: a column with missing cells; `mechanism` is `"MCAR"` (pure chance; `driver` is \
null or left out) or `"MAR"`, and then `driver` is the column that decides.
- `change_point`: a column whose level changes once; `at` is the value of `{order}` in the first \
row with the new level, within 3 % of the range of `{order}`.

Not every type need occur. At most 20 claims are read. A claim that states a fact of this table \
that was planted in it counts 1, once; one that is true otherwise counts 0; a false one costs \
0.5: guessing loses. A claim in a wrong form counts nothing. `confidence` (0 to 1; 1 if left out) \
is your probability that the claim is true, and is judged by the Brier score.

### Figures

Save figures as PNG, JPEG, WebP or SVG anywhere below `$EXPERIMENT_DIR/results/`; images in \
notebook outputs there and images inlined in HTML count too. Blank figures, noise and near copies \
of other figures are not counted; the same name with another \
suffix is the same figure; an SVG counts if it draws enough marks of its own."""
