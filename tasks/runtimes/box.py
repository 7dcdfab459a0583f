"""What the inside of a box looks like; `bwrap_words.py` and `template.py` build it."""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes.bwrap_words import BIND, HOME, LINK

USER = 1000
"""Who the command is inside, whoever it is outside."""

PACKAGE = Path(__file__).resolve().parent.parent

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
CORES = "/sys/devices/system/cpu"
"""By which numerical libraries count the cores."""

ETC = (
    "alternatives",
    "debian_version",
    "fonts",
    "ld.so.cache",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""What programs need of /etc, and no more: no accounts, no keys, no settings of servers."""
NETWORK_ETC = ("gai.conf", "hosts", "nsswitch.conf", "resolv.conf")

FILES = {
    "/etc/passwd": f"agent:x:{USER}:{USER}::{HOME}:/bin/bash\nroot:x:0:0::/root:/bin/sh\n",
    "/etc/group": f"agent:x:{USER}:\nroot:x:0:\n",
}
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"

TMP_BYTES = 2**30
_SHARE = 4

_STAGES = ("/mnt", "/media", "/srv", "/opt", "/boot")
"""Folders that every system has and that lie in nobody's way, if nothing wanted is below."""

_FIXED = (
    "--unshare-user --unshare-ipc --unshare-pid --unshare-uts --unshare-cgroup-try "
    f"--die-with-parent --new-session --uid {USER} --gid {USER} --hostname box --clearenv"
).split()


def stage(paths: Iterable[str]) -> str:
    """Return a folder of the host that hides none of these where something is put over it.

    Raises:
        MissingPart: There is none.
    """
    for place in _STAGES:
        if os.path.isdir(place) and not any(_is_below(path, place) for path in paths):  # noqa: PTH112 - for each trial
            return place
    raise MissingPart(f"bubblewrap needs one of {', '.join(_STAGES)} with nothing of ours in it")


@lru_cache(maxsize=16)
def trees(program: str) -> tuple[Path, ...]:
    """Return the folders of the host that the command reads: its Python, ours, and this package.

    Args:
        program: What is started; an absolute path may lead to the Python of another environment.
    """
    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)]
    wanted.append(Path(sys.executable).resolve().parent.parent)
    if os.path.isabs(program):  # noqa: PTH117
        wanted += _environment(Path(program))
    outside = [path for path in [*wanted, PACKAGE] if not is_system(path)]
    unique = sorted({path for path in outside if path.is_dir()})
    return tuple(p for p in unique if not any(p.is_relative_to(o) for o in unique if o != p))


def is_system(path: Path) -> bool:
    """Whether it is seen by everyone and everywhere."""
    return path == Path("/") or any(_is_below(str(path), place) for place in SYSTEM)


def _is_below(name: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it; both as written, and told in a microsecond."""
    return name == folder or name.startswith(f"{folder}/")


def _environment(program: Path) -> Iterator[Path]:
    """Return the folders of the virtual or conda environment that a program belongs to."""
    root = program.parent.parent
    if (root / "conda-meta").is_dir():
        yield root
    settings = root / "pyvenv.cfg"
    if settings.is_file():
        yield root
        yield program.resolve().parent.parent
        for line in settings.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "home":
                yield Path(value.strip()).parent


def first(limits: Limits) -> list[str]:
    """Return bubblewrap's arguments about namespaces."""
    return [*_FIXED, *([] if limits.network == "host" else ["--unshare-net"])]


def memory_sizes(limits: Limits, *, counted: bool) -> tuple[int, int]:
    """Return how many bytes /dev/shm and /tmp hold at the most.

    Args:
        limits: With the sizes of what is kept in memory.
        counted: Whether files in memory count as memory, as in a control group; where they do not
            they get a share of it.
    """
    whole = TMP_BYTES if limits.memory_bytes is None else limits.memory_bytes
    most = whole if counted or limits.memory_bytes is None else whole // _SHARE
    return min(limits.shm_bytes, most), min(TMP_BYTES, limits.disk_bytes, most)


@lru_cache(maxsize=2)
def tree(*, network: bool) -> tuple[tuple[str, str, str], ...]:
    """Return what all boxes have of the system: what it is, of what, and where."""
    return tuple(_of_the_system(network=network))


def _of_the_system(*, network: bool) -> Iterator[tuple[str, str, str]]:
    for place in (*SYSTEM, CORES):
        if os.path.islink(place):  # noqa: PTH114
            yield LINK, os.readlink(place), place  # noqa: PTH115 - a text is wanted
        elif os.path.isdir(place):  # noqa: PTH112
            yield BIND, place, place
    for path in _etc(network=network):
        if os.path.isdir(path) and _holds_more_than_words(path):  # noqa: PTH112
            yield BIND, path, path


def _holds_more_than_words(folder: str) -> bool:
    """Whether there is more in it than a README, as there often is not: each mount takes time."""
    return any(name != "README" for name in os.listdir(folder))  # noqa: PTH208 - as above


def _etc(*, network: bool) -> Iterator[str]:
    for name in (*ETC, *(NETWORK_ETC if network else ())):
        if os.path.exists(path := f"/etc/{name}"):  # noqa: PTH110
            yield path


@lru_cache(maxsize=2)
def copied(*, network: bool) -> tuple[str, ...]:
    """Return the files of the host that are copied in: a mount for each would take longer."""
    return tuple(path for path in _etc(network=network) if os.path.isfile(path))  # noqa: PTH113


def files(*, network: bool) -> dict[str, bytes]:
    """Return the files that are made for the inside, by path."""
    made = {path: text.encode() for path, text in FILES.items()}
    return made if network else {**made, "/etc/hosts": HOSTS.encode()}


def devices(wanted: str | None) -> list[str]:
    """Return the NVIDIA devices that are let through, where they are there.

    Raises:
        MissingPart: There are not as many here, or not these.
    """
    if wanted is None:
        return []
    here = sorted(
        path.name.removeprefix("nvidia")
        for path in Path("/dev").glob("nvidia*")
        if path.name.removeprefix("nvidia").isdigit()
    )
    count = len(here) if wanted == "all" else int(wanted) if wanted.isdigit() else 0
    chosen = here[:count] if count else wanted.split(",")
    if not here or count > len(here) or not set(chosen) <= set(here):
        raise MissingPart(
            f"--gpus {wanted}: of NVIDIA devices here are: {', '.join(here) or 'none'}"
        )
    return [
        *(f"/dev/nvidia{number}" for number in chosen),
        *("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"),
    ]
