"""What is promised of a run, and what is refused."""

import os

import pytest
import typer

from tasks.cli.limits import limits_of
from tasks.cli.options import parse_limit, parse_size
from tasks.errors import MissingPart, UsageError
from tasks.outcome import Limits, demanded, isolation, refuse_impossible, refuse_unmet

WALLED = {"network": "net namespace", "filesystem": "mount namespace", "memory": None}


def test_walls_against_network_and_files_make_it_isolated():
    assert isolation(WALLED) == "isolated"
    assert isolation({**WALLED, "network": None}) == "not isolated"
    assert isolation({}) == "not isolated"


def test_a_demand_that_is_not_met_is_refused_by_name_with_what_would_meet_it():
    refuse_unmet(["network", "filesystem"], WALLED, "box")
    with pytest.raises(MissingPart, match=r"memory must be enforced, and the box .* --memory 4g"):
        refuse_unmet(["network", "memory"], WALLED, "box")


def test_a_demand_of_something_nobody_knows_is_a_usage_error():
    assert demanded(["time"], "requires") == ("time",)
    with pytest.raises(UsageError, match=r"requires: no guarantee 'netwrk'; did you mean"):
        demanded(["netwrk"], "requires")


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2k", 2048), ("1.5M", 1_572_864), ("4GiB", 2**32), ("1 gb", 2**30)],
)
def test_sizes_are_read_as_docker_reads_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1g", "4x", "g", "1e9"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(typer.BadParameter, match="write it as 512m or 4g"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("soon", "no time; write it as 90"), ("0", "at least 0.1"), ("2 w", "no time")],
)
def test_what_is_no_time_limit_is_refused(text, said):
    with pytest.raises(typer.BadParameter, match=said):
        parse_limit(text)


def test_times_are_read_with_their_units():
    assert [parse_limit(text) for text in ("90", "0.5s", "30m", "2h", "1d")] == [
        90, 0.5, 1800, 7200, 86400,
    ]  # fmt: skip


def test_options_that_are_not_given_leave_the_defaults():
    given = {"network": "none", "gpus": None, "memory_bytes": None, "cpus": 0.5}
    assert limits_of(**given) == Limits(cpus=0.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"memory_bytes": 5}, "--memory 5 bytes: give at least 16m"),
        ({"memory_bytes": 2**24 - 1}, "--memory 16,777,215 bytes: give at least 16m"),
        ({"disk_bytes": 1024}, "--disk 1,024 bytes: give at least 1m"),
        ({"cpus": float("nan")}, "--cpus nan: give at least 0.01"),
    ],
)
def test_limits_in_which_nothing_can_run_are_a_usage_error(given, said):
    with pytest.raises(UsageError, match=f"^{said}$"):
        limits_of(network="none", gpus=None, **given)


def test_more_cores_than_the_machine_has_are_a_missing_part_and_all_of_them_are_not():
    there = os.cpu_count()
    limits_of(network="none", gpus=None, cpus=there, memory_bytes=2**24, disk_bytes=2**20)
    with pytest.raises(MissingPart, match=f"--cpus {there + 1}: .* give at most {there}"):
        limits_of(network="none", gpus=None, cpus=there + 1)


def test_where_the_machines_are_not_known_any_number_of_cores_may_be_asked_for():
    refuse_impossible(Limits(cpus=512), None, "limits.")
    with pytest.raises(UsageError, match=r"limits\.cpus 0\.001"):
        refuse_impossible(Limits(cpus=0.001), None, "limits.")


@pytest.mark.parametrize("gpus", ["all", "2", "0,2", "GPU-3faa8-219"])
def test_gpus_are_named_by_count_or_id(gpus):
    assert limits_of(network="none", gpus=gpus).gpus == gpus


@pytest.mark.parametrize(
    ("network", "gpus"), [("lan", None), ("none", "0,"), ("none", "device=0"), ("none", "")]
)
def test_another_network_or_choice_of_gpus_is_a_usage_error(network, gpus):
    with pytest.raises(UsageError, match=r"--network 'lan'; known|--gpus '"):
        limits_of(network=network, gpus=gpus)
