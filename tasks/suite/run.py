"""SuiteRun: keeps the executor busy, records what comes back, stops when asked."""

import json
import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tasks.errors import counted
from tasks.executors import Executor, WorkerLost
from tasks.store import Owner, Store
from tasks.store.folders import SuiteFolder
from tasks.store.ledger import Claim, Counts
from tasks.store.states import Standing, read_ending, read_events, standing, state_of
from tasks.suite import keys
from tasks.suite.asked import DoorFile
from tasks.suite.budget import NOTHING, Amount, Granted
from tasks.suite.looks import Looks
from tasks.suite.places import Place
from tasks.suite.work import Ended, Job, attempt, give_up, publish
from tasks.trackers import Feed

log = logging.getLogger(__name__)

AHEAD: Final = 4
"""Trials submitted for each worker, so that none waits for the store."""

TICK_S: Final = 0.5
LOOKING: Final = 20.0
"""At most so small a part of the time goes into looking."""
BEAT_S: Final = 5.0
LONGEST_WAIT_S: Final = 60.0
FULL_S: Final = 5.0
"""After a write that found no room, nothing is tried for so long."""
FREE_BYTES: Final = 64 * 2**20
"""A disk with less room is full."""


@dataclass(slots=True)
class Progress:
    """What an onlooker is shown: changed in place."""

    counts: Counts
    running: dict[int, tuple[str, float]] = field(default_factory=dict)
    """State and start of the trials that are at work, by number."""
    pause: str = ""
    """Why no trial is started at the moment."""
    stopping: str = ""
    look: str = ""
    """What the last look saw, and when the next one is due."""


