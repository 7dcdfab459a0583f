"""Agents that try the door: other ways out, others' keys, floods, and the key itself."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.gateway import Setup
from tests.doors import CHAT, EMBEDDINGS, KEY, MESSAGES, RESPONSES, opened
from tests.upstream import chat, whole

BODY = json.dumps({"model": "m", "messages": []}).encode()
LENGTH = len(BODY)


def head(door, line=f"POST {CHAT} HTTP/1.1", *fields, length=LENGTH):
    sized = [] if length is None else [f"Content-Length: {length}"]
    lines = [line, "Host: x", f"Authorization: Bearer {door.token}", *sized, *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_of(answer):
    return int(answer[9:12])


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", "x", "aexp-", "Bearer", KEY[:-1], "ä", "x" * 10_000, "token\tx"]
)
@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/models", "/v1/nothing"])
def test_without_the_trials_own_key_nothing_is_served(token, path):
    with opened() as door:
        method = "GET" if path == "/v1/models" else "POST"
        got = door.send(method, path, BODY, token=token.encode("utf-8").decode("latin-1"))
        assert got.status == 401
        assert got.said == "not the key of this trial"
        assert door.upstream.asked == []


def test_the_key_of_another_trial_opens_nothing():
    with opened() as door, opened() as other:
        assert other.token != door.token
        assert other.send("POST", CHAT, BODY, token=door.token).status == 401
        assert other.upstream.asked == []


def test_the_upstreams_key_is_not_the_doors():
    with opened() as door:
        assert door.send("POST", CHAT, BODY, token=KEY).status == 401


# --- other ways out ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT 169.254.169.254:80 HTTP/1.1",
        "GET http://169.254.169.254/latest/meta-data HTTP/1.1",
        f"POST http://127.0.0.1:22{CHAT} HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        f"POST {CHAT} HTTP/2.0",
        f"POST {CHAT} HTTP/1.1 ",
        f"POST  {CHAT} HTTP/1.1",
        f"post {CHAT} HTTP/1.1",
        f"POST {CHAT}\x00 HTTP/1.1",
        f"POST {CHAT}",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02",
    ],
)
def test_tunnels_and_other_hosts_are_refused(line):
    with opened() as door:
        answer = door.raw(head(door, line) + BODY)
        assert status_of(answer) == 400
        assert b"no CONNECT, no absolute URL" in answer
        assert door.upstream.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "//169.254.169.254/latest", 404),
        ("POST", "/v1/../admin", 404),
        ("POST", "/v1/chat/completions/../../files", 404),
        ("POST", "/v1/chat%2fcompletions", 404),
        ("POST", "/v1/files", 404),
        ("POST", "/v1/fine_tuning/jobs", 404),
        ("POST", "/v1/images/generations", 404),
        ("GET", CHAT, 405),
        ("PUT", CHAT, 405),
        ("DELETE", "/v1/models/m", 404),
        ("GET", "/v1/files/x", 404),
    ],
)
def test_only_the_operations_of_models_lead_anywhere(method, path, status):
    with opened() as door:
        assert door.send(method, path, BODY).status == status
        assert door.upstream.asked == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Content-Length: 5"], 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], 400),
        (["Transfer-Encoding: chunked, identity"], 400),
        (["Transfer-Encoding : chunked"], 400),
        (["Transfer-Encoding:\x0bchunked"], 400),
        ([" folded: x"], 400),
        (["X: a\nTransfer-Encoding: chunked"], 400),
        (["X: a\rY: b"], 400),
        (["no colon"], 400),
        (["X: a\x00b"], 400),
        (["Authorization: Bearer other"], 400),
    ],
)
def test_two_readings_of_one_request_are_refused(fields, status):
    smuggled = f"POST {CHAT} HTTP/1.1\r\n\r\n".encode()
    with opened() as door:
        answer = door.raw(head(door, f"POST {CHAT} HTTP/1.1", *fields) + BODY + smuggled)
        assert status_of(answer) == status
        assert answer.count(b"HTTP/1.1 ") == 1  # the connection ends, whatever follows
        assert door.upstream.asked == []


@pytest.mark.parametrize("length", ["+5", "-1", "0x5", "5,5", "", "9" * 30, "1_0", "\u0665"])
def test_a_length_that_is_no_plain_number_is_refused(length):
    with opened() as door:
        field = f"Content-Length: {length}".encode().decode("latin-1")
        assert status_of(door.raw(head(door, f"POST {CHAT} HTTP/1.1", field, length=None))) == 400


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefg\r\n0\r\n\r\n", b"1" * 99_999]
)
def test_broken_chunks_are_refused(chunks):
    with opened() as door:
        field = "Transfer-Encoding: chunked"
        sent = head(door, f"POST {CHAT} HTTP/1.1", field, length=None) + chunks
        assert status_of(door.raw(sent)) == 400
        assert door.upstream.asked == []


def test_a_doubled_key_means_the_same_here_and_upstream():
    with opened(models={"allowed": "allowed"}) as door:
        raw = b'{"model": "forbidden", "messages": [], "model": "allowed"}'
        assert door.send("POST", CHAT, raw).status == 200
        assert door.upstream.asked[0].body == {"model": "allowed", "messages": []}
        assert door.send("POST", CHAT, raw.replace(b'"allowed"', b'"forbidden"')).status == 404


@pytest.mark.parametrize("model", ["gpt-5", "M", "m ", "m\x00", None, 5, ["m"], {"m": 1}, ""])
def test_a_model_that_is_not_allowed_is_no_model(model):
    with opened(models={"m": "m"}) as door:
        got = door.ask(model=model)
        assert got.status in {400, 404}
        assert door.upstream.asked == []
    with opened(models={"m": "m"}) as door:
        assert door.ask(model="gpt-5").json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, {"tools": [{"type": "web_search"}]}),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "http://evil"}]}),
        (RESPONSES, {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"previous_response_id": "resp_of_another_trial"}),
        (RESPONSES, {"conversation": "conv_1"}),
        (RESPONSES, {"input": [{"content": [{"type": "input_image", "image_url": "http://e"}]}]}),
        (RESPONSES, {"input": [{"content": [{"type": "input_file", "file_id": "f1"}]}]}),
        (CHAT, {"web_search_options": {"a": 1}}),
        (CHAT, {"plugins": [{"id": "web"}]}),
        (CHAT, {"messages": [{"content": [{"image_url": {"url": "https://evil/?secret"}}]}]}),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (MESSAGES, {"tools": [{"type": "code_execution_20250522"}]}),
        (MESSAGES, {"tools": [{"type": "web_fetch_20250910"}]}),
        (MESSAGES, {"mcp_servers": [{"url": "https://evil"}]}),
        (MESSAGES, {"container": "c"}),
        (MESSAGES, {"messages": [{"content": [{"source": {"type": "url", "url": "http://e"}}]}]}),
    ],
)
def test_a_provider_is_no_way_around_the_missing_network(path, body):
    with opened() as door:
        got = door.ask(path, **body)
        assert got.status == 403
        assert door.upstream.asked == []
    with opened(hosted=True) as door:
        assert door.ask(path, **body).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"tools": [{"type": "function", "function": {"name": "bash"}}]}),
        (RESPONSES, {"tools": [{"type": "function", "name": "b"}, {"type": "apply_patch"}]}),
        (MESSAGES, {"tools": [{"name": "a"}, {"type": "bash_20250124"}, {"type": "custom"}]}),
        (MESSAGES, {"messages": [{"content": [
            {"type": "tool_use", "name": "get", "input": {"url": "http://x", "file_id": "y"}}]}]}),
        (CHAT, {"messages": [{"role": "user", "content": "see http://example.org"}]}),
        (CHAT, {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}]}),
    ],
)  # fmt: skip
def test_tools_that_run_here_and_images_that_are_sent_along_pass(path, body):
    with opened() as door:
        assert door.ask(path, **body).status == 200


# --- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"m"',
        b'{"model": "m", "x": NaN}',
        b'{"model": "m", "x": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"model": "m", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'\xff\xfe{"model": "m"}',
        b'{"model": "m", "stream": "yes"}',
        b'{"model": "m", "stream": true, "stream_options": [1]}',
    ],
)
def test_a_body_that_is_no_request_is_refused(raw):
    with opened() as door:
        assert door.send("POST", CHAT, raw).status == 400
        assert door.upstream.asked == []


def test_an_embedding_cannot_be_streamed():
    with opened() as door:
        assert "cannot be streamed" in door.ask(EMBEDDINGS, stream=True).said


def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    with opened(request_bytes=1000) as door:
        assert status_of(door.raw(head(door, length=10**12) + b"x" * 100_000)) == 413
        field = "Transfer-Encoding: chunked"
        chunks = (b"400\r\n" + b"x" * 1024 + b"\r\n") * 5
        sent = head(door, f"POST {CHAT} HTTP/1.1", field, length=None) + chunks
        assert status_of(door.raw(sent)) == 413


def test_a_head_without_an_end_is_refused():
    with opened() as door:
        assert status_of(door.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)) == 431


# --- floods ------------------------------------------------------------------------------------


def test_a_flood_of_connections_is_turned_away_and_honest_ones_go_on():
    with opened(connections=20) as door:
        ends = []
        for _ in range(60):
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(20)
            end.connect(str(door.gateway.socket))
            ends.append(end)
        deadline = time.monotonic() + 20
        while (got := door.ask()).status != 503 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert got.status == 503
        for end in ends:
            end.close()
        while door.ask().status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_flood_of_calls_never_passes_more_than_the_budget():
    with opened(requests=10, waiting=500) as door, ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: door.ask().status, range(100)))
        assert statuses.count(200) == len(door.upstream.asked) == 10
        assert set(statuses) == {200, 429}


# --- the key -----------------------------------------------------------------------------------


def test_the_key_is_in_no_answer_record_or_cassette(tmp_path):
    """Whatever the provider says back, and whatever the agent asks."""

    def answer(handler, asked):
        echoed = {**chat(f"your key is {handler.headers['authorization']}"), "key": KEY}
        whole(handler, echoed, 200 if asked.body["model"] == "m" else 400, {"x-key": KEY})

    setup = Setup(ledger=tmp_path / "calls", record=tmp_path / "cassette")
    with opened(answer, setup=setup) as door:
        answers = [door.ask(), door.ask(model="bad"), door.ask(messages=[{"content": door.token}])]
        answers.append(door.send("POST", CHAT, b"{", token=door.token))
        answers.append(door.send("GET", "/budget"))
        seen = b"".join(got.body + repr(got.fields).encode() for got in answers)
        seen += repr(door.gateway.setup).encode() + repr(door.gateway.summary()).encode()
        assert KEY.encode() not in seen
        assert b"[secret]" in seen
    for name in ("calls", "cassette"):
        written = (tmp_path / name).read_bytes()
        assert KEY.encode() not in written
        assert door.token.encode() not in written
        assert len(written) > 500


def test_what_the_forwarder_tells_the_agent_is_an_address_only(tmp_path):
    with opened() as door:
        forwarder = Path(sys.modules["tasks.gateway"].__file__).parent / "forwarder.py"
        done = subprocess.run(
            [sys.executable, "-I", "-S", forwarder, door.gateway.socket, "0", "--", "env"],
            check=True,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        told = dict(line.split("=", 1) for line in done.stdout.splitlines())
        base = told["AEXP_DOOR"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", base)
        assert told["OPENAI_BASE_URL"] == told["OPENAI_API_BASE"] == f"{base}/v1"
        assert told["ANTHROPIC_BASE_URL"] == base
        assert KEY not in done.stdout
