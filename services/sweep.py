"""Finds what is behind and sets it going again. Whatever message was lost, this is why it does not matter."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from services import certificates, orders
from services.lifecycle import OPEN, OrderState
from services.models import Deployment, Inquiry, ProductOrder
from worker.errors import NaasError
from worker.report import Phase

log = logging.getLogger(__name__)

#: An order that was acknowledged this long ago has lost its wake-up.
OVERLOOKED = timedelta(seconds=3)
#: A deployment that was told this long ago and has not arrived is told again.
AGAIN = timedelta(seconds=15)
#: The same for a PoP that has not been seen for a minute, so that its queue stays short.
AGAIN_UNSEEN = timedelta(seconds=120)
#: The same for one that was parked: somebody may have mended what was wrong at the PoP.
AGAIN_PARKED = timedelta(seconds=300)
UNSEEN = timedelta(seconds=60)
#: A question that waited this long is not answered any more.
UNANSWERED = timedelta(seconds=60)


def sweep(now: datetime | None = None) -> None:
    """Look once at everything that is open. Doing it twice does no harm."""
    now = now or timezone.now()
    open_orders = ProductOrder.unscoped.filter(state__in=OPEN)
    for order_id in _ids(open_orders.filter(state=OrderState.PENDING, starts_at__lte=now)):
        orders.start(order_id=order_id, now=now)
    for order_id in _ids(open_orders.exclude(state=OrderState.PENDING).filter(deadline__lte=now)):
        orders.expire(order_id=order_id, now=now)
    for order_id in _ids(open_orders.filter(state=OrderState.ACKNOWLEDGED, placed_at__lte=now - OVERLOOKED)):
        orders.start(order_id=order_id)
    for deployment in behind(now):
        orders.tell(deployment)
    _renew_certificates(now)
    Inquiry.unscoped.filter(state=Inquiry.State.OPEN, asked_at__lte=now - UNANSWERED).update(
        state=Inquiry.State.FAILED, error="the PoP did not answer in time; ask again", answered_at=now
    )


def _renew_certificates(now: datetime) -> None:
    for instance_id in certificates.ending(now):
        try:
            orders.renew(instance_id=instance_id, now=now)
        except NaasError as error:
            log.error("the certificate of %s is not renewed: %s", instance_id, error)


def behind(now: datetime) -> QuerySet[Deployment]:
    """The deployments that have not reached their generation and were not told so lately."""
    unseen = Q(pop__last_seen_at__isnull=True) | Q(pop__last_seen_at__lt=now - UNSEEN)
    parked = Q(phase=Phase.PARKED)
    due = (
        Q(sent_at__isnull=True)
        | Q(~parked & ~unseen, sent_at__lte=now - AGAIN)
        | Q(~parked & unseen, sent_at__lte=now - AGAIN_UNSEEN)
        | Q(parked, sent_at__lte=now - AGAIN_PARKED)
    )
    waiting = Q(instance__order_items__state=OrderState.ACKNOWLEDGED)
    return (
        Deployment.unscoped.filter(due, observed_generation__lt=F("generation"))
        .exclude(waiting)
        .select_related("instance", "pop")
        .distinct()
    )


def _ids(rows: QuerySet[ProductOrder]) -> list[str]:
    return list(rows.values_list("pk", flat=True))
