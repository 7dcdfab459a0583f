"""A container engine seen through its command line: what it holds, and what it complains of."""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from time import time
from typing import IO, Final

from tasks.errors import InfrastructureError, MissingPart, TasksError
from tasks.runtimes import procfs
from tasks.runtimes.docker_command import LABEL_RETAIN, LABEL_RUNNER, LABEL_TRIAL, build_hint
from tasks.workspace import Workspace

PATIENCE_S: Final = 30.0
"""A daemon that does not answer a question for so long is broken."""

LATE_S: Final = 0.3
"""How late an event may be published."""

_NO_DAEMON = ("Cannot connect to the Docker daemon", "Is the docker daemon running", "no such host")
_NO_IMAGE = ("No such image", "Unable to find image", "image not known", "No such object")


class Engine:
    """`docker`, `podman`, or another command that takes the same words."""

    def __init__(self, program: str | None = None) -> None:
        """Use the command `program`; by default $AEXP_DOCKER, or `docker`."""
        self.program = program or os.environ.get("AEXP_DOCKER") or "docker"
        self._found: set[str] = set()
        """Images that were there when somebody looked."""

    def start(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a command of the engine, with three pipes, beyond the reach of Ctrl-C.

        Raises:
            MissingPart: There is no such program.
        """
        try:
            return subprocess.Popen(
                list(words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise self._no_program(error) from error

    def ask(
        self, *words: str, patience_s: float = PATIENCE_S
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the engine to its end.

        Raises:
            MissingPart: There is no such program.
            InfrastructureError: It does not answer.
        """
        try:
            return subprocess.run(
                [self.program, *words],
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=patience_s,
                start_new_session=True,
            )
        except OSError as error:
            raise self._no_program(error) from error
        except subprocess.TimeoutExpired as error:
            message = f"{self.program} {words[0]}: no answer for {patience_s:g} s"
            raise InfrastructureError(message) from error

    def follow(
        self, words: Sequence[str], source: IO[bytes], on_line: Callable[[str], None]
    ) -> int:
        """Run a command that reads `source`; tell each line it prints; return its status.

        Raises:
            MissingPart: There is no such program.
        """
        try:
            process = subprocess.Popen(
                list(words), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise self._no_program(error) from error
        with process:
            for line in process.stdout or ():
                on_line(line.decode(errors="replace").rstrip())
        return process.returncode

    def _no_program(self, error: OSError) -> MissingPart:
        return MissingPart(
            f"cannot start {self.program}: {error.strerror}; install it (apt-get install docker.io)"
            ", or run with --local"
        )

    def answer(self, *words: str, patience_s: float = PATIENCE_S) -> str:
        """Return what a command of the engine prints.

        Raises:
            MissingPart, InfrastructureError: As `refusal` says, if it fails.
        """
        done = self.ask(*words, patience_s=patience_s)
        if done.returncode != 0:
            raise self.refusal(done.stderr, words[-1])
        return done.stdout

    def need_image(self, image: str) -> None:
        """Do nothing if the image is there, or was: one that has gone is missed when it is run.

        Raises:
            MissingPart: It is not; the message holds the command that builds it.
        """
        if image not in self._found:
            self.answer("image", "inspect", "--format", "{{.Id}}", image)
            self._found.add(image)

    def refusal(self, words: str, subject: str) -> TasksError:
        """Return the error for what the engine complained of."""
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        said = next((line for line in lines if "rror" in line or "denied" in line), None)
        said = said or (lines[0] if lines else "no word of why")
        if "permission denied" in words and "connect" in words:
            return MissingPart(
                f"{self.program}: no permission to reach the daemon: add yourself to its group "
                "(usermod -aG docker $USER, then log in again), or run with --local"
            )
        if any(sign in words for sign in _NO_DAEMON):
            return MissingPart(
                f"{self.program}: the daemon does not answer: start it (systemctl start docker, "
                "or dockerd as root), or run with --local"
            )
        if any(sign in words for sign in _NO_IMAGE):
            return MissingPart(
                f"no image {subject}: build it with: {build_hint(subject)} (or run with --local)"
            )
        if "python3" in words and ("not found" in words or "no such file" in words.lower()):
            return MissingPart(
                "the image holds no python3, which starts and watches the command: "
                "install python3 in its Dockerfile"
            )
        return InfrastructureError(f"{self.program}: {said}")

    def kill(self, name: str) -> None:
        """Kill a container; it may be gone already."""
        self.ask("kill", name)

    def remove(self, name: str) -> None:
        """Remove a container, running or not; it may be gone already.

        A daemon that is away cannot be asked: the label sees to that in the next run.
        """
        self.ask("rm", "--force", "--volumes", name)

    def events(self, name: str, since: float) -> set[str]:
        """Return the kinds of events of a container since a wall time; none if nobody answers."""
        # A moment ahead: what a busy daemon publishes late is waited for. A duration such as 0s
        # would be cut to whole seconds, and the last ones are what is asked for.
        done = self.ask(
            "events",
            *("--since", f"{since - 1:.0f}", "--until", f"{time() + LATE_S:.6f}"),
            *("--filter", f"container={name}", "--format", "{{.Status}}"),
        )
        return {line.split(":")[0].strip() for line in done.stdout.splitlines()}

    def reap(self) -> list[str]:
        """Remove the containers whose runners are dead; return their names.

        Raises:
            MissingPart, InfrastructureError: The engine does not answer.
        """
        wanted = '{{.Names}}\t{{.Label "' + LABEL_RUNNER + '"}}\t{{.Label "' + LABEL_RETAIN
        listing = self.answer(
            "ps", "--all", "--filter", f"label={LABEL_TRIAL}", "--format", wanted + '"}}'
        )
        stale = []
        for line in listing.splitlines():
            name, runner, retain = [*line.split("\t"), "", ""][:3]
            if not retain and is_dead(runner):
                stale.append(name)
        for name in stale:
            self.remove(name)
        return stale

    def is_rootless_podman(self) -> bool:
        """Whether users must be mapped to themselves for our folders to be theirs."""
        return Path(self.program).name == "podman" and os.getuid() != 0


def container_name(workspace: Workspace) -> str:
    """Return a name that no other container has, and that shows the trial."""
    trial = re.sub(r"[^A-Za-z0-9_.-]", "-", workspace.root.name)
    return f"aexp-{trial}-{secrets.token_hex(3)}"


def this_runner() -> str:
    """Return a mark of this process that no other one has, before or after a reboot."""
    pid = os.getpid()
    started = procfs.Process(procfs.read(f"/proc/{pid}/stat")).started
    return json.dumps([*_place(), pid, started], separators=(",", ":"))


@lru_cache(maxsize=1)
def _place() -> tuple[str, str, int]:
    """Return machine, boot and pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = os.uname().nodename
    return machine, boot, Path("/proc/self/ns/pid").stat().st_ino


def is_dead(runner: str) -> bool:
    """Whether the process of a mark is no more; of other machines nothing is known."""
    try:
        machine, boot, namespace, pid, started = json.loads(runner)
    except (ValueError, TypeError):  # no mark of ours: not ours to remove
        return False
    here = _place()
    if machine != here[0]:
        return False
    if boot != here[1]:
        return True
    if namespace != here[2]:
        return False
    stat = procfs.read(f"/proc/{pid}/stat")
    return not stat or procfs.Process(stat).started != started
