"""Run folders are the truth; one SQLite index over those of many suites, rebuilt at will."""

from tasks.store.index import Index, Owner
from tasks.store.ledger import Claim, Counts, Store
from tasks.store.states import REASONS, Row, Standing, read_attempt, standing

__all__ = [
    "REASONS",
    "Claim",
    "Counts",
    "Index",
    "Owner",
    "Row",
    "Standing",
    "Store",
    "read_attempt",
    "standing",
]
