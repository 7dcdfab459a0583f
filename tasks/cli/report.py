"""An evaluation as a person reads it."""

from collections.abc import Mapping
from typing import Any

from tasks.cli import console
from tasks.errors import counted
from tasks.grading import Evaluation

EXPLANATION = """\
score    measured on the hidden rows, against the law behind them where it is known
label    the same against the one realised label of each row; agrees within 3 standard errors
floor    the best predictor that looks at no feature
ceiling  the best decision anybody could make for this measure (real data: a recorded panel)
naive    where test differs from train: the best decision for who believes it does not
skill    (score - floor) / (ceiling - floor): 0 knows nothing, 1 cannot be beaten
se       standard error of the score over the hidden rows
gain     what grading on the law saves: so many times more hidden rows would be needed for the
         same standard error on labels (label_se² / se²)
leak z   how much better the predictions fit the realised labels than the law allows; an honest
         agent's is a standard normal number, beyond ±4 success is void; the false-alarm rate
         is how often that would happen to an honest agent"""


def print_evaluation(
    evaluation: Evaluation, *, explain: bool = False, graded_on: str | None = None
) -> None:
    """Print measures, criteria and signs of trouble, then the verdict, and on which draw it is."""
    measured = {
        k: v for k, v in evaluation.scores.items() if isinstance(v, Mapping) and "skill" in v
    }
    if measured:
        header = (
            "MEASURE",
            "SCORE",
            "± SE",
            "LABEL",
            "FLOOR",
            "CEILING",
            "SKILL",
            "GAIN",
            "CLAIMED",
        )
        rows = [_row(name, mark, evaluation.claimed.get(name)) for name, mark in measured.items()]
        console.table(header, rows)
    for name, mark in measured.items():
        if mark.get("naive") is not None:
            console.out(f"naive {name}: {console.number(mark['naive'])}")
    for name, value in evaluation.scores.items():
        if name not in measured:
            shown = value["score"] if isinstance(value, Mapping) else value
            console.out(f"{name}: {shown}")
    for line in evaluation.feedback:
        console.out(f"- {console.printable(line)}")
    for claim in evaluation.shown.get("claims", ()):
        console.out(f"- claim {claim['type']}: {claim['verdict']}")
    if prose := evaluation.shown.get("report"):
        console.out(f"- report.md: {counted(len(prose), 'line')}, kept and not scored")
    if (z := evaluation.integrity.get("leak_z")) is not None:
        console.out(f"- leak z: {z:+.2f} ({_alarm(evaluation.integrity)})")
    if evaluation.integrity.get("lookup_possible"):
        console.out("- real data: its answers are public, so that they could have been looked up")
    console.out()
    console.out(f"{_verdict(evaluation)}   overall score {evaluation.overall_score:.3f}")
    if graded_on is not None:
        console.out(console.printable(f"graded on {graded_on}"))
    if explain:
        console.out(f"\n{EXPLANATION}")


def _row(name: str, mark: Mapping[str, Any], claimed: float | None) -> tuple[str, ...]:
    columns = ("score", "se", "label_score", "floor", "ceiling", "skill")
    numbers = (console.number(mark.get(key)) for key in columns)
    return (name, *numbers, _gain(mark), console.number(claimed))


def _gain(mark: Mapping[str, Any]) -> str:
    """Return the variance on labels over that on the law, where there is a law."""
    if mark.get("tier") != "law" or not mark["se"]:
        return "-"
    return f"{(mark['label_se'] / mark['se']) ** 2:.1f}x"


def _alarm(integrity: Mapping[str, Any]) -> str:
    rate = integrity.get("false_alarm_rate")
    honest = "" if rate is None else f", an honest agent's once in {1 / rate:,.0f}"
    return f"suspicious beyond ±4{honest}"


def _verdict(evaluation: Evaluation) -> str:
    if evaluation.integrity.get("leak_suspected") or evaluation.integrity.get("findings"):
        return "VOID: integrity in doubt"
    if evaluation.submission and not evaluation.submission["valid"]:
        return "FAILED: no valid submission"
    if not evaluation.criteria_met:
        return "GRADED: the task has no criteria to pass"
    return "PASSED" if evaluation.success else "FAILED: criteria not met"
