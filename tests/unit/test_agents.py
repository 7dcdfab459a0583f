"""Agents out of `config.yaml` files as MLE-bench writes them, and out of bare commands."""

import os

import pytest
import yaml

from tasks import agents
from tasks.errors import InvalidInput, MissingPart, UnknownName, UsageError

START = "x:\n  start: a/start.sh\n"

MLE_BENCH = """\
vars:
  step_count: &step_count 500
  time_limit: &time_limit 86400 # 24 hrs

defaults: &defaults
  start: mine/start.sh
  dockerfile: mine/Dockerfile
  kwargs_type: omegaconf
  env_vars: &env_vars
    TIME_LIMIT_SECS: *time_limit
    STEP_LIMIT: *step_count

kwargs_common: &kwargs_common
  agent.time_limit: *time_limit
  agent.search.debug_prob: 1
  copy_data: False # use symbolic links

mine:
  <<: *defaults
  kwargs:
    <<: *kwargs_common
    agent.code.model: some-model
    agent.steps: *step_count
  env_vars:
    <<: *env_vars
    API_KEY: ${{ secrets.TEST_API_KEY }}

mine/dev:
  <<: *defaults
  privileged: true
  kwargs_type: argparse
  kwargs:
    <<: *kwargs_common
    agent.steps: 8
"""
"""Anchors, merge keys, helper maps and secrets, as the configs of MLE-bench use them."""


@pytest.fixture
def folder(tmp_path):
    """A folder of agents: `folder(text)` writes `a/config.yaml` and returns the folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "start.sh").write_text("echo started\n")

    def call(text, agent="a"):
        (tmp_path / agent).mkdir(exist_ok=True)
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / agent / "config.yaml").write_bytes(content)
        return tmp_path

    return call


@pytest.fixture
def mle_bench(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", "s3cret")
    folder(MLE_BENCH, "mine")
    (tmp_path / "mine" / "start.sh").write_text("")
    (tmp_path / "mine" / "Dockerfile").write_text("")
    return tmp_path


def refused(place, name="x"):
    with pytest.raises(InvalidInput) as caught:
        agents.load(name, place)
    message = str(caught.value)
    assert str(place) in message
    assert len(message) < len(str(place)) + 400
    return message


# --- configs -----------------------------------------------------------------------------------


def test_an_entry_with_anchors_and_merge_keys_is_read_as_mle_bench_reads_it(mle_bench):
    agent = agents.load("mine", mle_bench)
    assert agent.command == (
        "start.sh",
        "agent.time_limit=86400",
        "agent.search.debug_prob=1",
        "copy_data=False",
        "agent.code.model=some-model",
        "agent.steps=500",
    )
    assert agent.env == {"TIME_LIMIT_SECS": "86400", "STEP_LIMIT": "500", "API_KEY": "s3cret"}
    assert agent.folder == mle_bench / "mine"
    assert agent.dockerfile == mle_bench / "mine" / "Dockerfile"


def test_argparse_arguments_come_as_pairs_of_words(mle_bench):
    agent = agents.load("mine/dev", mle_bench)
    assert agent.command[1:5] == (
        "--agent.time_limit",
        "86400",
        "--agent.search.debug_prob",
        "1",
    )
    assert agent.start(mle_bench / "copy")[:2] == ["bash", str(mle_bench / "copy" / "start.sh")]


def test_a_start_file_with_the_line_ends_of_windows_is_refused(folder, tmp_path):
    agents_dir = folder(START)
    (tmp_path / "a" / "start.sh").write_bytes(b"#!/bin/bash\r\necho x\r\n")
    with pytest.raises(InvalidInput, match=r"start\.sh: its lines end as on Windows.*sed -i"):
        agents.load("x", agents_dir)


def test_only_entries_that_start_something_are_agents(mle_bench):
    assert agents.names(mle_bench) == ["mine", "mine/dev"]
    with pytest.raises(UnknownName, match=r"no agent 'mien' in .*; did you mean 'mine'"):
        agents.load("mien", mle_bench)


def test_the_holder_of_anchors_is_not_listed_and_loads_as_in_mle_bench(mle_bench):
    assert "defaults" not in agents.names()
    assert agents.load("defaults", mle_bench).command == ("start.sh",)


def test_the_shipped_agent_is_there():
    assert "experiment" in agents.names()
    agent = agents.load("experiment")
    assert (agent.folder / agent.command[0]).is_file()
    assert agent.env == {}


def test_configs_are_found_in_folders_below_and_the_first_of_an_id_wins(folder, tmp_path):
    folder(START)
    (tmp_path / "b").mkdir()
    folder("x:\n  start: b/none.sh\ny:\n  start: b/c/run.sh\n", "b")
    (tmp_path / "b" / "c").mkdir()
    (tmp_path / "b" / "c" / "run.sh").write_text("")
    assert agents.names(tmp_path) == ["x", "y"]
    assert agents.load("x", tmp_path).command == ("start.sh",)
    assert agents.load("y", tmp_path).command == ("c/run.sh",)


def test_an_empty_config_is_no_agents_and_spoils_no_other(folder):
    folder("# nothing yet\n", "b")
    assert agents.names(folder(START)) == ["x"]


def test_ids_need_not_be_text(folder):
    assert agents.names(folder("5:\n  start: a/start.sh\n")) == ["5"]
    assert agents.load("5", folder("5:\n  start: a/start.sh\n")).id == "5"


@pytest.mark.parametrize("empty", ["{}", "null", ""])
def test_empty_mappings_are_none_at_all(folder, empty):
    agent = agents.load("x", folder(START + f"  kwargs: {empty}\n  env_vars: {empty}\n"))
    assert (agent.command, agent.env) == (("start.sh",), {})


def test_a_dockerfile_that_is_not_there_is_needed_by_no_process(folder):
    assert agents.load("x", folder(START + "  dockerfile: a/Dockerfile\n")).dockerfile is None
    assert agents.load("x", folder(START)).dockerfile is None


def test_kwargs_without_a_type_are_dotted_keys(folder):
    """MLE-bench would refuse them; the specification's own sample has them."""
    assert agents.load("x", folder(START + "  kwargs: {a.b: 1}\n")).command[1:] == ("a.b=1",)


