"""Signs that predictions know the hidden answers."""

from typing import Any

import numpy as np

from tasks.grading.marks import leak_z
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Contract

LEAK_THRESHOLD = 4.0
"""Beyond it success is void; an honest agent gets there once in 15,000 trials."""
COPIED_SHARE = 0.5
MANY_VALUES = 20


def examine(prediction: Prediction, contract: Contract, answers: Answers) -> dict[str, Any]:
    """Return `leak_z`, `leak_suspected` and `findings` (one line each)."""
    findings: list[str] = []
    z = None if answers.law is None else leak_z(prediction, answers.law, answers.labels)
    if answers.law is None and contract.kind == "values":
        findings += _copied(prediction, answers)
    return {
        "leak_z": None if z is None else round(z, 3),
        "leak_threshold": LEAK_THRESHOLD,
        "leak_suspected": z is not None and abs(z) > LEAK_THRESHOLD,
        "lookup_possible": answers.law is None,
        "findings": findings,
    }


def _copied(prediction: Prediction, answers: Answers) -> list[str]:
    """Find predictions that equal real-valued answers, which no model's do."""
    if prediction.values is None or len(np.unique(answers.labels)) < MANY_VALUES:
        return []
    share = float(np.mean(prediction.values == answers.labels))
    if share < COPIED_SHARE:
        return []
    return [f"{share:.0%} of the predictions equal the hidden answers exactly"]
