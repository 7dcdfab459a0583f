"""Prices, grants, the meter, upstreams, events, the forwarder, and `aexp gateway`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.errors import InvalidInput, MissingPart, UsageError
from tasks.gateway import Access, Policy, Prices, Upstream, forwarder, named_models
from tasks.gateway.calling import retry_after
from tasks.gateway.ledger import Secrets
from tasks.gateway.meter import Hold, Meter
from tasks.gateway.sse import Splitter, data_of
from tasks.gateway.usage import Usage, litellm_map
from tasks.gateway.wires import OPENAI, Refusal
from tests.doors import KEY, opened

# --- prices ------------------------------------------------------------------------------------


def test_a_users_prices_go_before_the_installed_ones(tmp_path):
    installed = tmp_path / "installed.json"
    entry = {"input_cost_per_token": 1, "output_cost_per_token": 2}
    installed.write_text(json.dumps({"a": entry, "b": entry, "sample_spec": {"mode": "x"}}))
    prices = Prices({"a": {**entry, "input_cost_per_token": 5}}, installed)
    assert prices.of("a").input == 5
    assert prices.of("b").input == 1
    assert prices.of("provider/b").input == 1
    assert prices.of("c") is None
    assert prices.of("sample_spec") is None


def test_litellms_table_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert litellm_map() is None
    (package / "model_prices_and_context_window_backup.json").write_text(
        '{"x": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}'
    )
    assert Prices.load().of("x").output == 2e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no table of prices"),
        ("[]", "must map names of models to prices"),
        ('{"m": 5}', "'m' needs input_cost_per_token and output_cost_per_token"),
        ('{"m": {"input_cost_per_token": "1"}}', "'m' needs input_cost_per_token"),
        ('{"m": {"input_cost_per_token": -1}}', "'m' needs input_cost_per_token"),
        ('{"m": {"input_cost_per_token": NaN}}', "'m' needs input_cost_per_token"),
        ('{"m": {"input_cost_per_token": true}}', "'m' needs input_cost_per_token"),
    ],
)
def test_a_wrong_table_of_prices_is_named(tmp_path, text, message):
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        Prices.load(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


# --- grants ------------------------------------------------------------------------------------


def test_without_a_key_the_variables_are_named():
    with pytest.raises(MissingPart) as caught:
        Access().setup({}, environ={})
    said = str(caught.value)
    assert "set OPENAI_API_KEY or ANTHROPIC_API_KEY" in said
    assert "--upstream URL" in said
    assert "--play FILE" in said


def test_a_providers_own_endpoint_is_used_where_its_key_is_set():
    setup = Access().setup({}, environ={"ANTHROPIC_API_KEY": "k"})
    assert set(setup.upstreams) == {"anthropic"}
    upstream = setup.upstreams["anthropic"]
    assert (upstream.host, upstream.secure, upstream.base) == ("api.anthropic.com", True, "")


def test_a_far_server_needs_a_key_and_a_near_one_does_not():
    with pytest.raises(MissingPart, match=r"https://far\.example/v1 needs a key in OPENAI_API_KEY"):
        Access(urls={"openai": "https://far.example/v1"}).setup({}, environ={})
    for near in ("http://localhost:11434/v1", "http://10.0.0.5:8000", "http://vllm:8000/v1"):
        assert Access(urls={"openai": near}).setup({}, environ={}).upstreams["openai"].key == ""
    grant = Access(urls={"openai": "http://localhost/v1"}, key_env={"openai": "MINE"})
    with pytest.raises(MissingPart, match="needs a key in MINE, which is not set: export MINE="):
        grant.setup({}, environ={})


def test_a_replay_needs_neither_key_nor_network(tmp_path):
    setup = Access(replay=tmp_path / "c", policy=Policy(cost_usd=1)).setup({"m": "m"}, environ={})
    assert setup.upstreams == {}


def test_contradictions_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="recorded or replayed, not both"):
        Access(record=tmp_path / "a", replay=tmp_path / "b").setup({}, environ={})
    grant = Access(policy=Policy(cost_usd=1.0))
    with pytest.raises(UsageError, match=r"the cost of x cannot be limited.*--prices FILE"):
        grant.setup({"x": "nobody-knows-it"}, environ={"OPENAI_API_KEY": "k"})
    with pytest.raises(InvalidInput, match="no wire 'gemini'; known: openai, anthropic"):
        Access(urls={"gemini": "http://x"}).setup({}, environ={})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x", "is no URL of a model"),
        ("localhost:8000", "is no URL of a model"),
        ("http://", "is no URL of a model"),
        ("http://x:99999", "is no URL of a model"),
        ("http://x/v1?key=1", "is no URL of a model"),
        ("http://user:pass@x/v1", "a URL of a model holds no key"),
    ],
)
def test_a_url_that_is_no_models_is_refused(url, message):
    with pytest.raises(InvalidInput, match=message):
        Upstream.parse(url)


def test_a_key_is_never_shown_and_must_be_one_line():
    assert KEY not in repr(Upstream.parse("https://x/v1", KEY))
    with pytest.raises(InvalidInput, match="OPENAI_API_KEY holds something that is no key"):
        Access().setup({}, environ={"OPENAI_API_KEY": "a\r\nX-Evil: 1"})


def test_a_path_before_the_version_is_kept():
    assert Upstream.parse("https://x/api/openai/v1/").base == "/api/openai"


def test_models_may_have_two_names():
    assert named_models(["a", "b=org/c=d"]) == {"a": "a", "b": "org/c=d"}


# --- parts -------------------------------------------------------------------------------------


def test_a_pause_refills_the_allowance_to_a_minutes_worth_at_most():
    now = [0.0]
    meter = Meter(Policy(requests_per_minute=2), clock=lambda: now[0])
    meter.admit(Hold(0, 0))
    meter.admit(Hold(0, 0))
    with pytest.raises(Refusal) as caught:
        meter.admit(Hold(0, 0))
    assert caught.value.retry_s == pytest.approx(30)
    now[0] = 3600.0
    for _ in range(2):
        meter.admit(Hold(0, 0))
    with pytest.raises(Refusal):
        meter.admit(Hold(0, 0))


def test_one_call_of_unknown_cost_makes_the_sum_unknown():
    meter = Meter(Policy())
    for cost in (1.0, None, 1.0):
        meter.settle(meter.admit(Hold(0, 0)), Usage(), cost, 0.1)
    assert meter.spent.cost_usd is None


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_an_answer_asks_for_is_read(fields, seconds):
    assert retry_after(fields) == seconds


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_events_are_whole_however_they_are_cut(end, size):
    whole = [b"data: a" + end, b"event: b\ndata: c" + end, b": note" + end]
    sent, splitter, found = b"".join(whole) + b"rest", Splitter(), []
    for start in range(0, len(sent), size):
        found += splitter.feed(sent[start : start + size])
    assert found == whole
    assert splitter.rest() == b"rest"


def test_the_data_of_an_event_may_have_lines():
    assert data_of(b"event: x\ndata: a\ndata:b\n: note\n\n") == b"a\nb"


def test_secrets_are_hidden_as_they_stand_in_json_too():
    secrets = Secrets(['ab"c', ""])
    assert secrets.hide(json.dumps({"k": 'x ab"c y'})) == '{"k": "x [secret] y"}'
    assert secrets.hide_bytes(b'ab"c') == b"[secret]"


@pytest.mark.parametrize(
    "answer",
    [None, [], {"usage": 5}, {"usage": {"prompt_tokens": "5"}}, {"usage": {"prompt_tokens": -5}}],
)
def test_numbers_of_tokens_that_are_none_count_nothing(answer):
    assert (OPENAI.usage(answer) or Usage()).total == 0


# --- the forwarder -----------------------------------------------------------------------------

FORWARDER = Path(forwarder.__file__)


def behind(door, *command, port=0, **options):
    words = [sys.executable, "-I", "-S", FORWARDER, door.gateway.socket, port, "--", *command]
    return subprocess.run(
        list(map(str, words)), check=False, capture_output=True, timeout=60, **options
    )


CLIENT = """
import http.client, json, os, sys
from urllib.parse import urlsplit
host = urlsplit(os.environ["OPENAI_BASE_URL"]).netloc
for stream in (False, True, False):
    connection = http.client.HTTPConnection(host)
    body = json.dumps({"model": "m", "stream": stream, "messages": [], "x": "y" * 3_000_000})
    connection.request("POST", "/v1/chat/completions", body,
                       {"authorization": "Bearer " + os.environ["TOKEN"]})
    answer = connection.getresponse()
    print(answer.status, len(answer.read()))
