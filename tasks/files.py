"""Text files: JSON that strangers wrote is read with care, ours is written whole or not at all."""

import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from tasks.errors import InvalidTask, brief, word

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_FILE_BYTES = 2**20
MAX_DEPTH = 50
MAX_INT_BITS = 1023
"""Larger integers are no number to other readers of JSON, which take it for a float."""


def read_json(file: Path) -> Any:
    """Read JSON somebody else wrote, whatever it holds: its size and double keys are checked.

    Raises:
        InvalidTask: It cannot be read or is no JSON.
    """
    try:
        return json.loads(_text_of(file), object_pairs_hook=_no_double_keys)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidTask(f"{file}: not valid JSON: {why}") from error


def json_object(data: Any, file: Path) -> dict[str, Any]:
    """Return what `read_json` found, if a task may stand there: depth and values are checked.

    Raises:
        InvalidTask: It is no object, or nothing that could be written again.
    """
    if not isinstance(data, dict):
        raise InvalidTask(f"{file}: a task must be a JSON object, not {brief(data)}")
    try:
        check_json(data)
    except ValueError as error:
        raise InvalidTask(f"{file}: not valid JSON: {error}") from error
    return data


def _text_of(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise InvalidTask(f"{file}: not a regular file")
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidTask(f"{file}: {reason}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidTask(f"{file}: {file.stat().st_size:,} bytes; a task file holds at most 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidTask(f"{file}: not UTF-8 text") from error


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {brief(key)} stands twice")
        found[key] = value
    return found


def check_json(data: dict[str, Any]) -> None:
    """Refuse what no JSON file can hold and any reader reads back, wherever it is nested.

    Raises:
        ValueError: NaN, an infinity or a huge integer; half a surrogate pair; a key or value of
            another type; more than `MAX_DEPTH` levels.
    """
    # By hand and not by recursion: depth is what is checked.
    waiting: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if len(path) >= MAX_DEPTH:
            raise ValueError(f"nested too deeply; at most {MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting += [((*path, _key(key, path)), child) for key, child in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, str(place)), child) for place, child in enumerate(value)]
        elif not _is_json(value):
            where = ".".join(word(part) for part in path)
            raise ValueError(f"{where}: {brief(value)} cannot be written as JSON")


def _key(key: Any, path: tuple[str, ...]) -> str:
    if isinstance(key, str) and _is_json(key):
        return key
    where = "".join(f"{word(part)}: " for part in path)
    raise ValueError(f"{where}the key {brief(key)} cannot be written as JSON")


def _is_json(value: Any) -> bool:
    match value:
        case None | bool():
            return True
        case str():
            return value.isascii() or _is_unicode(value)
        case float():
            return math.isfinite(value)
        case int():
            return value.bit_length() <= MAX_INT_BITS
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_fields(record: "DataclassInstance") -> dict[str, Any]:
    """Return a dataclass of plain values as a JSON object; `asdict` would copy each of them."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def pretty_json(payload: Any, fallback: Callable[[Any], Any] = str) -> str:
    """Return JSON for people, ending in a newline; `fallback` turns what JSON does not know."""
    try:
        # The standard library indents in Python, which took a fifth of a short trial.
        found = to_json(payload, indent=2, fallback=fallback, inf_nan_mode="constants")
        return found.decode() + "\n"
    except ValueError:
        # A file name that is no UTF-8 holds lone surrogates; as escapes they are JSON all the same.
        text = json.dumps(payload, indent=2, ensure_ascii=False, default=fallback) + "\n"
        return text.encode(errors="backslashreplace").decode()


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text file whole or not at all: aside, then `os.replace`.

    Args:
        path: The file.
        text: Its content.
        durable: Whether to wait for the disk, so that not even a power cut loses it.

    Raises:
        OSError: It cannot be written, or what is there is a link, a folder or a device; what was
            there before is untouched.
    """
    try:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "not a regular file")
        _replace(path, text, durable=durable)
    except OSError as error:
        # The name that was asked for, and not that of the file aside.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, text: str, *, durable: bool) -> None:
    aside = f"{path.parent}/.aexp.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(aside, flags, 0o644)
    try:
        try:
            content = memoryview(text.encode())
            while content:
                content = content[os.write(handle, content) :]
            os.fchmod(handle, 0o644)  # whatever the umask
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
