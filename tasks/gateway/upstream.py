"""Where the models are: one URL and its key, reached by connections that are kept."""

import asyncio
import contextlib
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from tasks.errors import InvalidInput, MissingPart
from tasks.gateway import http1
from tasks.gateway.wires import ANTHROPIC, OPENAI, Wire

CONNECT_S = 10.0
KEPT = 32
"""Idle connections kept."""

DEFAULTS = {
    OPENAI.name: ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    ANTHROPIC.name: ("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
}


class Unreachable(Exception):  # noqa: N818 - named for what the door reads
    """No answer came, and none was begun."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One provider, or a server that speaks like one."""

    host: str
    port: int
    secure: bool
    base: str
    """The path before `/v1`."""
    key: str = field(repr=False)

    @classmethod
    def parse(cls, url: str, key: str = "") -> Self:
        """Read `http[s]://host[:port][/path][/v1]`.

        Raises:
            InvalidInput: It is no such URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidInput(f"{url!r} is no URL of a model: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise InvalidInput(f"{url!r} is no URL of a model; as in https://host/v1")
        if parts.username or parts.password:
            raise InvalidInput("a URL of a model holds no key; name it by a variable")
        secure = parts.scheme == "https"
        base = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if secure else 80), secure, base, key)

    @classmethod
    def named(
        cls, wire: str, url: str | None = None, key_env: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:  # fmt: skip
        """Return the upstream of a wire, its key read from a variable of the host's.

        Args:
            wire: `openai` or `anthropic`.
            url: By default the provider's own.
            key_env: The variable; by default the provider's own.
            environ: The variables.

        Raises:
            MissingPart: The variable is not set, and the host is not one that needs no key.
        """
        usual_url, usual_env = DEFAULTS[wire]
        upstream = cls.parse(url or usual_url)
        name = key_env or usual_env
        key = environ.get(name, "").strip()
        if not key and (key_env is not None or not upstream.nearby()):
            raise MissingPart(
                f"{url or usual_url} needs a key in {name}, which is not set: export {name}=…, "
                "or play a cassette (--play), which needs none"
            )
        if not key.isprintable() or not key.isascii():
            raise InvalidInput(f"{name} holds something that is no key")
        return cls(upstream.host, upstream.port, upstream.secure, upstream.base, key)

    def nearby(self) -> bool:
        """Whether it is on this machine or its network, where servers mostly need no key."""
        if self.host == "localhost" or "." not in self.host:
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_private
        return self.host.endswith((".local", ".internal"))


@dataclass(slots=True)
class Answer:
    """An answer that has begun."""

    status: int
    fields: Mapping[str, str]
    _connection: "_Connection"
    _pool: "Pool"
    _silence_s: float
    _kept: bool = False

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """Give its body as it comes; the connection is then kept for the next call.

        Raises:
            Malformed, EOFError: It is broken, cut off, or longer than `most`.
            TimeoutError: Nothing came for too long.
        """
        body = http1.pieces_of(self._connection.reader, self.fields, most, to_end=True)
        size = 0
        while True:
            async with asyncio.timeout(self._silence_s):
                piece = await anext(body, None)
            if piece is None:
                break
            size += len(piece)
            if size > most:
                raise http1.Malformed(f"an answer of more than {most:,} bytes", 413)
            yield piece
        sized = "content-length" in self.fields or "transfer-encoding" in self.fields
        if sized and self.fields.get("connection", "").lower() != "close":
            self._kept = True
            self._pool.keep(self._connection)

    def close(self) -> None:
        """Give up the connection, unless it was kept."""
        if not self._kept:
            self._connection.close()


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        # At once: over TLS, a farewell would wait for the other side, and outlive the door.
        self.writer.transport.abort()


class Pool:
    """Connections to one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._idle: list[_Connection] = []
        self._closed = False
        self._tls = ssl.create_default_context() if upstream.secure else None

    async def send(
        self,
        wire: Wire,
        path: str,
        fields: Mapping[str, str],
        body: bytes | None,
        silence_s: float,
    ) -> Answer:
        """Send a request, and wait for the head of its answer.

        Args:
            wire: How a key is sent.
            path: Below the base.
            fields: Of the agent's own, those that are passed on.
            body: JSON; None for a GET.
            silence_s: How long to wait.

        Raises:
            Unreachable: No connection could be made, or it was closed without an answer.
            TimeoutError: No answer began in time.
        """
        request = self._request(wire, path, fields, body)
        while True:
            connection, used = await self._connection()
            answered = False
            try:
                connection.writer.write(request)
                async with asyncio.timeout(silence_s):
                    await connection.writer.drain()
                    status = await http1.read_status(connection.reader)
                answered = True
                return Answer(status.status, status.fields, connection, self, silence_s)
            except (OSError, EOFError, http1.Malformed) as error:
                if isinstance(error, TimeoutError):
                    raise
                if not used:  # a kept connection may have been closed meanwhile; a new one tells
                    raise Unreachable(_words(error)) from error
            finally:
                if not answered:
                    connection.close()

    def _request(
        self, wire: Wire, path: str, fields: Mapping[str, str], body: bytes | None
    ) -> bytes:
        upstream = self.upstream
        content = {"content-type": "application/json", "content-length": str(len(body or b""))}
        sent = {
            "host": f"{upstream.host}:{upstream.port}",
            **fields,
            **(content if body is not None else {}),
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": "aexp",
            **(wire.auth(upstream.key) if upstream.key else {}),
        }
        method = "GET" if body is None else "POST"
        head = http1.head_bytes(f"{method} {upstream.base}{path} HTTP/1.1", sent)
        return head + (body or b"")

    async def _connection(self) -> tuple[_Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection, True
            connection.close()
        upstream = self.upstream
        try:
            async with asyncio.timeout(CONNECT_S):
                made = await asyncio.open_connection(
                    upstream.host, upstream.port, ssl=self._tls, limit=http1.HEAD_BYTES
                )
        except TimeoutError as error:
            raise Unreachable("no connection in 10 s") from error
        except OSError as error:  # also a certificate that does not hold
            raise Unreachable(_words(error)) from error
        return _Connection(*made), False

    def keep(self, connection: _Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        if not self._closed and len(self._idle) < KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle, and what will be: a last answer may just be coming to its end."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
