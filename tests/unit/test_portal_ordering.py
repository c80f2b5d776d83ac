"""Orders by the portal's forms, without any script: what is typed is planned, and what is planned is placed."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from services.lifecycle import OrderState
from services.models import OrderItem, Pop, ProductOrder, Segment, ServiceInstance
from services.secrets import MASK, reveal
from tenants.actor import Actor, Role
from tenants.models import Tenant, User
from tenants.verbs import members
from tests.unit.conftest import found, ordered, router
from worker.report import Phase

pytestmark = pytest.mark.django_db

TYPED = {
    "name": "edge",
    "pop": "fra1",
    "size": "M",
    "ports.rows": "1",
    "ports[0].name": "lan",
    "ports[0].segment": "lan",
    "bgp.on": "on",
    "bgp.asn": "65001",
    "bgp.neighbours.rows": "1",
    "bgp.neighbours[0].address": "10.1.0.200",
    "bgp.neighbours[0].remote_asn": "65002",
    "bgp.neighbours[0].password": "hunter2-hunter2",
}


@pytest.fixture
def ann(tenant: Tenant, actor: Actor) -> Client:
    person = User.objects.create_user("ann@acme.example", "correct horse battery")
    members.add(actor=actor, user=person, role=Role.OPERATOR)
    client = Client()
    client.force_login(person)
    return client


def planned(page: Any) -> str:
    """The order that a plan holds."""
    text = page.content.decode()
    assert "<title>The plan" in text, re.findall(r'class="problem"[^>]*>([^<]+)', text)
    match = re.search(r'name="items"[^>]*>(.*?)</textarea>', text, re.DOTALL)
    assert match is not None
    return html.unescape(match[1])


def test_what_is_typed_is_planned_and_what_is_planned_is_placed(ann: Client, lan: Segment) -> None:
    page = ann.post("/t/acme/order/router/", TYPED | {"act": "plan"})
    assert page["Cache-Control"] == "no-store"
    assert ProductOrder.unscoped.count() == 0, "nothing is written before it is confirmed"
    assert "hunter2" not in re.sub(r"<textarea.*?</textarea>", "", page.content.decode(), flags=re.DOTALL)
    placed = ann.post("/t/acme/order/place/", {"items": planned(page), "note": "for the branch"})
    order = ProductOrder.unscoped.get()
    assert placed["Location"] == f"/t/acme/orders/{order.pk}/"
    assert (order.note, order.placed_by) == ("for the branch", "ann@acme.example")
    service = ServiceInstance.unscoped.get()
    assert (service.name, service.size.size, service.spec["bgp"]["asn"]) == ("edge", "M", 65001)
    assert reveal(service.spec)["bgp"]["neighbours"][0]["password"] == "hunter2-hunter2"
    assert "Cancel order" in ann.get(placed["Location"]).content.decode()


def test_what_is_wrong_is_said_at_its_field_and_places_nothing(ann: Client, lan: Segment) -> None:
    page = ann.post("/t/acme/order/router/", TYPED | {"bgp.asn": "0", "name": "", "act": "plan"}).content.decode()
    assert re.search(r'id="p-f-bgp-asn"[^>]*>[^<]*greater than or equal to 1', page)
    assert 'value="lan"' in page, "what was typed stays"


def test_while_it_is_filled_in_only_what_was_typed_is_judged(ann: Client, lan: Segment) -> None:
    begun = {"ports.rows": "1", "ports[0].name": "LAN!", "act": "check"}
    page = ann.post("/t/acme/order/router/", begun).content.decode()
    assert re.search(r'id="p-f-ports-0-name"[^>]*>must look like wan', page)
    assert re.search(r'id="p-f-ports-0-segment" data-live></div>', page)
    assert re.search(r'id="p-name" data-live></div>', page)


def test_rows_are_added_without_a_script(ann: Client, lan: Segment) -> None:
    page = ann.post("/t/acme/order/router/", TYPED | {"act": "add ports"}).content.decode()
    assert 'name="ports[1].name"' in page
    assert 'name="ports[0].name" id="f-ports-0-name" value="lan"' in page


def test_where_there_is_no_room_it_is_said_where_there_is(ann: Client, lan: Segment, pop: Pop) -> None:
    Pop.objects.create(slug="ber1", name="Berlin", status="open", vcpu_capacity=10, memory_capacity_mb=10_000)
    Pop.objects.filter(pk=pop.pk).update(vcpu_capacity=0)
    page = ann.post("/t/acme/order/router/", TYPED | {"act": "plan"}).content.decode()
    assert "there is room at: Berlin" in html.unescape(page)


def test_a_service_is_configured_and_keeps_its_secrets(ann: Client, actor: Actor, lan: Segment) -> None:
    ann.post("/t/acme/order/place/", {"items": planned(ann.post("/t/acme/order/router/", TYPED | {"act": "plan"}))})
    service = ServiceInstance.unscoped.get()
    OrderItem.unscoped.update(state=OrderState.COMPLETED)
    ProductOrder.unscoped.update(state=OrderState.COMPLETED)
    address = f"/t/acme/services/{service.pk}/configuration/"
    page = ann.get(address).content.decode()
    assert "hunter2" not in page
    assert f'name="bgp.neighbours[0].password" id="f-bgp-neighbours-0-password" value="{MASK}"' in page
    changed = TYPED | {"bgp.neighbours[0].password": MASK, "bgp.neighbours[0].bfd": "on", "act": "plan"}
    placed = ann.post("/t/acme/order/place/", {"items": planned(ann.post(address, changed))})
    assert placed.status_code == 303
    service.refresh_from_db()
    neighbour = reveal(service.spec)["bgp"]["neighbours"][0]
    assert (neighbour["bfd"], neighbour["password"]) == (True, "hunter2-hunter2")


def test_a_service_is_removed_after_a_plan(ann: Client, actor: Actor, lan: Segment, core: Segment) -> None:
    service = ordered(actor, router())
    page = ann.get(f"/t/acme/services/{service.pk}/remove/")
    assert "cannot be taken back" in page.content.decode()
    ann.post("/t/acme/order/place/", {"items": planned(page)})
    found(service, Phase.GONE)
    assert ServiceInstance.unscoped.get(pk=service.pk).state == "terminated"


@pytest.mark.parametrize(
    "items", ["", "{", "[]", "[1]", '[{"action": "add", "surprise": 1}]', '[{"action": "explode"}]']
)
def test_a_forged_plan_places_nothing(ann: Client, items: str) -> None:
    answer = ann.post("/t/acme/order/place/", {"items": items})
    assert answer.status_code == 400, answer.content
    assert not ProductOrder.unscoped.exists()


def test_a_plan_of_anothers_service_places_nothing(ann: Client, actor: Actor, lan: Segment, core: Segment) -> None:
    other = Tenant.objects.create(name="Globex", slug="globex")
    service = ordered(actor, router())
    ServiceInstance.unscoped.filter(pk=service.pk).update(tenant=other)
    before = ProductOrder.unscoped.count()
    stolen = json.dumps([{"action": "delete", "service": service.pk}])
    assert ann.post("/t/acme/order/place/", {"items": stolen}).status_code == 400
    assert ProductOrder.unscoped.count() == before


def test_an_order_is_cancelled_and_tried_again(ann: Client, lan: Segment) -> None:
    ann.post("/t/acme/order/place/", {"items": planned(ann.post("/t/acme/order/router/", TYPED | {"act": "plan"}))})
    order = ProductOrder.unscoped.get()
    ann.post(f"/t/acme/orders/{order.pk}/cancel/")
    order.refresh_from_db()
    assert order.state == OrderState.PENDING_CANCELLATION
    refused = ann.post(f"/t/acme/orders/{order.pk}/cancel/", follow=True).content.decode()
    assert "cannot be cancelled" in refused
    found(ServiceInstance.unscoped.get(), Phase.GONE)
    order.refresh_from_db()
    assert order.state == OrderState.CANCELLED
    again = ann.post(f"/t/acme/orders/{order.pk}/retry/", follow=True).content.decode()
    assert "It tries again what was lost of" in again


def test_a_segment_is_made_and_removed(ann: Client, pop: Pop) -> None:
    wrong = ann.post("/t/acme/segments/new/", {"name": "office", "kind": "private", "pop": "fra1", "prefixes": "x"})
    assert "not a prefix" in wrong.content.decode()
    made = {"name": "office", "kind": "private", "pop": "fra1", "prefixes": "10.40.0.0/24\n10.41.0.0/24"}
    assert ann.post("/t/acme/segments/new/", made).status_code == 303
    segment = Segment.unscoped.get(name="office")
    assert segment.prefixes.count() == 2
    evil = ann.post("/t/acme/segments/new/", made | {"name": "a\nb", "prefixes": ""}).content.decode()
    assert "is not allowed" in evil
    ann.post(f"/t/acme/segments/{segment.pk}/remove/")
    assert not Segment.unscoped.filter(name="office").exists()
