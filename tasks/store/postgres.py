"""The index in PostgreSQL, where several machines share a store."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from tasks.errors import InfrastructureError, InvalidInput, MissingPart, UsageError, brief, install
from tasks.store.index import TABLES, VERSION, BrokenIndexError, Cursor, Session

ENVIRONMENT: Final = "AEXP_STORE"
SCHEMES: Final = ("postgresql", "postgres")
SCHEMA: Final = "aexp"
"""Of the database; nothing else in it is touched."""
NO_TABLES: Final = 0
RETRY_S: Final = 30.0
"""How long a server may be gone, as when it is started again."""

_FIRST: Final = 0x61657870
"""The advisory lock of whoever makes the tables."""


class PostgresIndex:
    """A connection to the index in a database; one a thread."""

    identity = ""
    local = False
    by_waiting = by_held = ""
    skip_locked = "FOR UPDATE SKIP LOCKED"

    def __init__(self, url: str) -> None:
        """Connect, and make the tables where there are none.

        Raises:
            UsageError: It is no URL of PostgreSQL.
            MissingPart: The client library is not installed.
            InvalidInput: The tables are of a newer version.
            BrokenIndexError: They are of an older one.
            InfrastructureError: There is no such server, or it does not let us in.
        """
        self.name = without_secrets(url)
        self._url = url
        self._psycopg = _library()
        self._connection = self._connected()
        try:
            self.identity = self._prepare()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Any:
        until = time.monotonic() + RETRY_S
        while True:
            try:
                made = self._psycopg.connect(self._url, autocommit=True, connect_timeout=10)
                made.execute(f"SET search_path TO {SCHEMA}")
            except self._psycopg.Error as error:
                # A server that starts or ends will be back; a wrong name or password will not.
                if not self.identity or time.monotonic() > until:
                    raise InfrastructureError(f"{self.name}: {_line(error)}") from error
                time.sleep(0.5)
            else:
                return made

    def _prepare(self) -> str:
        with self.transaction() as db:
            db.execute(f"SELECT pg_advisory_xact_lock({_FIRST})")
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            db.execute("CREATE TABLE IF NOT EXISTS about (version INTEGER, identity TEXT)")
            found = db.execute("SELECT version, identity FROM about").fetchall()
            if not found:
                found = [(NO_TABLES, secrets.token_hex(8))]
                db.execute("INSERT INTO about VALUES (?, ?)", found[0])
            ((version, identity),) = found
            if version == NO_TABLES:
                for statement in filter(str.strip, TABLES.split(";")):
                    db.execute(_types(statement))
                db.execute("UPDATE about SET version = ?", (VERSION,))
                version = VERSION
        if version > VERSION:
            raise InvalidInput(
                f"{self.name} is of version {version}, this aexp reads up to {VERSION}: "
                "update aexp, or name another store with --store"
            )
        if version < VERSION:
            raise BrokenIndexError(self.name, "an index of an older version")
        return str(identity)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        """Write all of the block or nothing of it; rows that others write are waited for."""
        with self._named_errors():
            self._begin()
            try:
                yield _Session(self._connection)
            except BaseException:
                if not self._connection.closed:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _begin(self) -> None:
        """Begin; a server that was started again is connected to once more."""
        try:
            self._connection.execute("BEGIN")
        except self._psycopg.OperationalError:
            self._connection.close()
            self._connection = self._connected()
            self._connection.execute("BEGIN")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Read; what goes wrong is named as it is when writing."""
        with self.transaction() as db:
            yield db

    def now(self) -> float:
        """Return the seconds since 1970 by the server's clock."""
        with self.reading() as db:
            ((now,),) = db.execute(
                "SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
            ).fetchall()
        return float(now)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.errors.UndefinedTable as error:
            raise BrokenIndexError(self.name, _line(error)) from error
        except self._psycopg.errors.DiskFull as error:
            raise OSError(28, "No space left on device", self.name) from error
        except self._psycopg.Error as error:
            raise InfrastructureError(f"{self.name}: {_line(error)}") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Session:
    """Statements with `?` for a connection that knows `%s`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        done: Cursor = self._connection.execute(_marks(statement), values or None)
        return done

    def executemany(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_marks(statement), values)


@lru_cache(maxsize=256)
def _marks(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s") if "?" in statement else statement


def _types(statement: str) -> str:
    """Return a table with numbers as wide as those of SQLite."""
    return statement.replace(" REAL", " DOUBLE PRECISION").replace(" INTEGER", " BIGINT")


def discard(url: str) -> None:
    """Remove the tables, of whatever version; the run folders are the truth.

    Raises:
        MissingPart, InfrastructureError: As `PostgresIndex`.
    """
    psycopg = _library()
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(f"SET search_path TO {SCHEMA}")
            with connection.transaction():
                connection.execute("DROP TABLE IF EXISTS suites, trials, runners")
                # It stays the same index, to the suites that are kept in it.
                connection.execute("UPDATE about SET version = %s", (NO_TABLES,))
    except psycopg.Error as error:
        raise InfrastructureError(f"{without_secrets(url)}: {_line(error)}") from error


def without_secrets(url: str) -> str:
    """Return a database's URL as it may be shown and written down.

    Raises:
        UsageError: It is no URL of PostgreSQL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in SCHEMES:
        shown = brief(url.rpartition("@")[2])  # a password stands before it
        raise UsageError(f"a store is named as postgresql://user@host/database, not {shown}")
    return f"postgresql://{host}{f':{port}' if port else ''}{parts.path or '/'}"


def _library() -> Any:
    os.environ.setdefault("PGAPPNAME", "aexp")
    try:
        import psycopg
    except ImportError as error:
        raise MissingPart(f"a store in PostgreSQL needs psycopg: {install('postgres')}") from error
    return psycopg


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
