"""An answer on its way to the agent."""

import asyncio
from collections.abc import Mapping

from tasks.gateway import http1

DRAIN_S = 120.0
"""An agent that takes nothing for so long is not there any more."""


class HungUp(Exception):  # noqa: N818 - named for what the door reads
    """The agent closed the connection, or does not read."""


class Reply:
    """Writes one answer: whole, or piece by piece."""

    def __init__(self, writer: asyncio.StreamWriter, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.begun = False
        self._writer = writer

    async def whole(self, status: int, fields: Mapping[str, str], body: bytes) -> None:
        """Send an answer at once."""
        sized = {**fields, "content-length": str(len(body)), **self._connection()}
        self.begun = True
        await self._send(http1.head_bytes(http1.status_line(status), sized) + body)

    async def begin(self, status: int, fields: Mapping[str, str]) -> None:
        """Send the head of an answer that comes in pieces."""
        sent = {**fields, "transfer-encoding": "chunked", **self._connection()}
        self.begun = True
        await self._send(http1.head_bytes(http1.status_line(status), sent))

    async def piece(self, data: bytes) -> None:
        """Send a piece; an empty one is left out, as it would end the answer."""
        if data:
            await self._send(http1.chunk(data))

    async def end(self) -> None:
        """End an answer that came in pieces."""
        await self._send(http1.chunk(b""))

    def _connection(self) -> dict[str, str]:
        return {} if self.keep_alive else {"connection": "close"}

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            async with asyncio.timeout(DRAIN_S):
                await self._writer.drain()
        except OSError as error:  # TimeoutError is one
            raise HungUp(str(error)) from error