# --- secrets -----------------------------------------------------------------------------------


def test_a_secret_that_is_not_set_is_named_with_what_sets_it(mle_bench, monkeypatch):
    monkeypatch.delenv("TEST_API_KEY")
    with pytest.raises(
        MissingPart, match="API_KEY needs TEST_API_KEY; set it: export TEST_API_KEY="
    ):
        agents.load("mine", mle_bench)
    assert agents.load("mine/dev", mle_bench).id == "mine/dev"


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("${{ secrets.TEST_API_KEY }}", "s3cret"),
        ("${{secrets.TEST_API_KEY}}", "s3cret"),
        ("${{ secrets.TEST_API_KEY }} and more", "s3cret"),
        ("before ${{ secrets.TEST_API_KEY }}", "before ${{ secrets.TEST_API_KEY }}"),
        ("${{ env.TEST_API_KEY }}", "${{ env.TEST_API_KEY }}"),
        ("$TEST_API_KEY", "$TEST_API_KEY"),
    ],
)
def test_a_secret_stands_at_the_start_of_a_value_and_replaces_all_of_it(
    folder, monkeypatch, value, resolved
):
    monkeypatch.setenv("TEST_API_KEY", "s3cret")
    entry = {"x": {"start": "a/start.sh", "kwargs": {"k": value}, "env_vars": {"K": value}}}
    agent = agents.load("x", folder(yaml.safe_dump(entry)))
    assert agent.env == {"K": resolved}
    assert agent.command[1:] == (f"k={resolved}",)


