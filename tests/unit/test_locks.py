"""Writers that meet wait for each other one way round. With real transactions, so on PostgreSQL alone."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from services import reports
from services.locks import lock_pops, lock_tenant
from services.models import Deployment, ServiceEvent
from worker.report import Beat

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs PostgreSQL (DATABASE_URL)"),
]

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def touch_pop(instance):
    lock_pops([instance.pop_id])


def touch_deployment(instance):
    Deployment.unscoped.filter(instance=instance).update(reason="written by another")


@pytest.mark.parametrize("touch", [touch_pop, touch_deployment])
def test_a_heartbeat_that_meets_an_order_or_a_report_waits_for_it_and_no_more(tenant, standing, touch):
    """The order holds the tenant, and writes to the PoP when the heartbeat is under way; so does a report."""
    with ThreadPoolExecutor() as core:
        with transaction.atomic():
            lock_tenant(tenant)
            heartbeat = core.submit(beat, standing.pop_id)
            run_until_it_waits(heartbeat)
            touch(standing)
        heartbeat.result(20)
    assert ServiceEvent.unscoped.filter(instance=standing, type="lost").count() == 1
    assert Deployment.unscoped.get(instance=standing).observed_generation == 0


def beat(pop: str) -> None:
    """What another process of the core does with a heartbeat of a PoP that keeps nothing."""
    try:
        reports.beat(Beat(pop, 2_000_009_999.0))
    finally:
        connection.close()


def run_until_it_waits(heartbeat: Future[None]) -> None:
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            if cursor.fetchone()[0] or heartbeat.done():
                return
        time.sleep(0.01)
    raise AssertionError("neither ended nor waiting")
