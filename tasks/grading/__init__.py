"""Honest grading: what the agent left, measured against answers it never saw."""

from tasks.grading.evaluation import Custom, Evaluation, evaluate
from tasks.grading.outputs import Outputs
from tasks.grading.predicted import (
    Difference,
    Hidden,
    blind,
    brackets,
    check_measurable,
    difference,
    score,
)
from tasks.grading.submission import check as check_submission

__all__ = [
    "Custom",
    "Difference",
    "Evaluation",
    "Hidden",
    "Outputs",
    "blind",
    "brackets",
    "check_measurable",
    "check_submission",
    "difference",
    "evaluate",
    "score",
]
