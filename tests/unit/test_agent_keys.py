"""MLE-bench's own configs, the specification's sample, and our keys under `aexp:`."""

import logging

import pytest

from tasks import agents
from tasks.errors import InvalidInput, MissingPart, UsageError
from tasks.outcome import Limits

SECRETS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY")

DUMMY = """\
dummy:
  start: dummy/start.sh
  dockerfile: dummy/Dockerfile
"""

AIDE = """\
vars:
  step_count: &step_count 500
  time_limit: &time_limit 7200

defaults: &defaults
  start: aide/start.sh
  dockerfile: aide/Dockerfile
  kwargs_type: omegaconf
  env_vars: &env_vars
    TIME_LIMIT_SECS: *time_limit
    STEP_LIMIT: *step_count

kwargs_common: &kwargs_common
  agent.search.max_debug_depth: 20
  agent.search.debug_prob: 1
  agent.time_limit: *time_limit
  exec.timeout: 32400
  copy_data: False
""" + "".join(
    f"""
{name}:
  <<: *defaults
  kwargs:
    <<: *kwargs_common
    agent.code.model: {model}
    agent.feedback.model: m
    agent.steps: *step_count
    {further}
  env_vars:
    <<: *env_vars
    {key}: ${{{{ secrets.{key} }}}}
"""
    for name, model, further, key in (
        ("aide", "gpt-4o-2024-08-06", "", "OPENAI_API_KEY"),
        ("aide/dev", "gpt-4o-2024-08-06", "", "OPENAI_API_KEY"),
        ("aide/o1-preview", "o1-preview", "agent.convert_system_to_user: True", "OPENAI_API_KEY"),
        ("aide/claude-3-5-sonnet", "claude-3-5-sonnet-20240620", "", "ANTHROPIC_API_KEY"),
        ("aide/llama-3.1-405b-instruct", "meta-llama/llama", "", "OPENROUTER_API_KEY"),
        ("aide/gemini-1.5-pro", "gemini-1.5-pro-002", "", "GEMINI_API_KEY"),
        ("aide/obfuscated", "gpt-4o-2024-08-06", "agent.obfuscate: True", "OPENAI_API_KEY"),
    )
)

MLAGENTBENCH = """\
vars:
  time_limit: &time_limit 86400
  step_count: &step_count 2000

mlagentbench:
  start: mlagentbench/start.sh
  dockerfile: mlagentbench/Dockerfile
  kwargs_type: argparse
  kwargs:
    llm-name: gpt-4o-2024-08-06
    max-steps: *step_count
    max-time: *time_limit
    max-retries: 10
  env_vars:
    OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}
    TIME_LIMIT_SECS: *time_limit
    STEP_LIMIT: *step_count
"""

OPENDEVIN = """\
opendevin:
  start: opendevin/start.sh
  dockerfile: opendevin/Dockerfile
  kwargs_type: argparse
  kwargs:
    agent: CodeActAgent
    model: gpt-4o
    max_time_in_hours: 24
    max_steps: 500
    shm_size: 100G
  env_vars:
    OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}
  privileged: true
"""

CONFIGS = {"dummy": DUMMY, "aide": AIDE, "mlagentbench": MLAGENTBENCH, "opendevin": OPENDEVIN}

SPEC_SAMPLE = """\
aide/experiment:
  start: aide/start.sh
  dockerfile: aide/Dockerfile
  kwargs:
    agent.task_type: experiment
    agent.experiment_mode: true
  env_vars:
    EXPERIMENT_MODE: "true"
    TASK_TYPE: "general"
"""


def written(root, configs):
    for folder, text in configs.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "config.yaml").write_text(text)
        for name in ("start.sh", "Dockerfile"):
            (root / folder / name).touch()
    return root


@pytest.fixture
def mle_bench(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, f"value of {name}")
    return written(tmp_path, CONFIGS)


@pytest.fixture
def mine(tmp_path):
    def call(lines, **files):
        text = f"a:\n  start: a/start.sh\n  dockerfile: a/Dockerfile\n{lines}"
        written(tmp_path, {"a": text})
        for name, content in files.items():
            (tmp_path / "a" / name.replace("_", ".")).write_text(content)
        return tmp_path

    return call


