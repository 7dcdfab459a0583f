"""Server-sent events, split as they come."""

import re
from collections.abc import Iterable

EVENT_BYTES = 16 * 2**20
"""One event; a longer one is no event of a model."""

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Splitter:
    """Makes whole events of pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece; return the events it completes, each with its empty line.

        Raises:
            ValueError: An event does not end.
        """
        data = self._rest + piece
        events, start = [], 0
        # An end may straddle the pieces, so the search begins a little before the new one.
        position = max(0, len(self._rest) - 3)
        while found := _END.search(data, position):
            events.append(data[start : found.end()])
            start = position = found.end()
        self._rest = data[start:]
        if len(self._rest) > EVENT_BYTES:
            raise ValueError(f"an event of more than {EVENT_BYTES:,} bytes")
        return events

    def rest(self) -> bytes:
        """Return what came after the last whole event."""
        return self._rest


def data_of(event: bytes) -> bytes:
    """Return the data of an event, its lines joined."""
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def event(data: str, name: str | None = None) -> bytes:
    """Write an event."""
    first = f"event: {name}\n" if name else ""
    return f"{first}data: {data}\n\n".encode()


def texts(events: Iterable[bytes]) -> list[str]:
    """Return events as text, to be stored."""
    return [item.decode("utf-8", "replace") for item in events]
