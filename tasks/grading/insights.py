"""Scoring claims without a judge: against planted facts, else against a fresh large sample.

A claim that states a planted fact earns 1, each fact once; one that is true of the population
without being planted earns 0; a false one costs `PENALTY`, so that fishing loses. A malformed one
is reported and earns 0: a slip of form says nothing about the analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator, Philox

from tasks import detectors
from tasks.detectors import Found
from tasks.grading.claims import MAX_CLAIMS, Args, Claim, read_claims
from tasks.instance import Facts, PlantedFact

PENALTY = 0.5
REDRAW_ROWS = 20_000
GUESSERS = 200
"""Blind guessers per number of claims; the mean of a strategy has a standard error below 0.04."""

Judgement = Literal["verified", "true but not planted", "false", "malformed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one claim; safe to show."""

    type: str
    args: Args
    verdict: Judgement
    confidence: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightReport:
    """What the claims are worth."""

    verified: int
    """Planted facts that were claimed."""
    score: float
    """Points per planted fact; negative when false claims outweigh the rest."""
    floor: float
    """The best that guessing without looking at the data gives: silence, or random claims."""
    ceiling: float
    brier: float | None
    """Mean squared distance of confidence from truth, over claims in good form; None without."""
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]


def grade_insights(results: Path, facts: Facts) -> InsightReport:
    """Judge `results/insights.json`; whatever lies there becomes a report, not an exception."""
    read = read_claims(results, facts.columns)
    found = detectors.find(facts.redraw(REDRAW_ROWS))
    judged = judge(read.claims, facts.planted, found)
    errors = [
        (claim.confidence - (verdict != "false")) ** 2
        for claim, verdict in zip(read.claims, judged, strict=True)
        if verdict != "malformed"
    ]
    return InsightReport(
        verified=judged.count("verified"),
        score=_score(judged, len(facts.planted)),
        floor=_floor(facts, found),
        ceiling=1.0,
        brier=float(np.mean(errors)) if errors else None,
        verdicts=tuple(
            Verdict(
                type=claim.type,
                args=claim.args,
                verdict=verdict,
                confidence=claim.confidence,
                text=claim.text,
            )
            for claim, verdict in zip(read.claims, judged, strict=True)
        ),
        problems=read.problems,
    )


def judge(
    claims: Sequence[Claim], planted: Sequence[PlantedFact], found: Found
) -> tuple[Judgement, ...]:
    """Judge each claim: a maximum matching with the planted facts, then the fresh sample."""
    matched = _assign(
        [
            [k for k, fact in enumerate(planted) if _states(claim, fact, found.span)]
            for claim in claims
        ]
    )
    return tuple(
        _judgement(claim, planted, found, matched=i in matched) for i, claim in enumerate(claims)
    )


def _judgement(
    claim: Claim, planted: Sequence[PlantedFact], found: Found, *, matched: bool
) -> Judgement:
    if claim.malformed:
        return "malformed"
    if matched:
        return "verified"
    again = any(_states(claim, fact, found.span) for fact in planted)
    return "true but not planted" if again or found.holds(claim.type, claim.args) else "false"


def _states(claim: Claim, fact: PlantedFact, span: float) -> bool:
    if claim.malformed or claim.type != fact.type:
        return False
    return detectors.agree(fact.type, claim.args, fact.args, span)


def _assign(options: Sequence[Sequence[int]]) -> set[int]:
    """Return the claims of a maximum matching, given the facts each may take (Kuhn 1955)."""
    taken_by: dict[int, int] = {}

    def place(claim: int, seen: set[int]) -> bool:
        for fact in options[claim]:
            if fact not in seen:
                seen.add(fact)
                if fact not in taken_by or place(taken_by[fact], seen):
                    taken_by[fact] = claim
                    return True
        return False

    for claim in range(len(options)):
        place(claim, set())
    return set(taken_by.values())


def _score(judged: Sequence[Judgement], n_planted: int) -> float:
    points = judged.count("verified") - PENALTY * judged.count("false")
    return points / max(n_planted, 1)


# --- what guessing gives ------------------------------------------------------------------------


def _floor(facts: Facts, found: Found) -> float:
    """Return the best mean score of guessers who know the columns and never look at the data."""
    rng = Generator(Philox(0))
    means = [0.0]  # silence
    for n_claims in (1, 3, MAX_CLAIMS):
        scores = [
            _score(judge(_guesses(rng, facts, found, n_claims), facts.planted, found), n)
            for n in [len(facts.planted)] * GUESSERS
        ]
        means.append(float(np.mean(scores)))
    return max(means)


def _guesses(rng: Generator, facts: Facts, found: Found, n: int) -> list[Claim]:
    types = sorted({fact.type for fact in facts.planted})
    return [_guess(rng, types[int(rng.integers(len(types)))], facts, found) for _ in range(n)]


def _guess(rng: Generator, kind: str, facts: Facts, found: Found) -> Claim:
    roles = {detectors.ROW, detectors.TIME, detectors.OUTCOME}
    features = [name for name in facts.columns if name not in roles]
    order = [features[int(j)] for j in rng.permutation(len(features))]
    args: dict[str, object] = {"column": order[0]}
    if kind in {"interaction", "redundant_pair"}:
        args = {"columns": tuple(sorted(order[:2]))}
    elif kind == "relevant_features":
        args = {"columns": tuple(sorted(order[: int(rng.integers(1, 6))]))}
    elif kind == "missingness":
        by_chance = rng.random() < 0.5  # noqa: PLR2004 - a coin
        args |= {"mechanism": "MCAR" if by_chance else "MAR"}
        args |= {"driver": None if by_chance else order[1]}
    elif kind == "change_point":
        args |= {"at": found.first + found.span * rng.random()}
    return Claim(type=kind, args=args, confidence=0.5)
