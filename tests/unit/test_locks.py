"""The lock is whole, so that pip need not look for anything beside it."""

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PINNED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+))?", re.MULTILINE
)


def pinned(lock):
    text = (ROOT / "requirements" / lock).read_text()
    return {
        canonicalize_name(found["name"])
        for found in PINNED.finditer(text)
        if Requirement(
            f"{found['name']}; {found['marker'] or 'python_version > ' + repr('3')}"
        ).marker.evaluate()
    }


def test_what_the_lock_installs_needs_nothing_that_it_does_not_pin():
    names = pinned("dev.lock")
    missing = {
        f"{name}: {needed}"
        for name in names
        for line in distribution(name).requires or ()
        if (needed := Requirement(line)).marker is None or needed.marker.evaluate({"extra": ""})
        if canonicalize_name(needed.name) not in names
    }
    assert len(names) > 50
    assert missing == set()


def test_pip_installs_the_lock_and_looks_for_nothing_newer():
    """With `--require-hashes` alone it stops at the first new release of `coverage[toml]`."""
    lines = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if " -m pip install " in line
    ]
    assert len(lines) == 2
    assert all("--no-deps" in line for line in lines)
