"""The command lines of a container engine, made of plain values; `docker` and `podman` alike."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tasks.errors import InvalidInput, UsageError, brief, suggestion
from tasks.outcome import Limits

HOME: Final = "/home"
INSIDE: Final = "/.aexp"
"""Where our own files are mounted: what process 1 is, and what checks submissions."""

OWN_FILES: Final = Path(__file__).parent / "inside"

LABEL_TRIAL, LABEL_RUNNER, LABEL_RETAIN = "aexp.trial", "aexp.runner", "aexp.retain"

LOG_BYTES: Final = "16m"
"""What the engine keeps for `docker logs`; the whole log is in the trial's folder."""

_CONFIG_KEYS: Final = ("mem_limit", "shm_size", "nano_cpus", "runtime", "gpus")
_UNITS: Final = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """All that a container is started with, but for its limits."""

    image: str
    name: str
    runner: str
    """Who started it; whoever finds that one dead removes it."""
    home: Path
    public: Path
    user: str
    """`uid:gid`, never root."""
    retain: bool = False
    oci_runtime: str | None = None
    """Such as `sysbox-runc` or `runsc`; None is the engine's default."""
    serve: bool = True
    """Whether process 1 answers validation; the door of a trial does so itself."""
    keep_id: bool = False
    """Whether the user is mapped to itself: podman without root."""


def run_command(
    engine: str, container: Container, limits: Limits, command: Sequence[str]
) -> list[str]:
    """Return the whole command line of a trial's container."""
    words = [engine, "run", "--interactive", "--pull=never"]
    words += [] if container.retain else ["--rm"]
    words += ["--name", container.name]
    words += _labels(container)
    words += [
        *("--user", container.user),
        *("--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges"),
        "--read-only",
        *("--network", limits.network),
    ]
    words += _limits(limits)
    if container.oci_runtime:
        words += ["--runtime", container.oci_runtime]
    if container.keep_id:
        words += ["--userns", "keep-id"]
    words += ["--log-driver", "json-file", "--log-opt", f"max-size={LOG_BYTES}"]
    words += [
        *("--mount", mount(container.home, HOME)),
        *("--mount", mount(container.public, f"{HOME}/data", readonly=True)),
        *("--mount", mount(OWN_FILES, INSIDE, readonly=True)),
        *("--workdir", f"{HOME}/agent"),
        *("--entrypoint", "python3"),
        container.image,
        *("-I", "-S", "-B", f"{INSIDE}/init.py", "serve" if container.serve else "no-server"),
        *command,
    ]
    return words


def _labels(container: Container) -> list[str]:
    labels = {LABEL_TRIAL: container.name, LABEL_RUNNER: container.runner}
    if container.retain:
        labels[LABEL_RETAIN] = "yes"
    return [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]


def _limits(limits: Limits) -> list[str]:
    return [
        *("--tmpfs", f"/tmp:rw,exec,nosuid,nodev,mode=1777,size={limits.shm_bytes}"),  # noqa: S108
        *("--tmpfs", "/run:rw,noexec,nosuid,nodev,mode=1777,size=16m"),
        *("--ulimit", "core=0"),
        *("--ulimit", f"fsize={limits.disk_bytes}"),
        *cgroup_limits(limits),
    ]


def cgroup_limits(limits: Limits) -> list[str]:
    """Return the options for what is limited by count or share: memory, processes, cores, GPUs."""
    words = ["--shm-size", str(limits.shm_bytes)]
    if limits.memory_bytes is not None:
        # As much with swap as without: no swap.
        words += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    if limits.pids is not None:
        words += ["--pids-limit", str(limits.pids)]
    if limits.cpus is not None:
        words += ["--cpus", f"{limits.cpus:g}"]
    if limits.gpus is not None:
        words += ["--gpus", gpus(limits.gpus)]
    return words


def gpus(asked: str) -> str:
    """Return the value of `--gpus` for `all`, a count, or ids separated by commas."""
    if asked == "all" or (asked.isdigit() and len(asked) < 3):  # noqa: PLR2004 - else it is an id
        return asked
    ids = asked.removeprefix("device=")
    return f'"device={ids}"' if "," in ids else f"device={ids}"


def mount(source: Path, target: str, *, readonly: bool = False) -> str:
    """Return the value of `--mount` for a folder of the host, whatever its name holds."""
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] * readonly)]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def with_container_config(file: Path, limits: Limits) -> tuple[Limits, str | None]:
    """Read MLE-bench's container config; return limits that obey it, and its OCI runtime.

    Raises:
        InvalidInput: It cannot be read, or a value is none.
        UsageError: It holds a key that means nothing here.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file}: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InvalidInput(f'{file}: must be a JSON object, such as {{"mem_limit": "8g"}}')
    for key in config:
        if key not in _CONFIG_KEYS:
            raise UsageError(f"{file}: unknown key {brief(key)}{suggestion(key, _CONFIG_KEYS)}")
    given = {key: value for key, value in config.items() if value is not None}
    changes: dict[str, Any] = {}
    if "mem_limit" in given:
        changes["memory_bytes"] = _size(given["mem_limit"], f"{file}: mem_limit")
    if "shm_size" in given:
        changes["shm_bytes"] = _size(given["shm_size"], f"{file}: shm_size")
    if "nano_cpus" in given:
        changes["cpus"] = _number(given["nano_cpus"], f"{file}: nano_cpus") / 1e9
    count = int(_number(given.get("gpus", 0), f"{file}: gpus"))
    if count:
        changes["gpus"] = "all" if count < 0 else str(count)
    runtime = given.get("runtime")
    return replace(limits, **changes), None if runtime is None else str(runtime)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{where} must be a number, not {brief(value)}")
    return float(value)


def _size(value: Any, where: str) -> int:
    """Return bytes of `8g`, `512m`, or a number of bytes, as docker reads them."""
    text = str(value).strip().lower().removesuffix("b") or "?"
    number, unit = (text[:-1], text[-1]) if text[-1] in _UNITS else (text, "b")
    try:
        return int(float(number) * _UNITS[unit])
    except ValueError as error:
        raise InvalidInput(f"{where} must be a size such as 8g, not {brief(value)}") from error


def build_hint(image: str) -> str:
    """Return the command that builds an image of ours, or what makes one of anybody's."""
    hints: Mapping[str, str] = {
        "mlebench-env": "docker build -t mlebench-env -f environment/Dockerfile .",
        "mlebench-experiment": (
            "docker build -t mlebench-experiment -f agents/experiment/Dockerfile agents/experiment/"
        ),
    }
    folder = Path("agents", image.partition(":")[0])
    there = (folder / "Dockerfile").is_file()
    ours = f"docker build -t {image} {folder}/" if there else f"docker build -t {image} FOLDER"
    return hints.get(image, ours if there else f"{ours}, or fetch it: docker pull {image}")