def test_every_agent_of_mle_benchs_four_configs_loads(mle_bench, caplog):
    found = {name: agents.load(name, mle_bench) for name in agents.names(mle_bench)}
    assert {name.partition("/")[0] for name in found} == set(CONFIGS)
    assert agents.load("defaults", mle_bench).folder is not None
    assert found["dummy"].command == ("start.sh",)
    assert found["aide"].command[-1] == "agent.steps=500"
    assert "copy_data=False" in found["aide"].command
    assert found["aide/gemini-1.5-pro"].env["GEMINI_API_KEY"] == "value of GEMINI_API_KEY"
    assert found["mlagentbench"].command[1:3] == ("--llm-name", "gpt-4o-2024-08-06")
    assert found["opendevin"].privileged
    assert not found["aide"].privileged
    assert all(agent.notes == () for agent in found.values())
    assert caplog.records == []


def test_an_agent_that_wants_all_rights_is_the_users_risk(mle_bench):
    agent = agents.load("opendevin", mle_bench)
    for value in ("", "0", "yes"):
        with pytest.raises(MissingPart) as caught:
            agents.refuse_privileged(agent, {agents.PRIVILEGED: value})
        assert "export I_ACCEPT_RUNNING_PRIVILEGED_CONTAINERS=true" in str(caught.value)
    for value in ("true", "1", "T"):
        agents.refuse_privileged(agent, {agents.PRIVILEGED: value})
    agents.refuse_privileged(agents.load("dummy", mle_bench), {})


def test_the_specifications_sample_loads_with_a_warning(tmp_path, caplog):
    agent = agents.load("aide/experiment", written(tmp_path, {"aide": SPEC_SAMPLE}))
    assert agent.command[1:] == ("agent.task_type=experiment", "agent.experiment_mode=True")
    assert agent.env == {"EXPERIMENT_MODE": "true", "TASK_TYPE": "general"}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "kwargs without kwargs_type, taken as omegaconf" in record.getMessage()
    assert agent.notes == (record.getMessage().partition("aide/experiment: ")[2],)


@pytest.mark.parametrize(
    "name", ["aide", "aide/dev", "aide/experiment", "mini-swe-agent", "opendevin"]
)
def test_shipped_agents_call_models_by_a_door_and_need_no_key_here(name, monkeypatch):
    for secret in SECRETS:
        monkeypatch.delenv(secret, raising=False)
    agent = agents.load(name)
    assert agent.keys.models == {"local": "local"}
    assert "OPENAI_API_KEY" not in agent.env
    assert agent.setup.is_file()
    assert agent.dockerfile.is_file()
    assert agent.notes == ()
    assert not agent.privileged


def test_our_own_keys_lie_where_mle_bench_does_not_look(mine):
    lines = """\
  aexp:
    models: {fast: gpt-4o-mini, slow: gpt-4o}
    network: bridge
    requires: [memory, time]
    limits: {memory_bytes: 4000000000, cpus: 1.5}
    setup: requirements.txt
    python: "3.12"
"""
    agent = agents.load("a", mine(lines, requirements_txt="six\n"))
    assert agent.keys.models == {"fast": "gpt-4o-mini", "slow": "gpt-4o"}
    assert (agent.keys.network, agent.keys.requires) == ("bridge", ("memory", "time"))
    limited = agents.limited(agent, Limits(network="bridge", cpus=1.0))
    assert (limited.memory_bytes, limited.cpus, limited.pids) == (4_000_000_000, 1.0, 4096)


