"""Keeps a PoP as it should be, without core, broker or database: `python -m worker.healer`.

It visits every instance in the store at its start (a reboot), when Docker says that
something happened to it, and at each sweep: a visit observes, repairs, and asks the probes.
Beside that it looks into the VNFs' databases for records to send, and samples what all of them carry and use.
What carries this PoP's mark and is in no store is reported and left alone. While a task
works on an instance, the healer stays away from it.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol, runtime_checkable

from worker.app import app
from worker.config import load
from worker.errors import NaasError, PermanentError
from worker.exchange import Collector
from worker.host import Pop
from worker.keeper import Attempt, Keeper
from worker.outbox import Outbox
from worker.report import Beat, Phase
from worker.sampler import Sampler
from worker.store import Row

log = logging.getLogger(__name__)

#: Instances visited at a time. Docker starts are fastest four at a time.
HANDS = 4
BEAT_INTERVAL = 15.0
#: Seconds between two looks into the databases.
LOOK_INTERVAL = 0.25
#: Seconds until the next look at an instance whose lock is taken, and at one that is not ready yet.
BUSY_PAUSE, UNREADY_PAUSE = 0.5, 0.25
#: Seconds between two tries of what was found not to help.
PARKED_PAUSE = 60.0
#: Seconds before listening again when Docker's events ended.
LISTEN_PAUSE = 1.0


@runtime_checkable
class Talkative(Protocol):
    """A runtime that says when something happened to an instance."""

    def events(self, since: float) -> Iterator[str]:
        """Names of instances, as things happen to them after `since` (Unix time). Raises `TemporaryError` or ends."""


@dataclass
class Visits:
    """When each instance is to be visited next (monotonic seconds), and whom somebody is visiting now."""

    due: dict[str, float] = field(default_factory=dict)
    running: dict[str, Future[float | None]] = field(default_factory=dict)

    def want(self, instance: str, at: float) -> None:
        self.due[instance] = min(at, self.due.get(instance, at))

    def is_planned(self, instance: str) -> bool:
        return instance in self.due or instance in self.running

    def ripe(self, now: float) -> tuple[str, ...]:
        return tuple(name for name, at in self.due.items() if at <= now and name not in self.running)

    def next(self) -> float | None:
        return min((at for name, at in self.due.items() if name not in self.running), default=None)


class Healer:
    def __init__(self, pop: Pop, outbox: Outbox) -> None:
        self._pop = pop
        self._outbox = outbox
        self._keeper = Keeper(pop, outbox)
        self._collector = Collector(pop, outbox)
        self._looking: Future[None] | None = None
        self._sampler = Sampler(pop, outbox, self._keeper.values)
        self._sampling: Future[None] | None = None
        self._visits = Visits()
        self._started = time.time()
        self._pauses: dict[str, float] = {}
        self._probed: dict[str, float] = {}
        self._strangers: frozenset[str] = frozenset()
        #: Instances to visit now; "" when a visit ended; None to stop.
        self._calls: SimpleQueue[str | None] = SimpleQueue()

    def stop(self) -> None:
        """End `run` after the visits that are under way. May be called from a signal handler."""
        self._calls.put(None)

    def run(self) -> None:
        """Heal until `stop` is called."""
        if isinstance(self._pop.runtime, Talkative):
            threading.Thread(target=self._listen, args=(self._pop.runtime,), name="events", daemon=True).start()
        next_sweep = next_beat = next_look = next_sample = 0.0
        with (
            ThreadPoolExecutor(HANDS, thread_name_prefix="visit") as hands,
            ThreadPoolExecutor(1, thread_name_prefix="records") as clerk,
            ThreadPoolExecutor(1, thread_name_prefix="samples") as meter,
        ):
            while True:
                now = time.monotonic()
                if now >= next_sweep:
                    self._sweep(now)
                    next_sweep = now + self._pop.config.sweep_interval
                if now >= next_beat:
                    self._beat()
                    next_beat = now + BEAT_INTERVAL
                if now >= next_look:
                    self._look(clerk)
                    next_look = now + LOOK_INTERVAL
                if now >= next_sample:
                    self._sample(meter)
                    next_sample = now + _to_next(self._pop.config.sample_interval)
                self._collect(now)
                self._send_out(hands, now)
                if not self._wait(
                    min(next_sweep, next_beat, next_look, next_sample, self._visits.next() or next_sweep)
                ):
                    return

    # --- the loop's parts -------------------------------------------------------------

    def _wait(self, until: float) -> bool:
        """Wait for a call, or until it is time. False when told to stop."""
        try:
            call = self._calls.get(timeout=max(0.0, until - time.monotonic()))
            while call is not None:
                if call:
                    self._visits.want(call, time.monotonic())
                call = self._calls.get_nowait()
        except Empty:
            return True
        return False

    def _send_out(self, hands: ThreadPoolExecutor, now: float) -> None:
        for instance in self._visits.ripe(now):
            del self._visits.due[instance]
            visit = hands.submit(self.visit, instance)
            self._visits.running[instance] = visit
            visit.add_done_callback(lambda _: self._calls.put(""))

    def _collect(self, now: float) -> None:
        """Take note of the visits that ended. One that failed, even by a bug, must not keep the others unhealed."""
        for instance, visit in tuple(self._visits.running.items()):
            if not visit.done():
                continue
            del self._visits.running[instance]
            error = visit.exception()
            if error is not None:
                log.error("the visit to %s failed", instance, exc_info=error)
            pause = self._pop.config.sweep_interval if error else visit.result()
            if pause is not None:
                self._visits.want(instance, now + pause)

    def _sweep(self, now: float) -> None:
        """Make sure that everything here has a visit to come, and that the core knows what was found."""
        try:
            rows = self._pop.store.rows()
            present = self._pop.runtime.instances() | self._pop.wiring.instances()
            self._pop.store.prune()
        except NaasError as error:
            log.warning("this sweep is skipped: %s", error)
            return
        for row in rows:
            # What is on its way is looked at in every sweep: whoever worked on it may have died.
            unplanned = not self._visits.is_planned(row.instance) or row.phase is Phase.CONVERGING
            if unplanned and not self._is_fresh(row) and (not row.is_settled or row.instance in present):
                self._visits.want(row.instance, now)
            if row.report is not None and not row.reported:
                self._outbox.report(row.report, patience=0.0)
        self._note_strangers(present - {row.instance for row in rows})

    def _is_fresh(self, row: Row) -> bool:
        """Whether it was accepted since the last sweep: then a task is at it, and the next sweep is soon enough."""
        return row.accepted > max(self._started, time.time() - self._pop.config.sweep_interval)

    def _note_strangers(self, strangers: frozenset[str]) -> None:
        for instance in sorted(strangers - self._strangers):
            log.warning("%s carries this PoP's mark but is not in its store: left alone", instance)
        self._strangers = strangers

    def _beat(self) -> None:
        rows = (row for row in self._pop.store.rows() if not row.is_settled)
        kept = tuple((row.instance, row.generation, row.phase) for row in rows)
        self._outbox.beat(Beat(self._pop.slug, time.time(), kept))

    def _look(self, clerk: ThreadPoolExecutor) -> None:
        """Look into the databases, unless the last look still goes on."""
        if _is_over(self._looking, "a look into the databases"):
            self._looking = clerk.submit(self._collector.look)

    def _sample(self, meter: ThreadPoolExecutor) -> None:
        """Read what all instances carry and use, unless the last time still goes on."""
        if _is_over(self._sampling, "sampling"):
            self._sampling = meter.submit(self._sampler.sample)

    def _listen(self, runtime: Talkative) -> None:
        since = time.time()
        while True:
            try:
                for instance in runtime.events(since):
                    self._calls.put(instance)
                    since = time.time()
            except NaasError as error:
                log.warning("listening to the container engine again: %s", error)
            time.sleep(LISTEN_PAUSE)

    # --- one visit --------------------------------------------------------------------

    def visit(self, instance: str) -> float | None:
        """Look after one instance; says in how many seconds to come again, None when there is no need."""
        attempt = self._keeper.bring(instance, wait=False)
        if attempt is None:
            return BUSY_PAUSE if self._pop.store.generation(instance) is not None else None
        is_news = not attempt.is_live and not attempt.row.is_settled
        if attempt.outcome.plans or is_news:
            phase = self._keeper.settle(attempt, within=0.0).phase
        else:
            phase = self._probe(attempt)
        return self._pause(attempt, phase)

    def _probe(self, attempt: Attempt) -> Phase:
        """Run the probes when it is time, or when the instance is awaited."""
        row = attempt.row
        since = time.monotonic() - self._probed.get(row.instance, -self._pop.config.probe_interval)
        if row.phase is Phase.CONVERGED and since < self._pop.config.probe_interval:
            return row.phase
        self._probed[row.instance] = time.monotonic()
        return self._keeper.look(attempt).phase

    def _pause(self, attempt: Attempt, phase: Phase) -> float | None:
        instance = attempt.row.instance
        longest = self._pop.config.sweep_interval
        if phase is Phase.CONVERGING:
            pause = self._pauses.get(instance, attempt.outcome.retry or UNREADY_PAUSE)
            self._pauses[instance] = min(pause * 2, longest)
            return min(pause, longest)
        self._pauses.pop(instance, None)
        if phase is Phase.GONE:
            return None
        return max(PARKED_PAUSE, longest) if phase is Phase.PARKED else longest


def _is_over(work: Future[None] | None, what: str) -> bool:
    """Whether it is done or was never begun. That it failed, even by a bug, is said and holds up nothing."""
    if work is None:
        return True
    if not work.done():
        return False
    if (error := work.exception()) is not None:
        log.error("%s failed", what, exc_info=error)
    return True


def _to_next(interval: float) -> float:
    """Seconds to the middle of the next whole multiple of the interval, so that each has one sample."""
    return interval - (time.time() - interval / 2) % interval


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        pop = Pop(load())
    except PermanentError as error:
        sys.exit(f"healer: {error}")
    outbox = Outbox(pop, app)
    healer = Healer(pop, outbox)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: healer.stop())
    healer.run()
    outbox.close()


if __name__ == "__main__":
    main()
