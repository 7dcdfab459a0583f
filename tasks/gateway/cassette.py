"""Cassettes: the answers of a run, to be played again without network, cost or chance."""

import difflib
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InvalidInput
from tasks.gateway.ledger import Secrets

IGNORED = frozenset(
    {"user", "metadata", "prompt_cache_key", "safety_identifier", "stream_options", "service_tier"}
)
"""Keys of a request that change from run to run and mean nothing to the answer."""

_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One recorded exchange."""

    path: str
    request: dict[str, Any]
    status: int
    content_type: str
    parts: tuple[str, ...]
    """The answer: one text, or the events of a stream."""


class Cassette:
    """A file of takes: JSON, one a line; names of folders stand in it as placeholders."""

    def __init__(self, path: Path, places: Mapping[str, str] | None = None) -> None:
        """Choose the file.

        Args:
            path: The cassette.
            places: What differs between runs, such as the agent's folder, to a placeholder.
        """
        self.path = path
        self._places = dict(places or {})

    def _stored(self, text: str) -> str:
        for value, mark in self._places.items():
            text = text.replace(json.dumps(value)[1:-1], mark)
        return text

    def _here(self, text: str) -> str:
        for value, mark in self._places.items():
            text = text.replace(mark, json.dumps(value)[1:-1])
        return text

    def _canonical(self, request: Mapping[str, Any]) -> str:
        kept = {key: value for key, value in request.items() if key not in IGNORED}
        return self._stored(json.dumps(kept, sort_keys=True, ensure_ascii=False))


class Recorder(Cassette):
    """Writes takes as they happen."""

    def __init__(
        self, path: Path, secrets: Secrets, places: Mapping[str, str] | None = None
    ) -> None:
        """Make the file; an old one is not overwritten.

        Raises:
            InvalidInput: There is one already, or it cannot be made.
        """
        super().__init__(path, places)
        self._secrets = secrets
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o644)
        except FileExistsError as error:
            raise InvalidInput(f"{path}: is there already; remove it or name another") from error
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be recorded: {error.strerror}") from error

    def record(self, take: Take) -> None:
        """Append a take."""
        entry = {
            "path": take.path,
            "request": json.loads(self._canonical(take.request)),
            "status": take.status,
            "content_type": take.content_type,
            "parts": [self._stored(part) for part in take.parts],
        }
        line = self._secrets.hide(json.dumps(entry, ensure_ascii=False)) + "\n"
        data = line.encode(errors="backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Player(Cassette):
    """Gives each request the answer that was recorded for it; the k-th time the k-th."""

    def __init__(
        self, path: Path, places: Mapping[str, str] | None = None, *, loose: bool = False
    ) -> None:
        """Read the file.

        Args:
            path: The cassette.
            places: As `Cassette`.
            loose: Whether a request that is not in it gets the next answer that was not yet given
                to any: for agents whose words hold the time, or what a terminal made of them.

        Raises:
            InvalidInput: It is no cassette.
        """
        super().__init__(path, places)
        self._takes: dict[str, list[Take]] = defaultdict(list)
        self._texts: dict[str, str] = {}
        self._played: Counter[str] = Counter()
        self._order: list[str] = []
        self._loose = loose
        for take, text in self._read():
            key = _key(take.path, text)
            self._takes[key].append(take)
            self._order.append(key)
            self._texts[key] = text

    def _read(self) -> Iterator[tuple[Take, str]]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{self.path}: no cassette: {error}") from error
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                take = Take(**{**entry, "parts": tuple(entry["parts"])})
                yield take, json.dumps(take.request, sort_keys=True, ensure_ascii=False)
            except (ValueError, TypeError, KeyError) as error:
                raise InvalidInput(f"{self.path}:{number}: no take of a cassette") from error

    def play(self, path: str, request: Mapping[str, Any]) -> Take | None:
        """Return the next take of this request, with the folders of this run; None at a miss."""
        key = _key(path, self._canonical(request))
        if self._played[key] >= len(self._takes.get(key, [])):
            key = self._next(path) if self._loose else ""
        if not key:
            return None
        take = self._takes[key][self._played[key]]
        self._played[key] += 1
        return Take(
            path=take.path,
            request=take.request,
            status=take.status,
            content_type=take.content_type,
            parts=tuple(self._here(part) for part in take.parts),
        )

    def _next(self, path: str) -> str:
        """Return the key of the first take of this path that was not played; none: nothing."""
        seen: Counter[str] = Counter()
        for key in self._order:
            seen[key] += 1
            if seen[key] > self._played[key] and self._takes[key][0].path == path:
                return key
        return ""

    def nearest(self, request: Mapping[str, Any]) -> str:
        """Say which recorded request is most like this one, and where they part."""
        wanted = self._canonical(request)
        if not self._texts:
            return "the cassette is empty"
        if wanted in self._texts.values():
            return "it was recorded, but not so often"
        near = max(self._texts.values(), key=lambda text: _likeness(wanted, text))
        begin = max(0, _parting(wanted, near) - 40)
        return (
            f"asked …{wanted[begin : begin + _SHOWN]!r}…, "
            f"nearest recorded …{near[begin : begin + _SHOWN]!r}…"
        )


def _key(path: str, text: str) -> str:
    return hashlib.sha256(f"{path}\n{text}".encode(errors="replace")).hexdigest()


def _parting(first: str, second: str) -> int:
    """Return where two texts begin to differ."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(first), len(second)))


def _likeness(first: str, second: str) -> float:
    """Compare by lengths and by words: requests share long prefixes, and may be megabytes."""
    same = difflib.SequenceMatcher(
        None, first[-2000:], second[-2000:], autojunk=False
    ).quick_ratio()
    longest = max(len(first), len(second), 1)
    return same + _parting(first, second) / longest
