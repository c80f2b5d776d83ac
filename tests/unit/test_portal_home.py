"""The first page of the portal: the picture of a tenant's network, and the list that says the same."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from services.lifecycle import OrderState
from services.models import Address, OrderItem, Segment, ServiceInstance
from services.portal.topology import MOST_DRAWN, MOST_UNWELL, Function, Net, Place, What, draw, worst
from tenants.models import Tenant, User
from tests import world

POPS = [Place("fra1", "Frankfurt"), Place("ams1", "Amsterdam")]
NETS = [Net("seg-a", "lan", "fra1", "access", "site-a"), Net("seg-b", "core", "fra1", "transport")]


def function(number: int, health: str = "healthy", segments: tuple[str, ...] = ("seg-a", "seg-b")) -> Function:
    return Function(f"svc-{number}", f"edge-{number}", "fra1", "router", health, segments)


def test_services_are_wired_to_their_segments_and_segments_to_sites() -> None:
    picture = draw(POPS, NETS, [function(1)])
    assert {node.id: (node.what, node.parent) for node in picture.nodes} == {
        "pop-fra1": (What.POP, ""),
        "seg-a": (What.SEGMENT, "pop-fra1"),
        "site-seg-a": (What.SITE, ""),
        "seg-b": (What.SEGMENT, "pop-fra1"),
        "svc-1": (What.SERVICE, "pop-fra1"),
    }
    assert {(edge.source, edge.target) for edge in picture.edges} == {
        ("site-seg-a", "seg-a"),
        ("svc-1", "seg-a"),
        ("svc-1", "seg-b"),
    }
    assert not picture.is_grouped


def test_two_ports_on_one_segment_are_one_line_and_unknown_segments_none() -> None:
    picture = draw(POPS, NETS, [function(1, segments=("seg-b", "seg-b", "seg-gone"))])
    assert [(e.source, e.target) for e in picture.edges if e.source == "svc-1"] == [("svc-1", "seg-b")]


def test_very_many_services_are_drawn_in_groups_but_what_is_not_well_is_seen() -> None:
    many = [function(number) for number in range(MOST_DRAWN)]
    picture = draw(POPS, NETS, [*many, function(900, "down"), function(901, "degraded")])
    assert picture.is_grouped
    assert [node.id for node in picture.nodes if node.what is What.SERVICE] == ["svc-900", "svc-901"], "the worst first"
    group = next(node for node in picture.nodes if node.what is What.GROUP)
    assert (group.label, group.health, group.parent) == (f"{MOST_DRAWN} of kind router", "healthy", "pop-fra1")


def test_what_is_not_well_is_grouped_too_when_it_is_too_much() -> None:
    picture = draw(POPS, NETS, [function(number, "down") for number in range(MOST_DRAWN + 1)])
    assert sum(node.what is What.SERVICE for node in picture.nodes) == MOST_UNWELL
    group = next(node for node in picture.nodes if node.what is What.GROUP)
    assert (group.health, group.label) == ("down", f"{MOST_DRAWN + 1 - MOST_UNWELL} of kind router")


def test_the_worst_health_counts() -> None:
    assert worst(["healthy", "degraded", "unknown"]) == "degraded"
    assert worst([]) == ""


@pytest.fixture
def owner(db: None) -> Client:
    tenant, segment = world.customer("acme", world.pop())
    del tenant, segment
    client = Client()
    client.force_login(User.objects.get(email="owner@acme.example"))
    return client


def test_an_empty_tenant_sees_how_to_begin(owner: Client) -> None:
    page = owner.get("/t/acme/").content.decode()
    assert "Two branches with routers" in page
    assert "SBC between PBX and carrier" in page
    viewer = Client()
    viewer.force_login(User.objects.get(email="viewer@acme.example"))
    assert "Somebody with the role operator" in viewer.get("/t/acme/").content.decode()


def test_the_first_page_asks_as_much_for_500_services_as_for_one(owner: Client) -> None:
    tenant, segment = Tenant.objects.get(), Segment.unscoped.get()
    world.service(tenant, segment, "edge")
    # The first look is noted in the session.
    owner.get("/t/acme/")
    with CaptureQueriesContext(connection) as few:
        owner.get("/t/acme/")
    size, pop = world.offering().sizes.all()[0], segment.pop
    made = ServiceInstance.unscoped.bulk_create(
        ServiceInstance(
            tenant=tenant, pop=pop, kind="router", name=f"leaf-{n}", size=size, spec={}, seed="x", state="active"
        )
        for n in range(500)
    )
    Address.unscoped.bulk_create(
        Address(tenant=tenant, segment=segment, value=f"10.9.{n // 250}.{n % 250}", prefix_length=16, instance=one,
                port="lan")
        for n, one in enumerate(made)
    )  # fmt: skip
    with CaptureQueriesContext(connection) as many:
        answer = owner.get("/t/acme/")
    assert len(many) == len(few)
    assert answer.context["count"] == 501
    assert answer.context["is_grouped"]
    assert len(answer.context["services"]) == 500


def test_the_drawer_tells_state_addresses_and_what_can_be_done(owner: Client) -> None:
    world.service(Tenant.objects.get(), Segment.unscoped.get(), "edge")
    service = ServiceInstance.unscoped.get()
    page = owner.get(f"/t/acme/services/{service.pk}/drawer/").content.decode()
    assert 'id="chosen"' in page
    assert "10.1.0.1/24" in page
    assert "is Active" in page
    assert f"/t/acme/order/router/?pop={service.pop_id}" in page, "another can be ordered at the same place"


def test_the_drawer_offers_to_remove_what_stands_and_is_not_being_changed(owner: Client) -> None:
    world.service(Tenant.objects.get(), Segment.unscoped.get(), "edge", OrderState.COMPLETED)
    service = ServiceInstance.unscoped.get()
    OrderItem.unscoped.update(state=OrderState.COMPLETED)
    address, removal = f"/t/acme/services/{service.pk}/drawer/", f"/t/acme/services/{service.pk}/remove/"
    assert removal in owner.get(address).content.decode()
    viewer = Client()
    viewer.force_login(User.objects.get(email="viewer@acme.example"))
    assert removal not in viewer.get(address).content.decode(), "who may not order is not offered it"
