"""The portal's pages: for members alone, each for the tenant that its address names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from naas.urls import PORTAL
from sbc.models import CallRecord
from services.lifecycle import OrderState, ServiceState
from services.models import CartItem, Deployment, DeploymentStep, OrderItem, ProductOrder, Segment, ServiceInstance
from tenants.models import ApiToken, AuditEvent, Invitation, Membership, Tenant, TenantStatus, User
from tests import world
from worker.report import StepState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No SBC answers here."""
    monkeypatch.setattr("sbc.portal.live.AT_ONCE", 0)


@pytest.fixture
def acme() -> Tenant:
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge")
    world.service(tenant, segment, "old")
    world.sbc(tenant, segment)
    return tenant


@pytest.fixture
def globex(acme: Tenant) -> Tenant:
    """Another customer at the same PoP."""
    tenant, segment = world.customer("globex", ServiceInstance.unscoped.all()[0].pop)
    world.service(tenant, segment, "secret-edge")
    world.sbc(tenant, segment, "secret-border")
    return tenant


def person(email: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(email=email))
    return client


@pytest.fixture
def owner(acme: Tenant) -> Client:
    return person("owner@acme.example")


@pytest.fixture
def viewer(acme: Tenant) -> Client:
    return person("viewer@acme.example")


def _sbc(tenant: Tenant) -> dict[str, Any]:
    return {"id": ServiceInstance.unscoped.get(tenant=tenant, kind="sbc").pk}


def _record(tenant: Tenant) -> dict[str, Any]:
    return _sbc(tenant) | {"record": CallRecord.unscoped.filter(instance__tenant=tenant, instance__kind="sbc")[0].pk}


#: What the addresses of pages name, for a tenant.
IDS: dict[str, Any] = {
    "service": lambda tenant: {"id": ServiceInstance.unscoped.filter(tenant=tenant, kind="router")[0].pk},
    "order": lambda tenant: {"id": ProductOrder.unscoped.filter(tenant=tenant)[0].pk},
    "order-blueprint": lambda _tenant: {"blueprint": "two-branches"},
    "order-add": lambda _tenant: {"kind": "router"},
    "segment-remove": lambda tenant: {"id": Segment.unscoped.filter(tenant=tenant)[0].pk},
}
OF_SERVICE = [
    "configuration",
    "remove",
    "heal",
    "history",
    "revert",
    "events",
    "ask",
    "topology",
    "metrics",
    "cost",
    "drawer",
]
IDS |= dict.fromkeys((f"service-{page}" for page in OF_SERVICE), IDS["service"])
IDS |= dict.fromkeys(("order-cancel", "order-hasten", "order-retry"), IDS["order"])
LIVE = ("trunk-states", "calls", "bans", "test-calls", "birth", "certificate", "quality")
SECTIONS = {"trunk": "carrier", "route": "out", "source": "rule"}
IDS |= dict.fromkeys(
    [f"sbc-{page}" for page in ("overview", "trunks", "routes", "sources", "emergency", "simulator", "records", *LIVE)]
    + [f"sbc-{noun}-new" for noun in SECTIONS],
    _sbc,
)
for noun, named in SECTIONS.items():
    IDS[f"sbc-{noun}"] = IDS[f"sbc-{noun}-remove"] = lambda tenant, named=named: _sbc(tenant) | {"named": named}
IDS["sbc-record"] = _record


def _in_the_cart(tenant: Tenant) -> dict[str, Any]:
    """A router that the tenant's owner is about to order."""
    owner = User.objects.get(email=f"owner@{tenant.slug}.example")
    lan = Segment.unscoped.filter(tenant=tenant)[0]
    known = {"tenant": tenant, "user": owner, "kind": "router", "pop": lan.pop, "name": "third"}
    spec = {"ports": [{"name": "lan", "segment": lan.name}]}
    return {"id": CartItem.unscoped.get_or_create(**known, defaults={"size": "S", "spec": spec})[0].pk}


IDS |= dict.fromkeys(("cart-item", "cart-item-remove"), _in_the_cart)
#: Pages for who may order.
FOR_OPERATORS = {"order-new", "order-add", "order-blueprint", "segment-new", "service-configuration", "service-remove"}
#: Addresses that are posted to, and lead elsewhere when they are opened.
POSTED = {"order-place", "segment-remove", "order-cancel", "order-retry", "service-heal", "service-revert"}
POSTED |= {"order-hasten", "cart-item-remove"}
FOR_OPERATORS |= {"cart", "cart-item", "cart-item-remove"}
IDS |= {
    "member-change": lambda tenant: {"id": Membership.unscoped.filter(tenant=tenant, role="viewer")[0].pk},
    "invitation-withdraw": lambda tenant: {"id": Invitation.unscoped.filter(tenant=tenant)[0].pk},
    "token-revoke": lambda tenant: {"id": ApiToken.unscoped.filter(tenant=tenant)[0].pk},
}
FOR_OPERATORS |= {"tokens", "token-revoke", "audit", "settings-sign-on"}
POSTED |= {"team-invite", "member-change", "invitation-withdraw", "token-revoke"}
FOR_OPERATORS |= {"sbc-emergency", *(f"sbc-{noun}" for noun in SECTIONS), *(f"sbc-{noun}-new" for noun in SECTIONS)}
POSTED |= {f"sbc-{noun}-remove" for noun in SECTIONS}


