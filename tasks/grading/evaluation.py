"""One evaluation: what an agent left, measured against an instance it never saw whole."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tasks.grading.criteria import Measured, judge
from tasks.grading.figures import FigureReport, count_figures
from tasks.grading.insights import InsightReport, grade_insights
from tasks.grading.marks import Mark
from tasks.grading.outputs import Outputs
from tasks.grading.predicted import Hidden, Predicted, grade_submission
from tasks.outcome import Reason
from tasks.spec import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Mapping[str, Any]):
    """What a trial is worth; reads like the JSON object it becomes: `evaluation["success"]`."""

    task_id: str
    sealed: bool
    """Whether nobody could have known the seed."""
    success: bool
    """Every criterion met, submission valid, nothing found against its integrity."""
    overall_score: float
    """Skill of the primary measure in [0, 1]; without a prediction, share of the criteria."""
    scores: dict[str, Any]
    """By measure: score, label_score, floor, ceiling, skill, se."""
    criteria_met: dict[str, bool]
    feedback: list[str]
    submission: dict[str, Any]
    integrity: dict[str, Any]
    claimed: dict[str, float]
    """What the agent says of itself; shown beside the measured values, never a score."""
    outcome: Reason | None = None
    """How the agent ended; None where its results were graded without running it."""
    seconds: float | None = None
    shown: dict[str, Any] = field(default_factory=dict)
    """Kept for people and not scored: verdicts on claims, findings on figures."""

    def __getitem__(self, key: str) -> Any:
        """Return a field by its name."""
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        """Whether there is a field of this name."""
        return any(item.name == key for item in fields(self))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the field names, in order."""
        return (item.name for item in fields(self))

    def __len__(self) -> int:
        """Count the fields."""
        return len(fields(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """What a validator of one's own found, in the words of the spec."""

    criteria_met: Mapping[str, bool] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    feedback: tuple[str, ...] = ()


def evaluate(
    task: Task,
    hidden: Hidden,
    outputs: Outputs,
    *,
    sealed: bool,
    outcome: Reason | None = None,
    seconds: float | None = None,
    custom: Custom | None = None,
) -> Evaluation:
    """Grade `outputs`.

    Args:
        task: The definition; its criteria are what is asked for.
        hidden: The answers; empty for a task without data of ours.
        outputs: What the agent left: untrusted bytes.
        sealed: Whether the instance came from a secret seed.
        outcome: How the agent ended, if we ran it.
        seconds: Wall time measured by us, if we ran it.
        custom: What a validator subclass found; its criteria and scores join ours.
    """
    own = custom or Custom()
    predicted = grade_submission(task, hidden, outputs)
    insights = grade_insights(outputs.results, hidden.facts) if hidden.facts else None
    figures = count_figures(outputs.results) if _wants_figures(task) else None
    numbers = {name: mark.score for name, mark in predicted.marks.items()}
    measured = Measured(
        scores={**numbers, **own.scores},
        outputs=outputs,
        seconds=seconds,
        verified_insights=insights.verified if insights else None,
        figures=figures.counted if figures else None,
        known=dict(own.criteria_met),
    )
    verdicts = [judge(criterion, measured) for criterion in task.criteria]
    met = {verdict.key: verdict.met for verdict in verdicts} | dict(own.criteria_met)
    shares = [verdict.share for verdict in verdicts]
    shares += [
        float(ok) for key, ok in own.criteria_met.items() if key not in task.evaluation_criteria
    ]
    valid = predicted.valid
    suspected = bool(predicted.integrity["leak_suspected"] or predicted.integrity["findings"])
    return Evaluation(
        task_id=task.id,
        sealed=sealed,
        success=all(met.values()) and valid is not False and not suspected and bool(met),
        overall_score=_overall(task, predicted, shares),
        scores=_scores(predicted.marks, insights, figures) | dict(own.scores),
        criteria_met=met,
        feedback=[
            *predicted.feedback,
            *(verdict.feedback for verdict in verdicts),
            *_words(insights, figures),
            *own.feedback,
        ],
        submission=predicted.summary,
        integrity=predicted.integrity,
        claimed=outputs.claimed(),
        outcome=outcome,
        seconds=None if seconds is None else round(seconds, 3),
        shown=_shown(insights, figures),
    )


# --- putting it together -----------------------------------------------------------------------


def _overall(task: Task, predicted: Predicted, shares: list[float]) -> float:
    if predicted.valid is False:
        return 0.0
    primary = task.primary_measure
    if predicted.valid and primary in predicted.marks:
        mark = predicted.marks[primary]
        if mark.skill is not None:
            return round(min(1.0, max(0.0, mark.skill)), 6)
    return round(sum(shares) / len(shares), 6) if shares else 0.0


def _wants_figures(task: Task) -> bool:
    return any(criterion.subject == "visualizations" for criterion in task.criteria)


def _scores(
    marks: Mapping[str, Mark], insights: InsightReport | None, figures: FigureReport | None
) -> dict[str, Any]:
    scores: dict[str, Any] = {name: mark.as_dict() for name, mark in marks.items()}
    if insights is not None:
        span = insights.ceiling - insights.floor
        scores["insights"] = {
            "score": insights.score,
            "floor": insights.floor,
            "ceiling": insights.ceiling,
            "skill": (insights.score - insights.floor) / span if span else None,
            "verified": insights.verified,
            "brier": insights.brier,
        }
    if figures is not None:
        scores["visualizations"] = {"score": figures.counted}
    return scores


def _words(insights: InsightReport | None, figures: FigureReport | None) -> list[str]:
    return [*(insights.problems if insights else ()), *(figures.findings if figures else ())]


def _shown(insights: InsightReport | None, figures: FigureReport | None) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if insights is not None:
        shown["claims"] = [asdict(verdict) for verdict in insights.verdicts]
    if figures is not None:
        shown["figures"] = list(figures.findings)
    return shown
