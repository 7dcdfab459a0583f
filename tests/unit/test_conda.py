"""The part of conda that images have: which Python an environment gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def conda(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def call(*words):
        env = {**os.environ, "CONDA_ROOT": str(tmp_path), "PATH": path, "PIP_NO_INDEX": "1"}
        env.pop("PIP_FIND_LINKS", None)
        return subprocess.run(
            ["bash", ROOT / "environment" / "conda", *words],
            check=False, capture_output=True, text=True, env=env,
        )  # fmt: skip

    return call


@pytest.mark.parametrize("asked", ["python", f"python>={VERSION}"])
def test_an_environment_gets_a_python_of_the_version_that_is_asked_for(conda, tmp_path, asked):
    done = conda("create", "-y", "-n", "mine", asked)
    assert done.returncode == 0, done.stderr
    said = conda("run", "-n", "mine", "python", "-V").stdout
    assert said.startswith("Python 3." if asked == "python" else f"Python {VERSION}.")


def test_a_python_that_cannot_be_had_is_an_error_and_no_other_one(conda, tmp_path):
    done = conda("create", "-y", "-n", "mine", "python=3.99")
    assert done.returncode == 5
    assert "no python=3.99 here, and none could be fetched" in done.stderr
    assert not (tmp_path / "envs" / "mine").exists()
