"""The pages of one service: its history, its looking glass, its events."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal
from unittest.mock import patch

import pytest
from django.test import Client
from django.utils import timezone

from services.lifecycle import OrderState
from services.models import Inquiry, OrderItem, ProductOrder, Revision, Segment, ServiceInstance
from services.portal.history import compare
from services.secrets import MARK
from tenants.keys import vault
from tenants.models import AuditEvent, Tenant, User
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def edge() -> ServiceInstance:
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge")
    ProductOrder.unscoped.update(state=OrderState.COMPLETED)
    OrderItem.unscoped.update(state=OrderState.COMPLETED)
    service: ServiceInstance = ServiceInstance.unscoped.get(name="edge")
    return service


@pytest.fixture
def owner(edge: ServiceInstance) -> Client:
    client = Client()
    client.force_login(User.objects.get(email="owner@acme.example"))
    return client


@pytest.fixture
def woken() -> Iterator[list[tuple[str, ...]]]:
    """What the core's worker would be woken for: there is no broker here."""
    calls: list[tuple[str, ...]] = []
    with patch("services.dispatch.wake", lambda *arguments: calls.append(arguments)):
        yield calls


def page(client: Client, service: ServiceInstance, name: str) -> str:
    answer = client.get(f"/t/acme/services/{service.pk}/{name}")
    assert answer.status_code == 200
    return answer.content.decode()


def signs(service: ServiceInstance, before: int, after: int) -> dict[str, list[str]]:
    revisions = {revision.generation: revision for revision in service.revisions.select_related("size")}
    found: dict[str, list[str]] = {}
    for line in compare(revisions[before], revisions[after]):
        found.setdefault(line.sign, []).append(line.text.strip().rstrip(","))
    return found


def test_two_generations_are_compared_by_their_lines(edge: ServiceInstance) -> None:
    found = signs(edge, 1, 2)
    assert found["-"] == ['"address": "10.255.0.2"']
    assert found["+"] == ['"address": "10.255.0.3"']


def test_a_secret_that_changed_says_so_and_one_that_did_not_does_not(edge: ServiceInstance) -> None:
    first, second = edge.revisions.order_by("generation")
    spec = deepcopy(first.spec)
    assert spec is not None
    spec["bgp"]["neighbours"][0]["password"] = {MARK: vault().encrypt(world.PASSWORD)}
    Revision.unscoped.filter(pk=second.pk).update(spec=spec)
    assert signs(edge, 1, 2) == {}, "the same secret, encrypted once more"
    spec["bgp"]["neighbours"][0]["password"] = {MARK: vault().encrypt("another")}
    Revision.unscoped.filter(pk=second.pk).update(spec=spec)
    found = signs(edge, 1, 2)
    assert found["-"] == ['"password": "******** (secret 1)"']
    assert found["+"] == ['"password": "******** (secret 2)"']


def test_the_history_says_who_brought_each_generation_and_compares_the_last_two(
    edge: ServiceInstance, owner: Client
) -> None:
    shown = page(owner, edge, "history/")
    assert "From generation 1 to 2" in shown
    assert "10.255.0.2" in shown
    assert ProductOrder.unscoped.get().pk in shown
    assert world.PASSWORD not in shown
    assert "Generation 1</h2>" in page(owner, edge, "history/?from=1&to=1")
    assert owner.get(f"/t/acme/services/{edge.pk}/history/?from=9").status_code == 404


def test_going_back_shows_the_plan_and_brings_the_old_secrets_without_showing_them(
    edge: ServiceInstance, owner: Client, woken: list[tuple[str, ...]], django_capture_on_commit_callbacks: object
) -> None:
    plan = owner.post(f"/t/acme/services/{edge.pk}/history/revert/", {"generation": "1"})
    assert plan.status_code == 200
    text = plan.content.decode()
    assert "Place the order" in text
    assert '"revert_to": 1' in text.replace("&quot;", '"')
    assert world.PASSWORD not in text
    answer = owner.post("/t/acme/order/place/", {"items": plan.context["document"]})
    assert answer.status_code == 303
    edge.refresh_from_db()
    assert edge.generation == 3
    third = edge.revisions.get(generation=3)
    assert third.reason == "as generation 1 was"
    assert third.spec is not None
    neighbour = third.spec["bgp"]["neighbours"][0]
    assert neighbour["address"] == "10.255.0.2"
    assert vault().decrypt(neighbour["password"][MARK]) == world.PASSWORD


