"""One evaluation: what an agent left, measured against an instance it never saw whole."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tasks.grading.criteria import Measured, judge
from tasks.grading.figures import FigureReport, count_figures
from tasks.grading.marks import Mark
from tasks.grading.outputs import Outputs
from tasks.grading.predicted import Hidden, Predicted, grade_submission
from tasks.grading.prose import read_report
from tasks.instance import Facts
from tasks.outcome import Reason
from tasks.spec import Task

if TYPE_CHECKING:
    from tasks.grading.insights import InsightReport


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
        return key in _names()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the field names, in order."""
        return iter(_names())

    def __len__(self) -> int:
        """Count the fields."""
        return len(_names())

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as a JSON object; its parts are those of the evaluation."""
        return dict(self)  # not `asdict`, which copies each of a few hundred values

    def voided(self, finding: str) -> "Evaluation":
        """Return it without success: an agent that attacks its harness has none."""
        found = {**self.integrity, "findings": [*self.integrity["findings"], finding]}
        feedback = [finding, *self.feedback]
        return replace(self, success=False, integrity=found, feedback=feedback)


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(item.name for item in fields(Evaluation))


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
    insights = _insights(outputs, hidden.facts) if hidden.facts else None
    figures = _figures(task, outputs, insights)
    numbers = {name: mark.score for name, mark in predicted.marks.items()}
    measured = Measured(
        scores={**own.scores, **numbers},
        outputs=outputs,
        seconds=seconds,
        verified_insights=insights.earned if insights else None,
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
        scores=dict(own.scores) | _scores(predicted.marks, insights, figures),
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
        shown=_shown(outputs, insights, figures),
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


def _insights(outputs: Outputs, facts: Facts) -> "InsightReport":
    from tasks.grading.insights import grade_insights  # 40 ms, which most tasks can do without

    return grade_insights(outputs.results, facts)


def _figures(task: Task, outputs: Outputs, insights: "InsightReport | None") -> FigureReport | None:
    """Count figures if the task wants any; where it wants insights, too, those that prove one."""
    wanted = {criterion.subject for criterion in task.criteria}
    if "visualizations" not in wanted:
        return None
    cited = insights.evidence if insights is not None and "insights" in wanted else None
    return count_figures(outputs.results, cited)


def _scores(
    marks: Mapping[str, Mark], insights: "InsightReport | None", figures: FigureReport | None
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


def _words(insights: "InsightReport | None", figures: FigureReport | None) -> list[str]:
    return [*(insights.problems if insights else ()), *(figures.findings if figures else ())]


def _shown(
    outputs: Outputs, insights: "InsightReport | None", figures: FigureReport | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if insights is not None:
        shown["claims"] = [asdict(verdict) for verdict in insights.verdicts]
        if report := read_report(outputs.results):
            shown["report"] = report
    if figures is not None:
        shown["figures"] = list(figures.findings)
    return shown
