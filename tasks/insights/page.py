"""What agents are told about claims: the page with examples, and the short form of it."""

import json
from typing import Any

from tasks.insights.catalogue import KINDS
from tasks.insights.kind import Kind


def example(kind: Kind) -> dict[str, Any]:
    """Return a claim of this type, in the form of the file."""
    return {"type": kind.type, "args": dict(kind.example), "confidence": 0.9}


def short_forms() -> str:
    """Return a Markdown list of all types with their arguments."""
    return "\n".join(
        f"- `{kind.type}` `{json.dumps(dict(kind.example), ensure_ascii=False)}`: {kind.says}."
        for kind in sorted(KINDS.values(), key=lambda kind: kind.type)
    )


def page() -> str:
    """Return `docs/insights.md`."""
    parts = [_HEAD]
    for kind in sorted(KINDS.values(), key=lambda kind: kind.type):
        said = json.dumps(example(kind), ensure_ascii=False)
        says = kind.says[0].upper() + kind.says[1:]
        parts.append(f"### `{kind.type}`\n\n{says}.\n\n```json\n{said}\n```")
    return "\n\n".join(parts) + "\n"


_HEAD = """# Claims that are checked without a judge

A data-analysis task asks what is true of a table. Its maker planted facts in it, and only such as
a reference detector finds in this very table. An agent writes what it found to
`$EXPERIMENT_DIR/results/insights.json`, at most 20 claims and 1 MiB:

```json
{"schema": "insights/1", "claims": [
  {"type": "missingness", "args": {"column": "x671", "mechanism": "MAR", "driver": "x208"},
   "confidence": 0.7, "text": "for people, not scored", "evidence": ["missing.png"]}
]}
```

or, if there is no such file, to `insights.csv` with the columns `type`, `args` (the object as
JSON), `confidence`, `text` and `evidence` (names with `;` between).

## What a claim is worth

- It states a planted fact: 1 point, once for each fact.
- It is true of a fresh large sample of the same population, but was not planted: 0.
- It is false: -0.5. Of two claims that contradict each other at least one is.
- It has a wrong form: 0, and the report says what is wrong.

The score is the points per planted fact. Its ceiling is 1; its floor is what the best of simulated
guessers gets who know the columns and never look at a cell, or 0, which is what silence gets.
`confidence` (0 to 1; 1 if left out) is the probability that the claim is true, judged by the Brier
score. `required_insights: 3` asks for three claims that state planted facts.

`evidence` names up to three figures. Where a task asks for claims and figures, a figure counts only
if a claim that states a planted fact cites it. A document (`.ipynb`, `.html`) is cited as a whole.

A report for people in `results/report.md` is kept and shown, and never scored.

## The types

Columns and texts are written as they stand in the file. Column names below are made up."""