def test_a_secret_of_another_agent_is_never_asked_for(folder):
    text = START + "y:\n  start: a/start.sh\n  env_vars: {K: '${{ secrets.TEST_NOT_SET }}'}\n"
    assert agents.load("x", folder(text)).env == {}


# --- wrong entries -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  stert: b", "unknown key 'stert'; did you mean 'start'?"),
        ("  5: b", "unknown key '5'"),
        ("  kwargs: [a]", "kwargs must be a mapping of names to values"),
        ("  kwargs: text", "kwargs must be a mapping of names to values"),
        ("  env_vars: 5", "env_vars must be a mapping of names to values"),
        ("  kwargs: {a: 1}\n  kwargs_type: arpgarse", "kwargs_type is 'arpgarse'; known: argparse"),
        ("  kwargs: {a: 1}\n  kwargs_type: [argparse]", "kwargs_type is ['argparse']; known: "),
        ('  kwargs: {a: "1\\0"}', "'a': holds a NUL, which no command can be given"),
        ('  env_vars: {A: "1\\0"}', "'A': holds a NUL"),
        ('  env_vars: {"A\\0": 1}', r"env_vars: 'A\x00' cannot name a variable"),
        ("  env_vars: {A=B: 1}", "env_vars: 'A=B' cannot name a variable"),
        ('  env_vars: {"": 1}', "env_vars: '' cannot name a variable"),
        ("  kwargs: {a: 0x" + "f" * 5000 + "}", "'a': too large a number"),
        ("  dockerfile: ../Dockerfile", "dockerfile leaves the folder of agents: '../Dockerfile'"),
        ("  dockerfile: /etc/passwd", "dockerfile leaves the folder of agents: '/etc/passwd'"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_wrong(folder, lines, message):
    said = refused(folder(START + lines + "\n"))
    assert f"{os.sep}config.yaml: x: " in said
    assert message in said


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("a/none.sh", "start names 'a/none.sh', which is not there"),
        ("a", "start names 'a', which is not there"),
        ("", "start names 'None', which is not there"),
        ("[a, b]", "start names \"['a', 'b']\", which is not there"),
        ("../outside.sh", "start leaves the folder of agents"),
        ("/etc/passwd", "start leaves the folder of agents"),
        ("a/link.sh", "start leaves the folder of agents"),
        ("b/start.sh", "start must lie in the agent's folder"),
        ('"a/\\0.sh"', "which is no path"),
        ("a/loop.sh", "start names 'a/loop.sh', which is "),
        ("x" * 5000, "which is no path"),
    ],
)
def test_a_start_file_lies_in_the_agents_own_folder(folder, tmp_path, start, message):
    (tmp_path.parent / "outside.sh").write_text("")
    (tmp_path / "a" / "link.sh").symlink_to("/etc/passwd")
    (tmp_path / "a" / "loop.sh").symlink_to("loop.sh")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "start.sh").write_text("")
    assert message in refused(folder(f"x:\n  start: {start}\n"))


def test_a_folder_of_agents_that_is_none_is_named(tmp_path):
    assert "no such folder of agents" in refused(tmp_path / "none")
    with pytest.raises(InvalidInput, match="no such folder of agents"):
        agents.names(tmp_path / "none")


# --- hostile YAML ------------------------------------------------------------------------------


def doubling(lines, template):
    return "".join(template.format(k=k, before=k - 1) for k in range(1, lines))


