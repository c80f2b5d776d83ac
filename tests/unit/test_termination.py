"""A removal that waits: until its time comes the service runs on, and the removal can be undone or hastened."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from naas.core.errors import Conflict, Forbidden, Invalid
from services import orders, sweep
from services.design import design
from services.entry import ItemRequest
from services.lifecycle import OrderState, ServiceState
from services.models import ProductOrder, ServiceEvent, ServiceInstance
from services.portal.service import _months
from tenants.actor import Actor, Role
from tenants.models import AuditEvent, Tenant, User
from tenants.verbs import members
from tests.callers import Caller, assert_problem
from tests.unit.conftest import found, fresh, router
from worker.report import Phase

pytestmark = pytest.mark.django_db

HALF_AN_HOUR = timedelta(minutes=30)


def removal(service: ServiceInstance) -> ItemRequest:
    return ItemRequest(action="delete", service=service.pk)


@pytest.fixture
def ending(actor: Actor, standing: ServiceInstance) -> ProductOrder:
    """The removal of `standing`, which waits."""
    return fresh(orders.place(actor=actor, items=[removal(standing)], grace=HALF_AN_HOUR))


def person(actor: Actor, role: Role) -> Client:
    user = User.objects.create_user(f"{role}@acme.example", "correct horse battery")
    members.add(actor=actor, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def test_a_removal_with_grace_waits_and_changes_nothing(ending: ProductOrder, standing: ServiceInstance) -> None:
    assert ending.state == OrderState.PENDING
    assert fresh(standing).generation == standing.generation
    assert not design(fresh(standing))["fra1"].is_deletion
    sweep.sweep()
    assert fresh(ending).state == OrderState.PENDING
    assert fresh(standing).state == ServiceState.ACTIVE
    assert "until then it runs" in ServiceEvent.unscoped.get(type="termination.scheduled").message


def test_its_time_comes_by_the_sweep_however_late(ending: ProductOrder, standing: ServiceInstance) -> None:
    assert ending.starts_at is not None
    late = ending.starts_at + timedelta(days=2)
    sweep.sweep(late)
    begun = fresh(ending)
    assert begun.state == OrderState.IN_PROGRESS
    assert begun.deadline > late, "it has as long as any other order, also after an outage of the core"
    assert design(fresh(standing))["fra1"].is_deletion
    assert begun.items.get().generation == fresh(standing).generation == 2
    found(standing, Phase.GONE)
    assert (fresh(ending).state, fresh(standing).state) == (OrderState.COMPLETED, ServiceState.TERMINATED)


def test_an_undone_removal_is_a_cancelled_order_and_leaves_no_trace(
    actor: Actor, ending: ProductOrder, standing: ServiceInstance
) -> None:
    orders.cancel(actor=actor, order=ending)
    assert fresh(ending).state == OrderState.CANCELLED
    assert [item.state for item in ending.items.all()] == [OrderState.CANCELLED]
    assert fresh(standing).generation == standing.generation
    assert fresh(standing).state == ServiceState.ACTIVE
    sweep.sweep(timezone.now() + timedelta(days=1))
    assert not design(fresh(standing))["fra1"].is_deletion
    verbs = AuditEvent.unscoped.filter(object_id=ending.pk).order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["order.place", "order.cancel"]
    changed = orders.place(actor=actor, items=[ItemRequest(action="modify", service=standing.pk, size="M")])
    assert changed.items.get().generation == 2


def test_a_service_whose_removal_waits_is_not_changed_and_says_why(
    actor: Actor, ending: ProductOrder, standing: ServiceInstance
) -> None:
    for item in (ItemRequest(action="modify", service=standing.pk, size="M"), removal(standing)):
        with pytest.raises(Conflict, match=f"removed by order {ending.pk} at .* UTC; undo that"):
            orders.place(actor=actor, items=[item])


def test_a_removal_that_waits_can_be_hastened_once(
    actor: Actor, ending: ProductOrder, standing: ServiceInstance
) -> None:
    orders.hasten(actor=actor, order=ending)
    orders.start(order_id=ending.pk)
    orders.start(order_id=ending.pk)
    assert fresh(ending).state == OrderState.IN_PROGRESS
    assert design(fresh(standing))["fra1"].is_deletion
    with pytest.raises(Conflict, match="only one that waits"):
        orders.hasten(actor=actor, order=ending)


def test_only_a_removal_waits(actor: Actor, standing: ServiceInstance) -> None:
    with pytest.raises(Invalid, match="only an order that removes services"):
        orders.place(actor=actor, items=[router("two")], grace=HALF_AN_HOUR)
    with pytest.raises(Invalid, match="30 days at most"):
        orders.place(actor=actor, items=[removal(standing)], grace=timedelta(days=31))


def test_who_may_not_remove_may_neither_undo_nor_hasten(actor: Actor, ending: ProductOrder) -> None:
    viewer = replace(actor, role=Role.VIEWER)
    for verb in (orders.cancel, orders.hasten):
        with pytest.raises(Forbidden):
            verb(actor=viewer, order=ending)


def test_it_is_billed_until_it_is_gone(ending: ProductOrder, standing: ServiceInstance) -> None:
    orders.start(order_id=ending.pk, now=ending.starts_at)
    found(standing, Phase.GONE)
    activated = timezone.now() - timedelta(hours=3)
    ServiceInstance.unscoped.filter(pk=standing.pk).update(activated_at=activated)
    assert sum(month.hours for month in _months(fresh(standing))) >= Decimal("2.99")


def test_over_rest_a_removal_waits_when_it_is_asked_to(tenant: Tenant, standing: ServiceInstance) -> None:
    caller = Caller(tenant, Role.OPERATOR)
    order = caller.delete(f"services/{standing.pk}?grace=3600").json()
    assert order["state"] == "pending"
    assert caller.get(f"services/{standing.pk}").json()["terminates_at"] == order["starts_at"]
    assert caller.get("services").json()["results"][0]["terminates_at"] == order["starts_at"]
    assert caller.post(f"orders/{order['id']}/cancel").json()["state"] == "cancelled"
    assert caller.get(f"services/{standing.pk}").json()["terminates_at"] is None
    body = {"items": [{"action": "delete", "service": standing.pk}], "grace": 60}
    again = caller.post("orders", body).json()
    assert again["state"] == "pending"
    hastened = caller.post(f"orders/{again['id']}/hasten").json()
    assert hastened["starts_at"] < again["starts_at"]


def test_over_rest_a_removal_that_is_misunderstood_removes_nothing(tenant: Tenant, standing: ServiceInstance) -> None:
    caller = Caller(tenant, Role.OPERATOR)
    for query in ("grace=soon", "grace=-1", "grace=2592001", "grace=1&grace=2", "wait=60"):
        assert_problem(caller.delete(f"services/{standing.pk}?{query}"), 400)
    assert ProductOrder.unscoped.filter(items__action="delete").count() == 0


def test_the_portal_offers_to_wait_and_to_undo(actor: Actor, standing: ServiceInstance) -> None:
    ann = person(actor, Role.OPERATOR)
    plan = ann.get(f"/t/acme/services/{standing.pk}/remove/").content.decode()
    assert "Remove in 30 min" in plan
    assert "Remove now, for good" in plan
    items = f'[{{"action": "delete", "service": "{standing.pk}"}}]'
    placed = ann.post("/t/acme/order/place/", {"items": items, "grace": "1800"})
    order = ProductOrder.unscoped.get(items__action="delete")
    assert order.state == OrderState.PENDING
    service = f"/t/acme/services/{standing.pk}/"
    for address in (
        placed["Location"],
        service,
        f"{service}drawer/",
        f"{service}history/",
        "/t/acme/services/",
        "/t/acme/",
    ):
        page = ann.get(address).content.decode()
        assert f'action="/t/acme/orders/{order.pk}/cancel/"' in page, address
    assert "Configure" not in ann.get(service).content.decode()
    assert ann.post(f"/t/acme/orders/{order.pk}/cancel/")["Location"] == service
    page = ann.get(service, follow=True).content.decode()
    assert "Nothing is removed" in page
    assert "Configure" in page
    assert "Try again" not in ann.get(f"/t/acme/orders/{order.pk}/").content.decode()


def test_a_viewer_sees_that_it_is_removed_and_cannot_undo_it(
    actor: Actor, ending: ProductOrder, standing: ServiceInstance
) -> None:
    viewer = person(actor, Role.VIEWER)
    page = viewer.get(f"/t/acme/services/{standing.pk}/").content.decode()
    assert "Until then it runs" in page
    assert "Undo" not in page
    for verb in ("cancel", "hasten"):
        assert viewer.post(f"/t/acme/orders/{ending.pk}/{verb}/").status_code in (303, 403)
    assert fresh(ending).state == OrderState.PENDING


def test_the_portal_ends_a_waiting_service_at_once_when_asked(
    actor: Actor, ending: ProductOrder, standing: ServiceInstance
) -> None:
    ann = person(actor, Role.OPERATOR)
    ann.post(f"/t/acme/orders/{ending.pk}/hasten/")
    orders.start(order_id=ending.pk)
    assert fresh(ending).state == OrderState.IN_PROGRESS


def test_without_a_grace_time_the_portal_removes_at_once(
    actor: Actor, standing: ServiceInstance, settings: Any
) -> None:
    settings.NAAS_TERMINATION_GRACE = 0
    page = person(actor, Role.OPERATOR).get(f"/t/acme/services/{standing.pk}/remove/").content.decode()
    assert "Remove for good" in page
    assert "Remove in" not in page
