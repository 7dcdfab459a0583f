"""What the harness asks of a supervisor, and how that and the answers are sent.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Request(TypedDict):
        """What the harness asks for."""

        command: list[str]
        env: dict[str, str]
        cwd: str
        root: str
        """The folder whose growth is limited."""
        log: str
        """A file in it that does not count."""
        time_s: float
        grace_s: float
        memory_bytes: int | None
        disk_bytes: int
        limits: dict[int, int]
        """By the number of the resource, what the command cannot raise."""
        box: Box | None
        """The walls; None: a plain process."""

    class Box(TypedDict):
        """What walls a command in; described by `box.py`, put up by `boxed.py`."""

        bwrap: str
        bundle: str | None
        """The folder that the program and its libraries lie in, where they are not the system's."""
        movable: bool
        """Whether it starts where there is nothing else."""
        first: list[str]
        """The program's arguments about namespaces."""
        tree: tuple[tuple[str, str, str], ...]
        """What all boxes have of the system: `bwrap_words.LINK` or `BIND`, of what, and where."""
        seen: list[str]
        """Further folders that are seen, under their own names."""
        files: dict[str, bytes]
        """By the path inside, below /etc, files that are made for it."""
        copied: tuple[str, ...]
        """Files of the host, below /etc, that it gets a copy of, under the same path."""
        devices: list[str]
        """Those of the host that are let through, where they are there."""
        shm_bytes: int
        tmp_bytes: int
        home: str
        """The one folder that it writes to."""
        public: str
        """What it is given to read."""
        seccomp: bytes
        stage: str | None
        """A folder where root may put over what one without rights has to reach."""
        uid: int | None
        """Whom it becomes first, if we are root."""
        groups: dict[str, str]
        """By controller, the folder in which a control group is made."""
        group: str
        memory_bytes: int | None
        cpus: float | None
        pids: int | None


def packed(request: Request) -> bytes:
    """Return a request as it is sent: eight bytes that tell its length, and itself.

    It is `marshal`, since importing `json` takes a fifth of a supervisor's start; both sides
    are the same interpreter, and the side that is read here is the harness.
    """
    body = marshal.dumps(request)  # type: ignore[arg-type]  # a TypedDict is a dict
    return len(body).to_bytes(8, "little") + body


def received() -> Request:
    """Wait on descriptor 0 for a request."""
    request: Request = marshal.loads(_received(int.from_bytes(_received(8), "little")))  # noqa: S302
    return request


def _received(count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = os.read(0, count - len(found))
        if not piece:
            sys.exit(0)  # the harness died before it asked for anything
        found += piece
    return found


def as_json(value: object) -> bytes:
    """Return what a supervisor tells as JSON, without the module, whose import takes too long.

    It is read with `json`: a parser of Python's literals takes a quarter of a millisecond.
    """
    return _json(value).encode("ascii")


def _json(value: object) -> str:
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, dict):
        items = (f"{_json(str(key))}:{_json(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    return repr(value)


def _escaped(letter: str) -> str:
    if " " <= letter <= "~" and letter not in '"\\':
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
