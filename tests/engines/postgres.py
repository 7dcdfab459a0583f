"""A PostgreSQL server of our own, from Debian's package: it lives for a block of code."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
BINARIES = "/usr/lib/postgresql/*/bin"
PATIENCE_S = 60.0


def binaries() -> Path | None:
    """Return the folder of the server's programs; Debian keeps them off PATH."""
    found = sorted(Path("/").glob(f"{BINARIES[1:]}/postgres"))
    return found[-1].parent if found else None


@dataclass
class Server:
    """It listens on a unix socket in its folder and nowhere else."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql://aexp:pass-WORD@/postgres?host={self.folder}"

    def make(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "aexp", "--auth=trust", "--no-sync")

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        self.process = subprocess.Popen(
            [binaries() / "postgres", "-D", self.data, "-k", str(self.folder),
             "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **_user(),
        )  # fmt: skip
        until = time.monotonic() + PATIENCE_S
        while self._ready() != 0:
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError("the PostgreSQL server does not start")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # fast shutdown: sessions are ended
            self.process.wait(PATIENCE_S)
            self.process = None

    def _ready(self) -> int:
        command = [binaries() / "pg_isready", "-q", "-h", str(self.folder), "-U", "aexp"]
        return subprocess.run(command, check=False).returncode

    def _run(self, program: str, *words: str) -> None:
        subprocess.run([binaries() / program, *words], check=True, capture_output=True,
                       cwd=self.folder, **_user())  # fmt: skip


def _user() -> dict[str, object]:
    """The server refuses to run as root."""
    if os.geteuid():
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Start one; it and its data are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aexp-pg-"))  # short, as sockets' paths must be
    if not os.geteuid():
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o700)
    made = Server(folder)
    try:
        made.make()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
