"""Fixtures that several folders of tests share."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import registry
from tasks.cli import main, run_task
from tasks.errors import MissingPart
from tasks.runtimes.bubblewrap import BubblewrapRuntime
from tasks.runtimes.nursery import NURSERY

ROOT = Path(__file__).resolve().parent.parent

COPY_SAMPLE = """\
import os, shutil
shutil.copy(os.environ["DATA_DIR"] + "/sample_submission.csv",
            os.environ["SUBMISSION_DIR"] + "/submission.csv")
print("copied the sample")
"""
"""An agent that hands in the sample submission."""


@dataclass(frozen=True)
class Ended:
    """How a command of ours ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _nursery_as_at_the_start():
    """A runner opens the nursery with its second trial; no test is to depend on one before it."""
    yield
    if NURSERY.opened:
        NURSERY.close()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session):
    """Discard broken files of coverage before they are combined, which would end the run."""
    result = yield
    if not hasattr(session.config, "workerinput"):
        discard_broken_coverage(session.config.rootpath)
    return result


def discard_broken_coverage(folder):
    """Remove the data of processes that were killed while they wrote it; return the names."""
    found = [file for file in folder.glob(".coverage.*") if not _is_sound(file)]
    for file in found:
        file.unlink()
    return sorted(file.name for file in found)


def _is_sound(file):
    try:
        with contextlib.closing(sqlite3.connect(file)) as data:
            data.execute("SELECT version FROM coverage_schema")
            return data.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False


@pytest.fixture
def broken_coverage_discarded():
    """Give the function, which is no test's own."""
    return discard_broken_coverage


@pytest.fixture(autouse=True)
def _known_tasks_are_restored():
    registry.list_tasks()
    before = dict(registry._tasks)
    yield
    registry._tasks.clear()
    registry._tasks.update(before)


@pytest.fixture
def cli(capsys):
    """Call `aexp …` in this process."""

    def call(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return call


@pytest.fixture
def run(capsys, tmp_path):
    """Call `run_task.py …` in this process, its trials below `tmp_path/runs`."""

    def call(*arguments):
        capsys.readouterr()
        given = [str(argument) for argument in arguments]
        cut = given.index("--") if "--" in given else len(given)
        status = run_task([*given[:cut], "--out", str(tmp_path / "runs"), *given[cut:]])
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return call


@pytest.fixture
def process(tmp_path):
    """Call Python as a process of its own, in an empty folder, as a user would."""

    def call(*arguments, env=None, cwd=tmp_path, stdin="", timeout=200):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            check=False,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def agent(tmp_path):
    """Write an agent's script; return its path."""

    def write(source=COPY_SAMPLE, name="my_agent.py"):
        path = tmp_path / name
        path.write_text(source)
        return path

    return write


@pytest.fixture
def bubblewrap_here():
    """Bubblewrap, without which a test is skipped, or fails where it is required."""
    try:
        BubblewrapRuntime().check()
    except MissingPart as error:
        if "bubblewrap" in os.environ.get("AEXP_REQUIRE", ""):
            raise
        pytest.skip(str(error))
