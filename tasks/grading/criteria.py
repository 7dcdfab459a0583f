"""Each pass mark against what was measured; what is not measured is not met."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.grading.outputs import Outputs
from tasks.spec import Criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that a criterion can be held against."""

    scores: dict[str, float]
    outputs: Outputs
    seconds: float | None
    """Wall time measured by the harness; None where the agent ran somewhere else."""
    verified_insights: int | None = None
    figures: int | None = None
    known: dict[str, bool] = field(default_factory=dict)
    """Criteria a custom validator decided itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one criterion ended."""

    key: str
    met: bool
    share: float
    """How much of it is reached, in [0, 1]."""
    feedback: str


def judge(criterion: Criterion, measured: Measured) -> Verdict:
    """Hold one criterion against the measurements."""
    if criterion.key in measured.known:
        met = measured.known[criterion.key]
        return _verdict(criterion, met=met, feedback="decided by the validator")
    if criterion.bound == "required":
        return _required(criterion, measured)
    value = (
        measured.seconds
        if criterion.subject == "training_time"
        else measured.scores.get(criterion.subject)
    )
    threshold = criterion.threshold
    if value is None or isinstance(threshold, tuple):
        return _verdict(criterion, met=False, feedback="not measured")
    met = value >= threshold if criterion.bound == "min" else value <= threshold
    relation = {("min", True): "≥", ("min", False): "<", ("max", True): "≤", ("max", False): ">"}
    sign = relation[criterion.bound, met]
    return _verdict(criterion, met=met, feedback=f"{value:.4g} {sign} {threshold:g}")


def _required(criterion: Criterion, measured: Measured) -> Verdict:
    wanted = criterion.threshold
    if isinstance(wanted, tuple):
        missing = [name for name in wanted if not measured.outputs.has_file(name)]
        share = 1 - len(missing) / len(wanted)
        feedback = f"missing: {', '.join(missing)}" if missing else "all there"
        return _verdict(criterion, met=not missing, share=share, feedback=feedback)
    counts: dict[str, Callable[[], int | None]] = {
        "insights": lambda: measured.verified_insights,
        "visualizations": lambda: measured.figures,
        "models": measured.outputs.models,
        "files": measured.outputs.files,
    }
    count = counts[criterion.subject]()
    if count is None:
        return _verdict(criterion, met=False, feedback="not measured")
    share = min(1.0, count / wanted) if wanted else 1.0
    return _verdict(
        criterion, met=count >= wanted, share=share, feedback=f"{count} of {wanted:g} wanted"
    )


def _verdict(
    criterion: Criterion, *, met: bool, feedback: str, share: float | None = None
) -> Verdict:
    reached = float(met) if share is None else share
    mark = "met" if met else "not met"
    return Verdict(
        key=criterion.key, met=met, share=reached, feedback=f"{criterion.key}: {mark}, {feedback}"
    )