class SuiteRun:
    """One process's work on a suite; several may work on the same one."""

    def __init__(
        self,
        folder: SuiteFolder,
        store: Store,
        executor: Executor,
        *,
        places: Sequence[Place] = (),
        max_time: float | None = None,
        fail_fast: bool = False,
        door: DoorFile | None = None,
        budget: Amount = NOTHING,
        looks: Looks | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        feed: Feed | None = None,
    ) -> None:
        """Take the parts; nothing is run yet.

        Args:
            folder: The suite.
            store: Its store.
            executor: Where trials run; it is shut down in the end.
            places: Parts of the machine, if they are to be handed out; one a worker.
            max_time: Seconds after which no trial is started.
            fail_fast: Whether the first failed trial stops the suite.
            door: What agents may use of models; by default what the plan says.
            budget: What all trials of the suite may spend on models, over all runs of it.
            looks: The planned looks; the suite stops at one that settles it.
            on_progress: Told about twice a second.
            feed: Trackers that are told of each trial when it is over.

        Raises:
            InvalidInput, UnknownName: The plan or the key is not there.
        """
        plan = folder.load()
        self.folder = folder
        self.store = store
        self.executor = executor
        self.product = folder.product(plan)
        self.most_faults: int = plan["most_faults"]
        self.key = keys.find(folder.id, plan["commitment"])
        self.max_time = max_time
        self.fail_fast = fail_fast
        self.door = door or DoorFile.model_validate(plan["asked"].get("door", {}))
        self.access, self.models = self.door.access(), self.door.named()
        self.budget = budget
        self.looks = looks
        taken = [] if looks is None else folder.looks()
        self._looked = len(taken)
        self._granted: dict[int, Granted] = {}
        """What the trials that run were granted, by number."""
        self.on_progress = on_progress or (lambda _: None)
        self.feed = feed
        self.owner = Owner.me()
        self._answers: queue.SimpleQueue[tuple[Claim, Future[Any]]] = queue.SimpleQueue()
        self._flying: dict[int, tuple[Claim, Future[Any]]] = {}
        self._publishing: dict[tuple[str, int], tuple[int, Future[Any]]] = {}
        """Try and future of each instance that is being published."""
        self._stop = ""
        self.why_stopped = ""
        self._room_at = 0.0
        self._stop_file = str(folder.stop_file)
        self._places = list(places)
        self._exclusive = any(place.cores or place.gpus for place in places)
        self._held: dict[int, Place] = {}
        self.progress = Progress(counts=store.counts(folder.id))
        self._tell_of_looks("")
        if taken and taken[-1]["settled"]:
            self.stop(why=f"it was decided at look {taken[-1]['number']} of {taken[-1]['of']}")

    def stop(self, *, now: bool = False, why: str = "somebody asked for it") -> None:
        """Start no more trials; end those that run `now`. May be called by a signal handler."""
        self._stop = "now" if now else self._stop or "gently"
        self.why_stopped = self.why_stopped or why

    def run(self) -> Counts:
        """Work until nothing waits, or until stopped.

        Raises:
            InfrastructureError: The store cannot be written.
        """
        self.folder.stop_file.unlink(missing_ok=True)
        self.store.enlist(self.owner, self.folder.id)
        try:
            self._adopt()
            self._work()
        finally:
            self.executor.shutdown(now=True)
            self.store.discharge(self.owner)
        counts = self.store.counts(self.folder.id)
        if self.why_stopped and counts.over < counts.total:
            self.folder.append("stopped", why=self.why_stopped)
        return counts

    def _beat(self) -> None:
        """Say that we live, and take over what runners have left that do not."""
        if not self.store.beat(self.owner):
            # Silent for too long, we were given up: what we run is others' by now.
            log.warning("%s: this runner was taken for dead; going on", self.folder.id)
            self.store.enlist(self.owner, self.folder.id)
        self._adopt()

    # --- what the dead have left ---------------------------------------------------------------

    def _adopt(self) -> None:
        """Settle what dead runners had claimed, by what their folders say."""
        _, dead = self.store.runners(self.folder.id)
        for owner in dead:
            held = self.store.held_by(owner)
            again = self.folder.queued_again()
            found = [(n, self._standing(n, last, again), 0.0) for n, last in held]
            self.store.exchange(owner, self.folder.id, found, 0)
            self.store.discharge(owner)
            log.info("%s: took over %d trials of a runner that died", self.folder.id, len(held))

    def _standing(self, n: int, last: int, again: dict[int, int]) -> Standing:
        attempts = self.folder.attempts_of(self.product.cell(n), last + 1)
        endings = [(number, read_ending(path)) for number, path in attempts]
        return standing(endings, queued_after=again.get(n, 0), most_faults=self.most_faults)

    # --- the loop ------------------------------------------------------------------------------

    def _work(self) -> None:
        deadline = None if self.max_time is None else time.monotonic() + self.max_time
        beat = look = time.monotonic()
        for again in self._unpublished():
            self._publish(*again)
        while True:
            ended = self._ended()  # first, since it makes room
            wanted = 0 if self._stopping(deadline) else self._room()
            claims = self._exchange(ended, wanted)
            for claim in claims:
                self._submit(claim)
            if self._stop == "now":
                self.executor.shutdown(now=True)
            if not self._flying and not claims and self._finished(wanted):
                break
            now = time.monotonic()
            if now >= beat:
                self._beat()
                beat = now + BEAT_S
            if now >= look:
                self._look()
                took = time.monotonic() - now  # counting 100,000 trials takes a while
                look = now + max(TICK_S, LOOKING * took)
            if self._flying and not (claims and self.budget):
                self._await(look - time.monotonic())
        self._finish_publishing()
        self._look()

    def _stopping(self, deadline: float | None) -> bool:
        if os.path.exists(self._stop_file):  # noqa: PTH110 - it is asked at each turn
            self.stop(now=self.folder.stop_file.read_text(encoding="utf-8").strip() == "now")
        if deadline is not None and time.monotonic() >= deadline:
            self.stop(why="the time of --max-time is over")
        if not self._stop and self.budget:
            self._watch_budget()
        if self._stop:
            for _, future in self._flying.values():
                future.cancel()
        self.progress.stopping = self.why_stopped if self._stop else ""
        return bool(self._stop)

    def _room(self) -> int:
        """Return how many trials may be started; none while the disk is full."""
        free = os.statvfs(self.folder.root)
        full = free.f_bavail * free.f_frsize < FREE_BYTES
        if full or time.monotonic() < self._room_at:
            self.progress.pause = f"{self.folder.root.parent} is full: waiting for room"
            return 0
        self.progress.pause = ""
        if self._exclusive:
            return len(self._places)
        if self.budget:  # what each may spend depends on what those before it have left
            return int(len(self._flying) < self.executor.workers and not self._left().spent)
        return max(0, AHEAD * self.executor.workers - len(self._flying))

    def _finished(self, wanted: int) -> bool:
        """Whether nothing is left for us; waits a moment where something will be."""
        if self._stop:
            return True
        waiting, due = self.store.waiting(self.folder.id)
        if not waiting:
            return True
        pause = TICK_S if due is None or not wanted else due - time.time()
        time.sleep(min(max(pause, 0.0), TICK_S))
        return False

    def _submit(self, claim: Claim) -> None:
        cell = self.product.cell(claim.n)
        sealed = not self.folder.instance(cell.task, cell.repeat).exists()
        seed = keys.seed(self.key, cell.task, cell.repeat, sealed=sealed)
        job = Job(
            folder=str(self.folder.root),
            n=claim.n,
            attempt=claim.attempt,
            secret=seed.secret,
            sealed=sealed,
            place=self._take_place(claim.n),
            lasts=self.executor.name == "pool",
            access=self.access,
            models=self.models,
            granted=self._grant(claim.n),
        )
        future = self.executor.submit(attempt, job)
        self._flying[claim.n] = (claim, future)
        future.add_done_callback(lambda done: self._answers.put((claim, done)))

    # --- what may be spent ---------------------------------------------------------------------

    def _watch_budget(self) -> None:
        used = self._used()
        if self.budget.less(used).spent or (not self._granted and self._left().spent):
            self.stop(why=f"the budget is spent: {self.budget.words(used)}")

    def _used(self) -> Amount:
        counts = self.store.counts(self.folder.id)
        return Amount(tokens=counts.tokens, cost_usd=counts.cost_usd)

    def _left(self) -> Amount:
        """Return what nobody has spent and nobody was granted."""
        granted = [one.amount for one in self._granted.values()]
        taken = sum([*granted, *self._granted_to_others()], start=self._used())
        return self.budget.less(taken)

    def _granted_to_others(self) -> Iterator[Amount]:
        """Yield what other runners have granted to trials that run; their folders tell."""
        for row in self.store.running(self.folder.id):
            if row["owner"] == self.owner.name:
                continue
            place = self.folder.attempt(self.product.cell(row["n"]), row["attempt"] + 1)
            try:
                told = json.loads((place / "trial.json").read_bytes())["suite"].get("granted")
            except (OSError, ValueError, KeyError):
                continue  # claimed and not begun
            yield Amount(**told) if told else NOTHING

    def _grant(self, n: int) -> Granted | None:
        if not self.budget:
            return None
        parts = max(1, self.executor.workers - len(self._granted))
        self._granted[n] = Granted.of(self._left(), parts, self.access.policy)
        return self._granted[n]

    def _take_place(self, n: int) -> Place:
        if not self._exclusive:
            return self._places[0] if self._places else Place()
        self._held[n] = self._places.pop()
        return self._held[n]

    def _await(self, seconds: float) -> None:
        """Wait for an answer, and leave it where it is."""
        try:
            first = self._answers.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return
        self._answers.put(first)

    def _ended(self) -> list[tuple[Claim, Ended | None]]:
        found = []
        while not self._answers.empty():
            claim, future = self._answers.get()
            del self._flying[claim.n]
            if claim.n in self._held:
                self._places.append(self._held.pop(claim.n))
            self.progress.running.pop(claim.n, None)
            found.append((claim, self._answer(claim, future)))
        return found

    def _answer(self, claim: Claim, future: "Future[Any]") -> Ended | None:
        """Return how an attempt ended; None where it was never begun."""
        try:
            ended: Ended = future.result()
        except CancelledError:
            return None
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its fault
            place = self.folder.attempt(self.product.cell(claim.n), claim.attempt)
            stopped = self._stop == "now"
            if not place.exists() and (stopped or isinstance(error, WorkerLost)):
                return None
            reason = "cancelled" if stopped else "infrastructure"
            row = give_up(place, reason, f"{type(error).__name__}: {error}")
            return Ended(n=claim.n, attempt=claim.attempt, row=row, detail=str(error))
        if ended.no_space:
            self._room_at = time.monotonic() + FULL_S
        return ended

    def _exchange(self, ended: list[tuple[Claim, Ended | None]], wanted: int) -> list[Claim]:
        if not ended and not wanted:
            return []
        rows = []
        for claim, end in ended:
            before = claim.before
            if end is None:
                rows.append((claim.n, before, 0.0))
                continue
            after = before.after(claim.attempt, end.row, self.most_faults)
            waits = after.row.state == "queued" and after.faults > claim.faults
            rows.append((claim.n, after, backoff(after.faults) if waits else 0.0))
            if end.detail:
                log.warning("trial %d: %s", claim.n, end.detail)
            self._track(claim)
            if after.row.state == "failed" and self.fail_fast:
                self.stop(why=f"trial {claim.n} failed: {after.row.reason}")
            if end.out_of_budget:
                self.stop(why=f"the budget is spent: {self.budget.words(self._used())}")
        claims = self.store.exchange(self.owner, self.folder.id, rows, wanted)
        for claim, _ in ended:  # only now, when the store knows what they have spent
            self._granted.pop(claim.n, None)
        for instance in {
            self._instance_of(n) for n, after, _ in rows if after.row.state != "queued"
        }:
            if self._stop != "now" and self.store.all_over(
                self.folder.id, self.product.meeting(*instance)
            ):
                self._publish(*instance)
        return claims

    def _track(self, claim: Claim) -> None:
        place = self.folder.attempt(self.product.cell(claim.n), claim.attempt)
        if self.feed is not None and (place / "report.json").is_file():
            self.feed.replay(place)

    # --- instances that nobody will meet any more ----------------------------------------------

    def _instance_of(self, n: int) -> tuple[str, int]:
        cell = self.product.cell(n)
        return cell.task, cell.repeat

    def _unpublished(self) -> Iterator[tuple[str, int]]:
        """Yield the instances whose trials are over and that a crash kept from being published."""
        published = self.folder.published()
        for first in self.store.groups_over(self.folder.id, len(self.product.agents)):
            task, repeat = self._instance_of(first)
            if f"{task}.r{repeat}" not in published:
                yield task, repeat

    def _publish(self, task: str, repeat: int, tries: int = 1) -> None:
        seed = keys.seed(self.key, task, repeat, sealed=True)
        future = self.executor.submit(publish, str(self.folder.root), task, repeat, seed.secret)
        self._publishing[task, repeat] = (tries, future)

    def _finish_publishing(self) -> None:
        """Wait for what is being published; a worker that died is replaced by another."""
        while self._publishing and self._stop != "now":
            (task, repeat), (tries, future) = self._publishing.popitem()
            try:
                future.result()
            except Exception as error:  # noqa: BLE001 - whatever the engine raises is its fault
                if tries < self.most_faults:
                    self._publish(task, repeat, tries + 1)
                else:
                    log.warning("%s, repeat %d is not published: %s", task, repeat, error)

    # --- looks before the end ------------------------------------------------------------------

    def _decide(self) -> None:
        """Take the looks that are due, each once whoever runs; stop at one that settles it."""
        while self.looks is not None and self._looked < len(self.looks) and not self._stop:
            number = self._looked + 1
            size = self.looks.sizes[number - 1]
            if not self.store.all_over(self.folder.id, range(size)):
                return
            look = self.looks.take(number, self.folder.trials)
            said = look.words(len(self.looks))
            self._looked = number
            self.folder.append("look", **asdict(look), of=len(self.looks), settled=look.settled)
            self._tell_of_looks(said)
            log.info("%s: %s", self.folder.id, said)
            if look.settled and number < len(self.looks):
                self.stop(why=f"decided at {said}")

    def _tell_of_looks(self, said: str) -> None:
        if self.looks is None:
            return
        due = ""
        if self._looked < len(self.looks):
            size = self.looks.sizes[self._looked]
            due = f"look {self._looked + 1} of {len(self.looks)} comes at {counted(size, 'trial')}"
        self.progress.look = "; ".join(filter(None, (said, due)))

    # --- for onlookers -------------------------------------------------------------------------

    def _look(self) -> None:
        """See how far the running trials have come; their folders tell."""
        states: dict[int, str] = {}
        for n, (claim, _) in self._flying.items():
            place = self.folder.attempt(self.product.cell(n), claim.attempt)
            events = read_events(place / "events.jsonl")
            if events:
                states[n] = state_of(events)
                self.progress.running[n] = (states[n], events[0]["time"])
        still = self._publishing.items()
        self._publishing = {k: v for k, v in still if not _worked(v[1])}
        if states:
            self.store.advance(self.owner, self.folder.id, states)
        self.progress.counts = self.store.counts(self.folder.id)
        self._decide()
        self.on_progress(self.progress)


def _worked(future: "Future[Any]") -> bool:
    """Whether a call is over and gave what it should; one that was called off has not."""
    return future.done() and not future.cancelled() and future.exception() is None


def backoff(faults: int) -> float:
    """Return the seconds before an attempt after so many infrastructure faults."""
    return min(LONGEST_WAIT_S, 2.0 ** (faults - 1))