sys.exit(7)
"""


def test_a_command_behind_the_forwarder_reaches_the_door_and_ends_as_it_ends():
    with opened() as door:
        env = {**os.environ, "TOKEN": door.token}
        done = behind(door, sys.executable, "-c", CLIENT, env=env)
        assert done.stderr == b""
        assert done.stdout.split()[::2] == [b"200"] * 3
        assert done.returncode == 7
        assert [len(asked.body["x"]) for asked in door.upstream.asked] == [3_000_000] * 3


def test_the_forwarder_ends_with_its_command():
    with opened() as door:
        done = behind(door, "sh", "-c", 'echo "$AEXP_DOOR"; kill -9 $$')
        port = int(done.stdout.rsplit(b":", 1)[1])
        assert done.returncode == -signal.SIGKILL
        for _ in range(200):
            with socket.socket() as end:
                if end.connect_ex(("127.0.0.1", port)) != 0:
                    break
            threading.Event().wait(0.05)
        else:
            pytest.fail("the forwarder is still there")


def test_a_port_that_is_taken_is_replaced_by_another():
    with opened() as door, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = behind(door, "sh", "-c", 'echo "$AEXP_DOOR"', port=port)
        assert int(done.stdout.rsplit(b":", 1)[1]) != port


def test_a_command_that_cannot_be_started_is_named():
    with opened() as door:
        done = behind(door, "no-such-command")
        assert done.returncode == 127
        assert done.stderr == b"cannot start 'no-such-command': No such file or directory\n"


def test_the_forwarder_runs_on_old_pythons_and_needs_no_package():
    source = FORWARDER.read_text()
    imports = {
        line.split()[1] for line in source.splitlines() if line.lstrip().startswith("import")
    }
    assert imports <= set(sys.stdlib_module_names)
    assert "from __future__ import annotations" in source
    compile(source, "forwarder", "exec", flags=0, dont_inherit=True)


# --- aexp gateway ------------------------------------------------------------------------------


def test_the_gateway_on_its_own_tells_its_address_serves_and_sums_up(tmp_path):
    from tests.upstream import FakeUpstream

    with FakeUpstream() as upstream:
        words = ["gateway", "--upstream", upstream.url, "--model", "mine=theirs", "--log", "calls"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.cli", *words],
            cwd=tmp_path,
            env={**os.environ, "OPENAI_API_KEY": KEY, "PYTHONPATH": os.getcwd()},  # noqa: PTH109
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        told = dict(
            process.stdout.readline().removeprefix("export ").rstrip().split("=", 1)
            for _ in range(4)
        )
        host = told["ANTHROPIC_BASE_URL"].removeprefix("http://")
        assert told["OPENAI_BASE_URL"] == f"http://{host}/v1"
        connection = http.client.HTTPConnection(host, timeout=30)
        body = json.dumps({"model": "mine", "messages": []})
        fields = {"authorization": f"Bearer {told['OPENAI_API_KEY']}"}
        connection.request("POST", "/v1/chat/completions", body, fields)
        with connection.getresponse() as answer:
            assert answer.status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert json.loads(out)["models"] == {"mine": 1}
        assert KEY not in out + err + (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--upstream", "x"], 4, "'x' is no URL of a model"),
        (["--upstream", "http://a", "--upstream", "http://b"], 2, "given twice for openai"),
        (["--play", "none.jsonl"], 4, "none.jsonl: no cassette"),
        ([], 5, "no model: set OPENAI_API_KEY or ANTHROPIC_API_KEY"),
        (["--max-cost", "1", "--model", "zz", "--upstream", "http://localhost"], 2, "cost of zz"),
    ],
)
def test_what_is_wrong_with_a_gateway_is_one_line(cli, monkeypatch, words, status, message):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    ended = cli("gateway", *words)
    assert ended.status == status
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
