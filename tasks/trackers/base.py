"""What a tracker is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks import plugins


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A trial as a tracker sees it."""

    folder: Path
    """Its files may be read when it has finished, and not before: the agent may write there."""
    asked: Mapping[str, Any]
    """What `trial.json` says."""

    @property
    def name(self) -> str:
        """The trial's name; those of a suite carry the suite's."""
        name = str(self.asked["trial"])
        return name if self.suite is None else f"{self.suite}/{name}"

    @property
    def suite(self) -> str | None:
        """The id of the suite it belongs to, if any."""
        return (self.asked.get("suite") or {}).get("id")


class Tracker(Protocol):
    """Writes one trial somewhere. Plug-ins pass the cases of `tests/contracts/test_trackers.py`.

    It is made by `Class(store)`, where `store` is a folder for what has no other place, and is
    called in this order from one thread. Errors are warnings: the trial does not learn of them.
    Doing the same trial once more replaces what was written before.
    """

    def start(self, trial: Tracked) -> None:
        """Begin a record of this trial."""
        ...

    def event(self, event: Mapping[str, Any]) -> None:
        """Take in a line of `events.jsonl`."""
        ...

    def finish(self, report: Mapping[str, Any] | None) -> str:
        """Complete the record from `report.json`; None where there will be none.

        Returns:
            Where a person finds it.
        """
        ...


def tracker_named(name: str) -> Callable[[Path], Tracker]:
    """Return what makes trackers of this name, or of `module:Class`, if its library is there.

    Raises:
        UnknownName: There is no such tracker.
        MissingPart: Its library is not installed; the message holds what would bring it.
    """
    made: Any = plugins.load("tracker", name, allow_import=True)
    if check := getattr(made, "check", None):
        check()
    return made  # type: ignore[no-any-return]
