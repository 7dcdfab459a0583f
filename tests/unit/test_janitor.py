"""Worlds are removed beside the next trials, and all of them before the process is over."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.suite import janitor
from tasks.suite.janitor import Janitor, remove_world
from tests.conftest import ROOT

LEAVING = """
import sys
from pathlib import Path
from tasks.suite.janitor import Janitor
keeper = Janitor()
for place in sorted(Path(sys.argv[1]).iterdir()):
    keeper.remove(place)
"""


@pytest.fixture
def trial(tmp_path):
    """Return what makes the folder of a trial that is over."""

    def make(number=0):
        place = tmp_path / f"{number:03}"
        for folder in ("home/agent/deep", "public", "outputs"):
            (place / folder).mkdir(parents=True)
            (place / folder / "file").write_text("x")
        (place / "report.json").write_text("{}")
        return place

    return make


def left(place):
    return sorted(entry.name for entry in place.iterdir())


def eventually(condition):
    until = time.monotonic() + 20
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def test_of_a_trial_its_world_goes_and_its_results_stay(trial):
    place = trial()
    remove_world(place)
    assert left(place) == ["outputs", "report.json"]


def test_what_links_of_a_world_lead_to_stays(trial, tmp_path):
    place, other = trial(), tmp_path / "other"
    (other / "inner").mkdir(parents=True)
    (other / "inner" / "file").write_text("x")
    (place / "home" / "agent" / "link").symlink_to(other)
    (place / "public" / "file").unlink()
    (place / "public").rmdir()
    (place / "public").symlink_to(other)
    remove_world(place)
    assert left(place) == ["outputs", "public", "report.json"]
    assert (other / "inner" / "file").exists()


def test_beside_what_cannot_be_removed_all_else_goes(trial, monkeypatch):
    place, unlink = trial(), os.unlink
    for name in ("a", "kept", "z"):
        (place / "home" / "agent" / name).write_text("x")

    def refusing(path, **where):
        if path == "kept":
            raise PermissionError(path)
        unlink(path, **where)

    monkeypatch.setattr(os, "unlink", refusing)
    remove_world(place)
    assert [path.name for path in (place / "home").rglob("*")] == ["agent", "kept"]
    assert not (place / "public").exists()


def test_it_is_done_beside_whoever_asked_and_the_thread_goes_home(trial, monkeypatch):
    monkeypatch.setattr(janitor, "IDLE_LOOKS", 2)
    keeper, places = Janitor(), [trial(number) for number in range(30)]
    for place in places:
        keeper.remove(place)
    assert eventually(lambda: "janitor" not in [one.name for one in threading.enumerate()])
    assert [left(place) for place in places] == [["outputs", "report.json"]] * 30
    keeper.remove(again := trial(99))
    assert eventually(lambda: left(again) == ["outputs", "report.json"])


def test_who_asks_for_more_than_can_wait_helps(trial, monkeypatch):
    monkeypatch.setattr(janitor, "PAUSE_S", 5.0)
    monkeypatch.setattr(janitor, "MOST", 3)
    keeper = Janitor()
    for number in range(6):
        keeper.remove(trial(number))
        assert len(keeper._waiting) <= 3
    keeper._tidy()


def test_a_process_that_ends_has_tidied_up(trial, tmp_path):
    for number in range(12):
        trial(number)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LEAVING, str(tmp_path)], check=True, env=env, timeout=60)
    assert not [*Path(tmp_path).glob("*/home"), *Path(tmp_path).glob("*/public")]


def test_a_world_too_deep_to_be_removed_stops_nobody(trial):
    deep, plain = trial(1), trial(2)
    handle = os.open(deep / "home", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    keeper = Janitor()
    try:
        for place in (deep, plain):
            keeper.remove(place)
        assert eventually(lambda: left(plain) == ["outputs", "report.json"])
    finally:
        subprocess.run(["rm", "-rf", str(deep)], check=True)
