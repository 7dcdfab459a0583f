"""HTTP/1.1 as the door speaks it: strict in what it takes, plain in what it sends.

A request is read whole and never handed on as bytes: what goes upstream is written anew, so that
nothing an agent puts into the framing can mean one thing here and another thing there.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

HEAD_BYTES = 32 * 1024
"""A request line and its fields, or a status line and its fields."""

PIECE_BYTES = 64 * 1024

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,2000}) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n]*)?\r\n")


class Malformed(Exception):  # noqa: N818 - named for what the caller reads
    """What was read is no HTTP/1.1 that we take; the connection is of no use any more."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body."""

    method: str
    path: str
    """Without the query."""
    fields: Mapping[str, str]
    """Names in lower case."""
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class StatusHead:
    """An answer without its body."""

    status: int
    fields: Mapping[str, str]


async def read_request(reader: asyncio.StreamReader) -> Head | None:
    """Read a request up to its empty line; None where the peer has closed between requests.

    Raises:
        Malformed: CONNECT, an absolute URL, `*`, a doubtful field, or a head over 32 KiB.
    """
    raw = await _head(reader)
    if raw is None:
        return None
    line, *lines = raw.split(b"\r\n")
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise Malformed("only `METHOD /path HTTP/1.1` is taken: no CONNECT, no absolute URL")
    fields = _fields(lines, unique=True)
    wanted = fields.get("connection", "").lower()
    keep = wanted != "close" if found[3] == b"1" else wanted == "keep-alive"
    path = found[2].decode("ascii").partition("?")[0]
    return Head(found[1].decode("ascii"), path, fields, keep)


async def read_status(reader: asyncio.StreamReader) -> StatusHead:
    """Read an answer up to its empty line, past any `100 Continue`.

    Raises:
        Malformed: It is no answer.
        EOFError: The connection was closed.
    """
    while True:
        raw = await _head(reader)
        if raw is None:
            raise EOFError("closed before an answer came")
        line, *lines = raw.split(b"\r\n")
        found = _STATUS.fullmatch(line)
        if found is None:
            raise Malformed("no HTTP answer")
        if int(found[1]) >= HTTPStatus.OK:
            return StatusHead(int(found[1]), _fields(lines, unique=False))


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Malformed("cut off within the head") from error
    except asyncio.LimitOverrunError as error:
        raise Malformed("a head of more than 32 KiB", 431) from error


def _fields(lines: Iterable[bytes], *, unique: bool) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Malformed("a field that is no `Name: value`")
        name = found[1].decode("ascii").lower()
        # Two fields of one name are how a request is smuggled; of ours none needs two.
        if unique and name in fields:
            raise Malformed(f"the field {name} occurs twice")
        fields[name] = found[2].strip(b" \t").decode("latin-1")
    return fields


def body_length(fields: Mapping[str, str]) -> int | None:
    """Return the length of a body; None where it comes in chunks.

    Raises:
        Malformed: Both are given, or neither can be read.
    """
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if length is not None:
            raise Malformed("both Content-Length and Transfer-Encoding")
        if coding.lower() != "chunked":
            raise Malformed("a Transfer-Encoding other than chunked", 501)
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise Malformed("a Content-Length that is no number")
    return int(length)


async def read_body(
    reader: asyncio.StreamReader, fields: Mapping[str, str], most: int, *, to_end: bool = False
) -> bytes:
    """Read a body whole.

    Args:
        reader: Stands behind the head.
        fields: Of the head.
        most: Bytes; more are refused before they are read.
        to_end: Whether a body without a length goes on until the connection ends.

    Raises:
        Malformed: It is longer (status 413), or broken.
        EOFError: It was cut off.
    """
    pieces, size = [], 0
    async for piece in pieces_of(reader, fields, most, to_end=to_end):
        size += len(piece)
        if size > most:
            raise Malformed(f"a body of more than {most:,} bytes", 413)
        pieces.append(piece)
    return b"".join(pieces)


async def pieces_of(
    reader: asyncio.StreamReader, fields: Mapping[str, str], most: int, *, to_end: bool = False
) -> AsyncIterator[bytes]:
    """Give a body piece by piece, as it comes. Arguments and errors are those of `read_body`."""
    length = body_length(fields)
    if length is None:
        async for piece in _chunks(reader):
            yield piece
    elif length > most:
        raise Malformed(f"a body of more than {most:,} bytes", 413)
    elif length == 0 and to_end and "content-length" not in fields:
        while piece := await reader.read(PIECE_BYTES):
            yield piece
    else:
        async for piece in _counted(reader, length):
            yield piece


async def _counted(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise EOFError(f"cut off {left:,} bytes before the end")
        left -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            found = _CHUNK.fullmatch(await reader.readuntil(b"\r\n"))
            if found is None:
                raise Malformed("a chunk without a length")
            size = int(found[1], 16)
            if size == 0:
                while await reader.readuntil(b"\r\n") != b"\r\n":
                    pass  # trailers say nothing to us
                return
            async for piece in _counted(reader, size):
                yield piece
            if await reader.readexactly(2) != b"\r\n":
                raise Malformed("a chunk longer than it says")
    except asyncio.IncompleteReadError as error:
        raise EOFError("cut off within the chunks") from error
    except asyncio.LimitOverrunError as error:
        raise Malformed("a chunk head without an end") from error


def head_bytes(first: str, fields: Mapping[str, str]) -> bytes:
    """Return a first line and its fields, as they are sent."""
    lines = [first, *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_line(status: int) -> str:
    """Return the first line of an answer."""
    known = status in HTTPStatus._value2member_map_
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Status'}"


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; no data ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
