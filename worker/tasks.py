"""The Celery tasks of a PoP's queue. They parse, call and report; they decide nothing.

Each takes one sealed envelope. A message that is lost, late or doubled does no harm: the
store fences, and the healer's sweep carries on with what a task left. So a message that
killed its worker more than once may be left to the sweep.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from celery import Task, current_app, shared_task

from worker.broker import ASK, RECONCILE, RECORDS_TAKEN, TABLES
from worker.config import load
from worker.errors import NaasError, PermanentError
from worker.exchange import Exchange
from worker.host import Pop, storable
from worker.keeper import Attempt, Keeper
from worker.outbox import Outbox
from worker.report import Answer, Ask, Phase, RecordsTaken, Report, TableChange
from worker.seal import Envelope, Forged

log = logging.getLogger(__name__)

#: Tries of one message before the rest is left to the sweeps, and seconds between two at most.
TRIES, LONGEST_PAUSE = 3, 2.0
#: Seconds to wait for readiness. Longer than any daemon takes to start; after that the healer keeps asking.
READY_WITHIN = 30.0
#: Seconds after which a question is not answered any more: nobody waits for it.
ASK_AGE = 60.0
#: Seconds after which a change of tables is not applied any more: the core has sent what is in force since.
TABLES_AGE = 120.0


@dataclass(frozen=True)
class Station:
    """What a process of a PoP works with."""

    pop: Pop
    outbox: Outbox
    keeper: Keeper
    exchange: Exchange


class Message(Task):  # type: ignore[misc]  # untyped library
    """A task whose message comes again when its worker dies of it, but not for ever."""

    abstract = True

    def __call__(self, envelope: dict[str, Any]) -> None:
        if not self.request.delivery_info.get("redelivered"):
            self.run(envelope)
            return
        store = _station().pop.store
        message = json.dumps(envelope, sort_keys=True).encode()
        if store.attempt(message) >= TRIES:
            log.error("a message of %s has ended its worker %d times and is dropped", self.name, TRIES)
            return
        self.run(envelope)
        store.attempted(message)


@shared_task(name=RECONCILE, base=Message)
def reconcile(envelope: dict[str, Any]) -> None:
    """Take over the desired state in the envelope and bring the PoP to it."""
    here = _station()
    pop = here.pop
    try:
        received = Envelope.from_json(envelope)
        desired = pop.desired(received, RECONCILE)
    except Forged as error:
        log.warning("a desired state was refused: %s", error)
        return
    except PermanentError as error:
        here.outbox.report(
            Report(pop.slug, received.instance, received.generation, Phase.PARKED, str(error), at=time.time())
        )
        return
    here.exchange.take_leave(desired)
    accepted = pop.store.accept(
        desired.instance,
        desired.generation,
        storable(received),
        deleted=desired.is_deletion,
        segments=tuple(segment.id for segment in desired.segments),
    )
    if not accepted:
        log.info("generation %d of %s is not in force any more", desired.generation, desired.instance)
        return
    if (attempt := _bring(here.keeper, desired.instance)) is not None:
        # What else there is to know of it the healer finds out: the next message waits for this process.
        here.keeper.settle(attempt, within=READY_WITHIN)


def _bring(keeper: Keeper, instance: str) -> Attempt | None:
    """Bring the instance to what is in force, with a few tries while waiting may help."""
    attempt = keeper.bring(instance, wait=True)
    for _ in range(TRIES - 1):
        if attempt is None or attempt.outcome.retry is None:
            break
        # The lock is free meanwhile, so that a newer state need not wait.
        time.sleep(min(attempt.outcome.retry, LONGEST_PAUSE))
        attempt = keeper.bring(instance, wait=True)
    return attempt


@shared_task(name=ASK, base=Message)
def ask(envelope: dict[str, Any]) -> None:
    """Run the command in the envelope in its instance's container and send the answer."""
    here = _station()
    try:
        question = Ask.from_json(here.pop.open(Envelope.from_json(envelope), ASK, max_age=ASK_AGE))
    except PermanentError as error:
        log.warning("a question was refused: %s", error)
        return
    here.outbox.answer(_answer(here.pop, question))


def _answer(pop: Pop, question: Ask) -> Answer:
    try:
        result = pop.runtime.exec(
            question.instance, question.vnf, question.container, question.command, timeout=question.timeout
        )
    except NaasError as error:
        return Answer(question.id, question.instance, error=str(error))
    return Answer(question.id, question.instance, result.status, result.output)


@shared_task(name=TABLES, base=Message)
def tables(envelope: dict[str, Any]) -> None:
    """Apply the change of tables in the envelope, and say which revision is there then."""
    here = _station()
    try:
        here.exchange.apply(
            TableChange.from_json(here.pop.open(Envelope.from_json(envelope), TABLES, max_age=TABLES_AGE))
        )
    except NaasError as error:
        log.warning("a change of tables was not applied: %s", error)


@shared_task(name=RECORDS_TAKEN, base=Message)
def records_taken(envelope: dict[str, Any]) -> None:
    """Forget the records for which the core answers from now on."""
    here = _station()
    try:
        here.exchange.forget(RecordsTaken.from_json(here.pop.open(Envelope.from_json(envelope), RECORDS_TAKEN)))
    except NaasError as error:
        log.warning("a receipt of records was not followed: %s", error)


@cache
def _station() -> Station:
    """This process's means, made by its first task and so after the fork."""
    pop = Pop(load())
    outbox = Outbox(pop, current_app)
    return Station(pop, outbox, Keeper(pop, outbox), Exchange(pop, outbox))
