"""Keeps one instance as the store says: lock it, reconcile it, remember and report what came of it.

The way that a message from the core, the healer's sweep and a Docker event all take. What
is done is `worker.reconcile`'s matter; what is wanted, the store's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from worker.broker import RECONCILE
from worker.errors import PermanentError
from worker.exchange import Exchange
from worker.host import Pop
from worker.outbox import Outbox
from worker.probes import Answers
from worker.reconcile import Outcome, judge, probe, ready, reconcile
from worker.report import Phase, Report, StepReport
from worker.store import Row
from worker.topology import DesiredState, ProbeRole


@dataclass(frozen=True)
class Attempt:
    """What one attempt came to. `desired` is None when the kept envelope cannot be read any more."""

    row: Row
    desired: DesiredState | None
    outcome: Outcome
    steps: tuple[StepReport, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether there is something here that can be probed."""
        return self.desired is not None and not self.desired.is_deletion and self.outcome.stands


class Keeper:
    def __init__(self, pop: Pop, outbox: Outbox) -> None:
        self._pop = pop
        self._outbox = outbox
        self._exchange = Exchange(pop, outbox)
        self._answers = Answers()

    def bring(self, instance: str, *, wait: bool) -> Attempt | None:
        """Make the PoP agree with what is in force, under the instance's lock.

        None when nothing is known of the instance, or when someone else holds its lock
        and `wait` is false.
        """
        with self._pop.store.lock(instance, wait=wait) as held:
            # Read under the lock: whoever held it may have accepted a newer state.
            row = self._pop.store.row(instance) if held else None
            return self._attempt(row) if row else None

    def _attempt(self, row: Row) -> Attempt:
        try:
            desired = self._pop.kept(row, RECONCILE)
        except PermanentError as error:
            return Attempt(row, None, Outcome(Phase.PARKED, str(error)))
        foreign = self._pop.store.foreign_segments(row.instance)
        with self._outbox.steps(desired) as steps:
            outcome = reconcile(desired, self._pop.runtime, self._pop.wiring, steps, foreign=foreign)
        return Attempt(row, desired, outcome, steps.rest)

    def settle(self, attempt: Attempt, *, within: float) -> Outcome:
        """Wait for readiness where there is something to wait for, then remember and report. Holds no lock."""
        outcome = attempt.outcome
        self._answers.forget(attempt.row.instance)

        def superseded() -> bool:
            return self._is_superseded(attempt.row)

        if attempt.is_live and attempt.desired is not None:
            if outcome.plans:
                self._exchange.announce(attempt.desired, within=within, superseded=superseded)
            outcome = ready(
                attempt.desired,
                self._pop.runtime,
                within=within,
                superseded=superseded,
                ask=self._answers.ask_anew,
            )
        self.tell(attempt.row, outcome, attempt.steps, always=True)
        return outcome

    def look(self, attempt: Attempt) -> Outcome:
        """Ask every probe of an instance that stands as wanted, and report when something changed."""
        if not attempt.is_live or attempt.desired is None:
            return attempt.outcome
        began = time.time()
        conditions = probe(attempt.desired, self._pop.runtime, *ProbeRole, ask=self._answers.ask)
        outcome = replace(judge(conditions, before=attempt.row.phase), at=began)
        self.tell(attempt.row, outcome)
        return outcome

    def values(self, instance: str) -> dict[str, float]:
        """What the instance's probes told of it lately besides conditions."""
        return self._answers.values(instance)

    def tell(self, row: Row, outcome: Outcome, steps: Iterable[StepReport] = (), *, always: bool = False) -> None:
        """Remember what was found and report it when it is new, or `always`.

        Of a generation that is not in force any more nothing is said.
        """
        report = Report(
            self._pop.slug,
            row.instance,
            row.generation,
            outcome.phase,
            outcome.reason,
            outcome.conditions,
            tuple(steps),
            outcome.at,
        )
        is_new = self._pop.store.record(report)
        if is_new or (always and not self._is_superseded(row)):
            self._outbox.report(report)

    def _is_superseded(self, row: Row) -> bool:
        return self._pop.store.generation(row.instance) != row.generation
