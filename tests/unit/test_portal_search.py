"""The portal's search: what is found, by whom, and where it leads."""

from __future__ import annotations

import pytest
from django.test import Client

from services.models import ProductOrder, ServiceInstance
from tenants.models import User
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def company(db: None) -> None:
    pop = world.pop()
    for slug in ("acme", "globex"):
        tenant, segment = world.customer(slug, pop)
        world.service(tenant, segment, f"edge-{slug}")
        world.sbc(tenant, segment, f"border-{slug}")


def found(email: str, words: str) -> dict[str, str]:
    client = Client()
    client.force_login(User.objects.get(email=email))
    answer = client.get("/t/acme/search/", {"q": words})
    assert answer.status_code == 200
    for hit in answer.context["hits"]:
        assert client.get(hit.url).status_code == 200, hit
    return {hit.title: hit.what for hit in answer.context["hits"]}


def test_what_a_company_has_is_found_by_parts_of_its_name_and_by_its_id(company: None) -> None:
    assert found("owner@acme.example", "edge acme") == {"edge-acme": "router at fra1"}
    service = ServiceInstance.unscoped.get(name="edge-acme")
    assert "edge-acme" in found("owner@acme.example", service.pk)
    order = ProductOrder.unscoped.filter(tenant=service.tenant)[0]
    assert found("owner@acme.example", order.pk) == {order.pk: f"order, {order.state}"}
    assert "carrier" in found("owner@acme.example", "carrier")
    assert "lan" in found("owner@acme.example", "10.1.0")


def test_nothing_of_others_is_found(company: None) -> None:
    assert found("owner@acme.example", "globex") == {}
    other = ServiceInstance.unscoped.get(name="edge-globex")
    assert found("owner@acme.example", other.pk) == {}


def test_pages_and_actions_are_offered_to_who_may_use_them(company: None) -> None:
    owner, viewer = found("owner@acme.example", ""), found("viewer@acme.example", "")
    assert {"Order: Router", "Make a segment", "API tokens"} <= set(owner)
    assert not {"Order: Router", "Make a segment", "API tokens", "Audit trail"} & set(viewer)
    assert "Services" in viewer
    assert found("viewer@acme.example", "carrier")["carrier"] == "trunk of border-acme"
