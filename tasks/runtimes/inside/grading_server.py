"""The validation server inside a container: it checks the form of a submission, and no more.

It speaks as MLE-bench's server does (`GET /health`, `POST /validate`), but has no answers to grade
with: it compares with the sample submission. It needs nothing but Python itself.

`python grading_server.py FILE` checks one file and prints the same JSON; `--door FD` serves on a
socket that listens already.
"""

import csv
import html
import io
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SAMPLES = ("sample_submission.csv", "sampleSubmission.csv", "sample_submission.csv.zip")
UPLOAD_BYTES = 2**30
PORT = 5000
SHOWN = 80

VALID = "Submission is valid."
INVALID = (
    "Submission invalid! The attempt to grade the submission has resulted in the following "
    "error message:\n{}"
)
_NO_CSV = "Submission invalid! Submission file must be a CSV file."
_NO_FILE = "Submission invalid! Submission file {} does not exist."
_EXPLAINED = {
    400: "The browser (or proxy) sent a request that this server could not understand.",
    404: "The requested URL was not found on the server.",
    405: "The method is not allowed for the requested URL.",
    413: "The data value transmitted exceeds the capacity limit.",
}


class WrongForm(Exception):  # noqa: N818 - what is wrong is the agent's file
    """What is wrong with a submission; the text goes to the agent."""


def check(submission: str, sample: str) -> None:
    """Compare a submission with the sample, both as CSV text.

    Raises:
        WrongForm: It has other columns or ids, or empty cells.
    """
    rows, wanted = _rows(submission), _rows(sample)
    header, expected = next(rows, []), next(wanted, [])
    if sorted(header) != sorted(expected):
        raise WrongForm(f"the columns must be {_names(expected)}, not {_names(header)}")
    key = header.index(expected[0])
    ids = {row[0] for row in wanted}
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise WrongForm(f"line {number} has {len(row)} cells, not {len(header)}")
        if "" in row:
            raise WrongForm(f"line {number}: {header[row.index('')]} is empty")
        if row[key] in seen:
            raise WrongForm(f"line {number}: {expected[0]} {row[key][:SHOWN]!r} occurs twice")
        if row[key] not in ids:
            raise WrongForm(f"line {number}: {expected[0]} {row[key][:SHOWN]!r} is not asked for")
        seen.add(row[key])
    if len(seen) < len(ids):
        missing = min(ids - seen)
        raise WrongForm(
            f"{len(ids) - len(seen)} of {len(ids)} rows are missing, such as "
            f"{expected[0]} {missing[:SHOWN]!r}"
        )


def _rows(text: str) -> Iterator[list[str]]:
    return (row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row)


def _names(header: list[str]) -> str:
    return ",".join(header)[:SHOWN] or "nothing"


def result_of(content: bytes, data: Path) -> str:
    """Return what is said of a submission.

    Raises:
        OSError: The sample submission cannot be read.
    """
    sample = next((data / name for name in SAMPLES if (data / name).is_file()), None)
    if sample is None:
        raise FileNotFoundError(f"there is no sample_submission.csv in {data}")
    try:
        check(content.decode("utf-8-sig"), _text(sample))
    except (WrongForm, UnicodeDecodeError, csv.Error) as error:
        return INVALID.format(error)
    return VALID


def _text(path: Path) -> str:
    if path.suffix != ".zip":
        return path.read_text(encoding="utf-8-sig")
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0]).decode("utf-8-sig")


def data_dir() -> Path:
    """Return where the public files are."""
    return Path(os.environ.get("DATA_DIR") or "/home/data")


def uploaded(body: bytes, content_type: str) -> bytes | None:
    """Return the content of the multipart field `file`, if there is one."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if found is None:
        return None
    for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode())[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if separator and re.search(rb'form-data;.*\bname="?file"?(;|\r|$)', head, re.IGNORECASE):
            return content
    return None


class Handler(BaseHTTPRequestHandler):
    """Answers as MLE-bench's server does."""

    server_version = "aexp"
    timeout = 600

    def do_GET(self) -> None:
        """Tell that it runs."""
        if self.path == "/health":
            self.answer({"status": "running"})
        else:
            self.refuse(405 if self.path == "/validate" else 404)

    def do_POST(self) -> None:
        """Check the uploaded file."""
        if self.path != "/validate":
            self.refuse(405 if self.path == "/health" else 404)
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > UPLOAD_BYTES:
            self.close_connection = True
            self.refuse(413 if length.isdigit() else 400)
            return
        body = self.rfile.read(int(length))
        content = uploaded(body, self.headers.get("Content-Type", ""))
        if content is None:
            self.refuse(400)
            return
        try:
            self.answer({"result": result_of(content, data_dir())})
        except Exception as error:  # noqa: BLE001 - as MLE-bench: whatever it is, a 500 that says so
            said = {"error": "An unexpected error occurred.", "details": str(error)}
            self.answer(said, HTTPStatus.INTERNAL_SERVER_ERROR)

    def other(self) -> None:
        """Refuse every other method."""
        self.refuse(405 if self.path in {"/health", "/validate"} else 404)

    do_PUT = do_DELETE = do_PATCH = other  # noqa: N815 - as the base class wants them

    def answer(self, payload: dict[str, str], status: int = HTTPStatus.OK) -> None:
        """Send JSON."""
        self.send(json.dumps(payload, separators=(",", ":")) + "\n", "application/json", status)

    def refuse(self, status: int) -> None:
        """Send the page of an error."""
        name = HTTPStatus(status).phrase
        page = (
            f"<!doctype html>\n<html lang=en>\n<title>{status} {html.escape(name)}</title>\n"
            f"<h1>{html.escape(name)}</h1>\n<p>{html.escape(_EXPLAINED[status])}</p>\n"
        )
        self.send(page, "text/html; charset=utf-8", status)

    def send(self, text: str, kind: str, status: int) -> None:
        """Send a whole answer."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def check_file(name: str) -> str:
    """Return what is said of a file."""
    path = Path(name)
    if not path.is_file():
        return _NO_FILE.format(path)
    if path.suffix.lower() != ".csv":
        return _NO_CSV
    return result_of(path.read_bytes(), data_dir())


def main(arguments: list[str]) -> int:
    """Serve, or check the one file given."""
    csv.field_size_limit(UPLOAD_BYTES)  # of the whole process, which is this server's own
    if arguments[:1] == ["--door"]:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler, bind_and_activate=False)
        server.socket = socket.socket(fileno=int(arguments[1]))
    elif arguments:
        result = check_file(arguments[0])
        print(json.dumps({"result": result}, separators=(",", ":")))
        return 0 if result == VALID else 1
    else:
        # Whoever is in the container may ask; outside nobody can, unless a port is published.
        server = ThreadingHTTPServer(("0.0.0.0", PORT), Handler)  # noqa: S104
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
