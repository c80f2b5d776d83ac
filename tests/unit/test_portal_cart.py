"""Several services in one order: each on its form, kept in a person's cart, planned and placed together."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from services import cart
from services.models import CartItem, Pop, ProductOrder, Segment, ServiceInstance, Uni
from services.secrets import MASK, reveal
from tenants.actor import Actor, Role
from tenants.models import User
from tenants.verbs import members
from tests.unit.conftest import ordered, router
from tests.unit.test_portal_ordering import TYPED, ann, planned  # noqa: F401 - ann is a fixture

pytestmark = pytest.mark.django_db

FORM = "/t/acme/order/router/"
CART = "/t/acme/order/cart/"


def typed(name: str, **changes: str) -> dict[str, str]:
    return TYPED | {"name": name} | changes


def kept(client: Client, name: str, act: str = "keep", **changes: str) -> Any:
    """Add a router to the order."""
    answer = client.post(FORM, typed(name, **changes) | {"act": act})
    assert answer.status_code == 303, re.findall(r'class="problem"[^>]*>([^<]+)', answer.content.decode())
    return answer


def test_several_services_are_configured_one_after_the_other_and_ordered_as_one(ann: Client, lan: Segment) -> None:  # noqa: F811
    assert kept(ann, "one", act="another")["Location"] == "/t/acme/order/"
    assert "In your order: one" in ann.get("/t/acme/order/").content.decode()
    assert kept(ann, "two", size="S")["Location"] == CART
    page = ann.get(CART).content.decode()
    assert ProductOrder.unscoped.count() == ServiceInstance.unscoped.count() == 0
    assert page.count("&quot;action&quot;: &quot;add&quot;") == 4, "both, as curl and as JSON"
    plan = ann.post(CART, {"act": "plan"})
    assert plan["Cache-Control"] == "no-store"
    taken = re.findall(r'name="cart" value="([^"]+)"', plan.content.decode())
    placed = ann.post("/t/acme/order/place/", {"items": planned(plan), "cart": taken})
    order = ProductOrder.unscoped.get()
    assert placed["Location"] == f"/t/acme/orders/{order.pk}/"
    assert [item.instance.name for item in order.items.all()] == ["one", "two"]
    passwords = {reveal(item.spec)["bgp"]["neighbours"][0]["password"] for item in order.items.all()}
    assert passwords == {"hunter2-hunter2"}
    assert "Nothing is in your order" in ann.get(CART).content.decode()


def test_what_is_in_the_cart_adds_up(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one", size="S")
    kept(ann, "two", size="S")
    page = ann.get(CART)
    total = page.context["sum"]
    lines = page.context["lines"]
    assert total.monthly == 2 * lines[0].price.monthly == Decimal("58.00")
    assert total.first == lines[0].first + lines[1].first
    form = ann.post(FORM, typed("three", size="S") | {"act": "check"})
    assert form.context["together"].monthly == Decimal("87.00")


def test_secrets_in_a_cart_are_encrypted_and_shown_to_nobody(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    item = CartItem.unscoped.get()
    assert "hunter2" not in str(item.spec)
    for address in (CART, f"{CART}{item.pk}/", "/t/acme/order/"):
        assert "hunter2" not in ann.get(address).content.decode(), address


def test_an_item_is_edited_in_its_place_and_keeps_its_secret(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    item = CartItem.unscoped.get()
    address = f"{CART}{item.pk}/"
    form = ann.get(address).content.decode()
    assert 'value="one"' in form
    assert 'value="10.1.0.200"' in form
    hidden = {"bgp.neighbours[0].password": MASK}
    assert ann.post(address, typed("renamed", size="L") | hidden | {"act": "keep"})["Location"] == CART
    item.refresh_from_db()
    assert (item.name, item.size, CartItem.unscoped.count()) == ("renamed", "L", 1)
    assert reveal(item.spec)["bgp"]["neighbours"][0]["password"] == "hunter2-hunter2"


def test_an_item_is_taken_out_and_a_cart_is_emptied(ann: Client, lan: Segment) -> None:  # noqa: F811
    for name in ("one", "two", "three"):
        kept(ann, name)
    ann.post(f"{CART}{CartItem.unscoped.get(name='two').pk}/remove/")
    assert set(CartItem.unscoped.values_list("name", flat=True)) == {"one", "three"}
    ann.post(CART, {"act": "empty"})
    assert not CartItem.unscoped.exists()


def test_a_name_that_is_in_the_order_already_is_refused_at_its_field(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    page = ann.post(FORM, typed("one") | {"act": "keep"}).content.decode()
    assert re.search(r'id="p-name"[^>]*>[^<]*called', page)
    assert CartItem.unscoped.count() == 1


def test_a_pop_must_have_room_for_all_of_it(ann: Client, lan: Segment, pop: Pop) -> None:  # noqa: F811
    Pop.objects.filter(pk=pop.pk).update(vcpu_capacity=Decimal("1.5"))
    kept(ann, "one", size="M")
    page = ann.post(FORM, typed("two", size="M") | {"act": "keep"}).content.decode()
    assert "no room for this" in page
    assert "with what else is in your order" in page
    assert CartItem.unscoped.count() == 1


def test_what_has_become_impossible_says_so_at_its_item_and_cannot_be_planned(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    kept(ann, "two")
    Segment.unscoped.filter(pk=lan.pk).update(name="renamed")
    page = ann.get(CART)
    assert [bool(line.problems) for line in page.context["lines"]] == [True, True]
    assert ann.post(CART, {"act": "plan"})["Location"] == CART


def test_a_cart_is_a_persons_own(ann: Client, actor: Actor, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    bob = User.objects.create_user("bob@acme.example", "correct horse battery")
    members.add(actor=actor, user=bob, role=Role.OPERATOR)
    client = Client()
    client.force_login(bob)
    assert "Nothing is in your order" in client.get(CART).content.decode()
    item = CartItem.unscoped.get()
    assert client.get(f"{CART}{item.pk}/").status_code == 404
    client.post(f"{CART}{item.pk}/remove/")
    assert CartItem.unscoped.exists()


def test_what_nobody_touched_for_long_is_forgotten(ann: Client, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    cart.forget()
    assert CartItem.unscoped.exists()
    CartItem.unscoped.update(changed_at=timezone.now() - cart.KEPT - timedelta(seconds=1))
    assert "Nothing is in your order" in ann.get(CART).content.decode()
    cart.forget()
    assert not CartItem.unscoped.exists()


def test_an_as_number_is_not_proposed_twice_in_one_order(ann: Client, lan: Segment) -> None:  # noqa: F811
    begun = {"bgp.on": "on", "act": "check"}
    assert "64512" in ann.post(FORM, begun).content.decode()
    kept(ann, "one", **{"bgp.asn": "64512"})
    form = ann.post(FORM, begun).content.decode()
    assert "64513" in form
    assert "64512" not in form


def test_sites_are_listed_with_their_segment_and_narrowed(ann: Client, actor: Actor, lan: Segment) -> None:  # noqa: F811
    spare = Uni.unscoped.create(tenant=actor.tenant, pop=lan.pop, name="site-b", interface="uni-b", vlan=7)
    page = ann.get("/t/acme/sites/").content.decode()
    assert "site-a" in page
    assert "Make a segment" in page
    found = ann.get("/t/acme/sites/", {"used": "no", "format": "json"})
    assert [entry["Site"] for entry in json.loads(found.getvalue())] == [spare.name]


def test_orders_are_narrowed_by_what_they_do(ann: Client, actor: Actor, lan: Segment, core: Segment) -> None:  # noqa: F811
    ordered(actor, router())
    assert len(ann.get("/t/acme/orders/", {"does": "add", "kind": "router"}).context["rows"]) == 1
    assert len(ann.get("/t/acme/orders/", {"does": "delete"}).context["rows"]) == 0


def test_what_a_colleague_has_in_the_cart_is_not_in_ones_own(ann: Client, actor: Actor, lan: Segment) -> None:  # noqa: F811
    kept(ann, "one")
    members.add(actor=actor, user=User.objects.create_user("bob@acme.example"), role=Role.OPERATOR)
    bob = Client()
    bob.force_login(User.objects.get(email="bob@acme.example"))
    address = f"{CART}{CartItem.unscoped.get().pk}/"
    assert [bob.get(address).status_code, bob.post(f"{address}remove/").status_code] == [404, 404]
    assert CartItem.unscoped.exists()


def test_a_cart_asks_once_what_is_on_sale(ann: Client, lan: Segment) -> None:  # noqa: F811
    for name in ("one", "two", "three"):
        kept(ann, name)
    with CaptureQueriesContext(connection) as queries:
        ann.get(CART)
    assert sum('WHERE "services_offering"."on_sale"' in query["sql"] for query in queries) == 1
