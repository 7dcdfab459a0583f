"""The process a supervisor lives in: it serves requests, one after another.

File descriptors: 0 is a socket to the harness, 1 the pipe that takes the command's output.
The harness sends a request (`request.py`), then `stop` or `kill`; its end of file means that it
died. Back go lines of JSON: `{"pids": …}` now and then, and `{"reason": …}` once, when
all are dead; `"more"` in that says that another request may follow.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal

from tasks.runtimes.request import received
from tasks.runtimes.spawn import IGNORED
from tasks.runtimes.supervisor import Supervisor, hurry, own_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.request import Request

_PR_SET_CHILD_SUBREAPER = 36


def _sweep_what_is_left(supervisor: Supervisor) -> None:
    try:
        supervisor.sweep()
    except (OSError, MemoryError):
        return


def main(await_more: Callable[[], None] | None = None) -> None:
    """Serve one request, and further ones where `await_more` waits for them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hurry(0)
    for name in IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    harness = os.getppid()
    while True:
        supervisor = _made(received(), libc)
        os.set_blocking(0, False)
        result = _served(supervisor, harness)
        more = await_more if supervisor.spotless else None
        supervisor.tell(result if more is None else {**result, "more": True})
        while supervisor.outbox:
            select.select([], [0], [])
            supervisor.flush()
        if more is None:
            os._exit(0)  # at once: tidying up an interpreter would take 5 ms
        supervisor.release()
        os.set_blocking(0, True)
        more()


def _made(request: Request, libc: ctypes.CDLL) -> Supervisor:
    if request["box"] is None:
        return Supervisor(request, libc)
    from tasks.runtimes.boxed import BoxSupervisor

    return BoxSupervisor(request, request["box"], libc)


def _served(supervisor: Supervisor, harness: int) -> dict[str, object]:
    """Return the result, also where there is no process, descriptor or memory to be had."""
    try:
        return supervisor.run()
    except (OSError, MemoryError) as error:
        supervisor.spotless = False
        result: dict[str, object] = {
            "reason": "infrastructure",
            "detail": f"supervisor: {error}",
            "seconds": 0.0,
        }
        if own_limits() != supervisor.limits:
            result["reason"] = "agent error"
            result["breach"] = "the limits of the supervisor were changed"
        if os.getppid() != harness:  # else it adopts and kills what is left
            _sweep_what_is_left(supervisor)
        return result
