"""What the PoP tells the core, sealed and handed to the broker without holding up the work.

Best effort: a report that cannot be sent is dropped here, and the store remembers that the
core does not know yet (see `worker.healer`). One thread publishes; whoever reports waits
for it a moment at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from functools import cached_property

from celery import Celery
from kombu.exceptions import OperationalError

from worker.broker import ANSWER, BEAT, CORE_QUEUE, RECORDS, REPORT, SAMPLES, SAMPLES_QUEUE, TABLES_AT
from worker.host import Pop
from worker.report import Answer, Beat, Phase, Records, Report, StepReport, TablesAt
from worker.samples import Samples
from worker.topology import DesiredState

log = logging.getLogger(__name__)

#: Seconds until the first message about the steps of a plan, and between two later ones at most: each pause is
#: four times the one before, so that a person sees the first steps at once and a busy PoP says no more than is read.
STEP_INTERVAL, LONGEST_STEP_INTERVAL = 0.5, 2.0
#: Seconds that the work waits for the broker to take a final report.
PATIENCE = 1.0
#: Messages that may wait for a broker that hangs; more are dropped.
BACKLOG = 50


class Outbox:
    """Sends to the core. One per process, made after it forked."""

    def __init__(self, pop: Pop, app: Celery) -> None:
        self._pop = pop
        self._app = app
        self._room = threading.Semaphore(BACKLOG)

    def report(self, report: Report, *, patience: float = PATIENCE) -> bool:
        """Send a report; says whether the broker took it within `patience` seconds, and notes it in the store if so."""
        return _taken(self._post(lambda: self._send_report(report)), patience)

    def tables_at(self, found: TablesAt, *, patience: float = PATIENCE) -> bool:
        """Say which revision some tables have; says whether the broker took it within `patience` seconds."""
        envelope = self._pop.seal(found.to_json(), TABLES_AT, instance=found.instance)
        return _taken(self._post(lambda: self._publish(TABLES_AT, envelope)), patience)

    def records(self, records: Records, *, patience: float = PATIENCE) -> bool:
        """Send records; says whether the broker took them within `patience` seconds."""
        envelope = self._pop.seal(records.to_json(), RECORDS, instance=records.instance)
        return _taken(self._post(lambda: self._publish(RECORDS, envelope)), patience)

    def samples(self, samples: Samples) -> bool:
        """Send samples in the caller's own thread, that no report waits for them; says whether the broker took them."""
        return self._publish(SAMPLES, self._pop.seal(samples.to_json(), SAMPLES), queue=SAMPLES_QUEUE)

    def beat(self, beat: Beat) -> None:
        self._post(lambda: self._publish(BEAT, self._pop.seal(beat.to_json(), BEAT)))

    def answer(self, answer: Answer) -> None:
        """Send an answer, and wait until it is sent or lost: nobody asks for it again."""
        envelope = self._pop.seal(answer.to_json(), ANSWER, instance=answer.instance)
        self._post(lambda: self._publish(ANSWER, envelope)).result()

    def close(self) -> None:
        """Send what is being sent and drop the rest: a broker that hangs must not keep a process from ending."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def steps(self, desired: DesiredState) -> Iterator[Steps]:
        """Takes the reports of a plan's steps and sends them in batches while the plan runs."""
        steps = Steps(lambda batch: self._post(lambda: self._send_report(self._progress(desired, batch))))
        try:
            yield steps
        finally:
            steps.close()

    def _progress(self, desired: DesiredState, batch: tuple[StepReport, ...]) -> Report:
        return Report(
            self._pop.slug, desired.instance, desired.generation, Phase.CONVERGING, steps=batch, at=time.time()
        )

    def _send_report(self, report: Report) -> bool:
        envelope = self._pop.seal(report.to_json(), REPORT, instance=report.instance, generation=report.generation)
        if not self._publish(REPORT, envelope):
            return False
        self._pop.store.mark_reported(report)
        return True

    def _publish(self, task: str, envelope: dict[str, object], queue: str = CORE_QUEUE) -> bool:
        try:
            # Nothing is declared: a PoP's Redis user may push to the core's queues and no more.
            self._app.send_task(task, args=(envelope,), queue=queue, declare=[], retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("the broker did not take %s: %s", task, error)
            return False
        return True

    def _post(self, work: Callable[[], bool]) -> Future[bool]:
        if not self._room.acquire(blocking=False):
            return _lost()
        posted = self._thread.submit(work)
        posted.add_done_callback(lambda _: self._room.release())
        return posted

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")


def _taken(sent: Future[bool], patience: float) -> bool:
    try:
        return sent.result(timeout=patience)
    except NotYet:
        return False


def _lost() -> Future[bool]:
    lost: Future[bool] = Future()
    lost.set_result(False)
    return lost


class Steps:
    """A `Reporter` that batches: of each step the latest state, one message for all that came in one pause.

    What was not sent when the plan is over is left in `rest`, for the final report.
    """

    def __init__(self, send: Callable[[tuple[StepReport, ...]], Future[bool]]) -> None:
        self._send = send
        self._pending: dict[tuple[str, int], StepReport] = {}
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.rest: tuple[StepReport, ...] = ()

    def __call__(self, step: StepReport) -> None:
        with self._guard:
            self._pending[step.run, step.position] = step
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush_while_running, name="steps", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.rest = self._take()

    def _flush_while_running(self) -> None:
        last: Future[bool] | None = None
        pause = STEP_INTERVAL
        while not self._over.wait(pause):
            pause = min(4 * pause, LONGEST_STEP_INTERVAL)
            # While the broker hangs on the last batch, the next ones grow into one.
            if (last is None or last.done()) and (batch := self._take()):
                last = self._send(batch)

    def _take(self) -> tuple[StepReport, ...]:
        with self._guard:
            batch = tuple(self._pending.values())
            self._pending.clear()
        return batch
