"""What attacks are aimed at: listeners, a secret, a bystander; and whether any was touched."""

import contextlib
import json
import os
import platform
import secrets
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tasks.runtimes import seccomp
from tasks.scratch import scratch

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
_POLL_S = 0.05


class Arena:
    """Targets on this host, for as long as the block lasts."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        """Whoever holds it has read what was hidden."""
        self.contacts: list[str] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.folder = folder = self._stack.enter_context(scratch("arena"))
        folder.chmod(0o755)
        self.secret = folder / "secret"
        self.secret.write_text(self.token)
        self.secret.chmod(0o644)  # by its mode anyone might; only a wall hides it
        self.precious = folder / "precious"
        self.precious.write_text("precious")
        self.precious.chmod(0o666)
        self.core_pattern = CORE_PATTERN.read_text() if CORE_PATTERN.exists() else ""
        self.bystander = subprocess.Popen(
            ["sleep", "3600"],
            env={"PATH": os.defpath, "AEXP_SECRET": self.token},
            start_new_session=True,
        )
        self._stack.callback(self._end_bystander)
        self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _end_bystander(self) -> None:
        self.bystander.send_signal(signal.SIGKILL)
        self.bystander.wait()

    def _listen(self) -> None:
        self.abstract = f"aexp-{self.token[:8]}"
        self.path = str(self.folder / "socket")
        tcp = self._bound(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0))  # noqa: S104
        self.port: int = tcp.getsockname()[1]
        udp = self._bound(socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", self.port))  # noqa: S104
        abstract = self._bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.abstract}")
        path = self._bound(socket.AF_UNIX, socket.SOCK_STREAM, self.path)
        Path(self.path).chmod(0o777)
        names = {tcp: "TCP", udp: "UDP", abstract: "abstract socket", path: "path socket"}
        done = threading.Event()
        thread = threading.Thread(target=self._count, args=(names, done), daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(done.set)

    def _bound(self, family: int, kind: int, address: Any) -> socket.socket:
        made = self._stack.enter_context(socket.socket(family, kind))
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen()
        made.setblocking(False)
        return made

    def _count(self, names: dict[socket.socket, str], done: threading.Event) -> None:
        with selectors.DefaultSelector() as selector:
            for listener, name in names.items():
                selector.register(listener, selectors.EVENT_READ, (listener, name))
            while not done.is_set():
                for key, _ in selector.select(_POLL_S):
                    listener, name = key.data
                    with contextlib.suppress(OSError):
                        if listener.type == socket.SOCK_STREAM:
                            listener.accept()[0].close()
                        else:
                            listener.recv(100)
                    self.contacts.append(name)

    def targets(self) -> str:
        """Return what every script may know, as JSON; the secret itself is not in it."""
        column = 0 if platform.machine() == "x86_64" else 1
        return json.dumps(
            {
                "port": self.port,
                "addresses": ["127.0.0.1", *_addresses()],
                "abstract": self.abstract,
                "path": self.path,
                "secret": str(self.secret),
                "precious": str(self.precious),
                "bystander": self.bystander.pid,
                "calls": {name: numbers[column] for name, numbers in seccomp.CALLS.items()},
            }
        )

    def touched(self) -> Iterator[str]:
        """Yield what an attack has done to the targets, and forget it."""
        if self.contacts:
            yield f"reached a listener of the host: {', '.join(sorted({*self.contacts}))}"
            self.contacts.clear()
        if self.precious.read_text() != "precious":
            yield "changed a file of the host"
            self.precious.write_text("precious")
        if self.bystander.poll() is not None:
            yield "ended a process of the host"
        if self.core_pattern and CORE_PATTERN.read_text() != self.core_pattern:
            yield "changed the host's core_pattern"


def _addresses() -> list[str]:
    """Return this host's own address, as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # documentation only: no packet is sent
        except OSError:
            return []
        return [str(probe.getsockname()[0])]
