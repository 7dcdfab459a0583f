"""Working on a suite from the command line: its store, its runner, what is told of it."""

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tasks import plugins
from tasks.cli import console, tracking
from tasks.cli.suite_view import (
    Watch,
    named,
    rates_line,
    reasons_line,
    spent_line,
    states_line,
    summary,
)
from tasks.errors import InvalidInput, UnknownName, UsageError, counted

if TYPE_CHECKING:
    from tasks.executors import Executor, Needs
    from tasks.outcome import Limits
    from tasks.store import Store
    from tasks.store.folders import Product, SuiteFolder
    from tasks.suite import SuiteFile, SuiteRun
    from tasks.suite.budget import Amount
    from tasks.suite.looks import Looks
    from tasks.suite.places import Place

AROUND_S = 900.0
"""Seconds that drawing, collecting and grading may take around an agent's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a suite is worked on this time; what it is does not depend on it."""

    store: str | None = None
    """The URL of its index, if that is not beside the suites."""
    executor: str | None = None
    workers: int | None = None
    max_time: float | None = None
    """Seconds after which no trial is started."""
    max_tokens: int | None = None
    """Of the whole suite, instead of what its file says."""
    max_cost: float | None = None
    to_the_end: bool = False
    """Whether no look stops it."""
    fail_fast: bool = False
    json_: bool = False

    @property
    def engine(self) -> str:
        """The name of the executor."""
        return self.executor or "pool"

    def kept(self) -> dict[str, Any]:
        """Return what also holds when the suite goes on, until it is asked otherwise."""
        return {"executor": self.executor, "workers": self.workers}

    def as_begun(self, folder: "SuiteFolder") -> "How":
        """Return this with what is not said as the suite was begun."""
        before = folder.load().get("how", {})
        silent = {key: before.get(key) for key, said in self.kept().items() if said is None}
        return replace(self, **silent)

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is made.

        Raises:
            UsageError: No workers, or the URL of no store.
            UnknownName: No such executor.
            MissingPart, InfrastructureError: The executor or the store cannot be had.
        """
        workers_of(self.workers)
        plugins.load("executor", self.engine)
        if self.store is not None:
            from tasks.store.postgres import PostgresIndex

            PostgresIndex(self.store).close()

    def budget(self, asked: "SuiteFile") -> "Amount":
        """Return what the suite may spend."""
        from tasks.suite.budget import Amount

        written = asked.budget.amount()
        return Amount(
            tokens=written.tokens if self.max_tokens is None else self.max_tokens,
            cost_usd=written.cost_usd if self.max_cost is None else self.max_cost,
        )


def looks_of(product: "Product", asked: "SuiteFile") -> "Looks | None":
    """Return the looks that were planned, if any were."""
    from tasks.suite.looks import Looks

    plan = asked.until_decided
    return None if plan is None else Looks.planned(product, plan.looks, plan.baseline)


def find_suite(name: str | None, out: Path) -> "SuiteFolder":
    """Return the suite of a name; without one the latest.

    Raises:
        UnknownName: There is none, or there are several.
    """
    from tasks.store.folders import SuiteFolder, suites_in

    if name is not None and (Path(name) / "suite.json").is_file():
        return SuiteFolder(Path(name).absolute())
    found = [folder for folder in suites_in(out.absolute()) if folder.id.startswith(name or "")]
    if not found:
        which = "" if name is None else f" {name!r}"
        raise UnknownName(f"no suite{which} in {out}; `aexp suite run` begins one")
    if name is not None and len(found) > 1 and name not in {folder.id for folder in found}:
        raise UnknownName(f"{name!r} may be {', '.join(folder.id for folder in found)}")
    return found[-1]


def open_store(folder: "SuiteFolder", url: str | None) -> "Store":
    """Open the store that keeps a suite.

    Raises:
        InvalidInput: It is kept in another one.
    """
    from tasks.store.rebuild import opened

    store = opened(folder.root.parent, url)
    if folder.kept_in() in {None, store.index.identity}:
        return store
    store.close()
    raise InvalidInput(
        f"{folder.id} is kept in {folder.kept_at()}: name that (--store or AEXP_STORE for a "
        "database); `aexp index rebuild` moves the suites of a folder"
    )


def workers_of(count: int | None) -> int:
    """Return how many trials run at a time, by default one a core.

    Raises:
        UsageError: None at all.
    """
    import os

    if count is not None and count < 1:
        raise UsageError(f"--workers {count} can run nothing; give at least 1")
    return count or len(os.sched_getaffinity(0))


def work(folder: "SuiteFolder", how: How, *, again: str | None = None) -> None:
    """Run what is left of a suite, and show what it came to.

    Args:
        folder: The suite.
        how: Where, how long, at what cost.
        again: Failed trials of this reason are queued again first; of any, if it is empty.
    """
    from tasks.outcome import Limits
    from tasks.suite import SuiteRun, asked_again, queue_again

    asked = asked_again(folder)
    with closing(open_store(folder, how.store)) as store:
        if again is not None:
            queue_again(folder, store, again or None)
        said = folder.load()
        limits, product = Limits(**said["limits"]), folder.product(said)
        feed = tracking.feed(asked.trackers, folder.root.parent)
        executor, parts = _executor(how, limits)
        view = Watch(product, limits.time_s, folder=folder.root, quiet=how.json_)
        with view as watch:
            suite = SuiteRun(
                folder,
                store,
                executor,
                places=parts,
                max_time=how.max_time,
                fail_fast=how.fail_fast,
                door=asked.door,
                budget=how.budget(asked),
                looks=None if how.to_the_end else looks_of(product, asked),
                on_progress=watch.show,
                feed=feed,
            )
            with _interruptible(suite) as interrupts:
                counts = suite.run()
        tracking.finish(feed)
        show(folder, store, json_=how.json_)
    status = 130 if interrupts else 8 if counts.infrastructure else 0
    if status or (how.fail_fast and counts.states.get("failed")):
        raise typer.Exit(status or 1)


def _executor(how: How, limits: "Limits") -> "tuple[Executor, list[Place]]":
    """Return where trials run, and the parts of this machine where those are handed out."""
    from tasks.executors import executor_named
    from tasks.suite.places import Machine, places

    if how.engine == "pool":
        parts = places(Machine.here(), limits, how.workers)
        return executor_named(how.engine, workers=len(parts)), parts
    workers = workers_of(how.workers)
    return executor_named(how.engine, workers=workers, needs=_needs(limits)), []


def _needs(limits: "Limits") -> "Needs":
    """Return what an engine is to reserve for a trial, and how long at most."""
    from tasks.executors import Needs

    gpus = limits.gpus or ""
    return Needs(
        cpus=limits.cpus,
        memory_bytes=limits.memory_bytes,
        gpus=int(gpus) if gpus.isdecimal() else len(gpus.split(",")) if gpus else 0,
        time_s=limits.time_s + limits.grace_s + AROUND_S,
    )


@contextmanager
def _interruptible(suite: "SuiteRun") -> Iterator[list[int]]:
    """Make the first Ctrl-C stop gently, the second end the running trials."""
    count: list[int] = []

    def handler(number: int, _frame: Any) -> None:
        count.append(number)
        if len(count) == 1:
            console.say("\nstarting no more trials (Ctrl-C again: end those that run)")
        suite.stop(now=len(count) > 1, why="interrupted")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield count
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def elsewhere(folder: "SuiteFolder") -> str:
    """Return what a command needs to find this suite, if it is not in the usual store."""
    place = named(folder.root.parent)
    return f" --out {place}" if place else ""


def show(folder: "SuiteFolder", store: "Store", *, json_: bool) -> None:
    """Show how far a suite has come, and why it stands."""
    counts = store.counts(folder.id)
    running = store.running(folder.id)
    alive, dead = store.runners(folder.id)
    waits = counts.over < counts.total
    stopped = folder.why_stopped() if waits and not (alive or dead) else None
    looks = folder.looks()
    if json_:
        runners = {"alive": [one.name for one in alive], "dead": [one.name for one in dead]}
        told = {"running": running, "runners": runners, "stopped": stopped, "looks": looks}
        console.out_json({**summary(folder.id, counts), **told})
        return
    console.out(f"{folder.id}")
    console.out(states_line(counts))
    console.out(rates_line(counts, folder.root))
    if why := reasons_line(counts.reasons):
        console.out(f"why failed: {why}")
    if counts.tokens:
        console.out(spent_line(counts))
    if looks:
        at = looks[-1]
        said = "; ".join(f"{name}: {verdict}" for name, verdict in at["verdicts"].items())
        console.out(
            f"look {at['number']} of {at['of']}, at {counted(at['trials'], 'trial')}: "
            f"{console.printable(said)}"
        )
    if stopped:
        console.out(f"stopped: {console.printable(stopped)}")
    if dead:
        died = counted(len(dead), "runner")
        console.out(f"{died} died; `aexp suite resume{elsewhere(folder)}` goes on")
    elif counts.over < counts.total and not alive:
        further = " --to-the-end" if looks and looks[-1]["settled"] else ""
        console.out(f"nobody runs it; `aexp suite resume{elsewhere(folder)}{further}` goes on")
