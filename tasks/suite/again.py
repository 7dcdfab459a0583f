"""Queueing trials again: written into the suite's events first, then into the index."""

from tasks.store import Store
from tasks.store.folders import SuiteFolder


def queue_again(folder: SuiteFolder, store: Store, reason: str | None) -> int:
    """Queue the failed trials of one reason again, or of any; their attempts stay.

    Returns:
        How many there are.
    """
    found = store.find(folder.id, reason)
    if found:
        folder.append("queued again", reason=reason, trials=found)
    catch_up(folder, store)
    return len(found)


def catch_up(folder: SuiteFolder, store: Store) -> None:
    """Bring into the index what a crash has kept from it."""
    again = folder.queued_again()
    failed = dict(store.find(folder.id))
    late = [(n, after) for n, after in again.items() if failed.get(n) == after]
    if late:
        store.requeue(folder.id, late)
