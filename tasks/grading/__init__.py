"""Honest grading: what the agent left, measured against answers it never saw."""

from tasks.grading.evaluation import Custom, Evaluation, evaluate
from tasks.grading.outputs import Outputs
from tasks.grading.predicted import Hidden, brackets, check_measurable
from tasks.grading.submission import check as check_submission

__all__ = [
    "Custom",
    "Evaluation",
    "Hidden",
    "Outputs",
    "brackets",
    "check_measurable",
    "check_submission",
    "evaluate",
]
