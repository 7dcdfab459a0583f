"""The validation server: MLE-bench's words, the form only, no answers."""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.runtimes.inside import grading_server

INVALID = (
    "Submission invalid! The attempt to grade the submission has resulted in the following "
    "error message:\n"
)
SAMPLE = "id,target\n1,a\n2,b\n3,a\n"


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "sample_submission.csv").write_text(SAMPLE)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def url(data):
    with ThreadingHTTPServer(("127.0.0.1", 0), grading_server.Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def ask(url, body=None, method=None, kind=None):
    """Return status, content type and text."""
    headers = {} if kind is None else {"Content-Type": kind}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def upload(url, content, field="file"):
    body = (
        (
            f'--XX\r\nContent-Disposition: form-data; name="{field}"; filename="s.csv"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        ).encode()
        + content.encode()
        + b"\r\n--XX--\r\n"
    )
    return ask(f"{url}/validate", body, kind="multipart/form-data; boundary=XX")


def result(url, content):
    status, kind, text = upload(url, content)
    assert (status, kind) == (200, "application/json")
    return json.loads(text)["result"]


def test_health_says_that_it_runs(url):
    assert ask(f"{url}/health") == (200, "application/json", '{"status":"running"}\n')


def test_the_sample_itself_is_valid(url):
    assert result(url, SAMPLE) == "Submission is valid."


def test_other_order_of_rows_and_columns_and_another_answer_are_valid(url):
    assert result(url, "target,id\r\nb,3\r\nb,1\r\na,2\r\n") == "Submission is valid."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the columns must be id,target, not nothing"),
        ("id\n1\n", "the columns must be id,target, not id"),
        ("id,target\n1,a\n", "2 of 3 rows are missing, such as id '2'"),
        ("id,target\n1,a\n1,a\n", "line 3: id '1' occurs twice"),
        ("id,target\n9,a\n", "line 2: id '9' is not asked for"),
        ("id,target\n1,\n", "line 2: target is empty"),
        ("id,target\n1,a,b\n", "line 2 has 3 cells, not 2"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_mle_bench(url, content, words):
    assert result(url, content) == INVALID + words


def test_an_invalid_submission_is_an_answer_and_no_error(url):
    assert upload(url, "nonsense")[0] == 200


def test_a_file_that_is_no_text_is_invalid(url):
    body = b'--X\r\nContent-Disposition: form-data; name="file"\r\n\r\n\xff\xfe\r\n--X--'
    status, _, text = ask(f"{url}/validate", body, kind="multipart/form-data; boundary=X")
    assert status == 200
    assert json.loads(text)["result"].startswith(INVALID)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=YY"])
def test_a_request_without_the_field_is_a_bad_one(url, kind):
    status, kind, text = ask(f"{url}/validate", b"x", kind=kind)
    assert (status, kind) == (400, "text/html; charset=utf-8")
    assert "Bad Request" in text


def test_another_field_is_a_bad_request(url):
    assert upload(url, SAMPLE, field="other")[0] == 400


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/validate", "GET", 405),
        ("/validate", "PUT", 405),
        ("/health", "POST", 405),
        ("/health", "DELETE", 405),
        ("/elsewhere", "GET", 404),
        ("/elsewhere", "POST", 404),
    ],
)
def test_other_methods_and_places_are_refused(url, path, method, status):
    body = b"" if method in {"POST", "PUT"} else None
    assert ask(url + path, body, method=method)[0] == status


def test_without_a_sample_it_fails_as_mle_bench_does(url, data):
    (data / "sample_submission.csv").unlink()
    status, kind, text = upload(url, SAMPLE)
    assert (status, kind) == (500, "application/json")
    said = json.loads(text)
    assert said["error"] == "An unexpected error occurred."
    assert "sample_submission.csv" in said["details"]


def test_it_tells_nothing_of_the_right_answers(url):
    """Any answers get the same word."""
    assert {result(url, f"id,target\n1,{a}\n2,{a}\n3,{a}\n") for a in "abc"} == {
        "Submission is valid."
    }


@pytest.mark.parametrize(
    ("name", "content", "words", "status"),
    [
        ("submission.csv", SAMPLE, "Submission is valid.", 0),
        ("submission.csv", "id\n", INVALID + "the columns must be id,target, not id", 1),
        ("submission.txt", SAMPLE, "Submission invalid! Submission file must be a CSV file.", 1),
        ("missing.csv", None, "Submission invalid! Submission file {} does not exist.", 1),
    ],
)
def test_it_checks_a_file_without_anything_but_python(data, name, content, words, status):
    file = data / name
    if content is not None:
        file.write_text(content)
    done = subprocess.run(
        [sys.executable, "-I", "-S", Path(grading_server.__file__), file],
        check=False,
        capture_output=True,
        text=True,
        env={"DATA_DIR": str(data)},
    )
    assert json.loads(done.stdout)["result"] == words.format(file)
    assert done.returncode == status
