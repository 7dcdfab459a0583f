"""A suite's key: what its secret seeds are derived from, kept away from runs and sandboxes."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from tasks.errors import InfrastructureError, UnknownName
from tasks.instance import Seed

ENVIRONMENT: Final = "AEXP_KEYS"
"""Where keys lie, if not below the user's state folder."""

KEY_BYTES: Final = 32


def folder() -> Path:
    """Return where keys are kept."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "aexp" / "keys"


def make(suite: str) -> bytes:
    """Draw a key and keep it, readable by its owner only.

    Raises:
        InfrastructureError: It cannot be kept.
    """
    key = secrets.token_bytes(KEY_BYTES)
    file = folder() / f"{suite}.key"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, key)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise InfrastructureError(f"cannot keep the suite's key in {file}: {error}") from error
    return key


def find(suite: str, wanted: str) -> bytes:
    """Return the key of a suite.

    Args:
        suite: Its id.
        wanted: The commitment to the key, as the suite's plan holds it.

    Raises:
        UnknownName: It is not here, or it is another one.
    """
    file = folder() / f"{suite}.key"
    try:
        key = file.read_bytes()
    except OSError as error:
        raise UnknownName(
            f"the key of {suite} is not in {file} ({error.strerror}): go on where the suite was "
            f"begun, or set {ENVIRONMENT} to the folder that holds it"
        ) from error
    if commitment(key) != wanted:
        raise UnknownName(f"{file} holds another key than {suite} was begun with")
    return key


def forget(suite: str) -> None:
    """Remove the key of a suite."""
    (folder() / f"{suite}.key").unlink(missing_ok=True)


def commitment(key: bytes) -> str:
    """Return what may be told of a key."""
    return hashlib.sha256(b"aexp suite key\0" + key).hexdigest()


def seed(key: bytes, task: str, repeat: int, *, sealed: bool) -> Seed:
    """Derive the seed that all agents meet a task by in one repeat."""
    secret = hmac.digest(key, f"{task}\0{repeat}".encode(), "sha256")
    return Seed(secret=secret, sealed=sealed)