LAUGHS = "m0: &m0 [lol, lol]\n" + doubling(40, "m{k}: &m{k} [*m{before}, *m{before}]\n")
MERGES = "m0: &m0 {k: 1}\n" + doubling(40, "m{k}: &m{k} {{<<: [*m{before}, *m{before}]}}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LAUGHS + START + "  kwargs: {k: *m39}\n",
            "its aliases, written out, are larger than 64 KiB",
        ),
        (
            MERGES + START + "  kwargs: {<<: *m39}\n",
            "its aliases, written out, are larger than 64 KiB",
        ),
        (START + "  kwargs: {k: &c [*c]}\n", "its aliases, written out, are larger than 64 KiB"),
        (START + "  kwargs: &c {k: *c}\n", "its aliases, written out, are larger than 64 KiB"),
        (f"a: &a {'x' * 9999}\nb: [{'*a, ' * 20}]\n" + START, "its aliases, written out, are"),
        (
            START + "  kwargs: {k: !!python/object/apply:os.system [id]}\n",
            "could not determine a con",
        ),
        (START + "  kwargs: {k: !!python/name:os.system }\n", "could not determine a constructor"),
        (START + "  kwargs: {k: !mine x}\n", "could not determine a constructor"),
        (START + "  kwargs: {k: 2024-99-99}\n", "month must be in 1..12"),
        (START + "  kwargs: {k: !!bool maybe}\n", "maybe"),
        (START + "  kwargs: {k: !!timestamp never}\n", "NoneType"),
        (START + "  kwargs: {k: !!int ''}\n", "index out of range"),
        (START + "  kwargs: {k: !!float x}\n", "could not convert"),
        (START + "  kwargs: {k: " + "9" * 5000 + "}\n", "Exceeds the limit"),
        (START + "  kwargs: {? [a] : b}\n", "while constructing a mapping"),
        ("a: [\n" + START, "cannot be read: "),
        ("a: \x01\n" + START, "cannot be read: unacceptable character"),
        ("a: *none\n" + START, "cannot be read: found undefined alias"),
        ("\ta: b\n", "cannot be read: while scanning"),
        (START + "---\n" + START, "cannot be read: expected a single document"),
        ("a: " + "[" * 2000, "cannot be read: "),
        (b"\xff\xfe\xff" + START.encode(), "cannot be read: "),
        ("- x\n- y\n", "must map agent ids to entries, not hold a list or a word"),
        ("text", "must map agent ids to entries, not hold a list or a word"),
        ("#" * 2**20 + "\n" + START, "larger than 64 KiB"),
    ],
)
def test_a_hostile_config_is_refused_at_once(folder, text, message):
    said = refused(folder(text))
    assert f"{os.sep}config.yaml: " in said
    assert message in said


def test_a_config_that_is_no_file_is_never_opened(tmp_path):
    (tmp_path / "a").mkdir()
    config = tmp_path / "a" / "config.yaml"
    for make in (os.mkfifo, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero")):
        make(config)
        assert "config.yaml: not a regular file" in refused(tmp_path)
        config.rmdir() if config.is_dir() else config.unlink()


def test_aliases_within_bounds_are_written_out(folder):
    text = "m: &m [1, 2]\n" + START + "  kwargs: {k: *m, l: *m}\n"
    assert agents.load("x", folder(text)).command[1:] == ("k=[1, 2]", "l=[1, 2]")


# --- bare commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "my_agent.py"], "my-agent"),
        (["python", "tools/a.py", "--config", "x.sh"], "a"),
        (["/usr/bin/true"], "true"),
        (["./run me.sh"], "run-me"),
        (["..."], "command"),
        (["ä/ö"], "command"),
        (["python", "x" * 200 + ".py"], "x" * 40),
        (["python", "../../../etc.py"], "etc"),
    ],
)
def test_a_command_is_named_after_its_script_as_one_safe_word(argv, name):
    agent = agents.from_command(argv)
    assert agent.id == name
    assert agent.start("unused") == argv
    assert (agent.folder, agent.env, agent.dockerfile) == (None, {}, None)


@pytest.mark.parametrize("argv", [[], [""]])
def test_an_empty_command_is_a_usage_error(argv):
    with pytest.raises(UsageError, match="the agent's command is empty; put it after --"):
        agents.from_command(argv)
