"""A sandbox that stays up: a warm interpreter behind the walls of a runtime, for many episodes."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tasks import home
from tasks.errors import InfrastructureError, MissingPart, TasksError
from tasks.outcome import Limits, Outcome
from tasks.prepared import Prepared
from tasks.runtimes.base import Cancel, Runtime
from tasks.runtimes.inside import warm
from tasks.runtimes.inside.warm import Lines
from tasks.scratch import scratch
from tasks.workspace import Workspace

FOLDER = ".warm"
"""In the agent's home: the server of the cells, and the socket by which it comes to us."""

BOX_S = 30 * 86400.0
START_S = 60.0
MOST_THROWN = 300
"""Files and folders moved aside, before they are removed: a process for that costs as much as a
whole reset."""
SLACK_S = 30.0
"""What the box may take beyond a cell's own time before it is given up."""


class SandboxGone(Exception):  # noqa: N818 - what the agent did to it, not a fault
    """The box has ended or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of a cell."""

    output: str
    error: bool
    late: bool = False
    """Whether it was stopped at the end of its time."""
    lost: bool = False
    """Whether the variables of earlier cells are gone."""


class Sandbox:
    """One box with one workspace, used for one episode after the other."""

    def __init__(self, runtime: Runtime, limits: Limits, *, preload: Sequence[str]) -> None:
        """Choose the walls; nothing is started yet.

        Args:
            runtime: One with walls; a plain process has none.
            limits: Of an episode; the box itself has no end of time.
            preload: Modules that are imported before the first cell.

        Raises:
            MissingPart: The runtime has no walls.
        """
        if runtime.home is None:
            raise MissingPart(
                f"an environment needs walls, and the {runtime.name} runtime has none: "
                "install bubblewrap (apt install bubblewrap), or use docker"
            )
        self.runtime = runtime
        self.limits = limits
        self.preload = tuple(preload)
        self.outcome: Outcome | None = None
        """How the box ended, once it has."""
        self._made = contextlib.ExitStack()
        self._root = self._made.enter_context(scratch("gym"))
        self._root.chmod(0o755)
        # A name of its own, by which the box has control groups of its own.
        self.workspace = Workspace.at(self._root / f"episode-{secrets.token_hex(6)}")
        self._trash = self._root / "trash"
        self._trash.mkdir(mode=0o700)
        self._thrown = 0
        self._sweeper: subprocess.Popen[bytes] | None = None
        self._failure = ""
        self._ready: Prepared | None = None
        self._cancel = Cancel()
        self._thread: threading.Thread | None = None
        self._lines: Lines | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- episodes -----------------------------------------------------------

    def begin(self, ready: Prepared, env: Mapping[str, str] | None = None) -> None:
        """Begin an episode: an empty world with these data, a fresh interpreter.

        Args:
            ready: The instance; the same as before costs the least.
            env: Variables beside those of a trial; of the first episode only.

        Raises:
            InfrastructureError: No box can be started here.
        """
        if self._lines is not None:
            self.end()
        self._empty(ready)
        if self._lines is None:
            self._start(ready, env or {})
        self._give()
        self._ask({"do": "fresh"}, SLACK_S)

    def end(self) -> None:
        """End all that runs in the box, so that what it left can be collected.

        What does not die there dies with the box: nobody changes files that we are about to touch.
        """
        try:
            left = self._ask({"do": "end"}, SLACK_S).get("left")
        except SandboxGone:
            left = True
        if left:
            self._stop()

    def cell(self, code: str, *, seconds: float, most: int) -> Said:
        """Run code; variables stay for the next cell.

        Raises:
            SandboxGone: The box has ended, which a cell can bring about.
        """
        asked = {"do": "cell", "code": code, "seconds": seconds, "most": most}
        said = self._ask(asked, seconds + SLACK_S)
        try:
            return Said(
                output=str(said["output"]),
                error=bool(said["error"]),
                late=bool(said.get("late")),
                lost=bool(said.get("lost")),
            )
        except (KeyError, TypeError) as error:
            raise SandboxGone("the box answers nonsense") from error

    def close(self) -> None:
        """End the box and remove its folders."""
        self._stop()
        if self._sweeper is not None:
            self._sweeper.wait()
        subprocess.run(["rm", "-rf", "--", str(self._root)], check=False, capture_output=True)
        self._made.close()

    # --- files -----------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """Write a file of the agent's world, through its own interpreter and with its rights.

        Raises:
            SandboxGone: As `cell`.
        """
        code = (
            "import pathlib as _p\n"
            f"_f = _p.Path({name!r})\n_f.parent.mkdir(parents=True, exist_ok=True)\n"
            f"_f.write_text({text!r}, encoding='utf-8')\n"
        )
        said = self.cell(code, seconds=SLACK_S, most=1000)
        if said.error:
            raise OSError(said.output.strip().rpartition("\n")[2])

    def save(self, folder: Path) -> None:
        """Copy the agent's world, as it lies, into a new folder; what is no file is left out."""
        folder.mkdir(mode=0o700)
        # Stopped meanwhile, for a folder that becomes a link would lead a copy astray.
        self._ask({"do": "stop"}, SLACK_S)
        try:
            for part in self._parts():
                _copy(part, folder)
        finally:
            self._ask({"do": "go"}, SLACK_S)

    def load(self, folder: Path) -> None:
        """Put a saved world in the place of this one's, with a fresh interpreter in it.

        Raises:
            SandboxGone: The box has ended.
        """
        self.end()
        for part in self._parts():
            part.rename(self._new_trash())
        for part in folder.iterdir():
            _copy(part, self.workspace.home)
        self._give()
        self._ask({"do": "fresh"}, SLACK_S)

    def discard(self, folder: Path) -> None:
        """Move a folder aside; it is removed when the next episode begins."""
        folder.rename(self._new_trash())

    def _parts(self) -> list[Path]:
        world = self.workspace.home
        return [path for path in world.iterdir() if path.name not in {"data", FOLDER}]

    def _empty(self, ready: Prepared) -> None:
        """Lay the world out anew; what was there is moved aside and removed beside us."""
        workspace = self.workspace
        if workspace.outputs.exists():
            workspace.outputs.rename(self._new_trash())
        if workspace.home.exists():
            for part in self._parts():
                part.rename(self._new_trash())
        if ready is not self._ready:
            workspace.public.mkdir(exist_ok=True)
            for path in [*workspace.public.iterdir()]:
                path.rename(self._new_trash())
            ready.write_public(workspace.public)
            self._ready = ready
        if self._thrown >= MOST_THROWN:
            self._sweep()
        _lay_out(workspace, self.runtime, kept=(workspace.home / "data").exists())
        home.write_deadline(workspace, self.limits)

    def _new_trash(self) -> Path:
        self._thrown += 1
        return self._trash / secrets.token_hex(6)

    def _sweep(self) -> None:
        """Let another process remove what was thrown away: it may be too deep for Python."""
        aside = self._root / f"swept-{secrets.token_hex(6)}"
        self._trash.rename(aside)
        self._trash.mkdir(mode=0o700)
        self._thrown = 0
        if self._sweeper is not None:
            self._sweeper.wait()
        self._sweeper = subprocess.Popen(["rm", "-rf", "--", str(aside)], stderr=subprocess.DEVNULL)

    def _give(self) -> None:
        """Give the world to whom the box runs as: root drops its rights there."""
        world = self.workspace.home
        status = world.stat()
        if os.getuid() != 0 or status.st_uid == 0:
            return
        for directory, folders, files in os.walk(world):
            for entry in (".", *folders, *files):
                os.chown(
                    Path(directory, entry), status.st_uid, status.st_gid, follow_symlinks=False
                )

    # --- the box -----------------------------------------------------------

    def _start(self, ready: Prepared, env: Mapping[str, str]) -> None:
        workspace, runtime = self.workspace, self.runtime
        place = workspace.home / FOLDER
        if place.exists():
            place.rename(self._new_trash())
        place.mkdir()
        shutil.copyfile(warm.__file__, place / "warm.py")
        seen = home.seen(workspace, runtime.home) / FOLDER
        variables = home.environment(
            workspace,
            ready.task,
            self.limits,
            env,
            runtime.home,
            host_programs=runtime.host_programs,
        )
        command = ["python3", "-I", str(seen / "warm.py"), str(seen / "host.sock"), *self.preload]
        self._cancel = Cancel()
        listener = _listener(place / "host.sock")
        try:
            self._thread = threading.Thread(
                target=self._run, args=(command, variables), name="aexp-gym-box", daemon=True
            )
            self._thread.start()
            # It comes to us: a name in the agent's world is never followed from outside.
            listener.settimeout(START_S)
            end = self._accepted(listener)
        finally:
            listener.close()
        self._lines = Lines(end)
        try:
            self._receive(START_S)
        except SandboxGone as error:
            self._stop()
            raise InfrastructureError(f"no warm interpreter in the box: {error}") from error
        (place / "host.sock").unlink(missing_ok=True)

    def _accepted(self, listener: socket.socket) -> socket.socket:
        for _ in range(int(START_S * 10)):
            listener.settimeout(0.1)
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self._thread is None or not self._thread.is_alive():
                    break
        self._stop()
        ended = self.outcome
        said = self._failure or ("no answer" if ended is None else ended.detail or ended.reason)
        raise InfrastructureError(f"no box for the environment: {said}")

    def _run(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        limits = replace(self.limits, time_s=BOX_S, grace_s=0.0)
        try:
            self.outcome = self.runtime.run(
                command, self.workspace, env, limits, cancel=self._cancel
            )
        except TasksError as error:  # of a thread: told where the box is waited for
            self._failure = str(error)

    def _stop(self) -> None:
        if self._lines is not None:
            self._lines.end.close()
            self._lines = None
        if self._thread is not None:
            self._cancel.kill()
            self._thread.join()
            self._thread = None

    def _ask(self, asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if self._lines is None:
            raise SandboxGone("there is no box")
        try:
            self._lines.send(asked)
        except OSError as error:
            raise SandboxGone("the box has ended") from error
        return self._receive(seconds)

    def _receive(self, seconds: float) -> dict[str, Any]:
        if self._lines is None:
            raise SandboxGone("there is no box")
        try:
            said = self._lines.receive(seconds)
        except (OSError, ValueError, RecursionError) as error:
            raise SandboxGone(f"the box does not answer: {error}") from error
        if not isinstance(said, dict):
            raise SandboxGone("the box has ended")
        return said


def _lay_out(workspace: Workspace, runtime: Runtime, *, kept: bool) -> None:
    """Lay the world out; where the box is up already its folder of data stays mounted."""
    if not kept:
        home.lay_out(workspace, runtime.home, host_programs=runtime.host_programs)
        return
    aside = Workspace(workspace.root / "new")
    aside.root.mkdir()
    aside.public.symlink_to(workspace.public)
    home.lay_out(aside, runtime.home, host_programs=runtime.host_programs)
    for part in aside.home.iterdir():
        if part.name != "data":
            part.rename(workspace.home / part.name)
    shutil.rmtree(aside.root)


def _listener(path: Path) -> socket.socket:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Through the open folder, as the kernel takes no path of more than 107 bytes.
        address = f"/proc/self/fd/{folder}/{path.name}"
        listener.bind(address)
        listener.listen(1)
        Path(address).chmod(0o666)
    finally:
        os.close(folder)
    return listener


def _copy(source: Path, folder: Path) -> None:
    """Copy a part of a world; links stay links, nothing is followed."""
    subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", str(source),
         str(folder / source.name)],
        check=False,
        capture_output=True,
    )  # fmt: skip
