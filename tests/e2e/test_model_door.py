"""Trials whose agents call a model: what the agent finds, what is counted, what is written."""

import json
import os
import sys
import threading

import pytest

from tasks import TaskRunner
from tasks.agents import AgentSpec, load
from tasks.errors import MissingPart, UsageError
from tasks.gateway import Access, Policy
from tasks.outcome import Limits
from tests.doors import KEY
from tests.upstream import FakeUpstream, chat, whole

RUNTIMES = ["process", "bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
REQUIRED = os.environ.get("AEXP_REQUIRE", "").split(",")

AGENT = """\
import json, os, shutil, sys, urllib.request
def send(path, body=None, fields=None, base=os.environ["AEXP_DOOR"]):
    request = urllib.request.Request(base + path, body, fields or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
def ask(text):
    words = {"model": os.environ["AEXP_MODEL"], "messages": [{"role": "user", "content": text}]}
    key = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    return send("/chat/completions", json.dumps(words).encode(), key, os.environ["OPENAI_BASE_URL"])
"""

SOLVES = (
    AGENT
    + """
sample = os.environ["DATA_DIR"] + "/sample_submission.csv"
print(ask("look into " + os.environ["DATA_DIR"]))
form = {"content-type": "multipart/form-data; boundary=XX"}
def upload(content, name="file"):
    head = "--XX\\r\\nContent-Disposition: form-data; name=%s; filename=s.csv\\r\\n\\r\\n" % name
    return send("/validate", head.encode() + content + b"\\r\\n--XX--\\r\\n", form)
print(upload(open(sample, "rb").read()))
print(upload(b"id,target\\n1,zz\\n"))
print(upload(b"", "other"))
print(send("/health"), send("/budget")[1]["left"]["requests"])
shutil.copy(sample, os.environ["SUBMISSION_DIR"] + "/submission.csv")
shutil.copy(os.environ["HOME"] + "/.door/forwarder.py", os.environ["CODE_DIR"])
"""
)


@pytest.fixture
def upstream():
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def trial(tmp_path, upstream, agent):
    """Run a script as an agent that may call the model `m`."""

    def call(source, *, access=None, models=None, runtime="process", **options):
        grant = access or Access(urls={"openai": upstream.url})
        try:
            runner = TaskRunner(
                tmp_path / "runs", runtime=runtime, access=grant, models=models or {"m": "m"}
            )
            python = "python3" if runtime == "docker" else sys.executable
            command = [python, str(agent(source))]
            return runner.run_task("classification_basic", command, 100, seed=1, **options)
        except MissingPart as error:
            if runtime in REQUIRED:
                raise
            pytest.skip(str(error))

    return call


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_agent_finds_its_model_its_budget_and_a_check_behind_the_door(trial, upstream, runtime):
    grant = Access(urls={"openai": upstream.url}, policy=Policy(requests=5))
    done = trial(SOLVES, access=grant, runtime=runtime)
    said = done.workspace.log_file.read_text()
    assert done.outcome.reason == "finished", said
    answer, valid, invalid, empty, last = said.splitlines()[-5:]
    assert answer == repr((200, chat()))
    assert valid == repr((200, {"result": "Submission is valid."}))
    assert invalid.startswith("(200, {'result': 'Submission invalid! ")
    assert empty.startswith("(400, ")
    assert last == "(200, {'status': 'running'}) 4"
    assert done.outcome.killed_processes == 0
    assert done.evaluation.submission["valid"]
    assert (done.model["requests"], done.model["input_tokens"]) == (1, 11)


def test_what_went_through_the_door_is_in_the_report_and_the_calls_beside_it(trial):
    done = trial(SOLVES)
    report = json.loads(done.report_file.read_text())
    assert report["model"]["models"] == {"m": 1}
    assert report["model"]["intact"]
    assert report["tampered"] == []
    (call,) = map(json.loads, done.workspace.calls_file.read_text().splitlines())
    assert call["operation"] == "chat"
    assert not (done.workspace.home / ".door" / "door.sock").exists()


def test_without_a_model_there_is_no_door(trial, tmp_path, agent):
    script = agent("import os; assert 'AEXP_DOOR' not in os.environ")
    done = TaskRunner(tmp_path / "runs", runtime="process").run_task(
        "classification_basic", [sys.executable, str(script)], 60
    )
    assert done.outcome.reason == "finished"
    assert json.loads(done.report_file.read_text())["model"] is None


LOOKS = (
    AGENT
    + """
import pathlib
print(ask("say your key"), ask(repr(dict(os.environ))))
for path in (p for name in NAMES for p in pathlib.Path("/proc").glob("[0-9]*/" + name)):
    try:
        print(path, path.read_bytes())
    except OSError as error:
        print(path, error.strerror)
print(dict(os.environ))
for name in ("LOGS_DIR", "CODE_DIR"):
    pathlib.Path(os.environ[name], "environ").write_text(repr(dict(os.environ)))
"""
)


@pytest.mark.usefixtures("keyed")
def test_behind_walls_the_key_is_in_no_process_that_can_be_seen(upstream, trial):
    looks = LOOKS.replace("NAMES", '("cmdline", "environ", "maps")')
    done = trial(looks, runtime="bubblewrap")
    said = done.workspace.log_file.read_text(errors="replace")
    assert done.outcome.reason == "finished", said
    assert upstream.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "/proc/1/" in said
    assert KEY not in said


@pytest.mark.usefixtures("keyed")
def test_the_key_is_in_no_file_of_a_trial_whatever_the_agent_and_its_model_do(trial, tmp_path):
    def tells(handler, asked):
        whole(handler, chat(f"it is {handler.headers['authorization']}"))

    with FakeUpstream(tells) as telling:
        grant = Access(urls={"openai": telling.url}, record=tmp_path / "cassette")
        done = trial(LOOKS.replace("NAMES", '["cmdline"]'), access=grant)
    assert done.outcome.reason == "finished"
    assert telling.asked[0].headers["authorization"] == f"Bearer {KEY}"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    found = [path for path in written if KEY.encode() in path.read_bytes()]
    assert len(written) > 10
    assert found == []
    assert "[secret]" in (tmp_path / "cassette").read_text()
    assert "[secret]" in done.workspace.calls_file.read_text()


def test_a_recorded_trial_runs_again_without_a_model_and_to_the_same_end(trial, tmp_path, upstream):
    cassette = tmp_path / "cassette"
    first = trial(SOLVES, access=Access(urls={"openai": upstream.url}, record=cassette))
    asked = len(upstream.asked)
    again = trial(SOLVES, access=Access(replay=cassette))
    assert len(upstream.asked) == asked
    assert again.model["replayed"]
    assert again.model["cost_usd"] == 0.0
    assert again.model["input_tokens"] == first.model["input_tokens"]
    assert again.evaluation.scores == first.evaluation.scores
    assert str(first.workspace.root) not in cassette.read_text()


def test_a_call_under_way_when_the_time_is_over_is_counted(tmp_path, agent):
    gate = threading.Event()
    with FakeUpstream(lambda *_: gate.wait(60)) as slow:
        runner = TaskRunner(
            tmp_path / "runs",
            runtime="process",
            access=Access(urls={"openai": slow.url}),
            models={"m": "m"},
            limits=Limits(grace_s=0.2),
        )
        command = [sys.executable, str(agent(AGENT + "\nask('hello')\n"))]
        done = runner.run_task("classification_basic", command, 8)
        gate.set()
    assert done.outcome.reason == "timed out"
    assert (done.model["requests"], done.model["failed"]) == (1, 1)
    assert done.model["estimated"]
    (call,) = map(json.loads, done.workspace.calls_file.read_text().splitlines())
    assert call["error"] in {"the door was closed", "the agent hung up"}


def test_an_agent_that_changes_the_record_of_its_calls_is_found(trial):
    spoils = AGENT + (
        "\nprint(ask('a'))\nopen(os.environ['HOME'] + '/../calls.jsonl', 'a').write('{}')\n"
    )
    done = trial(spoils)
    report = json.loads(done.report_file.read_text())
    assert "calls.jsonl" in report["tampered"]
    assert not done.evaluation.success


def test_a_missing_key_is_told_before_anything_is_made(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    runner = TaskRunner(tmp_path / "runs", runtime="process", models={"m": "m"})
    with pytest.raises(MissingPart, match="no model: set OPENAI_API_KEY or ANTHROPIC_API_KEY"):
        runner.run_task("classification_basic", ["true"])
    assert not (tmp_path / "runs").exists()


def folder_agent(tmp_path, config, start="exit 0\n"):
    folder = tmp_path / "mine" / "a"
    folder.mkdir(parents=True)
    (folder / "start.sh").write_text(start)
    (folder / "config.yaml").write_text(f"a:\n  start: a/start.sh\n{config}")
    return load("a", tmp_path / "mine")


def test_an_agents_own_limits_hold_where_the_user_says_nothing(tmp_path):
    agent = folder_agent(tmp_path, "  aexp: {limits: {memory_bytes: 1000000000, pids: 50}}\n")
    done = TaskRunner(tmp_path / "runs", runtime="process").run_task(
        "classification_basic", agent, 30
    )
    limits = json.loads(done.workspace.trial_file.read_text())["limits"]
    assert (limits["memory_bytes"], limits["pids"]) == (1_000_000_000, 50)


def test_a_network_is_the_users_to_grant(tmp_path):
    agent = folder_agent(tmp_path, "  aexp: {network: host}\n")
    with pytest.raises(UsageError, match="a wants the network 'host': grant it by --network host"):
        TaskRunner(tmp_path / "runs", runtime="process").run_task("classification_basic", agent)


def test_a_guarantee_that_an_agent_requires_is_kept_or_the_trial_refused(tmp_path):
    agent = folder_agent(tmp_path, "  aexp: {requires: [network]}\n")
    with pytest.raises(MissingPart, match="network"):
        TaskRunner(tmp_path / "runs", runtime="process").run_task("classification_basic", agent)


def test_packages_that_are_not_installed_are_told_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine" / "a").mkdir(parents=True)
    (tmp_path / "mine" / "a" / "list.txt").touch()
    (tmp_path / "mine" / "a" / "start.sh").touch()
    (tmp_path / "mine" / "a" / "config.yaml").write_text(
        "a: {start: a/start.sh, aexp: {setup: list.txt}}"
    )
    agent = load("a", tmp_path / "mine")
    runner = TaskRunner(tmp_path / "runs", runtime="process")
    with pytest.raises(MissingPart, match="the packages of a are not here: aexp agents setup a"):
        runner.run_task("classification_basic", agent)


def test_a_time_limit_that_an_entry_names_is_cut_to_that_of_the_trial(tmp_path):
    agent = AgentSpec(
        id="x",
        command=("sh", "-c", 'echo "$TIME_LIMIT_SECS"'),
        env={"TIME_LIMIT_SECS": "86400"},
    )
    done = TaskRunner(tmp_path / "runs", runtime="process").run_task(
        "classification_basic", agent, 33
    )
    assert done.workspace.log_file.read_text() == "33\n"
