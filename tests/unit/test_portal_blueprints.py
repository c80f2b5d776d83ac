"""Small networks from a few answers: what a blueprint makes, and its way through the plan to an order."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from sbc.kind.blueprint import BETWEEN
from services.kind import Blueprint, SpecError
from services.kinds.router.blueprint import BRANCHES
from services.models import ProductOrder, Segment, ServiceInstance, Uni
from services.registry import kinds
from tenants.actor import Actor, Role
from tenants.models import User
from tenants.verbs import members


def proposed(blueprint: Blueprint, **answers: str) -> dict[str, str]:
    return {ask.name: ask.proposal for ask in blueprint.asks} | answers


def test_two_branches_are_each_others_bgp_neighbours_and_take_only_each_others_network() -> None:
    draft = BRANCHES.draw(proposed(BRANCHES, first_uni="uni-1"))
    assert [(net.name, net.uni, net.transport) for net in draft.nets] == [
        ("north-lan", "uni-1", False),
        ("south-lan", "", False),
        ("north-south", "", True),
    ]
    north, south = (kinds()["router"].spec.model_validate_json(_json(spec)) for spec in draft.services.values())
    told, heard = north.bgp.neighbours[0], south.bgp.neighbours[0]  # type: ignore[attr-defined]
    assert (told.address, told.remote_asn, told.prefixes_in[0].prefix) == ("10.255.0.2", 64513, "10.20.0.0/24")
    assert (heard.address, heard.remote_asn, heard.prefixes_in[0].prefix) == ("10.255.0.1", 64512, "10.10.0.0/24")


def test_an_sbc_has_a_side_towards_each() -> None:
    draft = BETWEEN.draw(proposed(BETWEEN, country=""))
    assert [net.name for net in draft.nets] == ["border-inside", "border-outside"]
    spec = draft.services["border"]
    assert [port["segment"] for port in spec["ports"]] == ["border-inside", "border-outside"]
    kinds()["sbc"].spec.model_validate_json(_json(spec))


@pytest.mark.parametrize("wrong", ["10.10.0.0", "10.10.0.1/24", "nothing"])
def test_what_is_no_prefix_is_said_of_the_answer(wrong: str) -> None:
    with pytest.raises(SpecError) as refused:
        BRANCHES.draw(proposed(BRANCHES, first_prefix=wrong, transport=wrong))
    assert [problem.path for problem in refused.value.problems] == ["first_prefix", "transport"]


@pytest.fixture
def ann(actor: Actor) -> Client:
    person = User.objects.create_user("ann@acme.example", "correct horse battery")
    members.add(actor=actor, user=person, role=Role.OPERATOR)
    client = Client()
    client.force_login(person)
    return client


def test_two_branches_are_planned_and_ordered(ann: Client, uni: Uni) -> None:
    typed = proposed(BRANCHES, first_uni=uni.pk) | {"pop": "fra1", "size": "S"}
    page = ann.post("/t/acme/order/blueprints/two-branches/", typed)
    assert "<title>The plan" in page.content.decode()
    assert ProductOrder.unscoped.count() == 0
    again = ann.post("/t/acme/order/blueprints/two-branches/", typed)
    assert Segment.unscoped.count() == 3, "planned again, the segments are found"
    placed = ann.post("/t/acme/order/place/", {"items": _items(again)})
    assert placed["Location"] == f"/t/acme/orders/{ProductOrder.unscoped.get().pk}/"
    made = {service.name: service for service in ServiceInstance.unscoped.all()}
    assert sorted(made) == ["north-router", "south-router"]
    held = made["north-router"].addresses.values_list("segment__name", "segment__kind", "value")
    assert set(held) == {("north-lan", "access", "10.10.0.1"), ("north-south", "transport", "10.255.0.1")}


def test_an_sbc_is_planned_and_ordered(ann: Client, uni: Uni) -> None:
    page = ann.post("/t/acme/order/blueprints/sbc-between/", proposed(BETWEEN) | {"pop": "fra1", "size": "S"})
    ann.post("/t/acme/order/place/", {"items": _items(page)})
    service = ServiceInstance.unscoped.get()
    assert (service.kind, service.name, service.spec["country"]) == ("sbc", "border", "49")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"transport": "10.10.0.0/24", "first": ""}, "is needed"),
        ({"first": "south"}, "segment south-lan"),
        ({"second_prefix": "ten"}, "is no prefix"),
        ({"pop": "gone"}, "there is no PoP"),
    ],
)
def test_what_is_refused_is_said_and_leaves_no_segment(
    ann: Client, uni: Uni, answers: dict[str, str], said: str
) -> None:
    typed = proposed(BRANCHES) | {"pop": "fra1", "size": "S"} | answers
    page = html.unescape(ann.post("/t/acme/order/blueprints/two-branches/", typed).content.decode())
    assert said in page
    assert Segment.unscoped.count() == 0


def test_what_is_not_sold_has_no_blueprint(ann: Client, uni: Uni) -> None:
    assert ann.get("/t/acme/order/blueprints/castle/").status_code == 404


def test_the_catalogue_and_an_empty_network_lead_to_the_blueprints(ann: Client, uni: Uni) -> None:
    for address in ("/t/acme/", "/t/acme/order/"):
        page = ann.get(address).content.decode()
        for name in ("two-branches", "sbc-between"):
            assert f"/t/acme/order/blueprints/{name}/" in page


def _json(spec: Any) -> str:
    return json.dumps(spec)


def _items(page: Any) -> str:
    match = re.search(r'name="items"[^>]*>(.*?)</textarea>', page.content.decode(), re.DOTALL)
    assert match is not None, re.findall(r'role="alert"><div>([^<]+)', page.content.decode())
    return html.unescape(match[1])
