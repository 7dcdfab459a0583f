"""Scoring claims without a judge: against planted facts, else against a fresh large sample.

A claim that states a planted fact earns 1, each fact once; one that is true of the population
without being planted earns 0; a false one costs `PENALTY`, so that fishing loses. A malformed one
is reported and earns 0: a slip of form says nothing about the analysis. Each claim is judged by
itself: of two that contradict each other at most one is true, and the other costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator, Philox

from tasks.grading.claims import MAX_CLAIMS, Claim, read_claims
from tasks.insights import forms
from tasks.insights.catalogue import KINDS
from tasks.insights.forms import Args
from tasks.insights.sample import Sample
from tasks.instance import Facts, PlantedFact

PENALTY = 0.5
REDRAW_ROWS = 20_000
GUESSERS = 200
"""Blind guessers per strategy; the mean of one has a standard error below 0.05."""

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
    evidence: frozenset[str]
    """Names of the figures that verified claims cite, as the agent wrote them."""
    problems: tuple[str, ...]

    @property
    def earned(self) -> int:
        """Verified claims less the penalty of the false ones, so that fishing passes no mark."""
        false = sum(verdict.verdict == "false" for verdict in self.verdicts)
        return int(max(0, self.verified - PENALTY * false))


def grade_insights(results: Path, facts: Facts) -> InsightReport:
    """Judge the claims in `results`; whatever lies there becomes a report, not an exception."""
    read = read_claims(results, facts.columns)
    fresh = Sample(facts.redraw(REDRAW_ROWS))
    judged = judge(read.claims, facts.planted, fresh)
    pairs = list(zip(read.claims, judged, strict=True))
    errors = [
        (claim.confidence - (verdict != "false")) ** 2
        for claim, verdict in pairs
        if verdict != "malformed"
    ]
    return InsightReport(
        verified=judged.count("verified"),
        score=_score(judged, len(facts.planted)),
        floor=_floor(facts, fresh),
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
            for claim, verdict in pairs
        ),
        evidence=frozenset(
            name for claim, verdict in pairs if verdict == "verified" for name in claim.evidence
        ),
        problems=read.problems,
    )


def judge(
    claims: Sequence[Claim], planted: Sequence[PlantedFact], fresh: Sample
) -> tuple[Judgement, ...]:
    """Judge each claim: a maximum matching with the planted facts, then the fresh sample."""
    matched = _assign(
        [
            [k for k, fact in enumerate(planted) if _states(claim, fact, fresh.span)]
            for claim in claims
        ]
    )
    return tuple(
        _judgement(claim, planted, fresh, matched=i in matched) for i, claim in enumerate(claims)
    )


def _judgement(
    claim: Claim, planted: Sequence[PlantedFact], fresh: Sample, *, matched: bool
) -> Judgement:
    if claim.malformed:
        return "malformed"
    if matched:
        return "verified"
    again = any(_states(claim, fact, fresh.span) for fact in planted)
    true = again or KINDS[claim.type].holds(fresh, claim.args)
    return "true but not planted" if true else "false"


def _states(claim: Claim, fact: PlantedFact, span: float) -> bool:
    if claim.malformed or claim.type != fact.type:
        return False
    return KINDS[fact.type].agree(claim.args, fact.args, span)


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


def _floor(facts: Facts, fresh: Sample) -> float:
    """Return the best mean score of guessers who know the columns and never look at the cells.

    They keep silent, make many claims of any planted type, or one claim of each type that pays on
    average.
    """
    rng = Generator(Philox(0))
    types = sorted({fact.type for fact in facts.planted})
    gains = [
        np.mean([_worth([_guess(rng, kind, fresh)], facts, fresh) for _ in range(GUESSERS)])
        for kind in types
    ]
    many = [
        np.mean([_worth(_guesses(rng, types, fresh, n), facts, fresh) for _ in range(GUESSERS)])
        for n in (3, MAX_CLAIMS)
    ]
    return float(max(0.0, sum(gain for gain in gains if gain > 0), *many))


def _worth(claims: Sequence[Claim], facts: Facts, fresh: Sample) -> float:
    return _score(judge(claims, facts.planted, fresh), len(facts.planted))


def _guesses(rng: Generator, types: Sequence[str], fresh: Sample, n: int) -> list[Claim]:
    return [_guess(rng, types[int(rng.integers(len(types)))], fresh) for _ in range(n)]


def _guess(rng: Generator, kind: str, fresh: Sample) -> Claim:
    args = forms.guess(KINDS[kind].form, rng, fresh.world)
    return Claim(type=kind, args=args, confidence=0.5)
