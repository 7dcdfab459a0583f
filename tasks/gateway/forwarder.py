"""Runs inside the sandbox: a port on 127.0.0.1 that leads to the door's socket.

    python3 -I -S forwarder.py SOCKET PORT -- COMMAND ...

It listens, tells the command the address by the variables that the SDKs read, runs the command
and ends as it ends. It needs nothing but a Python of 3.8 or later, and copies bytes unread.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

PIECE = 65536
READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
OWED = 4 * PIECE
"""Bytes taken from one side before the other side has taken them."""


def listen(port: int) -> socket.socket:
    """Listen on the port, or on any where it is taken or 0."""
    for wanted in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            listener.close()
            if wanted == 0:
                raise
            continue
        listener.listen(128)
        listener.setblocking(False)
        return listener
    raise OSError("no port")


def connect(end: socket.socket, path: str) -> None:
    """Connect to a socket by a path of any length; the kernel takes no more than 107 bytes."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)  # noqa: PTH120
    try:
        end.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # noqa: PTH119
    finally:
        os.close(folder)


def variables(port: int) -> dict[str, str]:
    """Return what the SDKs and agents read."""
    base = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": base + "/v1",
        "OPENAI_API_BASE": base + "/v1",
        "ANTHROPIC_BASE_URL": base,
        "AEXP_DOOR": base,
    }


class Half:
    """One direction's end: bytes that wait for it, and whether more will come."""

    __slots__ = ("done", "end", "number", "other", "owed", "shut", "watched")

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.number = end.fileno()
        self.owed = bytearray()
        self.other: Half = self
        self.done = False
        """Nothing more is read from it."""
        self.shut = False
        """Nothing more is written to it."""
        self.watched = 0
        """What the kernel tells us of it."""


class Forwarder:
    """Copies between connections and the socket; one thread, no waiting."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        self.listener = listener
        self.path = path
        # Not a selector: its bookkeeping took longer than the copying.
        self.poll = select.epoll()
        self.poll.register(listener.fileno(), select.EPOLLIN)
        self.halves: dict[int, Half] = {}

    def turn(self) -> None:
        """Do what can be done now; wait where nothing can."""
        for number, events in self.poll.poll():
            half = self.halves.get(number)
            if half is not None:
                self.move(half, events)
            elif number == self.listener.fileno():
                self.accept()

    def accept(self) -> None:
        """Take a connection, and make one to the door for it."""
        try:
            inner, _ = self.listener.accept()
        except OSError:
            return
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connect(outer, self.path)
        except OSError:
            inner.close()
            outer.close()
            return
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first, second = Half(inner), Half(outer)
        first.other, second.other = second, first
        for half in (first, second):
            half.end.setblocking(False)
            half.watched = select.EPOLLIN
            self.halves[half.number] = half
            self.poll.register(half.number, half.watched)

    def move(self, half: Half, events: int) -> None:
        """Read from an end what the other can take, and write what it is owed."""
        other = half.other
        try:
            if events & READABLE and not half.done:
                piece = half.end.recv(PIECE)
                if not piece:
                    half.done = True
                elif other.owed:
                    other.owed += piece
                else:  # most often all of it goes at once, and nothing has to be kept
                    sent = self.sent(other, piece)
                    if sent < len(piece):
                        other.owed += piece[sent:]
                self.give(other)
            if events & select.EPOLLOUT:
                self.give(half)
        except BlockingIOError:
            return
        except OSError:
            self.close(half)
            return
        if half.shut and other.shut:
            self.close(half)
        else:
            self.watch(half)
            self.watch(other)

    def sent(self, half: Half, piece: bytes) -> int:
        """Write to an end; return how many bytes it took."""
        try:
            return half.end.send(piece)
        except BlockingIOError:
            return 0

    def give(self, half: Half) -> None:
        """Write what an end is owed; close that direction when there will be no more."""
        if half.owed:
            del half.owed[: self.sent(half, bytes(half.owed[:PIECE]))]
        if not half.owed and half.other.done and not half.shut:
            half.shut = True
            half.end.shutdown(socket.SHUT_WR)

    def watch(self, half: Half) -> None:
        """Say what an end is waited for, if that is something else than before."""
        wanted = select.EPOLLOUT if half.owed else 0
        if not half.done and len(half.other.owed) < OWED:
            wanted |= select.EPOLLIN
        if wanted == half.watched:
            return
        if not wanted:  # else an end that hung up would be told of for ever
            self.poll.unregister(half.number)
        elif half.watched:
            self.poll.modify(half.number, wanted)
        else:
            self.poll.register(half.number, wanted)
        half.watched = wanted

    def close(self, half: Half) -> None:
        """Close both ends."""
        for one in (half, half.other):
            if self.halves.pop(one.number, None) is not None:
                if one.watched:
                    self.poll.unregister(one.number)
                one.end.close()


def main(arguments: list[str]) -> int:
    """Run a command behind the forwarder; return how it ended."""
    path, port, _, *command = arguments
    listener = listen(int(port))
    chosen = listener.getsockname()[1]
    parent = os.getpid()  # asked here: a child that starts late may be an orphan already
    child = os.fork()
    if child == 0:
        # The forwarder is the child: whoever watches and signals us does so to the command.
        serve(Forwarder(listener, path), parent)
    listener.close()
    os.environ.update(variables(chosen))
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell wanted
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]!r}: {error.strerror}\n")
        os.kill(child, signal.SIGKILL)
        return 127


def serve(forwarder: Forwarder, parent: int) -> None:
    """Forward until the command has ended."""
    import ctypes

    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    while True:
        forwarder.turn()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
