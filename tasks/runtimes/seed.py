"""The process that supervisors are forked from; runs with `-I -S`, standard library only.

Descriptor 0 is a socket to the harness: each message carries the two descriptors of a new
supervisor and is answered by its process number. Its end of file is the death of the harness.
"""

from __future__ import annotations

import array
import ctypes
import gc
import os
import resource  # noqa: F401 - what a supervisor will need is loaded once, here
import signal
import socket
import sys
from functools import partial

from tasks.runtimes import (
    boxed,  # noqa: F401 - likewise
    serve,
    spawn,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_CLONE_PARENT = 0x00008000


def main(clone: int) -> None:
    """Fork a supervisor for each message, until the harness is gone."""
    gc.freeze()  # a collection would touch, and so copy, every page of what is forked
    link = socket.socket(fileno=os.dup(0))
    libc = ctypes.CDLL(None, use_errno=True)
    for name in spawn.IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    while True:
        message, ancillary, _, _ = link.recvmsg(64, socket.CMSG_SPACE(8))
        if not message:
            os._exit(0)
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        # The child's parent is ours: the harness, which waits for it as for any of its own.
        pid = libc.syscall(clone, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            _become(descriptors[0], descriptors[1])
        for descriptor in descriptors:
            os.close(descriptor)
        link.send(str(pid).encode())


def _become(stdin: int, stdout: int) -> NoReturn:
    try:
        os.setsid()
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.closerange(3, max(stdin, stdout) + 16)
        link = socket.socket(fileno=os.dup(0))
        serve.main(partial(_take_output, link))
    finally:
        os._exit(1)


def _take_output(link: socket.socket) -> None:
    """Wait until the harness wants another command kept; let its output go where that says."""
    message, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(4))
    if not message:
        os._exit(0)
    descriptor = int.from_bytes(ancillary[0][2], sys.byteorder)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    link.send(b"+")  # `nursery.TAKEN`
