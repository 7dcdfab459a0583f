"""The gateway: a door on a socket, served by a thread of its own."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tasks.errors import InfrastructureError
from tasks.gateway import http1
from tasks.gateway.calling import Caller
from tasks.gateway.cassette import Player, Recorder
from tasks.gateway.door import Door, Service
from tasks.gateway.http1 import Head, Malformed
from tasks.gateway.ledger import Ledger, Secrets
from tasks.gateway.policy import Policy
from tasks.gateway.reply import HungUp, Reply
from tasks.gateway.upstream import Pool, Upstream
from tasks.gateway.usage import Prices
from tasks.gateway.wires import Kind, Refusal
from tasks.scratch import scratch

log = logging.getLogger(__name__)

IDLE_S = 600.0
"""A connection without a request is closed."""
BODY_S = 120.0
"""A request that does not come to its end is given up."""
LINGER_BYTES, LINGER_S = 4 * 2**20, 2.0
"""What is still read of a refused request, so that its sender sees the answer."""
SOCKET = "door.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a gateway is made of."""

    policy: Policy = field(default_factory=Policy)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """By wire: `openai`, `anthropic`. None are needed to replay."""
    prices: Prices = field(default_factory=Prices)
    token: str = field(default_factory=lambda: f"aexp-{secrets.token_urlsafe(24)}", repr=False)
    """The key the agent is given; worth nothing anywhere else."""
    ledger: Path | None = None
    """Where calls are recorded."""
    record: Path | None = None
    replay: Path | None = None
    loose: bool = False
    """Whether a request that was not recorded gets the next answer in order."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Folders that differ from run to run, to how they stand in a cassette."""
    services: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    """What else the door offers, to whoever finds it: nothing that is a secret."""
    keyed: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    """What else it offers to the agent alone."""