def test_other_packages_are_another_environment(mine, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = mine("  aexp: {setup: requirements.txt}\n", requirements_txt="six\n")
    first = agents.load("a", place).environment
    assert first.parent == tmp_path / "cache" / "aexp" / "agents"
    assert agents.load("a", place).environment == first
    (place / "a" / agents.NO_DEPS).write_text("seven\n")
    assert agents.load("a", place).environment != first


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  aexp: 5\n", "aexp must be a mapping"),
        ("  aexp: {modles: [a]}\n", "aexp.modles: Extra inputs are not permitted; did you mean"),
        ("  aexp: {models: a}\n", "aexp.models: "),
        ("  aexp: {models: [5]}\n", "aexp.models: "),
        ("  aexp: {models: {a: ''}}\n", "aexp.models.a: "),
        ("  aexp: {network: open}\n", "aexp.network: "),
        ("  aexp: {requires: [speed]}\n", "aexp.requires: no guarantee 'speed'"),
        ("  aexp: {requires: [network], network: host}\n", "requires network, and network is host"),
        ("  aexp: {limits: {memory: 4g}}\n", "aexp.limits.memory: Extra inputs"),
        ("  aexp: {limits: {pids: 0}}\n", "aexp.limits.pids: "),
        ("  aexp: {limits: {pids: '5'}}\n", "aexp.limits.pids: "),
        ("  aexp: {python: 3}\n", "aexp.python: "),
        ("  aexp: {setup: none.txt}\n", "aexp.setup names 'none.txt', no file of its folder"),
        ("  aexp: {setup: ../../x}\n", "aexp.setup names '../../x', no file of its folder"),
        ("  privileged: yes please\n", "privileged must be true or false, not 'yes please'"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_file_and_key(mine, lines, message):
    place = mine(lines)
    with pytest.raises(InvalidInput) as caught:
        agents.load("a", place)
    assert f"{place / 'a' / 'config.yaml'}: a: " in str(caught.value)
    assert message in str(caught.value)


# --- aexp agents -------------------------------------------------------------------------------


def test_agents_are_listed_with_what_they_lack(cli, mine, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TEST_NOT_SET", raising=False)
    place = mine("  aexp: {models: [m], setup: r.txt}\n", r_txt="")
    written(place, {"b": "b: {start: b/start.sh, env_vars: {K: '${{ secrets.TEST_NOT_SET }}'}}"})
    ended = cli("agents", "list", "--agents-dir", place)
    assert ended.status == 0
    first, second = [line.split(maxsplit=2) for line in ended.out.splitlines()[1:]]
    assert first == ["a", "m", "not set up: aexp agents setup a"]
    assert second[0] == "b"
    assert "K needs TEST_NOT_SET" in second[2]


def test_an_agent_is_shown_without_the_values_of_its_variables(cli, mine, monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", "s3cret")
    place = mine("  env_vars: {K: '${{ secrets.TEST_API_KEY }}'}\n")
    for words in ([], ["--json"]):
        ended = cli("agents", "show", "a", "--agents-dir", place, *words)
        assert ended.status == 0
        assert "K" in ended.out
        assert "s3cret" not in ended.out + ended.err


def test_a_check_says_what_an_agent_did(cli, mine, tmp_path):
    place = mine("")
    (place / "a" / "start.sh").write_text(
        'echo "hello there"; echo note > "$LOGS_DIR/note.txt"\n'
        'cp "$DATA_DIR/sample_submission.csv" "$SUBMISSION_DIR/submission.csv"\n'
    )
    ended = cli("agents", "check", "a", "--agents-dir", place, "--runtime", "process")
    assert ended.status == 0, ended.err
    for words in ("ended: finished", "agent | hello there", "left: 2 files", "logs/note.txt",
                  "submission/submission.csv", "no features", "best possible"):  # fmt: skip
        assert words in ended.out


def test_the_shipped_custom_agent_does_a_task_that_no_registry_knows(cli):
    ended = cli("agents", "check", "custom_agent", "--runtime", "process")
    assert ended.status == 0, ended.out
    assert "agent | tiny: Tiny: target = " in ended.out


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("exit 3\n", 6, "ended: agent error: exit status 3"),
        ("true\n", 4, "submission: "),
        ('echo x > "$SUBMISSION_DIR/submission.csv"\n', 4, "submission: "),
        ("sleep 60\n", 7, "ended: timed out"),
    ],
)
def test_a_check_tells_failures_apart(cli, mine, script, status, words):
    place = mine("")
    (place / "a" / "start.sh").write_text(script)
    ended = cli(
        "agents", "check", "a", "--agents-dir", place, "--runtime", "process", "--time-limit", "2"
    )
    assert ended.status == status
    assert words in ended.out


# --- functions ---------------------------------------------------------------------------------

SOLVES = """
import os, shutil
def solve():
    shutil.copy(os.environ["DATA_DIR"] + "/sample_submission.csv",
                os.environ["SUBMISSION_DIR"] + "/submission.csv")
    print("solved as", __name__)
"""


def test_a_function_is_an_agent(tmp_path, monkeypatch):
    from tasks import TaskRunner

    (tmp_path / "solvers_of_mine.py").write_text(SOLVES)
    monkeypatch.syspath_prepend(tmp_path)
    from solvers_of_mine import solve

    agent = agents.from_function(solve)
    assert agent.id == "solve"
    done = TaskRunner(tmp_path / "runs", runtime="process").run_task(
        "classification_basic", agent, 60
    )
    assert done.workspace.log_file.read_text() == "solved as agent\n"
    assert done.evaluation.submission["valid"]


@pytest.mark.parametrize("function", [lambda: None, len, "text".upper])
def test_what_cannot_be_copied_is_no_agent(function):
    with pytest.raises(UsageError, match=r"must be a function at the top of a file|has no source"):
        agents.from_function(function)
