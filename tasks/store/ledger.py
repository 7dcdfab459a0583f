"""Store: which trials wait, who runs them, and what came of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.store.folders import Product
from tasks.store.index import Database, Index, Owner, Session
from tasks.store.postgres import PostgresIndex
from tasks.store.states import Row, Standing

PATIENCE_S: Final = 60.0
"""A runner of another host that has not been heard of for so long is dead."""

_ROW: Final = (
    "state, reason, success, score, seconds, cpu_seconds, started, finished, tokens, cost_usd"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial that is ours to run, until we record or release it."""

    n: int
    attempt: int
    """The number of this attempt, from 1."""
    faults: int
    tokens: int = 0
    """What its models took in earlier attempts."""
    cost_usd: float = 0.0

    @property
    def before(self) -> Standing:
        """Where the trial stood when it was claimed."""
        row = Row(state="queued", tokens=self.tokens, cost_usd=self.cost_usd)
        return Standing(attempt=self.attempt - 1, faults=self.faults, row=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How the trials of a suite stand, in numbers."""

    total: int
    states: Mapping[str, int]
    reasons: Mapping[str, int]
    passed: int
    score: float | None
    """Mean over the trials that say something about the agent."""
    seconds: float | None
    """Mean wall time of those."""
    tokens: int = 0
    """What the models of all attempts took."""
    cost_usd: float = 0.0

    @property
    def infrastructure(self) -> int:
        """Trials that say nothing about the agent."""
        return self.reasons.get("infrastructure", 0)

    @property
    def cancelled(self) -> int:
        """Trials that somebody stopped, which `resume` runs again."""
        return self.reasons.get("cancelled", 0)

    @property
    def over(self) -> int:
        """Trials that have come to something; what was cancelled is still to be run."""
        return self.states.get("done", 0) + self.states.get("failed", 0) - self.cancelled

    @property
    def failed(self) -> int:
        """Trials whose agent did not pass."""
        return self.over - self.passed - self.infrastructure


class Store:
    """The index of one store, asked in the words of suites."""

    def __init__(self, root: Path, url: str | None = None) -> None:
        """Open it; errors as `Index` or `PostgresIndex`.

        Args:
            root: The folder of suites; the index is an SQLite file in it.
            url: A PostgreSQL database for the index instead, which several machines may share.
        """
        self.root = root
        self.index: Database = Index(root) if url is None else PostgresIndex(url)

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    # --- suites --------------------------------------------------------------------------------

    def plan(self, suite: str, created: float, product: Product) -> None:
        """Enter a suite with all its trials, each of them queued."""
        cells = (product.cell(n) for n in range(len(product)))
        with self.index.transaction() as db:
            db.execute(
                "INSERT INTO suites VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (suite, created, len(product)),
            )
            db.executemany(
                "INSERT INTO trials (suite, n, task, agent, repeat) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((suite, cell.n, cell.task, cell.agent, cell.repeat) for cell in cells),
            )

    def suites(self) -> list[str]:
        """Return the ids of all suites, the latest last."""
        return [row[0] for row in self._rows("SELECT id FROM suites ORDER BY created, id")]

    def forget(self, suite: str) -> None:
        """Remove a suite from the index."""
        with self.index.transaction() as db:
            db.execute("DELETE FROM suites WHERE id = ?", (suite,))
            db.execute("DELETE FROM trials WHERE suite = ?", (suite,))
            db.execute("DELETE FROM runners WHERE suite = ?", (suite,))

    # --- runners -------------------------------------------------------------------------------

    def enlist(self, owner: Owner, suite: str) -> None:
        """Enter a runner of a suite."""
        now = self.index.now()
        with self.index.transaction() as db:
            db.execute(
                "INSERT INTO runners VALUES (?, ?, ?, ?, ?, ?)",
                (owner.name, suite, owner.host, owner.pid, owner.born, now),
            )

    def discharge(self, owner: Owner) -> None:
        """Take a runner out, and release what it had claimed and not begun."""
        with self.index.transaction() as db:
            # Rows that wait say nothing that the folders do not say.
            db.execute(
                "UPDATE trials SET owner = NULL, due = 0, state = 'queued' WHERE owner = ?",
                (owner.name,),
            )
            db.execute(
                "UPDATE trials SET due = 0 WHERE due > 0 AND owner IS NULL AND suite = "
                "(SELECT suite FROM runners WHERE owner = ?)",
                (owner.name,),
            )
            db.execute("DELETE FROM runners WHERE owner = ?", (owner.name,))

    def beat(self, owner: Owner) -> bool:
        """Say that a runner lives; False if it was given up, and its trials with it."""
        now = self.index.now()
        with self.index.transaction() as db:
            told = db.execute("UPDATE runners SET beat = ? WHERE owner = ?", (now, owner.name))
            return told.rowcount > 0

    def runners(self, suite: str) -> tuple[list[Owner], list[Owner]]:
        """Return the runners of a suite: those that live, and those that died."""
        alive: list[Owner] = []
        dead: list[Owner] = []
        now, local = self.index.now(), self.index.local
        for name, host, pid, born, beat in self._rows(
            "SELECT owner, host, pid, born, beat FROM runners WHERE suite = ?", suite
        ):
            owner = Owner(name=name, host=host, pid=pid, born=born)
            lives = owner.lives(beat, now, PATIENCE_S, local=local)
            (alive if lives else dead).append(owner)
        return alive, dead

    def held_by(self, owner: Owner) -> list[tuple[int, int]]:
        """Return number and last known attempt of the trials a runner has claimed."""
        found = self._rows("SELECT n, attempt FROM trials WHERE owner = ? ORDER BY n", owner.name)
        return [(n, attempt) for n, attempt in found]

    # --- trials --------------------------------------------------------------------------------

    def exchange(
        self, owner: Owner, suite: str, ended: Iterable[tuple[int, Standing, float]], wanted: int
    ) -> list[Claim]:
        """Record what ended and claim what is next, in one transaction.

        Args:
            owner: Whose trials they are; what is not its own is left alone.
            suite: The suite.
            ended: Number, standing and seconds to wait before a next attempt.
            wanted: How many trials to claim.
        """
        now = self.index.now()
        with self.index.transaction() as db:
            for n, after, wait in ended:
                _write(db, suite, n, after, due=now + wait if wait else 0.0, owner=owner.name)
            if not wanted:
                return []
            found = db.execute(
                f"WITH next AS (SELECT n FROM trials {self.index.by_waiting} "  # noqa: S608
                "WHERE suite = ? AND state = 'queued' "
                f"AND owner IS NULL AND due <= ? ORDER BY n LIMIT ? {self.index.skip_locked}) "
                "UPDATE trials SET owner = ? WHERE suite = ? AND n IN (SELECT n FROM next) "
                "RETURNING n, attempt + 1, faults, tokens, cost_usd",
                (suite, now, wanted, owner.name, suite),
            ).fetchall()
        names = ("n", "attempt", "faults", "tokens", "cost_usd")
        return [Claim(**dict(zip(names, row, strict=True))) for row in sorted(found)]

    def settle(self, suite: str, standings: Iterable[tuple[int, Standing]]) -> None:
        """Write where trials stand, whoever had them."""
        with self.index.transaction() as db:
            for n, after in standings:
                _write(db, suite, n, after)

    def requeue(self, suite: str, trials: Iterable[tuple[int, int]]) -> None:
        """Let trials wait as if new, after so many attempts; what they spent stays spent."""
        with self.index.transaction() as db:
            for n, attempt in trials:
                db.execute(
                    "UPDATE trials SET attempt = ?, faults = 0, state = 'queued', reason = NULL, "
                    "success = 0, score = NULL, seconds = NULL, cpu_seconds = NULL, "
                    "started = NULL, finished = NULL, owner = NULL, due = 0 "
                    "WHERE suite = ? AND n = ?",
                    (attempt, suite, n),
                )

    def advance(self, owner: Owner, suite: str, states: Mapping[int, str]) -> None:
        """Show how far the trials of a runner have come."""
        with self.index.transaction() as db:
            db.executemany(
                "UPDATE trials SET state = ? WHERE suite = ? AND n = ? AND owner = ?",
                [(state, suite, n, owner.name) for n, state in states.items()],
            )

    def waiting(self, suite: str) -> tuple[int, float | None]:
        """Return how many trials wait that nobody has claimed, and when the first is due."""
        ((count, due),) = self._rows(
            f"SELECT count(*), min(due) FROM trials {self.index.by_waiting} "  # noqa: S608
            "WHERE suite = ? AND state = 'queued' AND owner IS NULL",
            suite,
        )
        return count, due

    def all_over(self, suite: str, trials: range) -> bool:
        """Whether all of these trials have ended for good."""
        ((left,),) = self._rows(
            "SELECT count(*) FROM trials WHERE suite = ? AND n >= ? AND n < ? "
            "AND state NOT IN ('done', 'failed')",
            suite,
            trials.start,
            trials.stop,
        )
        return not left

    def groups_over(self, suite: str, size: int) -> list[int]:
        """Return the first of each `size` consecutive trials that have all ended for good."""
        found = self._rows(
            "SELECT min(n) FROM trials WHERE suite = ? GROUP BY n / CAST(? AS INTEGER) "
            "HAVING sum(CASE WHEN state IN ('done', 'failed') THEN 0 ELSE 1 END) = 0",
            suite,
            size,
        )
        return [n for (n,) in found]

    def find(self, suite: str, reason: str | None = None) -> list[tuple[int, int]]:
        """Return number and last attempt of the failed trials, of one reason or of any."""
        found = self._rows(
            "SELECT n, attempt FROM trials WHERE suite = ? AND state = 'failed' "
            "AND (CAST(? AS TEXT) IS NULL OR reason = ?) ORDER BY n",
            suite,
            reason,
            reason,
        )
        return [(n, attempt) for n, attempt in found]

    def running(self, suite: str) -> list[dict[str, Any]]:
        """Return the trials that somebody has claimed."""
        rows = self._rows(
            "SELECT n, task, agent, repeat, attempt, state, owner "  # noqa: S608
            f"FROM trials {self.index.by_held} WHERE suite = ? AND owner IS NOT NULL ORDER BY n",
            suite,
        )
        names = ("n", "task", "agent", "repeat", "attempt", "state", "owner")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def counts(self, suite: str) -> Counts:
        """Count the trials of a suite by state and reason."""
        states: dict[str, int] = {}
        reasons: dict[str, int] = {}
        passed, judged, score, seconds = 0, 0, 0.0, 0.0
        tokens, cost_usd = 0, 0.0
        for state, reason, n, won, points, scored, took, used, paid in self._rows(
            "SELECT state, reason, count(*), sum(success), sum(score), count(score), sum(seconds), "
            "CAST(sum(tokens) AS BIGINT), sum(cost_usd) FROM trials WHERE suite = ? "
            "GROUP BY state, reason",
            suite,
        ):
            states[state] = states.get(state, 0) + n
            if reason is not None:
                reasons[reason] = n
            passed, tokens, cost_usd = passed + won, tokens + used, cost_usd + paid
            if scored and reason not in {"infrastructure", "cancelled"}:
                judged, score, seconds = judged + scored, score + points, seconds + took
        return Counts(
            total=sum(states.values()),
            states=states,
            reasons=reasons,
            passed=passed,
            score=score / judged if judged else None,
            seconds=seconds / judged if judged else None,
            tokens=tokens,
            cost_usd=cost_usd,
        )

    def _rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        with self.index.reading() as db:
            return iter(db.execute(query, values).fetchall())


def _write(
    db: Session,
    suite: str,
    n: int,
    after: Standing,
    *,
    due: float = 0.0,
    owner: str | None = None,
) -> None:
    row: Row = after.row
    db.execute(
        f"UPDATE trials SET attempt = ?, faults = ?, ({_ROW}) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?), "  # noqa: S608
        "owner = NULL, due = ? WHERE suite = ? AND n = ? "
        "AND (CAST(? AS TEXT) IS NULL OR owner = ?)",
        (after.attempt, after.faults, *_values(row), due, suite, n, owner, owner),
    )


def _values(row: Row) -> tuple[Any, ...]:
    """Return a row's columns; a truth as the number that the column holds."""
    return (
        row.state,
        row.reason,
        int(row.success),
        row.score,
        row.seconds,
        row.cpu_seconds,
        row.started,
        row.finished,
        row.tokens,
        row.cost_usd,
    )
