"""Runs inside the sandbox: what an agent may ask its trial, as a command.

    python3 -I -S ask.py validate [FILE]    is its form right? (needs a door)
    python3 -I -S ask.py feedback [FILE]    what does it score? (where the user allows it)
    python3 -I -S ask.py submit [FILE]      this one counts, whatever is written later
    python3 -I -S ask.py budget             what is left of time, calls, queries

FILE is by default `$SUBMISSION_DIR/submission.csv`. Status 0: it was done; 1: refused, the reason
is printed; 2: the words are wrong. Python 3.8 or later, no packages.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

MARKED = ".marked"
"""Below the submissions: the copy that counts."""
KINDS = (".csv", ".parquet")
PATIENCE_S = 600
OK = 200


def main(words: list[str]) -> int:
    """Do what is asked; return the exit status."""
    if not words or words[0] not in COMMANDS or len(words) > 2:  # noqa: PLR2004 - a command, a file
        print(f"one of {', '.join(COMMANDS)}, and perhaps a file", file=sys.stderr)
        return 2
    try:
        return COMMANDS[words[0]](*words[1:])
    except (OSError, ValueError, HTTPException) as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 1


def validate(name: str = "") -> int:
    """Have the form of a file checked."""
    status, said = post("/validate", submission(name))
    return show(said, ok=status == OK and "invalid" not in str(said.get("result")))


def feedback(name: str = "") -> int:
    """Ask what a file scores."""
    if "AEXP_FEEDBACK" not in os.environ:
        raise OSError("there is none in this trial")
    status, said = post("/feedback", submission(name))
    return show(said, ok=status == OK)


def submit(name: str = "") -> int:
    """Mark a file as the answer: its copy counts, whatever becomes of the file."""
    source = submission(name)
    if source.suffix not in KINDS:
        raise OSError(f"{source}: a submission ends in {' or '.join(KINDS)}")
    checker = Path(os.environ["HOME"], "validate_submission.sh")
    if checker.is_file() and Path(os.environ["DATA_DIR"], "sample_submission.csv").is_file():
        checked = subprocess.run(["bash", str(checker), str(source)], check=False)
        if checked.returncode != 0:
            print("not submitted: it is not valid; mend it and submit it again")
            return 1
    mark(source, Path(os.environ["SUBMISSION_DIR"]))
    return show({"submitted": str(source), "bytes": source.stat().st_size}, ok=True)


def mark(source: Path, submissions: Path) -> Path:
    """Copy a file to where it counts, in the place of one that was marked before."""
    place = submissions / MARKED
    place.mkdir(exist_ok=True)
    aside = place / f".{secrets.token_hex(4)}"
    shutil.copyfile(source, aside)
    for kind in KINDS:
        if kind != source.suffix and (place / f"submission{kind}").exists():
            (place / f"submission{kind}").unlink()
    return aside.replace(place / f"submission{source.suffix}")


def budget(_name: str = "") -> int:
    """Tell what is left."""
    return show(left(), ok=True)


def left() -> dict[str, Any]:
    """Return what is left: seconds by the clock, calls and tokens, queries."""
    said = {}
    deadline = os.environ.get("DEADLINE_FILE")
    if deadline and Path(deadline).is_file():
        ends = float(Path(deadline).read_text(encoding="ascii"))
        said["seconds"] = round(max(0.0, ends - time.time()), 3)
    if "AEXP_DOOR" in os.environ:
        if "AEXP_MODEL" in os.environ:
            said["model"] = get("/budget")
        if "AEXP_FEEDBACK" in os.environ:
            said["feedback"] = get("/feedback")
    return said


def submission(name: str) -> Path:
    """Return the file that is meant."""
    source = Path(name or Path(os.environ["SUBMISSION_DIR"], "submission.csv"))
    if not source.is_file():
        raise OSError(f"{source}: no such file")
    return source


def get(path: str) -> Any:
    """Return what the door answers."""
    return asked("GET", path, None, {})[1]


def post(path: str, file: Path) -> tuple[int, Any]:
    """Send a file to the door; return status and answer."""
    mark = secrets.token_hex(16)
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
    )
    body = head.encode() + file.read_bytes() + f"\r\n--{mark}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    return asked("POST", path, body, kind)


def asked(method: str, path: str, body: bytes | None, fields: dict[str, str]) -> tuple[int, Any]:
    """Return status and answer of the door."""
    address = os.environ.get("AEXP_DOOR", "")
    if not address:
        raise OSError("this trial has no door")
    fields = {**fields, "Authorization": "Bearer " + os.environ.get("AEXP_DOOR_KEY", "")}
    connection = HTTPConnection(address.rpartition("/")[2], timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, fields)
        with connection.getresponse() as answer:
            return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def show(said: object, *, ok: bool) -> int:
    """Print an answer; return the exit status."""
    print(json.dumps(said))
    return 0 if ok else 1


COMMANDS: dict[str, Callable[..., int]] = {
    "validate": validate,
    "feedback": feedback,
    "submit": submit,
    "budget": budget,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
