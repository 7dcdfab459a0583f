"""Making the index anew from the folders."""

import logging
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import UsageError
from tasks.store import postgres
from tasks.store.folders import SuiteFolder, suites_in
from tasks.store.index import BrokenIndexError, discard
from tasks.store.ledger import Store
from tasks.store.states import Standing, read_ending, standing

log = logging.getLogger(__name__)


def standings(folder: SuiteFolder, most_faults: int) -> Iterator[tuple[int, Standing]]:
    """Read where each trial stands that was ever begun."""
    again = folder.queued_again()
    for n, attempts in folder.attempts().items():
        endings = [(number, read_ending(path)) for number, path in attempts]
        yield n, standing(endings, queued_after=again.get(n, 0), most_faults=most_faults)


def enter(store: Store, folder: SuiteFolder) -> None:
    """Enter a suite into the index as its folder tells it; from now on it is kept there."""
    plan = folder.load()
    if folder.kept_in() != store.index.identity:
        folder.append("kept", at=store.index.name, identity=store.index.identity)
    store.plan(folder.id, plan["created"], folder.product(plan))
    store.settle(folder.id, standings(folder, plan["most_faults"]))


def rebuild(root: Path, url: str | None = None) -> int:
    """Make the index of a store anew; return how many suites it holds.

    Suites that were kept in another index are kept in this one from now on.

    Args:
        root: The folder of suites.
        url: A PostgreSQL database, where other folders' suites are left alone.

    Raises:
        UsageError: Somebody is running a suite of it.
    """
    folders = suites_in(root)
    busy = [folder.id for folder in folders if _alive(root, url, folder.id)]
    if busy:
        raise UsageError(f"{root}: {busy[0]} is being run; stop it first (aexp suite stop)")
    if url is None:
        discard(root)
    store = _store(root, url)
    try:
        for folder in folders:
            store.forget(folder.id)
            enter(store, folder)
    finally:
        store.close()
    return len(folders)


def opened(root: Path, url: str | None = None) -> Store:
    """Open a store; an index that is broken or lost is made anew from the folders.

    Args:
        root: The folder of suites.
        url: The PostgreSQL database of its index, if it is not beside the suites.

    Raises:
        InvalidInput, InfrastructureError: As `Index`.
        MissingPart: As `PostgresIndex`.
    """
    store = _store(root, url)
    known = set(store.suites())
    for folder in suites_in(root):
        if folder.id not in known and folder.kept_in() in {None, store.index.identity}:
            enter(store, folder)
    return store


def _store(root: Path, url: str | None) -> Store:
    store: Store | None = None
    try:
        store = Store(root, url)
        store.suites()
    except BrokenIndexError as error:
        log.warning("%s; making it anew from the folders", error)
        if store is not None:
            store.close()
        if url is None:
            discard(root)
        else:
            postgres.discard(url)
        return Store(root, url)
    return store


def _alive(root: Path, url: str | None, suite: str) -> bool:
    try:
        store = Store(root, url)
    except BrokenIndexError:
        return False
    try:
        return bool(store.runners(suite)[0])
    except BrokenIndexError:
        return False
    finally:
        store.close()