@pytest.mark.parametrize("generation", ["2", "7", "0", "", "1; drop", "²", "99999999999999999999"])
def test_only_to_another_generation_one_can_go_back(edge: ServiceInstance, owner: Client, generation: str) -> None:
    answer = owner.post(f"/t/acme/services/{edge.pk}/history/revert/", {"generation": generation}, follow=True)
    assert "there are: 1" in answer.content.decode()
    assert ProductOrder.unscoped.count() == 1


def test_a_service_is_healed_by_who_may_order(
    edge: ServiceInstance, owner: Client, woken: list[tuple[str, ...]], django_capture_on_commit_callbacks: object
) -> None:
    assert "Heal now" in page(owner, edge, "")
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        answer = owner.post(f"/t/acme/services/{edge.pk}/heal/", follow=True)
    assert "The PoP looks again" in answer.content.decode()
    assert [name for name, _ in woken] == ["services.send_deployment"]
    assert AuditEvent.unscoped.filter(verb="deployment.heal", actor="owner@acme.example").count() == 1


def test_a_question_is_asked_by_its_form_and_its_answer_is_shown(
    edge: ServiceInstance, owner: Client, django_capture_on_commit_callbacks: object
) -> None:
    address = f"/t/acme/services/{edge.pk}/looking-glass/"
    assert "Destination" in owner.get(f"{address}?question=ping").content.decode()
    asked = owner.post(f"{address}?question=ping", {"destination": "10.1.0.9", "count": "2"})
    assert asked.status_code == 303
    inquiry = Inquiry.unscoped.latest("asked_at")
    assert (inquiry.question, inquiry.arguments["destination"], inquiry.arguments["count"]) == ("ping", "10.1.0.9", 2)
    assert "The PoP is asked." in owner.get(asked["Location"]).content.decode()
    Inquiry.unscoped.filter(pk=inquiry.pk).update(state=Inquiry.State.ANSWERED, output="2 packets <transmitted>")
    shown = owner.get(asked["Location"]).content.decode()
    assert "2 packets &lt;transmitted&gt;" in shown
    assert 'hx-trigger="every' not in shown


def test_a_wrong_argument_is_said_at_its_field_and_nothing_is_asked(edge: ServiceInstance, owner: Client) -> None:
    before = Inquiry.unscoped.count()
    answer = owner.post(f"/t/acme/services/{edge.pk}/looking-glass/?question=ping", {"destination": "-I eth0; id"})
    assert answer.status_code == 400
    node = answer.context["form"].boxes[0][1][0]
    assert node.path == "destination"
    assert node.problems
    assert Inquiry.unscoped.count() == before


def test_questions_that_there_are_not_are_not_found(edge: ServiceInstance, owner: Client) -> None:
    assert owner.get(f"/t/acme/services/{edge.pk}/looking-glass/?question=rm").status_code == 404


def test_an_inquiry_of_another_service_is_not_shown(edge: ServiceInstance, owner: Client) -> None:
    world.service(Tenant.objects.get(), Segment.unscoped.get(), "other")
    other = ServiceInstance.unscoped.get(name="other")
    inquiry = Inquiry.unscoped.create(tenant=edge.tenant, instance=other, question="ping", asked_by="x")
    answer = owner.get(f"/t/acme/services/{edge.pk}/looking-glass/?question=ping&inquiry={inquiry.pk}")
    assert answer.status_code == 404


def test_events_are_searched_and_narrowed(edge: ServiceInstance, owner: Client) -> None:
    edge.events.create(tenant=edge.tenant, type="health.down", message="down: the cable was pulled")
    edge.events.create(tenant=edge.tenant, type="health.healthy", message="healthy")
    shown = page(owner, edge, "events/?type=health.down")
    assert "the cable was pulled" in shown
    assert shown.count("<tr>") == 2
    assert "the cable" not in page(owner, edge, "events/?q=healthy&type=health.healthy")


def test_the_topology_shows_ports_with_their_addresses_and_who_else_is_there(
    edge: ServiceInstance, owner: Client
) -> None:
    world.service(edge.tenant, Segment.unscoped.get(name="lan"), "neighbour")
    shown = page(owner, edge, "topology/")
    assert str(edge.addresses.all()[0]) in shown
    assert "neighbour" in shown


def test_the_cost_is_set_up_and_each_month_at_the_prices_of_its_orders(edge: ServiceInstance, owner: Client) -> None:
    begun = timezone.now() - timedelta(hours=2)
    ServiceInstance.unscoped.update(activated_at=begun)
    Revision.unscoped.update(worked_at=begun)
    OrderItem.unscoped.update(setup_price=10, hourly_price=Decimal("0.50"), monthly_price=100)
    context = owner.get(f"/t/acme/services/{edge.pk}/cost/").context
    assert (context["setup"], context["running"], context["total"]) == (10, 1, 11)
