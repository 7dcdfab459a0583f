"""The command line of a trial's container, and MLE-bench's container configs."""

from pathlib import Path

import pytest

from tasks.errors import InvalidInput, UsageError
from tasks.outcome import Limits
from tasks.runtimes.docker_command import (
    OWN_FILES,
    Container,
    build_hint,
    gpus,
    mount,
    run_command,
    with_container_config,
)


def words(limits=None, **changes):
    container = Container(
        **{
            "image": "an-image",
            "name": "a-name",
            "runner": "me",
            "home": Path("/w/home"),
            "public": Path("/w/public"),
            "user": "1000:1000",
        }
        | changes
    )
    return run_command("docker", container, limits or Limits(), ["python", "a b.py"])


def following(command, option):
    return [command[at + 1] for at, word in enumerate(command) if word == option]


def test_a_container_has_no_network_no_capabilities_and_a_root_that_cannot_be_written():
    command = words()
    assert following(command, "--network") == ["none"]
    assert following(command, "--cap-drop") == ["ALL"]
    assert following(command, "--security-opt") == ["no-new-privileges"]
    assert "--read-only" in command
    assert following(command, "--user") == ["1000:1000"]
    assert "--privileged" not in command


def test_the_private_folder_and_the_trials_own_files_are_not_mounted():
    mounts = following(words(), "--mount")
    assert mounts == [
        "type=bind,source=/w/home,target=/home",
        "type=bind,source=/w/public,target=/home/data,readonly",
        f"type=bind,source={OWN_FILES},target=/.aexp,readonly",
    ]


def test_what_is_mounted_of_ours_holds_no_more_than_the_programs_that_run_inside():
    names = {path.name for path in OWN_FILES.iterdir()} - {"__pycache__"}
    programs = {"ask.py", "grading_server.py", "init.py", "rerun.py", "warm.py"}
    assert names == {"__init__.py", *programs}


def test_each_limit_becomes_its_option():
    limits = Limits(
        memory_bytes=2**30, cpus=1.5, pids=64, disk_bytes=1000, shm_bytes=2**20, network="bridge"
    )
    command = words(limits)
    assert following(command, "--memory") == following(command, "--memory-swap") == [str(2**30)]
    assert following(command, "--cpus") == ["1.5"]
    assert following(command, "--pids-limit") == ["64"]
    assert following(command, "--shm-size") == [str(2**20)]
    assert following(command, "--network") == ["bridge"]
    assert "fsize=1000" in following(command, "--ulimit")
    assert "size=1048576" in following(command, "--tmpfs")[0]


def test_limits_that_are_not_set_are_not_named():
    command = words(Limits(pids=None))
    assert not {"--memory", "--cpus", "--pids-limit", "--gpus"} & set(command)


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("all", "all"),
        ("2", "2"),
        ("0,2", '"device=0,2"'),
        ("GPU-3faa8-219", "device=GPU-3faa8-219"),
        ("device=1", "device=1"),
    ],
)
def test_gpus_are_passed_by_count_or_id(asked, value):
    assert gpus(asked) == value
    assert following(words(Limits(gpus=asked)), "--gpus") == [value]


def test_the_container_is_removed_unless_it_is_to_be_retained():
    assert "--rm" in words()
    retained = words(retain=True)
    assert "--rm" not in retained
    assert "aexp.retain=yes" in following(retained, "--label")


def test_the_container_is_labelled_with_its_trial_and_its_runner():
    assert following(words(), "--label") == ["aexp.trial=a-name", "aexp.runner=me"]


def test_the_command_comes_last_and_is_passed_as_it_is():
    command = words()
    image = command.index("an-image")
    assert command[image + 1 :] == ["-I", "-S", "-B", "/.aexp/init.py", "serve", "python", "a b.py"]


def test_validation_is_left_to_a_door_that_does_it_itself():
    assert "serve" in words()
    assert "no-server" in words(serve=False)


def test_another_oci_runtime_and_a_mapped_user_are_named():
    command = words(oci_runtime="runsc", keep_id=True)
    assert following(command, "--runtime") == ["runsc"]
    assert following(command, "--userns") == ["keep-id"]


def test_a_folder_with_a_comma_in_its_name_is_mounted_all_the_same():
    assert mount(Path("/a,b"), "/home") == 'type=bind,"source=/a,b",target=/home'


def config(tmp_path, text):
    file = tmp_path / "config.json"
    file.write_text(text)
    return file


def test_the_default_container_config_of_mle_bench_is_obeyed(tmp_path):
    text = '{"mem_limit": null, "shm_size": "4G", "nano_cpus": 4e9, "runtime": "sysbox-runc"}'
    limits, runtime = with_container_config(config(tmp_path, text), Limits(memory_bytes=5))
    assert (limits.memory_bytes, limits.shm_bytes, limits.cpus) == (5, 4 * 2**30, 4.0)
    assert runtime == "sysbox-runc"
    assert limits.gpus is None


@pytest.mark.parametrize(("count", "value"), [(-1, "all"), (2, "2"), (0, None)])
def test_gpus_of_a_container_config_are_a_count(tmp_path, count, value):
    limits, _ = with_container_config(config(tmp_path, f'{{"gpus": {count}}}'), Limits())
    assert limits.gpus == value


@pytest.mark.parametrize(
    ("size", "number"), [('"512m"', 2**29), ('"1.5g"', 3 * 2**29), ("1000", 1000), ('"2GB"', 2**31)]
)
def test_sizes_are_read_as_docker_reads_them(tmp_path, size, number):
    limits, _ = with_container_config(config(tmp_path, f'{{"mem_limit": {size}}}'), Limits())
    assert limits.memory_bytes == number


@pytest.mark.parametrize(
    ("text", "words_"),
    [
        ("[1]", "must be a JSON object"),
        ("{", "cannot be read"),
        ('{"mem_limit": "much"}', "mem_limit must be a size"),
        ('{"nano_cpus": "4"}', "nano_cpus must be a number"),
    ],
)
def test_a_config_that_cannot_be_obeyed_is_refused(tmp_path, text, words_):
    with pytest.raises(InvalidInput, match=words_):
        with_container_config(config(tmp_path, text), Limits())


def test_an_unknown_key_of_a_config_is_named_with_the_nearest_one(tmp_path):
    with pytest.raises(UsageError, match=r"mem_limits.*mem_limit"):
        with_container_config(config(tmp_path, '{"mem_limits": "1g"}'), Limits())


def test_the_hint_for_an_image_is_the_command_of_the_readme(monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for image in ("mlebench-env", "mlebench-experiment"):
        assert build_hint(image) in readme
    monkeypatch.chdir(Path(__file__).parents[2])
    assert build_hint("nlp_agent:2") == "docker build -t nlp_agent:2 agents/nlp_agent/"


def test_the_hint_for_an_image_of_nobody_here_names_no_folder_that_is_not_there(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert build_hint("other") == "docker build -t other FOLDER, or fetch it: docker pull other"
