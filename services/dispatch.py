"""Sends sealed messages to PoPs. Losing one does no harm: the sweep sends again what is behind."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from django.utils import timezone
from kombu.exceptions import OperationalError

from services.design import design
from services.keys import core_identity
from services.models import Deployment, Pop
from worker.broker import ASK, CORE_QUEUE, RECONCILE, RECORDS_TAKEN, TABLES, pop_queue
from worker.errors import PermanentError
from worker.report import Ask, RecordsTaken, TableChange
from worker.seal import PublicIdentity, seal

log = logging.getLogger(__name__)

#: Seconds after which a message that nobody took is worthless: the sweep has sent a newer one.
EXPIRES = 120


class NotEnrolled(PermanentError):
    """The PoP has no keys yet; nothing can be sealed for it."""


def wake(task: str, *arguments: str) -> None:
    """Ask a core worker to run a task soon. Call it on commit."""
    _publish(task, list(arguments), CORE_QUEUE)


def shorten(queue: str, most: int) -> None:
    """Drop the oldest messages of a queue, all above so many: nobody reads it, and the broker keeps it in memory."""
    try:
        with current_app.connection_for_write() as connection:
            # At a Redis a queue is a list, the newest first. Other brokers keep their own measure.
            if (redis := getattr(connection.default_channel, "client", None)) is not None:
                redis.ltrim(queue, 0, most - 1)
    except OperationalError as error:
        log.warning("the broker is away, %s is not shortened: %s", queue, error)


def send_desired(deployment: Deployment) -> None:
    """Tell the deployment's PoP what should stand there. Raises `NotEnrolled`, `SpecError`."""
    instance = deployment.instance
    desired = design(instance)[deployment.pop_id]
    Deployment.unscoped.filter(pk=deployment.pk).update(sent_at=timezone.now())
    _send(deployment.pop, RECONCILE, desired.to_json(), instance=instance.pk, generation=desired.generation)


def send_ask(pop: Pop, ask: Ask) -> None:
    """Put a question to a PoP. Raises `NotEnrolled`."""
    _send(pop, ASK, ask.to_json(), instance=ask.instance)


def send_tables(pop: Pop, change: TableChange) -> None:
    """Tell a PoP what changes in the tables of a VNF. Raises `NotEnrolled`."""
    _send(pop, TABLES, change.to_json(), instance=change.instance)


def send_records_taken(pop: Pop, taken: RecordsTaken) -> None:
    """Tell a PoP which records of a VNF are safe here. Raises `NotEnrolled`."""
    _send(pop, RECORDS_TAKEN, taken.to_json(), instance=taken.instance)


def _send(pop: Pop, task: str, payload: dict[str, Any], *, instance: str, generation: int = 0) -> None:
    if pop.public_identity is None:
        raise NotEnrolled(f"PoP {pop.slug} is not enrolled; run `manage.py enroll_pop {pop.slug}` first")
    envelope = seal(
        payload,
        sender=core_identity(),
        receiver=PublicIdentity.from_json(pop.public_identity),
        subject=task,
        instance=instance,
        generation=generation,
    )
    _publish(task, [envelope.to_json()], pop_queue(pop.slug))


def _publish(task: str, arguments: list[Any], queue: str) -> None:
    try:
        current_app.send_task(task, args=arguments, queue=queue, expires=EXPIRES)
    except OperationalError as error:
        log.warning("the broker is away, the sweep will send %s again: %s", task, error)
