"""A command in a fresh container, by the command line of docker or podman.

Each trial is one `docker run`. Process 1 in it is `inside/init.py`: it starts the command, says
when and how that ended, and ends everything when told to, or when the harness is gone.
"""

import contextlib
import json
import os
import platform
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from time import monotonic, sleep, time
from typing import IO, Any, Final, Self

from tasks.errors import InfrastructureError, TasksError
from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.runtimes import disk_wall, engine, mounted, procfs, seccomp
from tasks.runtimes.base import Cancel
from tasks.runtimes.docker_command import HOME, Container, run_command
from tasks.runtimes.growth import Growth
from tasks.runtimes.log import RunLog, logged
from tasks.workspace import Workspace

IMAGE: Final = "mlebench-experiment"
"""What an agent runs in that has no image of its own."""

START_S: Final = 60.0
"""What an engine may take to start a container; a busy one takes seconds."""

KILL_S: Final = 2.0
"""What process 1 may take to end everything, before the engine is asked to."""

DOOR: Final = ".door"
"""In the home: the way to a model and to validation, if the trial has one."""

_POLL_MS = 50
_DISK_PAUSE_S = 0.1
_DISK_DUTY = 50
_LAST_WALK_S = 5.0
_EVENT_TRIES, _EVENT_PAUSE_S = 3, 0.3
_SIGKILLED, _SIGXFSZ = -9, -25