def pages(tenant: Tenant, of: Tenant | None = None) -> Iterator[tuple[str, str]]:
    """Every page of a tenant, with ids `of` another's where asked for; an address that is added is here by itself."""
    for entry in PORTAL:
        assert isinstance(entry, URLPattern)
        ids = IDS[str(entry.name)](of or tenant) if "<" in str(entry.pattern) else {}
        yield str(entry.name), reverse(f"portal:{entry.name}", kwargs={"tenant": tenant.slug, **ids})


def test_every_page_is_shown_to_a_viewer_but_for_those_that_are_for_ordering(acme: Tenant, viewer: Client) -> None:
    for name, address in pages(acme):
        wanted = 403 if name in FOR_OPERATORS else 303 if name in POSTED else 200
        assert viewer.get(address).status_code == wanted, name


def test_a_viewer_changes_nothing(acme: Tenant, viewer: Client) -> None:
    before = (Segment.unscoped.count(), ProductOrder.unscoped.count(), AuditEvent.unscoped.count())
    for name, address in pages(acme):
        answer = viewer.post(address, {"name": "x", "prefixes": "10.9.0.0/24", "pop": "fra1", "items": "[]"})
        assert answer.status_code in (303, 403, 405), name
    assert (Segment.unscoped.count(), ProductOrder.unscoped.count(), AuditEvent.unscoped.count()) == before


def test_every_page_is_shown_to_an_owner(acme: Tenant, owner: Client) -> None:
    ProductOrder.unscoped.filter(tenant=acme).update(state=OrderState.COMPLETED)
    OrderItem.unscoped.filter(tenant=acme).update(state=OrderState.COMPLETED)
    for name, address in pages(acme):
        assert owner.get(address).status_code == (303 if name in POSTED else 200), name


def test_a_stranger_is_led_to_the_login_and_back(acme: Tenant) -> None:
    for name, address in pages(acme):
        answer = Client().get(address)
        assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={address}"), name


def test_pages_of_a_tenant_one_does_not_belong_to_are_not_there(acme: Tenant, globex: Tenant, owner: Client) -> None:
    for name, address in pages(globex):
        answer = owner.get(address)
        assert answer.status_code == 404, name
        assert "secret-edge" not in answer.content.decode()
        assert owner.post(address).status_code == 404, name


def test_ids_of_another_tenant_are_not_there(acme: Tenant, globex: Tenant, owner: Client) -> None:
    for name, address in pages(acme, of=globex):
        if any(row in address for row in ("svc-", "ord-", "seg-", "crt-")):
            assert owner.get(address).status_code == 404, name


def test_no_page_shows_a_secret_or_what_is_anothers(acme: Tenant, globex: Tenant, owner: Client) -> None:
    for name, address in pages(acme):
        page = owner.get(address).content.decode()
        for secret in (world.PASSWORD, world.IDENTITY, world.REQUEST_BODY, "secret-edge", "globex"):
            assert secret not in page, name


def test_a_suspended_tenants_page_says_so(acme: Tenant, owner: Client) -> None:
    Tenant.objects.update(status=TenantStatus.SUSPENDED)
    answer = owner.get(reverse("portal:services", args=["acme"]))
    assert answer.status_code == 403
    assert "Acme is suspended; ask the provider" in answer.content.decode()


