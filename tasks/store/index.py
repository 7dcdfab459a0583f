"""The SQLite file: opened with care, made anew where it is broken."""

import contextlib
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, Self

from tasks.errors import InfrastructureError, InvalidInput
from tasks.store.filesystems import refuse_shared

FILE: Final = "index.sqlite"
VERSION: Final = 2
BUSY_S: Final = 30.0

TABLES: Final = """
CREATE TABLE suites (
  id TEXT PRIMARY KEY, created REAL NOT NULL, trials INTEGER NOT NULL
);
CREATE TABLE trials (
  suite TEXT NOT NULL, n INTEGER NOT NULL,
  task TEXT NOT NULL, agent TEXT NOT NULL, repeat INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'queued', reason TEXT, success INTEGER NOT NULL DEFAULT 0,
  score REAL, seconds REAL, cpu_seconds REAL, started REAL, finished REAL,
  tokens INTEGER NOT NULL DEFAULT 0, cost_usd REAL NOT NULL DEFAULT 0,
  owner TEXT, due REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (suite, n)
);
CREATE INDEX waiting ON trials (suite, n, due) WHERE state = 'queued' AND owner IS NULL;
CREATE INDEX held ON trials (owner) WHERE owner IS NOT NULL;
CREATE TABLE runners (
  owner TEXT PRIMARY KEY, suite TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
  born INTEGER NOT NULL, beat REAL NOT NULL
);
"""
"""The tables of every store, in words that all of their databases know."""


class Cursor(Protocol):
    """What came of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...


class Session(Protocol):
    """Takes statements with `?` for each value."""

    def execute(self, statement: str, values: Any = ..., /) -> Cursor:
        """Carry out a statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Any], /) -> Any:
        """Carry out a statement for each row of values."""
        ...


class Database(Protocol):
    """Where an index lies."""

    name: str
    """What people call it."""
    identity: str
    """Equal for two connections that see the same index."""
    local: bool
    """Whether only one machine sees it, so that its runners are processes of this one."""
    skip_locked: str
    """What is said at the end of a choice of rows, so that two runners choose different ones."""
    by_waiting: str
    """What is said behind a table, so that only the trials that wait are looked through."""
    by_held: str
    """Likewise for those that somebody has claimed."""

    def transaction(self) -> AbstractContextManager[Session]:
        """Write all of the block or nothing of it."""
        ...

    def reading(self) -> AbstractContextManager[Session]:
        """Read."""
        ...

    def now(self) -> float:
        """Return the seconds since 1970 by the clock that all its runners share."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class BrokenIndexError(InfrastructureError):
    """The file is no index of ours any more; it can be made anew."""

    def __init__(self, file: Path | str, why: object) -> None:
        """Say which file and what would do."""
        super().__init__(f"{file}: {why}; `aexp index rebuild` makes it anew from the folders")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that runs trials, told from all others that have had its number."""

    name: str
    host: str
    """The machine's name, its boot and its view of processes."""
    pid: int
    born: int
    """Start time of the process in clock ticks since boot; 0 where there is no /proc."""

    @classmethod
    def me(cls) -> Self:
        """Return this process, under a name of its own."""
        pid = os.getpid()
        name = f"{socket.gethostname()}:{pid}:{secrets.token_hex(4)}"
        return cls(name=name, host=_here(), pid=pid, born=born_at(pid))

    def lives(self, beat: float, now: float, patience_s: float, *, local: bool = True) -> bool:
        """Whether it is at work: by its process on this machine, by its heartbeat elsewhere.

        Args:
            beat: When it was last heard of.
            now: The time, by the same clock.
            patience_s: How long it may be silent.
            local: Whether the store is on a disk of this machine, so that a runner of an earlier
                boot is dead.
        """
        here = _here()
        if self.host == here:
            return born_at(self.pid) == self.born
        (name, boot, view), (ours, this_boot, our_view) = _parts(self.host), _parts(here)
        if local and (name, view) == (ours, our_view) and boot != this_boot:
            return False
        return abs(now - beat) < patience_s


@lru_cache(maxsize=1)
def _here() -> str:
    """Tell this machine, since its start, and this view of its processes from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        view = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - the link's target
    except OSError:
        boot, view = "", 0
    return f"{socket.gethostname()} {boot} {view}"


def _parts(host: str) -> tuple[str, str, str]:
    name, boot, view = (*host.split(" "), "", "")[:3]
    return name, boot, view


def born_at(pid: int) -> int:
    """Return when a process was started, in ticks since boot; -1 where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    state, *fields = stat.rpartition(b")")[2].split()
    return -1 if state == b"Z" else int(fields[18])


class Index:
    """A connection to the index of a store; one a thread."""

    identity = "sqlite"
    local = True
    skip_locked = ""  # one writer at a time
    by_waiting, by_held = "INDEXED BY waiting", "INDEXED BY held"  # else it reads all of a suite

    def __init__(self, store: Path) -> None:
        """Open the index of a store, or make an empty one.

        Raises:
            InvalidInput: It is on a network file system, or of a newer version.
            BrokenIndexError: It is damaged.
            InfrastructureError: It cannot be opened.
        """
        self.file = store / FILE
        self.name = str(self.file)
        refuse_shared(store)
        try:
            store.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(self.file, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise InfrastructureError(f"cannot open {self.file}: {error}") from error
        try:
            self._prepare()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        with self._named_errors():
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            with self.transaction():
                (version,) = self.connection.execute("PRAGMA user_version").fetchone()
                tables = self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                if version == 0 and tables == (0,):
                    for statement in filter(str.strip, TABLES.split(";")):
                        clustered = " WITHOUT ROWID" if "CREATE TABLE" in statement else ""
                        self.connection.execute(statement + clustered)
                    self.connection.execute(f"PRAGMA user_version = {VERSION}")
                    version = VERSION
        if version > VERSION:
            raise InvalidInput(
                f"{self.file} is of version {version}, this aexp reads up to {VERSION}: "
                "update aexp, or name another store with --out"
            )
        if version < VERSION:
            raise BrokenIndexError(self.file, "an index of an older version, or none of aexp")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        """Write all of the block or nothing of it; waits for other writers."""
        with self._named_errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Read; what goes wrong is named as it is when writing."""
        with self._named_errors():
            yield self.connection

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                raise OSError(28, "No space left on device", str(self.file)) from error
            raise InfrastructureError(f"{self.file}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise BrokenIndexError(self.file, error) from error

    def now(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def discard(store: Path) -> None:
    """Remove the index with what SQLite keeps beside it; the run folders are the truth."""
    for suffix in ("", "-wal", "-shm"):
        (store / f"{FILE}{suffix}").unlink(missing_ok=True)
