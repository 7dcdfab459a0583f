"""`--track` and `export --to` a tracker: feeding trials to MLflow, W&B and their like."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.cli import console
from tasks.cli.lookups import by_comma
from tasks.errors import InfrastructureError, UnknownName, UsageError, counted

if TYPE_CHECKING:
    from tasks.trackers import Feed

STORE = "trackers"
"""The folder beside the trials for what trackers keep on this machine."""
EXPORT_S = 3600.0
DEEPEST = 4
"""Levels below a folder of runs on which trials lie."""


def feed(names: Sequence[str], out: Path) -> "Feed | None":
    """Return what feeds these trackers; None where there are none.

    Raises:
        UnknownName, MissingPart: As `tracker_named`.
    """
    if not names:
        return None
    from tasks.trackers import Feed

    return Feed(names, out / STORE)


def names_of(track: list[str] | None) -> list[str]:
    """Return the names in `--track`.

    Raises:
        UsageError: It names none.
    """
    names = by_comma(track)
    if track and not names:
        raise UsageError("--track names no tracker; give some, such as mlflow,wandb")
    return names


def finish(fed: "Feed | None") -> None:
    """Let the trackers write what is left, and say where it is."""
    if fed is None:
        return
    fed.close()
    for name, where in fed.where.items():
        console.say(f"{name}: {where}")
    for warning in fed.warnings:
        console.say(f"warning: {console.printable(warning)}")


def export_to(name: str, place: Path, store: Path | None) -> None:
    """Write trials that are over into a tracker, as they would have been written live.

    Raises:
        UnknownName, MissingPart: As `tracker_named`; or there is no trial.
        InfrastructureError: Not all could be written.
    """
    from tasks.trackers import Feed

    trials = trials_in(place)
    if not trials:
        raise UnknownName(f"no finished trial in {place}; name a run's folder or a folder of runs")
    base = place.parent if (place / "report.json").is_file() else place
    fed = Feed([name], store or base / STORE, close_s=EXPORT_S)
    for trial in trials:
        fed.replay(trial)
    fed.close()
    if fed.warnings:
        raise InfrastructureError("; ".join(map(console.printable, fed.warnings)))
    console.out(f"{counted(len(trials), 'trial')} → {fed.where[name]}")


def trials_in(place: Path) -> list[Path]:
    """Return the folders of finished trials at or below a folder, in the order of their names."""
    if (place / "report.json").is_file():
        return [place]
    found = []
    for depth in range(1, DEEPEST + 1):
        for report in place.glob("*/" * depth + "report.json"):
            folder = report.parent
            # What an agent left may hold a report.json too, which is none.
            above = [place / part for part in folder.relative_to(place).parents]
            inner = any((parent / "trial.json").is_file() for parent in above)
            if (folder / "trial.json").is_file() and not inner:
                found.append(folder)
    return sorted(found)
