"""Runners and workers are killed at every state; `python -m benchmarks.kills` does it 200 times."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_nothing_is_lost_or_run_twice_however_a_suite_is_killed():
    """Six kills, in a process of its own, which adopts whatever a killed runner leaves."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "6", "15"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("6 kills in ")
    assert "faults:\n  none" in done.stdout