class DockerRuntime:
    """Runs the command in a container of its own, as an ordinary user without capabilities."""

    name = "docker"
    home: str | None = HOME
    host_programs = False

    def __init__(
        self,
        image: str | None = None,
        *,
        program: str | None = None,
        retain: bool = False,
        oci_runtime: str | None = None,
    ) -> None:
        """Choose image and engine; nothing is started.

        Args:
            image: It must be built already, and hold `python3`, 3.8 or newer; by default the
                agent's own, or `mlebench-experiment`.
            program: The engine's command; by default $AEXP_DOCKER, or `docker`.
            retain: Whether to keep the container when it has ended.
            oci_runtime: Such as `runsc`; by default the engine's own choice.
        """
        self.image = image
        self.engine = engine.Engine(program)
        self.retain = retain
        self.oci_runtime = oci_runtime

    def check(self) -> None:
        """Ask whether the engine answers, and remove what dead runners left.

        Raises:
            MissingPart: No engine, no daemon, or no permission.
        """
        self.engine.reap()

    def in_image(self, image: str | None) -> Self:
        """Return this runtime with an image that is there; one it was made with wins.

        Raises:
            MissingPart: There is no such image; the message holds the command that builds it.
        """
        chosen = copy(self)
        chosen.image = self.image or image or IMAGE
        self.engine.need_image(chosen.image)
        return chosen

    def enforces(self, limits: Limits) -> Mechanisms:
        """Return what `Runtime.enforces` says."""
        name = Path(self.engine.program).name
        return {
            "network": f"{name}: no network" if limits.network == "none" else None,
            "filesystem": f"{name}: mount namespace, read-only root",
            "memory": None if limits.memory_bytes is None else f"{name}: memory cgroup",
            "pids": None if limits.pids is None else f"{name}: pids cgroup",
            "cpu": None if limits.cpus is None else f"{name}: cpu cgroup",
            "disk": disk_wall.mechanism(limits),
            "time": "process 1 of the container",
        }

    def command(
        self, command: Sequence[str], workspace: Workspace, limits: Limits, name: str
    ) -> list[str]:
        """Return the engine's whole command line for one trial."""
        container = Container(
            image=self.image or IMAGE,
            name=name,
            runner=engine.this_runner(),
            home=workspace.home,
            public=workspace.public,
            user=mounted.user(),
            retain=self.retain,
            oci_runtime=self.oci_runtime,
            serve=not (workspace.home / DOOR).exists(),
            keep_id=self.engine.is_rootless_podman(),
        )
        return run_command(self.engine.program, container, limits, command)

    def run(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Run `command` as `Runtime.run` says."""
        if any("\0" in word for word in command):
            detail = f"cannot start {command[0]!r}: a NUL in it"
            return Outcome(
                reason="never started",
                exit_code=None,
                seconds=0.0,
                detail=detail,
                enforced=self.enforces(limits),
            )
        return logged(
            lambda log: self._contain(command, workspace, env, limits, log=log, cancel=cancel),
            workspace,
            limits,
            self.enforces(limits),
            prepare=self._prepare,
            on_output=on_output,
            cancel=cancel,
        )

    def _prepare(self, workspace: Workspace) -> None:
        """Make what is mounted, and give it to the container's user."""
        mounted.prepare(workspace)

    def _contain(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        *,
        log: RunLog,
        cancel: Cancel | None,
    ) -> dict[str, Any]:
        """Run the command in a container to its end; return the fields of the outcome."""
        name = engine.container_name(workspace)
        words = self.command(command, workspace, limits, name)
        disk = Growth(str(workspace.root), str(workspace.log_file), limits.disk_bytes)
        trial = _Watched(
            self.engine, words, name, log, disk, image=self.image or IMAGE, retain=self.retain
        )
        try:
            return trial.wait(env, limits, cancel)
        finally:
            trial.close()


class _Watched:
    """A container at work, seen from the harness; nothing of it is left after `close`."""

    def __init__(
        self,
        engine_: engine.Engine,
        words: Sequence[str],
        name: str,
        log: RunLog,
        disk: Growth,
        *,
        image: str,
        retain: bool,
    ) -> None:
        self.engine = engine_
        self.name = name
        self.image = image
        self.log = log
        self.disk = disk
        self.retain = retain
        self.told: dict[str, Any] = {}
        self.errors = b""
        """What the engine's own command complained of."""
        self.unparsed = b""
        self.asked: str = ""
        self.reason = ""
        self.detail = ""
        self.kill_at: float | None = None
        self.look_at = 0.0
        self.wall = time()
        self.begun = monotonic()
        self.started: float | None = None
        self.over: float | None = None
        self.process = engine_.start(words)
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise InfrastructureError(f"{engine_.program}: started without pipes")
        self.stdin: IO[bytes] = stdin
        self.output, self.reports = stdout.fileno(), stderr.fileno()
        self._streams = (stdin, stdout, stderr)
        os.set_blocking(self.output, False)
        os.set_blocking(self.reports, False)

    def close(self) -> None:
        """Leave neither the engine's command nor a container behind."""
        if not self._gone():
            self.order("kill")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(KILL_S)
        if not self._gone():
            self.process.kill()
            self.process.wait()
        for stream in self._streams:
            with contextlib.suppress(OSError):  # a pipe whose reader died refuses the flush
                stream.close()
        clean = "status" in self.told or "never_started" in self.told
        if not (clean and self.process.returncode == 0) and not self.retain:
            self.engine.remove(self.name)

    def _gone(self) -> bool:
        return self.process.poll() is not None

    def order(self, word: str) -> None:
        """Tell process 1 something."""
        with contextlib.suppress(OSError):  # it died meanwhile; its end of file says so
            self.stdin.write(word.encode() + b"\n")
            self.stdin.flush()

    def wait(self, env: Mapping[str, str], limits: Limits, cancel: Cancel | None) -> dict[str, Any]:
        """Drain and listen until all has ended; return the fields of the outcome."""
        filter_ = seccomp.program().hex() if seccomp.supported() else ""
        request = {"env": dict(env), "machine": platform.machine(), "filter": filter_}
        self.order(json.dumps(request))
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        poll.register(self.reports, select.POLLIN)
        open_pipes = {self.output, self.reports}
        while open_pipes:
            for handle, _ in poll.poll(0 if self.disk.urgent else _POLL_MS):
                more = self.log.take(handle) if handle == self.output else self._listen()
                if not more and self._ended(handle):
                    poll.unregister(handle)
                    open_pipes.discard(handle)
            if not self._keep(limits, cancel):
                break
        with contextlib.suppress(subprocess.TimeoutExpired):
            # With a report in hand, all that is left to the engine is to remove the container.
            self.process.wait(START_S if "status" in self.told else KILL_S)
        return self._judged(limits)

    def _ended(self, handle: int) -> bool:
        """Whether a pipe from which nothing came is at its end: its writer is gone."""
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return any(
            event & select.POLLHUP and not event & select.POLLIN for _, event in poll.poll(0)
        )

    def _listen(self) -> bool:
        """Take in reports of process 1 and complaints of the engine."""
        try:
            piece = os.read(self.reports, 2**16)
        except BlockingIOError:
            return False
        *lines, self.unparsed = (self.unparsed + piece).split(b"\n")
        for line in lines:
            if line.startswith(b'{"aexp": '):
                said = json.loads(line)["aexp"]
                self.told.update(said)
                if "started" in said:
                    self.started = monotonic()
                elif "status" in said:
                    self.over = monotonic()
            elif line.strip():
                self.errors += line + b"\n"
        return bool(piece)

    def _keep(self, limits: Limits, cancel: Cancel | None) -> bool:
        """Enforce the limits; return whether to go on waiting."""
        now = monotonic()
        if cancel is not None and cancel.wanted not in {"", self.asked}:
            self.asked = cancel.wanted
            grace = 0.0 if self.asked == "kill" else limits.grace_s
            self._stop("cancelled", "killed at once" if self.asked == "kill" else "", grace)
        if self.started is None:
            return bool(self.told) or now < self.begun + START_S
        if "status" in self.told:
            return True
        if not self.reason and now >= self.started + limits.time_s:
            self._stop("timed out", f"the limit was {limits.time_s:g} s", limits.grace_s)
        if now >= self.look_at:
            if self.disk.advance() and self.disk.full:
                self._stop("disk full", self.disk.detail, 0.0)
            pause = max(_DISK_PAUSE_S, _DISK_DUTY * (monotonic() - now))
            self.look_at = monotonic() + (0.0 if self.disk.urgent else pause)
        if self.kill_at is not None and now >= self.kill_at:
            self.order("kill")
            if now >= self.kill_at + KILL_S:
                self.engine.kill(self.name)
                return False
        return True

    def _stop(self, reason: str, detail: str, grace_s: float) -> None:
        """Ask everything to end within the grace; the first reason stays."""
        if not self.reason:
            self.reason, self.detail = reason, detail
        until = monotonic() + grace_s
        self.kill_at = until if self.kill_at is None else min(self.kill_at, until)
        self.order("stop" if grace_s > 0 else "kill")

    def _judged(self, limits: Limits) -> dict[str, Any]:
        end = monotonic() if self.over is None else self.over
        seconds = 0.0 if self.started is None else end - self.started
        base = {"exit_code": None, "seconds": seconds, "detail": self.detail}
        if "never_started" in self.told:
            return {**base, "reason": "never started", "detail": self.told["never_started"]}
        if self.started is None:
            if self.reason:
                return {**base, "reason": self.reason}
            raise self._refusal()
        if "status" not in self.told:
            reason, detail = (self.reason, self.detail) if self.reason else self._lost()
            return {**base, "reason": reason, "detail": detail}
        used = {
            "cpu_seconds": self.told["cpu_seconds"],
            "peak_memory_bytes": self.told["peak"],
            "killed_processes": self.told["killed"],
        }
        if self.reason == "disk full":
            base["detail"] = self.disk.ended(_LAST_WALK_S)
        if self.reason:
            return {**base, **used, "reason": self.reason}
        return {**base, **used, **self._ending(limits)}

    def _refusal(self) -> TasksError:
        if not self.errors and not self._gone():
            message = f"{self.engine.program}: no container within {START_S:g} s"
            return InfrastructureError(message)
        if not self.errors:
            return InfrastructureError(f"{self.engine.program}: {self._lost()[1]}")
        return self.engine.refusal(self.errors.decode(errors="replace"), self.image)

    def _ending(self, limits: Limits) -> dict[str, Any]:
        """Judge a command that ended by itself."""
        status, kills = self.told["status"], self.told["oom_kills"]
        found = {"exit_code": status, "reason": "finished" if status == 0 else "agent error"}
        self.disk.finish(_LAST_WALK_S)
        if kills:
            limit = limits.memory_bytes or 0
            detail = f"the kernel killed {kills} of its processes; the limit is {limit:,} bytes"
            return {**found, "reason": "out of memory", "detail": detail}
        if (
            status == _SIGXFSZ
            or self.disk.full
            # RLIMIT_FSIZE lets one file reach the limit, and no further.
            or self.disk.bytes == limits.disk_bytes
        ):
            return {**found, "reason": "disk full", "detail": self.disk.detail}
        return {**found, "detail": procfs.ending(status)}

    def _lost(self) -> tuple[str, str]:
        """Say why process 1 died without a report."""
        events: set[str] = set()
        for _ in range(_EVENT_TRIES):  # a busy daemon publishes them late
            events = self.engine.events(self.name, self.wall)
            if "oom" in events:
                return "out of memory", "the kernel killed the container's process 1"
            if "kill" in events or "stop" in events:
                return "infrastructure", "the container was killed from outside"
            sleep(_EVENT_PAUSE_S)
        words = self.errors.decode(errors="replace").strip().splitlines()
        if events or not words:
            return "infrastructure", "the container ended without a report"
        return "infrastructure", f"{self.engine.program} lost the container: {words[-1]}"