def test_a_database_that_does_not_answer_is_said_so_and_the_page_can_be_asked_again(
    acme: Tenant, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("services.portal.segments.Segments.rows", locked)
    answer = owner.get("/t/acme/segments/?q=x")
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    page = answer.content.decode()
    assert "The database did not answer in time" in page
    assert 'href="/t/acme/segments/?q=x"' in page


def test_the_front_door_leads_to_the_tenant_one_was_in_last(acme: Tenant, globex: Tenant, owner: Client) -> None:
    globex.memberships.create(tenant=globex, user=User.objects.get(email="owner@acme.example"), role="viewer")
    owner.get("/t/globex/orders/")
    assert owner.get("/")["Location"] == "/t/globex/"
    page = owner.get("/t/globex/").content.decode()
    assert 'href="/t/acme/"' in page, "one can switch"


def test_a_list_is_searched_narrowed_and_sorted(acme: Tenant, owner: Client) -> None:
    def shown(query: str) -> list[str]:
        return [row.name for row in owner.get(f"/t/acme/services/{query}").context["rows"]]

    assert shown("?sort=name") == ["border", "edge", "old"]
    assert shown("?sort=-name") == ["old", "edge", "border"]
    assert shown("?q=OL") == ["old"]
    assert shown("?kind=router&q=edge") == ["edge"]
    assert shown("?kind=sbc") == ["border"]
    assert "Nothing matches" in owner.get("/t/acme/services/?kind=sbc&q=edge").content.decode()
    assert shown("?kind=none") == []
    assert set(shown("?sort=tenant__slug")) == {"border", "edge", "old"}, "what is no column sorts nothing"


def test_what_is_gone_is_listed_for_who_asks_for_it(acme: Tenant, owner: Client) -> None:
    ServiceInstance.unscoped.filter(name="old").update(state=ServiceState.TERMINATED)
    assert "old" not in [row.name for row in owner.get("/t/acme/services/").context["rows"]]
    assert [row.name for row in owner.get("/t/acme/services/?state=terminated").context["rows"]] == ["old"]


def test_a_list_has_pages_that_keep_what_was_asked_for(acme: Tenant, owner: Client) -> None:
    size, pop = world.offering().sizes.all()[0], ServiceInstance.unscoped.all()[0].pop
    for number in range(60):
        ServiceInstance.unscoped.create(
            tenant=acme, pop=pop, kind="router", name=f"leaf-{number:02}", size=size, spec={}, seed="x"
        )
    page = owner.get("/t/acme/services/?q=leaf-&sort=name&page=2")
    assert [row.name for row in page.context["rows"]] == [f"leaf-{number}" for number in range(50, 60)]
    assert '?q=leaf-&amp;sort=name&amp;page=1"' in page.content.decode()


def test_a_list_is_exported_as_json_as_it_was_asked_for(acme: Tenant, owner: Client) -> None:
    answer = owner.get("/t/acme/services/?format=json&sort=name&kind=router")
    exported = json.loads(answer.getvalue())
    assert [(row["Name"], row["Kind"]) for row in exported] == [("edge", "router"), ("old", "router")]
    assert answer["Content-Disposition"] == 'attachment; filename="services.json"'
    assert json.loads(owner.get("/t/acme/services/?format=json&q=nothing-like-it").getvalue()) == []
    for name, address in pages(acme):
        if name in (
            "sites",
            "segments",
            "orders",
            "team",
            "tokens",
            "audit",
            "sbc-records",
            "sbc-trunks",
            "sbc-routes",
        ):
            assert json.loads(owner.get(f"{address}?format=json").getvalue()), name


def test_a_list_is_exported_without_formulas(acme: Tenant, owner: Client) -> None:
    ServiceInstance.unscoped.filter(name="old").update(name="=HYPERLINK(1)")
    answer = owner.get("/t/acme/services/?format=csv&sort=name&kind=router")
    lines = answer.getvalue().decode().splitlines()
    assert lines[0] == "Name,Kind,PoP,Size,State,Health,Since"
    assert [line.split(",")[0] for line in lines[1:]] == ["'=HYPERLINK(1)", "edge"]
    assert answer["Content-Disposition"] == 'attachment; filename="services.csv"'


def test_an_empty_list_says_what_would_be_in_it(acme: Tenant, owner: Client) -> None:
    ProductOrder.unscoped.all().delete()
    assert "No orders yet" in owner.get("/t/acme/orders/").content.decode()


def test_a_kind_adds_tabs_of_its_own(acme: Tenant, owner: Client, settings: Any) -> None:
    service = ServiceInstance.unscoped.get(name="edge")
    address = reverse("portal:service", args=["acme", service.pk])
    settings.NAAS_SERVICE_TABS = {"router": (("Neighbours", "router", "service-remove"),)}
    page = owner.get(address)
    assert [tab.title for tab in page.context["tabs"]][-1] == "Neighbours"
    assert reverse("portal:service-remove", args=["acme", service.pk]) in page.content.decode()
    settings.NAAS_SERVICE_TABS = {"sbc": (("Trunks", "route", "service-remove"),)}
    assert "Trunks" not in owner.get(address).content.decode()


def test_every_page_of_the_portal_is_named_once() -> None:
    names = [entry.name for entry in PORTAL]
    assert len(names) == len(set(names))
    assert get_resolver().namespace_dict["portal"]


def test_a_step_that_goes_on_tells_how_long_such_a_one_usually_takes(acme: Tenant, owner: Client) -> None:
    deployment = Deployment.unscoped.filter(tenant=acme, instance__name="edge")[0]
    for position, took in enumerate((100.0, 300.0, 9000.0), start=10):
        DeploymentStep.unscoped.create(
            tenant=acme,
            deployment=deployment,
            generation=1,
            run="r0",
            position=position,
            total=13,
            action="Configure",
            subject="edge",
            reason="it differs",
            state=StepState.DONE,
            started_at=timezone.now(),
            duration_ms=took,
        )
    order = ProductOrder.unscoped.filter(items__instance__name="edge")[0]
    assert "now, usually 300 ms" in owner.get(f"/t/acme/orders/{order.pk}/").content.decode()


def test_looking_at_a_page_again_writes_nothing(acme: Tenant, viewer: Client) -> None:
    viewer.get("/t/acme/services/")
    with CaptureQueriesContext(connection) as queries:
        viewer.get("/t/acme/services/")
    assert [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))] == []
