"""The ledger: each call as one line of JSON, without secrets, within bounds."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MASK = "[secret]"


class Secrets:
    """What must never be written or shown."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values if value for form in (value, json.dumps(value)[1:-1])}
        self._forms = sorted(forms, key=len, reverse=True)
        self._bytes = [form.encode() for form in self._forms]

    def hide(self, text: str) -> str:
        """Return a text without them."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def hide_bytes(self, data: bytes) -> bytes:
        """Return bytes without them."""
        for form in self._bytes:
            if form in data:
                data = data.replace(form, MASK.encode())
        return data


class Ledger:
    """A file of calls, kept open: what others do to its path does not change what we know."""

    def __init__(self, path: Path | None, secrets: Secrets, *, most: int, kept: int) -> None:
        self.path = path
        self.secrets = secrets
        self.kept = kept
        self._left = most
        self._hash = hashlib.sha256()
        self._file: int | None = None
        if path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o644)

    def write(self, entry: dict[str, Any], request: bytes, answer: bytes) -> None:
        """Write a call: its numbers, and as much of its words as is kept."""
        if self._file is None:
            return
        words = {"request": self._cut(request), "response": self._cut(answer)}
        line = self._line({**entry, **words})
        if len(line) > self._left:
            line = self._line({**entry, "request": None, "response": None})
        self._left = max(0, self._left - len(line))
        self._hash.update(line)
        while line:
            line = line[os.write(self._file, line) :]

    def _line(self, entry: dict[str, Any]) -> bytes:
        return self.secrets.hide(json.dumps(entry)).encode() + b"\n"

    def _cut(self, data: bytes) -> str:
        # Secrets go before the cut, which might leave half of one.
        text = self.secrets.hide_bytes(data[: self.kept + 4096]).decode("utf-8", "replace")
        more = len(data) - self.kept
        return text if more <= 0 else f"{text[: self.kept]}… [{more:,} more bytes]"

    def close(self) -> None:
        """Close the file; to be called once."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def intact(self) -> bool:
        """Whether the file still holds exactly what was written."""
        if self.path is None:
            return True
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                found = hashlib.file_digest(file, "sha256")
        except OSError:
            return False
        return found.digest() == self._hash.digest()
