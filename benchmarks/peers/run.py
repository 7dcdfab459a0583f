"""The same trivial trial here and in peers, in one run: what a trial costs beyond start-up.

`python -m benchmarks.peers.run local 20 200 2000` beside Inspect AI without containers, and
`python -m benchmarks.peers.run docker 20 200` beside Harbor and Inspect AI in Docker, where
everyone's trials run in the image mlebench-experiment, without a network. The first number of
trials is what the cost of others is counted from. As many run at a time as each by itself allows,
or `--at-a-time`. Peers are installed from PyPI below the cache folder.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import suites
from benchmarks.peers.harbor_task import all_right, write_task
from benchmarks.peers.places import docker_tools, engine_version, environment, newer_python

HARBOR = "harbor==0.26.0"
INSPECT = "inspect-ai==0.3.285"
INSPECT_OLD_ENGINE = "inspect-ai==0.3.259"
"""The last that takes a daemon older than INSPECT_ENGINE, such as Debian 12's."""
INSPECT_ENGINE = (24, 0)
IMAGE = "mlebench-experiment"
SCRIPT = Path(__file__).with_name("inspect_copies.py")
COMPOSE = f"""services:
  default:
    image: {IMAGE}
    x-local: true
    entrypoint: []
    command: tail -f /dev/null
    init: true
    network_mode: none
    stop_grace_period: 1s
"""


@dataclass(frozen=True)
class Peer:
    """Somebody who can run so many trials and keep them below `store` in a folder."""

    name: str
    command: Callable[[Path, int], tuple[list[str], dict[str, str]]]
    succeeded: Callable[[Path, str, int], bool] = field(default=lambda *_: True)
    outputs: str | None = None
    """The name of the folders in which the agents' own files lie."""


@dataclass(frozen=True)
class Cost:
    """Of one run as a whole process; `size` in bytes, `blocks` as the disk counts them."""

    wall_s: float
    cpu_s: float
    size: int
    blocks: int


def limit(flag: str, at_a_time: int | None) -> list[str]:
    """Return the words of a command that let so many trials run at a time."""
    return [] if at_a_time is None else [flag, str(at_a_time)]


def ours(runtime: str, at_a_time: int | None) -> Peer:
    """Return this project with a runtime."""
    more = limit("--workers", at_a_time)
    return Peer(
        f"aexp, {runtime}",
        lambda folder, trials: suites.copies(folder, trials, runtime, *more),
        lambda _, said, trials: json.loads(said)["states"] == {"done": trials},
        "outputs",
    )


def inspect(cache: Path, package: str, at_a_time: int | None, *, docker: bool) -> Peer:
    """Return Inspect AI, in a local or a Docker sandbox."""
    python = environment(cache, package) / "python"

    def command(folder: Path, trials: int) -> tuple[list[str], dict[str, str]]:
        words = [str(python), str(SCRIPT), str(trials), *limit("--at-a-time", at_a_time)]
        if docker:
            (folder / "compose.yaml").write_text(COMPOSE)
            words += ["--compose", str(folder / "compose.yaml")]
        return words, {"HOME": str(folder)}

    name = package.replace("==", " ")
    return Peer(f"{name}, {'docker' if docker else 'local'}", command)


def harbor(cache: Path, python: str, at_a_time: int | None, *, init: bool) -> Peer:
    """Return Harbor; without `init`, the first process of its containers waits to be killed."""
    program = environment(cache, HARBOR, python) / "harbor"

    def command(folder: Path, trials: int) -> tuple[list[str], dict[str, str]]:
        task = write_task(folder, IMAGE, init=init)
        words = [str(program), "run", "--path", str(task), "--agent", "oracle", "--n-attempts",
                 str(trials), "--jobs-dir", str(folder / "store"), "--quiet", "--yes",
                 *limit("--n-concurrent", at_a_time)]  # fmt: skip
        return words, {"HOME": str(folder), "HARBOR_TELEMETRY": "0"}

    name = HARBOR.replace("==", " ")
    return Peer(
        f"{name}, init: true" if init else name,
        command,
        lambda folder, _, trials: all_right(folder / "store", trials),
        "logs",  # below the trial's artifacts, as in the container; beside it lies a manifest
    )


