"""The desk of a trial where its agent asks what it scores: a service of the door."""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tasks import grading
from tasks.errors import InvalidTask
from tasks.feedback import Feedback, Mode, parts, side
from tasks.gateway.door import Service
from tasks.gateway.http1 import Head
from tasks.gateway.uploads import uploaded
from tasks.grading import Hidden
from tasks.instance import Instance, Seed
from tasks.measures import MEASURES
from tasks.scratch import scratch
from tasks.spec import Task

OK, BAD, SPENT = 200, 400, 429

WORDS: Final = """
## Feedback

`bash $HOME/feedback.sh [FILE]` tells the {measure} of a submission {of}; by default of
`$SUBMISSION_DIR/submission.csv`. It needs predictions for all rows. {queries} valid queries are
answered in this trial; each is recorded. In Python: `POST $AEXP_DOOR/feedback`, the file as the
field `file` of a form, `Authorization: Bearer $AEXP_DOOR_KEY`; `GET` tells how many are left.
"""
_OF: Final[Mapping[Mode, str]] = {
    "validation": "on a part of the test rows that does not count in the end",
    "score": "on the test rows themselves: this is practice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One answer that was given."""

    at: float
    score: float
    sha256: str
    """Of the submission."""


@dataclass(slots=True)
class Desk:
    """Answers the queries of one trial; a service of its door."""

    task: Task
    feedback: Feedback
    asked: Hidden
    """The rows that are answered about."""
    n_rows: int
    measure: str
    queries: list[Query] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    def open(cls, task: Task, instance: Instance, seed: Seed, feedback: Feedback) -> "Desk | None":
        """Make the desk of a trial; None where nothing is to be told.

        Raises:
            InvalidTask: The task has no predictions to be scored, or too few independent rows.
        """
        if feedback.mode == "none":
            return None
        measure = task.primary_measure
        if measure is None or instance.answers is None or instance.contract is None:
            raise InvalidTask(f"{task.id}: --feedback needs a task that asks for predictions")
        try:
            rows = parts(instance, seed)[0] if feedback.mode == "validation" else None
        except InvalidTask as error:
            raise InvalidTask(f"{task.id}: --feedback {feedback.mode}: {error}") from error
        n = len(instance.contract.ids) if rows is None else len(rows)
        return cls(
            task=task,
            feedback=feedback,
            asked=side(instance, rows),
            n_rows=n,
            measure=measure,
        )

    @property
    def left(self) -> int:
        """How many more queries are answered."""
        return self.feedback.queries - len(self.queries)

    def services(self) -> dict[tuple[str, str], Service]:
        """Return what the door offers for it."""
        return {("POST", "/feedback"): self._answer, ("GET", "/feedback"): self._state}

    def words(self) -> str:
        """Return what the agent is told of it."""
        return WORDS.format(
            measure=self.measure, of=_OF[self.feedback.mode], queries=self.feedback.queries
        )

    def summary(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "mode": self.feedback.mode,
            "measure": self.measure,
            "rows": self.n_rows,
            "allowed": self.feedback.queries,
            "queries": [asdict(query) for query in self.queries],
        }

    async def _state(self, _head: Head, _body: bytes) -> tuple[int, dict[str, Any]]:
        said = {"mode": self.feedback.mode, "measure": self.measure, "left": self.left}
        return OK, said

    async def _answer(self, head: Head, body: bytes) -> tuple[int, dict[str, Any]]:
        content = uploaded(head.fields.get("content-type", ""), body)
        if content is None:
            return BAD, {"error": "send the file as the field `file` of a form"}
        async with self._lock:  # one at a time, so that no two are answered for the last query
            if self.left <= 0:
                allowed = self.feedback.queries
                spent = "query of this trial is" if allowed == 1 else "queries of this trial are"
                return SPENT, {"error": f"the {allowed} {spent} used up"}
            score = await asyncio.to_thread(self._score, content)
            if isinstance(score, list):
                return BAD, {"error": "Submission invalid! " + "\n".join(score), "left": self.left}
            digest = hashlib.sha256(content).hexdigest()
            self.queries.append(Query(at=time.time(), score=score, sha256=digest))
            return OK, {
                "measure": self.measure,
                "score": score,
                "greater_is_better": MEASURES[self.measure].greater_is_better,
                "left": self.left,
            }

    def _score(self, content: bytes) -> float | list[str]:
        """Return the score on the realised answers; or what is wrong with the submission."""
        with scratch("desk") as folder:
            kind = "parquet" if content.startswith(b"PAR1") else "csv"
            (folder / f"submission.{kind}").write_bytes(content)
            return grading.score(self.measure, self.asked, grading.Outputs(folder))
