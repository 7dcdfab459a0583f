"""Exploratory analysis: claims first, as they are what counts, then figures, then a report."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import audit
from charts import draw_all, evidence
from columns import Columns, read_columns
from comparisons import compare
from courses import courses
from effects import find_effects
from findings import SEARCHES, Finding
from shapes import shapes

if TYPE_CHECKING:
    import pandas as pd

MOST_CLAIMS = 20
WORTH = 0.4
"""Least confidence for a claim: a false one costs half of what a true one earns."""
SECONDS_PER_FIGURE = 3.0
MOST_EVIDENCE = 3
_METHOD = (
    "{rows:,} rows, {features} varying numeric features, outcome: {outcome}. Every finding holds "
    "beyond chance after Holm's correction over all tests of its kind; cells were clipped at four "
    "robust standard deviations before anything was fitted."
)


def analyse(
    table: "pd.DataFrame", results: Path, *, deadline: float, log: Callable[[str], None]
) -> dict[str, float]:
    """Write insights.json, figures and report.md into `results`.

    Args:
        table: Any table; columns `outcome` (or `target`) and `time` (or `row`) have a role.
        results: An existing folder.
        deadline: On `time.monotonic()`; no figure is begun shortly before it.
        log: Takes one line.

    Returns:
        How many claims and figures were made.
    """
    columns = read_columns(table)
    found = [*audit(columns), *(one for search in SEARCHES for one in search(columns))]
    _write(results / "insights.json", _insights(found[:MOST_CLAIMS], ()))  # the quick ones at once
    acting = find_effects(columns)
    found += [*acting.findings, *courses(columns), *compare(columns, acting), *shapes(columns)]
    claims = chosen(found)
    _write(results / "insights.json", _insights(claims, ()))
    for claim in claims:
        log(f"{claim.text} (p {claim.p:.1g}, confidence {claim.confidence})")
    figures: list[str] = []
    if columns.raw.size:
        figures = draw_all(
            columns,
            acting,
            claims,
            results,
            until=lambda: time.monotonic() + SECONDS_PER_FIGURE < deadline,
        )
    log(f"{len(claims)} claims, {len(figures)} figures")
    _write(results / "insights.json", _insights(claims, figures))
    _write(results / "report.md", _report(table, columns, claims, figures))
    return {"claims": len(claims), "figures": len(figures)}


def chosen(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the claims to make: the surest of each type first, then the second of each."""
    by_type: dict[str, list[Finding]] = {}
    for finding in sorted(found, key=lambda one: -one.confidence):
        if finding.confidence >= WORTH:
            by_type.setdefault(finding.type, []).append(finding)
    turns = zip_longest(*by_type.values())
    return tuple(one for turn in turns for one in turn if one is not None)[:MOST_CLAIMS]


def _insights(claims: Sequence[Finding], figures: Sequence[str]) -> str:
    said = [_claim(claim, figures) for claim in claims]
    return json.dumps({"schema": "insights/1", "claims": said}, indent=2, ensure_ascii=False) + "\n"


def _claim(claim: Finding, figures: Sequence[str]) -> dict[str, Any]:
    return {
        "type": claim.type,
        "args": dict(claim.args),
        "confidence": claim.confidence,
        "text": claim.text,
        "evidence": [name for name in evidence(claim) if name in figures][:MOST_EVIDENCE],
    }


def _report(
    table: "pd.DataFrame", columns: Columns, claims: Sequence[Finding], figures: Sequence[str]
) -> str:
    lines = [
        "# Exploratory analysis",
        "",
        _METHOD.format(
            rows=len(table), features=len(columns.features), outcome=columns.outcome or "none"
        ),
        "",
        "## Findings",
        "",
        *(f"- {one.text} (p {one.p:.1g}, confidence {one.confidence:.2f})" for one in claims),
        *([] if claims else ["- nothing beyond chance"]),
        "",
        "## Figures",
        "",
        *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})\n" for name in figures),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    aside = path.with_name(f".{path.name}.aside")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
