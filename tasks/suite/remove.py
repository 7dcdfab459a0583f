"""Removing a suite, in an order that a crash can leave at any point."""

import secrets
import shutil

from tasks.errors import UsageError
from tasks.store.folders import SuiteFolder
from tasks.store.rebuild import opened
from tasks.suite import keys


def remove(folder: SuiteFolder, url: str | None = None) -> None:
    """Remove a suite's folder, its rows and its key.

    Args:
        folder: The suite.
        url: As `opened`.

    Raises:
        UsageError: Somebody is running it.
    """
    root = folder.root.parent
    store = opened(root, url)
    try:
        if store.runners(folder.id)[0]:
            raise UsageError(f"{folder.id} is being run; stop it first (aexp suite stop)")
        # Without its plan a folder is no suite any more, so that no index takes it up again.
        trash = root / f".removed-{secrets.token_hex(4)}"
        folder.root.rename(trash)
        store.forget(folder.id)
    finally:
        store.close()
    keys.forget(folder.id)
    shutil.rmtree(trash)
