"""The other end of the pool: answers calls until its link or its parent is gone."""

import ctypes
import gc
import os
import pickle
import signal
import socket
import sys
from typing import Any

from tasks.errors import InfrastructureError
from tasks.executors.pool import HEADER

WARM = 3
"""Calls after which all modules are there: collections need not look at them again."""
SELDOM = 20_000, 20, 20
"""New objects and rounds between collections: a call makes thousands, hardly any in a cycle."""
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve the link that the command line names."""
    link, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    os.set_inheritable(link.fileno(), False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    calls = 0
    while (header := _received(link, HEADER)) is not None:
        payload = _received(link, int.from_bytes(header, "little"))
        if payload is None:
            return
        found = answer(payload)
        link.sendall(len(found).to_bytes(HEADER, "little") + found)
        calls += 1
        if calls == WARM:
            gc.collect()
            gc.freeze()
            gc.set_threshold(*SELDOM)


def _received(link: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        piece = link.recv(count - len(found))
        if not piece:
            return None
        found += piece
    return bytes(found)


def answer(payload: bytes) -> bytes:
    """Make the call that is pickled here; pickle whether it worked and what it gave."""
    try:
        fn, args = pickle.loads(payload)  # noqa: S301 - the runner wrote it
        found: tuple[bool, Any] = (True, fn(*args))
    except Exception as error:  # noqa: BLE001 - it is the caller's, whatever it is
        found = (False, error)
    try:
        return pickle.dumps(found)
    except Exception as error:  # noqa: BLE001 - any object may refuse
        told = InfrastructureError(f"{found[1]!r:.200} cannot be sent: {error}")
        return pickle.dumps((False, told))
