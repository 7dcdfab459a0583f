"""Trials lie far apart on file systems that take the advice, and just somewhere on others."""

import fcntl
import os
import struct
import subprocess

from tasks.store import spread as module
from tasks.store.spread import spread


def flags_of(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        return struct.unpack("q", fcntl.ioctl(handle, module._GET_FLAGS, bytes(8)))[0]
    finally:
        os.close(handle)


def test_ext4_is_told_and_other_file_systems_are_not_disturbed(tmp_path):
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], check=True, capture_output=True, text=True
    ).stdout
    if "ext" in kind:
        before = flags_of(tmp_path)
        spread(tmp_path)
        assert flags_of(tmp_path) == before | module._TOPDIR
    else:
        spread(tmp_path)
    (tmp_path / "trial").mkdir()


def test_a_file_system_that_refuses_is_left_alone(monkeypatch, tmp_path):
    calls = []

    def refused(*_):
        calls.append(1)
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module.fcntl, "ioctl", refused)
    spread(tmp_path)
    assert calls == [1]
