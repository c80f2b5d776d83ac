"""The event log: who is told of what, in what order, for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from services import orders
from tenants import changes
from tenants.actor import Actor, Role
from tenants.models import Change, Tenant
from tenants.verbs import tokens
from tests.unit.conftest import found, router
from worker.report import Phase

on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs PostgreSQL (DATABASE_URL)")


def told(start: int, tenant: Tenant) -> list[tuple[str, str]]:
    return changes.objects(changes.since(start, tenant=tenant.pk))


def test_an_order_tells_its_pages_of_every_move(actor, lan, core):
    start = changes.position()
    order = orders.place(actor=actor, items=[router()])
    service = order.items.get().instance
    assert {("order", order.pk), ("service", service.pk)} <= set(told(start, actor.tenant))
    for step in (lambda: orders.start(order_id=order.pk), lambda: found(service, Phase.CONVERGED)):
        last = Change.unscoped.latest("id").pk
        step()
        new = Change.unscoped.filter(id__gt=last).values_list("topic", "about")
        assert ("order", order.pk) in set(new)
    assert ("service", service.pk) in set(new)


def test_a_report_of_progress_tells_the_page_of_the_order(actor, lan, core):
    order = orders.place(actor=actor, items=[router()])
    orders.start(order_id=order.pk)
    last = Change.unscoped.latest("id").pk
    found(order.items.get().instance, Phase.CONVERGING)
    assert ("order", order.pk) in set(Change.unscoped.filter(id__gt=last).values_list("topic", "about"))


def test_a_preview_tells_nobody(actor, lan, core):
    before = Change.unscoped.count()
    orders.preview(actor=actor, items=[router()])
    assert Change.unscoped.count() == before


def test_what_is_audited_is_told(actor):
    start = changes.position()
    issued = tokens.issue(actor=actor, name="ci", role=Role.VIEWER).token
    assert {topic for topic, _ in told(start, actor.tenant)} == {"audit", "apitoken"}
    assert ("apitoken", issued.pk) in told(start, actor.tenant)


def test_what_was_rolled_back_is_not_told(standing):
    before = Change.unscoped.count()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        changes.note(standing)
        1 / 0  # noqa: B018
    assert Change.unscoped.count() == before


def test_one_tenant_is_not_told_of_another(actor, standing):
    globex = Tenant.objects.create(name="Globex", slug="globex")
    tokens.issue(actor=Actor.system(globex), name="ci", role=Role.VIEWER)
    assert {change.tenant for change in changes.since(0, tenant=globex.pk)} == {globex.pk}
    assert {change.tenant for change in changes.since(0)} == {globex.pk, actor.tenant.pk}


def test_old_changes_are_forgotten_but_the_newest_of_each_tenant(actor):
    for _ in range(3):
        changes.note(actor.tenant)
    Change.unscoped.update(made=timezone.now() - timedelta(days=2))
    newest = Change.unscoped.latest("id").pk
    changes.forget()
    assert list(Change.unscoped.values_list("pk", flat=True)) == [newest]


def test_who_was_away_for_too_long_learns_that_something_is_missing(actor):
    Change.unscoped.create(tenant=actor.tenant, topic="order", about="ord-1", transaction=5)
    late = Change.unscoped.create(tenant=actor.tenant, topic="order", about="ord-2", transaction=900)
    column = "transaction" if connection.vendor == "postgresql" else "id"
    last = getattr(late, column)
    assert changes.reaches_back(actor.tenant.pk, 0 if column == "id" else 5) is (column != "id")
    Change.unscoped.exclude(pk=late.pk).update(made=timezone.now() - timedelta(days=2))
    changes.forget()
    assert not changes.reaches_back(actor.tenant.pk, last - 1)
    assert changes.reaches_back(actor.tenant.pk, last)


def test_a_tenant_that_nothing_happened_to_misses_nothing(actor):
    Change.unscoped.all().delete()
    assert changes.reaches_back(actor.tenant.pk, 1)


def test_a_redis_that_is_away_keeps_no_writer_waiting(actor, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(50):
            changes.note(actor.tenant)


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_what_was_written_first_and_appears_last_is_not_passed_over():
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    slow = connection.copy()
    start = changes.position()
    try:
        slow.set_autocommit(False)
        with slow.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tenants_change (tenant_id, topic, about, made) VALUES (%s, 'order', 'slow', now())",
                [tenant.pk],
            )
        changes.note(tenant)
        seen_up_to = changes.position()
        assert told(start, tenant) == [("tenant", tenant.pk)]
        slow.commit()
    finally:
        slow.close()
    assert ("order", "slow") in told(seen_up_to, tenant)