class Gateway:
    """A door that is open between `start_…` and `close`, or within a `with` block.

    ```python
    with Gateway(Setup(upstreams={"openai": Upstream.named("openai")})) as gateway:
        gateway.start_unix()
        print(gateway.socket, gateway.setup.token)
    ```
    """

    def __init__(self, setup: Setup) -> None:
        """Open the files it reads and writes.

        Raises:
            InvalidInput: The cassette cannot be read or made.
        """
        self.setup = setup
        self.socket: Path | None = None
        """The unix socket, once it is started on one."""
        self.port: int | None = None
        policy = setup.policy
        hidden = Secrets([setup.token, *(up.key for up in setup.upstreams.values())])
        self._player = (
            Player(setup.replay, setup.places, loose=setup.loose) if setup.replay else None
        )
        self._recorder = Recorder(setup.record, hidden, setup.places) if setup.record else None
        self._ledger = Ledger(
            setup.ledger, hidden, most=policy.recorded_bytes, kept=policy.kept_bytes
        )
        self._hidden = hidden
        self._folder: int | None = None
        self._made = contextlib.ExitStack()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._door: Door | None = None
        self._connections = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_unix(self, folder: Path | None = None) -> Path:
        """Open the door on a unix socket, `door.sock`; return its path.

        Args:
            folder: Where it is made; by default in a new folder, removed when the door is closed.

        Raises:
            InfrastructureError: The socket cannot be made.
        """
        if folder is None:
            folder = self._made.enter_context(scratch("door"))
            folder.chmod(0o711)
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # Through the open folder, as the kernel takes no path of more than 107 bytes.
        address = f"/proc/self/fd/{self._folder}/{SOCKET}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listen(listener, address)
        Path(address).chmod(0o666)  # the agent may be another user; what it needs is the token
        self.socket = folder / SOCKET
        self._start(listener)
        return self.socket

    def start_tcp(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Open the door on a port; return its number.

        Raises:
            InfrastructureError: The port cannot be had.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listen(listener, (host, port))
        self.port = int(listener.getsockname()[1])
        self._start(listener)
        return self.port

    def _listen(self, listener: socket.socket, address: Any) -> None:
        try:
            listener.bind(address)
            listener.listen(self.setup.policy.connections)
        except OSError as error:
            listener.close()
            raise InfrastructureError(f"no door at {address}: {error.strerror}") from error

    def _start(self, listener: socket.socket) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, ready)), name="door", daemon=True
        )
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        """Close the door and what belongs to it; calls under way are dropped."""
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None
        self._ledger.close()
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        if self._folder is not None:
            with contextlib.suppress(OSError):  # an agent may have put anything in its place
                os.unlink(SOCKET, dir_fd=self._folder)
            os.close(self._folder)
            self._folder = None
        self._made.close()

    def summary(self) -> dict[str, Any]:
        """Return what went through, and whether the record of it is as we wrote it."""
        if self._loop is None or self._thread is None:
            return self._sums()
        # Asked of the thread: a call that was just answered is booked before this runs.
        found: Future[dict[str, Any]] = Future()
        self._loop.call_soon_threadsafe(lambda: found.set_result(self._sums()))
        return found.result()

    def _sums(self) -> dict[str, Any]:
        door, policy = self._door, self.setup.policy
        spent = {} if door is None else asdict(door.meter.spent)
        return {
            **spent,
            "models": {} if door is None else dict(door.models),
            "budget": {
                "requests": policy.requests,
                "tokens": policy.tokens,
                "cost_usd": policy.cost_usd,
                "seconds": policy.seconds,
            },
            "replayed": self.setup.replay is not None,
            "intact": self._ledger.intact(),
        }

    # --- within the thread -----------------------------------------------------------------

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        setup = self.setup
        pools = {wire: Pool(upstream) for wire, upstream in setup.upstreams.items()}
        door = self._door = Door(
            setup.policy,
            Caller(setup.policy, pools, self._hidden),
            self._ledger,
            token=setup.token,
            prices=setup.prices,
            recorder=self._recorder,
            player=self._player,
            services=setup.services,
            keyed=setup.keyed,
        )
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(door, reader, writer)
            except asyncio.CancelledError:
                log.debug("the door was closed during a call")  # by us: it ends here
            finally:
                tasks.discard(task)

        make = asyncio.start_unix_server if listener.family == socket.AF_UNIX else _tcp_server
        server = await make(connected, sock=listener, limit=http1.HEAD_BYTES)
        ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in pools.values():
            pool.close()

    async def _connection(
        self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections += 1
        try:
            crowded = self._connections > self.setup.policy.connections
            # An agent that hangs up ends its connection and nothing else.
            with contextlib.suppress(HungUp, OSError, EOFError):
                while await self._request(door, reader, writer, crowded=crowded):
                    pass
        finally:
            self._connections -= 1
            writer.close()

    async def _request(
        self,
        door: Door,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        crowded: bool,
    ) -> bool:
        """Serve one request; return whether another may follow."""
        head: Head | None = None
        try:
            async with asyncio.timeout(IDLE_S):
                head = await http1.read_request(reader)
            if head is None:
                return False
            door.admits(head, crowded=crowded)
            if head.fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with asyncio.timeout(BODY_S):
                body = await http1.read_body(reader, head.fields, door.policy.request_bytes)
        except (Malformed, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else _refusal(error)
            await door.refuse(head, refusal, Reply(writer, keep_alive=False))
            door.meter.spent.refused += 1
            await _linger(reader, writer)
            return False
        reply = Reply(writer, keep_alive=head.keep_alive)
        await door.serve(head, body, reply)
        return head.keep_alive


async def _tcp_server(*arguments: Any, **options: Any) -> asyncio.Server:
    return await asyncio.start_server(*arguments, **options)


def _refusal(error: Malformed) -> Refusal:
    kind: Kind = "too large" if error.status == 413 else "invalid"  # noqa: PLR2004 - as HTTP has it
    return Refusal(kind, str(error), status=error.status)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on for a moment: closed at once, the connection would lose the answer."""
    if writer.can_write_eof():
        writer.write_eof()
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (piece := await reader.read(http1.PIECE_BYTES)):
                left -= len(piece)
