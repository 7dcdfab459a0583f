"""The experiment agent on a task."""

from collections.abc import Iterator

from tasks.check.finding import Finding
from tasks.grading import Evaluation
from tasks.trial import Trial

MOST_ERRORS = 4.0
"""Standard errors by which a score may pass the ceiling."""


def agent_succeeds(trial: Trial) -> Finding:
    """Ask that it ended by itself and met all criteria."""
    evaluation = trial.evaluation
    ok = evaluation is not None and evaluation.success and trial.outcome.ok
    score = f"overall {evaluation.overall_score:.3f}" if evaluation else str(trial.grader_error)
    detail = f"{trial.outcome.reason} in {trial.outcome.seconds:.1f} s, {score}"
    return Finding(check="experiment agent succeeds", ok=ok, detail=detail)


def between(trial: Trial) -> Iterator[Finding]:
    """Ask that its score by the primary measure lies between floor and ceiling."""
    evaluation: Evaluation | None = trial.evaluation
    for name, mark in (evaluation.scores if evaluation else {}).items():
        if not isinstance(mark, dict) or mark.get("skill") is None or mark.get("ceiling") is None:
            continue
        skill, span = mark["skill"], abs(mark["ceiling"] - mark["floor"])
        slack = MOST_ERRORS * (mark.get("se") or 0.0) / span if span else 0.0
        detail = f"{mark['floor']:.4f} → {mark['score']:.4f} → {mark['ceiling']:.4f}"
        above = 1 + slack if mark.get("approximate") is not True else 1.05
        known = "reference" not in mark.get("tier", "")
        ok = skill > 0 and (skill <= above or not known)
        yield Finding(check=f"floor < agent < ceiling: {name}", ok=ok, detail=detail)
        return