def left(store: Path, outputs: str | None) -> tuple[int, int]:
    """Return bytes of all files but the agents' own, and what they and folders take on the disk."""
    kept = [
        path
        for path in store.rglob("*")
        if path.is_dir() or outputs not in path.relative_to(store).parts
    ]
    sizes = sum(path.stat().st_size for path in kept if path.is_file())
    return sizes, sum(path.stat().st_blocks * 512 for path in kept)


def cost(peer: Peer, trials: int) -> Cost:
    """Run so many trials of a peer in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        folder = Path(scratch)
        words, more = peer.command(folder, trials)
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run(words, check=False, cwd=folder, env={**env, **more}, text=True,
                              capture_output=True)  # fmt: skip
        wall = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or not peer.succeeded(folder, done.stdout, trials):
            sys.exit(f"{peer.name}, {trials} trials: status {done.returncode}\n"
                     f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")  # fmt: skip
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{peer.name}: {trials:,} trials in {wall:.1f} s", file=sys.stderr)
        return Cost(wall, cpu, *left(folder / "store", peer.outputs))


def rows(peers: list[Peer], counts: list[int]) -> Iterator[str]:
    """Run all counts of each peer in turns; yield a line for each count after the first."""
    for peer in peers:
        cost(peer, counts[0])  # so that nobody's first start from a cold disk counts
    few = {peer.name: cost(peer, counts[0]) for peer in peers}
    for count in counts[1:]:
        for peer in peers:
            base, many, more = few[peer.name], cost(peer, count), count - counts[0]
            each = (many.wall_s - base.wall_s) / more
            yield (f"{peer.name:<28}{count:>7,}{each:>11.4f}"
                   f"{(many.cpu_s - base.cpu_s) / more * 1e3:>9.1f}"
                   f"{base.wall_s - counts[0] * each:>9.1f}{many.wall_s:>10.1f}"
                   f"{(many.size - base.size) / more / 1e3:>7.1f}"
                   f"{(many.blocks - base.blocks) / more / 1e3:>9.1f}")  # fmt: skip


def asked() -> argparse.Namespace:
    """Read the command line; refuse counts that no suite of ours has."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.run")
    parser.add_argument("where", choices=["local", "docker"])
    parser.add_argument("counts", nargs="+", type=int, metavar="TRIALS")
    parser.add_argument("--at-a-time", type=int, metavar="N")
    parser.add_argument("--cache", type=Path, default=Path(base) / "aexp" / "peers")
    parser.add_argument("--python", help="a Python 3.12 or newer for Harbor")
    given = parser.parse_args()
    counts, step = given.counts, suites.INSTANCES
    if len(counts) < 2 or counts != sorted({*counts}) or any(n < 1 or n % step for n in counts):
        parser.error(f"TRIALS are {counts}: give two or more, each larger than the one before, "
                     f"all multiples of {step}, such as 20 200")  # fmt: skip
    return given


def peers_of(given: argparse.Namespace) -> list[Peer]:
    """Install whom it takes; return them."""
    cache, most = given.cache.absolute(), given.at_a_time
    if given.where == "local":
        return [ours("process", most), inspect(cache, INSPECT, most, docker=False)]
    os.environ.update(docker_tools(cache))
    old = engine_version() < INSPECT_ENGINE
    python = newer_python(given.python)
    return [
        ours("docker", most),
        inspect(cache, INSPECT_OLD_ENGINE if old else INSPECT, most, docker=True),
        harbor(cache, python, most, init=True),
        harbor(cache, python, most, init=False),
    ]


def main() -> None:
    """Print a line for each peer and count."""
    given = asked()
    peers = peers_of(given)
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<28}{'TRIALS':>7}{'S A TRIAL':>11}{'CPU MS':>9}{'START S':>9}{'WHOLE S':>10}"
          f"{'kB':>7}{'kB DISK':>9}")  # fmt: skip
    for row in rows(peers, given.counts):
        print(row, flush=True)


if __name__ == "__main__":
    main()
