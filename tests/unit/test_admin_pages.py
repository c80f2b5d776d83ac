"""Every page of the console, found from the registry: who sees it, what it never shows, what it never takes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sbc.models import RouteTarget, TableLog, TrunkSource
from services.lifecycle import Health, OrderState, ServiceState
from services.models import (
    Authority,
    CartItem,
    Certificate,
    Deployment,
    Offering,
    ProductOrder,
    Sample,
    ServiceInstance,
)
from tenants.console import HIDDEN, Console, list_of, page_of
from tenants.models import ApiToken, AuditEvent, Change, Tenant, User
from tests import world
from tests.unit.conftest import Share

pytestmark = pytest.mark.django_db

admin.autodiscover()
PAGES = sorted(admin.site._registry.items(), key=lambda entry: entry[0]._meta.label)
MODELS = [model for model, _ in PAGES]
IDS = [model._meta.label for model in MODELS]

#: SQL statements of a list with rows, session and user included. More than this is a row asked for by row.
LIST_QUERIES = 14
#: The same of one row's page, whose tables ask once each.
ROW_QUERIES = 30


def fill() -> Tenant:
    """A tenant with one of everything. The world of these tests has an offering of its own."""
    Offering.objects.all().delete()
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge")
    world.single_sign_on(tenant)
    return tenant


@pytest.fixture(scope="module")
def filled(share: Share) -> Tenant:
    tenant: Tenant = share(fill)
    return tenant


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(world.staff())
    # That a session was seen is written once a minute, with its first page.
    client.get("/admin/login/")
    return client


def first(model: Any) -> Any:
    return model._base_manager.first()


def addresses(model: Any) -> list[str]:
    return [list_of(model), page_of(first(model))]


def test_every_model_of_ours_has_a_page() -> None:
    ours = {model for model in apps.get_models() if model._meta.app_label in ("tenants", "services", "sbc")}
    # What led from one revision to the next is full of passwords; samples are millions, and read as charts; changes
    # are for programs; a cart is its person's alone; the others are lines of trunks and routes.
    assert ours - {CartItem, TableLog, Sample, Change, TrunkSource, RouteTarget} <= set(MODELS)
    assert all(isinstance(page, Console) for _, page in PAGES), "a page that is not a Console follows none of its rules"


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_staff_see_the_list_and_the_row(model: Any, filled: Tenant, ops: Client) -> None:
    for address in addresses(model):
        answer = ops.get(address)
        assert answer.status_code == 200, address
        assert str(first(model).pk) in answer.content.decode(), address


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_nobody_else_sees_them(model: Any, filled: Tenant, client: Client) -> None:
    for person in (None, User.objects.get(email="owner@acme.example")):
        if person:
            client.force_login(person)
        for address in (*addresses(model), reverse("admin:index")):
            answer = client.get(address)
            assert answer.status_code == 302 and "/admin/login/" in answer["Location"]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_no_page_shows_a_secret(model: Any, filled: Tenant, ops: Client) -> None:
    token = ApiToken.unscoped.get()
    person = User.objects.get(email="owner@acme.example")
    sealed = ServiceInstance.unscoped.get().spec["bgp"]["neighbours"][0]["password"]["$secret"]
    service, certificate = ServiceInstance.unscoped.get(), Certificate.unscoped.get()
    secrets = [
        *(world.PASSWORD, world.IDENTITY, world.REQUEST_BODY, token.digest, person.password, sealed, "$secret"),
        *(service.seed, certificate.private_key, Authority.objects.get().private_key, "PRIVATE KEY"),
    ]
    for address in addresses(model):
        page = ops.get(address).content.decode()
        assert [secret for secret in secrets if secret in page] == [], address


@pytest.mark.parametrize("field", sorted(HIDDEN))
@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_filter_cannot_ask_for_what_is_hidden(model: Any, field: str, filled: Tenant, ops: Client) -> None:
    if field not in {f.name for f in model._meta.get_fields()}:
        return
    answer = ops.get(list_of(model, **{f"{field}__startswith": "a"}))
    assert answer.status_code == 400


def test_no_row_is_asked_for_by_row(filled: Tenant, ops: Client) -> None:
    def queries() -> dict[str, int]:
        return {model._meta.label: queries_of(ops, list_of(model)) for model in MODELS}

    before = queries()
    pop = world.pop("ams1")
    for slug in ("globex", "initech"):
        tenant, segment = world.customer(slug, pop)
        for name in ("one", "two"):
            world.service(tenant, segment, name)
    after = queries()
    assert {label: count for label, count in before.items() if count > LIST_QUERIES} == {}
    grown = {label: count for label, count in after.items() if count > before[label] + 2}
    assert grown == {}, "counting pages may take one more, and rows none"


def queries_of(ops: Client, address: str) -> int:
    """Statements that a page takes when it is asked for again."""
    ops.get(address)
    with CaptureQueriesContext(connection) as captured:
        ops.get(address)
    return len(captured)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_row_is_shown_with_few_queries(model: Any, filled: Tenant, ops: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        ops.get(page_of(first(model)))
    assert len(captured) <= ROW_QUERIES


def test_the_overview_counts_without_asking_row_by_row(filled: Tenant, ops: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = ops.get(reverse("admin:index")).content.decode()
    assert len(captured) <= 20
    for words in ("Orders in flight", "Deployments behind", "PoP fra1", "0.5 of 16 vCPU", "waits for BgpEstablished"):
        assert words in page


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_what_is_not_named_cannot_be_sent(model: Any, filled: Tenant, ops: Client) -> None:
    """Every field of the model is posted with another value; none that is not named as editable changes."""
    page = admin.site._registry[model]
    row = first(model)
    before = type(row)._base_manager.values().get(pk=row.pk)
    ops.post(page_of(row), {field.attname: _other(field) for field in model._meta.concrete_fields})
    after = type(row)._base_manager.values().get(pk=row.pk)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= set(page.editable)  # type: ignore[attr-defined]


def _other(field: Any) -> str:
    if field.choices:
        return str(field.choices[-1][0])
    return json.dumps({}) if field.get_internal_type() == "JSONField" else "7"


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        (ProductOrder, {"state": OrderState.COMPLETED}),
        (ServiceInstance, {"state": ServiceState.TERMINATED, "health": Health.HEALTHY, "generation": "9"}),
        (Deployment, {"observed_generation": "2", "phase": "converged"}),
    ],
)
def test_states_are_refused(model: Any, facts: dict[str, str], filled: Tenant, ops: Client) -> None:
    row = first(model)
    assert ops.post(page_of(row), facts).status_code == 403
    assert model.unscoped.values(*facts).get() == {name: getattr(row, name) for name in facts}


def test_an_order_leads_to_its_service_and_the_steps_with_their_durations(filled: Tenant, ops: Client) -> None:
    order, service = ProductOrder.unscoped.get(), ServiceInstance.unscoped.get()
    page = ops.get(page_of(order)).content.decode()
    assert page_of(service) in page and page_of(Deployment.unscoped.get()) in page
    for words in ("2 of 3: Add VNF", "312 ms", "In progress", 'hx-trigger="every 3s"'):
        assert words in page


def test_history_shows_what_changed(filled: Tenant, ops: Client) -> None:
    page = ops.get(page_of(ServiceInstance.unscoped.get())).content.decode()
    assert re.search(r">-\s+&quot;address&quot;: &quot;10.255.0.2&quot;", page)
    assert re.search(r">\+\s+&quot;address&quot;: &quot;10.255.0.3&quot;", page)


def test_a_tenant_leads_to_all_it_has(filled: Tenant, ops: Client) -> None:
    page = ops.get(page_of(filled)).content.decode()
    for model in (ServiceInstance, ProductOrder, AuditEvent, ApiToken):
        assert list_of(model, tenant__id__exact=filled.pk) in page


def test_the_history_of_a_row_is_the_audit_trail(filled: Tenant, ops: Client) -> None:
    answer = ops.get(f"{page_of(filled).removesuffix('change/')}history/", follow=True)
    assert answer.status_code == 200 and "tenant.open" in answer.content.decode()


def test_moments_are_written_to_the_second(filled: Tenant, ops: Client) -> None:
    event = AuditEvent.unscoped.first()
    assert event is not None
    assert f"{event.at:%Y-%m-%d %H:%M:%S}<" in ops.get(list_of(AuditEvent)).content.decode()
