"""W&B's offline file: a log of protobuf records, read without W&B. Standard library only.

The framing is LevelDB's: blocks of 32 KiB, each record with a checksum, length and type; what is
in a record follows `wandb_internal.proto`, of which only history and config matter here.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from tasks.logged.found import Found

HEADER = b":W&B"
_HEADER_BYTES = 7
_BLOCK = 32768
_FRAME = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LONGEST_RECORD = 2**22
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_HISTORY, _CONFIG, _RUN, _RUN_CONFIG = 2, 5, 17, 4
_ITEM = 1
_KEY, _NESTED_KEY, _INTEGER, _NUMBER, _VALUE_JSON = 1, 2, 5, 6, 16

Value = int | bytes


class DamagedError(ValueError):
    """The bytes are not what they should be from here on."""


def read(data: bytes, found: Found) -> None:
    """Take in the history and the configuration of one run.

    Raises:
        DamagedError: It is no such file, or torn; what came before is kept.
    """
    if not data.startswith(HEADER):
        raise DamagedError("not a file of W&B")
    for record in records(data):
        for number, value in fields(record):
            if number == _HISTORY:
                _history(_inner(value), found)
            elif number == _CONFIG:
                _config(_inner(value), found)
            elif number == _RUN:
                for inner, config in fields(_inner(value)):
                    if inner == _RUN_CONFIG:
                        _config(_inner(config), found)


def _history(record: bytes, found: Found) -> None:
    """Take in what one call of `wandb.log` gave."""
    row = {key: value for key, value in _items(record) if isinstance(value, int | float)}
    step, at = row.get("_step", 0), row.get("_timestamp", 0.0)
    for key, value in row.items():
        if not key.startswith("_"):
            found.point(key, value, step, at)


def _config(record: bytes, found: Found) -> None:
    for key, value in _items(record):
        if not key.startswith("_"):
            found.param(key, value)


def _items(record: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the names and values in a history or config record."""
    for number, item in fields(record):
        if number != _ITEM:
            continue
        names: list[str] = []
        value: Any = None
        for part, content in fields(_inner(item)):
            if part in {_KEY, _NESTED_KEY}:
                names.append(_inner(content).decode("utf-8", "replace"))
            elif part == _VALUE_JSON:
                value = _json(_inner(content))
            elif part == _INTEGER and isinstance(content, int):
                value = content - 2**64 if content >= 2**63 else content
            elif part == _NUMBER and isinstance(content, bytes):
                (value,) = struct.unpack("<d", content)
        if names:
            yield ".".join(name for name in names if name), value


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _inner(value: Value) -> bytes:
    if isinstance(value, int):
        raise DamagedError("a number where a message should be")
    return value


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield the fields of a protobuf message: number, and integer or bytes.

    Raises:
        DamagedError: It is none.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            length = 8 if kind == _FIXED64 else 4
        else:
            raise DamagedError("an unknown kind of field")
        if at + length > len(message):
            raise DamagedError("a field longer than its message")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more is to come
            return value, at + shift + 1
    raise DamagedError("a number without end")


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of the log whose checksums fit.

    Raises:
        DamagedError: From here on it is torn.
    """
    parts = bytearray()
    at = _HEADER_BYTES
    while at + _FRAME.size <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _FRAME.size:  # padding at the end of a block
            at += left
            continue
        checksum, length, kind = _FRAME.unpack_from(data, at)
        content = data[at + _FRAME.size : at + _FRAME.size + length]
        if kind not in {_FULL, _FIRST, _MIDDLE, _LAST} or len(content) < length:
            raise DamagedError(f"torn at byte {at}")
        if zlib.crc32(content, zlib.crc32(bytes((kind,)))) != checksum:
            raise DamagedError(f"a wrong checksum at byte {at}")
        if kind in {_FULL, _FIRST}:
            parts.clear()
        parts += content
        if len(parts) > _LONGEST_RECORD:
            raise DamagedError(f"an endless record at byte {at}")
        if kind in {_FULL, _LAST}:
            yield bytes(parts)
        at += _FRAME.size + length
