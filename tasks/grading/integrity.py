"""Signs that predictions know the hidden answers."""

import math
from typing import Any

import numpy as np

from tasks.grading.leak import leak_z, n_statistics
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract

LEAK_THRESHOLD = 4.0
"""Beyond it success is void; an honest agent gets there once in 15,000 trials."""
COPIED_SHARE = 0.5
CLOSE = 1e-4
"""Of the answers' standard deviation; no model comes so near in half of the rows."""
MANY_VALUES = 20


def examine(prediction: Prediction, contract: Contract, answers: Answers) -> dict[str, Any]:
    """Return what was found.

    Returns:
        `leak_z`, `leak_threshold`, `leak_suspected`, `lookup_possible`, `findings` (one line
        each), and `false_alarm_rate`: how often an honest agent would be suspected, at most.
    """
    findings: list[str] = []
    z = (
        None
        if answers.law is None
        else leak_z(
            prediction,
            answers.law,
            answers.labels,
            answers.groups,
            clusters=contract.kind == "clusters",
        )
    )
    if z is None and contract.kind == "values":
        findings += _copied(prediction, answers)
    return {
        "leak_z": None if z is None else round(z, 3),
        "leak_threshold": LEAK_THRESHOLD,
        "false_alarm_rate": None if z is None else false_alarm_rate(prediction),
        "leak_suspected": z is not None and abs(z) > LEAK_THRESHOLD,
        "lookup_possible": answers.law is None,
        "findings": findings,
    }


def false_alarm_rate(prediction: Prediction) -> float:
    """Return the chance that an honest prediction passes the threshold, both sides together.

    6.3e-5 for one statistic; for the larger of two at most twice that (Bonferroni).
    """
    return n_statistics(prediction) * math.erfc(LEAK_THRESHOLD / math.sqrt(2))


def _copied(prediction: Prediction, answers: Answers) -> list[str]:
    """Find predictions that equal real-valued answers, which no model's do."""
    if prediction.values is None or len(np.unique(answers.labels)) < MANY_VALUES:
        return []
    close = CLOSE * float(np.std(answers.labels))
    share = float(np.mean(np.abs(prediction.values - answers.labels) <= close))
    if share < COPIED_SHARE:
        return []
    return [f"{share:.0%} of the predictions equal the hidden answers"]
