"""Dask, Ray and Slurm, each a real one on this machine, keep what the pool keeps."""

import os

import pytest

from tasks.errors import MissingPart, install
from tasks.executors import Needs, executor_named
from tests.contracts.test_executors import ExecutorContract
from tests.contracts.test_trackers import needs
from tests.engines.one_node_slurm import slurm_running

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm of one node, with its daemons, for the tests of this module."""
    needs("slurm", "submitit")
    with slurm_running(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables


class TestDask(ExecutorContract):
    @pytest.fixture
    def make(self):
        needs("dask", "distributed")
        return lambda *, workers: executor_named("dask", workers=workers)


class TestRay(ExecutorContract):
    @pytest.fixture
    def make(self):
        needs("ray", "ray")
        return lambda *, workers: executor_named("ray", workers=workers)


class TestSlurm(ExecutorContract):
    @pytest.fixture
    def make(self, slurm, monkeypatch, tmp_path):
        for name, value in slurm.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AEXP_SLURM_DIR", str(tmp_path / "jobs"))
        room = Needs(cpus=1, memory_bytes=64 * 2**20, time_s=120)
        return lambda *, workers: executor_named("slurm", workers=workers, needs=room)


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("dask", "distributed", install("dask")),
        ("ray", "ray", install("ray")),
        ("slurm", "submitit", install("slurm")),
    ],
)
def test_an_engine_that_is_not_installed_is_named_with_what_brings_it(
    name, module, line, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingPart) as error:
        executor_named(name, workers=1)
    assert line in str(error.value)
    assert error.value.exit_status == 5


def test_without_sbatch_it_is_said_where_to_run(monkeypatch):
    needs("slurm", "submitit")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(MissingPart, match="sbatch"):
        executor_named("slurm", workers=1)
