"""The core's Celery tasks. Each parses, calls a verb, and leaves the rest to the sweep."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

from services import cart, dispatch, inquiries, orders, reports, samples
from services.envelopes import opened, said
from services.models import Deployment
from services.sweep import sweep as look
from worker.broker import ANSWER, BEAT, REPORT, SAMPLES, SAMPLES_QUEUE
from worker.report import Answer, Beat, Report
from worker.samples import Samples

log = logging.getLogger(__name__)

#: Messages with samples that may wait to be read: an hour of ten PoPs. The oldest go first.
MOST_WAITING = 3600


@shared_task(name="services.sweep")
def sweep() -> None:
    look()
    dispatch.shorten(SAMPLES_QUEUE, MOST_WAITING)


@shared_task(name=orders.START)
def start_order(order_id: str) -> None:
    orders.start(order_id=order_id)


@shared_task(name=orders.SEND)
def send_deployment(deployment_id: str) -> None:
    deployment = Deployment.unscoped.select_related("instance", "pop").filter(pk=deployment_id).first()
    if deployment is not None:
        orders.tell(deployment)


@shared_task(name=REPORT)
def report(document: dict[str, Any]) -> None:
    if found := said(document, REPORT, Report):
        reports.take(found)


@shared_task(name=BEAT)
def beat(document: dict[str, Any]) -> None:
    if found := said(document, BEAT, Beat):
        reports.beat(found)


@shared_task(name=ANSWER)
def answer(document: dict[str, Any]) -> None:
    pop, payload = opened(document, ANSWER)
    inquiries.take(Answer.from_json(payload), pop=pop)


@shared_task(name=SAMPLES)
def take_samples(document: dict[str, Any]) -> None:
    if found := said(document, SAMPLES, Samples):
        samples.take(found)


@shared_task(name="services.forget_carts")
def forget_carts() -> None:
    cart.forget()


@shared_task(name=samples.AGE)
def age_samples() -> None:
    samples.roll()
    samples.forget()
