"""A foreign tenant's token gets 404 on every address with an id, and learns nothing from anything else.

The table is made from the URL configuration: an address that is added without an entry here fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from sbc import configuration, records, testcalls
from sbc.api import live
from sbc.models import CallRecord
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from services import inquiries
from services.models import Segment, ServiceInstance, Uni
from tenants.actor import Actor, Role
from tenants.models import Tenant, User
from tenants.verbs import members, tokens
from tests.callers import Caller
from tests.unit.conftest import (
    Share,
    make_core,
    make_lan,
    make_uni,
    open_pop,
    open_tenant,
    ordered,
    router,
    session_border_controller,
)
from tests.unit.test_sbc_records import ANSWERED, batch

pytestmark = pytest.mark.django_db

#: Addresses with ids of what belongs to no tenant.
SHARED = {"offering", "pop"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: What an id is replaced by for the comparison with what never existed.
NEVER = "xxx-000000000000"
MARK = "sesame"


def addresses(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and route of everything under /api/v1/."""
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, route)
        elif isinstance(entry, URLPattern) and route.startswith("api/v1/"):
            yield str(entry.name), route.removeprefix("api/v1/")


WITH_ID = [(name, route) for name, route in addresses() if "<" in route and name not in SHARED]
LISTS = [(name, route) for name, route in addresses() if "<" not in route]


@dataclass(frozen=True)
class Owned:
    """What a tenant really has, and for each address of the table the ids of it."""

    tenant: Tenant
    uni: Uni
    lan: Segment
    standing: ServiceInstance
    ids: dict[str, dict[str, str]]


def own() -> Owned:
    pop, tenant = open_pop(), open_tenant()
    actor, uni = Actor.system(tenant, "a test"), make_uni(tenant, pop)
    lan, _ = make_lan(actor, uni), make_core(actor, pop)
    standing = ordered(actor, router())
    ids = ids_of_router(actor, standing) | {"uni": {"pk": uni.pk}, "segment": {"pk": lan.pk}}
    return Owned(tenant, uni, lan, standing, ids | ids_of_sbc(actor, ordered(actor, session_border_controller())))


def ids_of_router(actor: Actor, standing: ServiceInstance) -> dict[str, dict[str, str]]:
    service = standing.pk
    order = standing.order_items.get().order_id
    inquiry = inquiries.ask(actor=actor, instance=standing, question="bgp-summary", arguments={}).pk
    token = tokens.issue(actor=actor, name=MARK, role=Role.VIEWER).token.pk
    members.add(actor=actor, user=User.objects.create_user(f"{MARK}@acme.example"), role=Role.VIEWER)
    return {
        "token": {"pk": token},
        "order": {"pk": order},
        "order-cancel": {"pk": order},
        "order-retry": {"pk": order},
        "order-hasten": {"pk": order},
        "service": {"pk": service},
        "service-metrics": {"service": service},
        "service-heal": {"pk": service},
        "generations": {"service": service},
        "service-events": {"service": service},
        "inquiries": {"service": service},
        "inquiry": {"service": service, "pk": inquiry},
    }


def ids_of_sbc(actor: Actor, sbc: ServiceInstance) -> dict[str, dict[str, str]]:
    trunk = {"name": f"{MARK}-pbx", "side": "inside", "addresses": [{"host": "10.1.0.20"}]}
    documents: list[tuple[Any, dict[str, Any]]] = [
        (TRUNKS, trunk),
        (ROUTES, {"name": f"{MARK}-out", "targets": [{"trunk": trunk["name"]}]}),
        (SOURCES, {"name": f"{MARK}-rule", "cidr": "192.0.2.0/24", "action": "deny"}),
    ]
    for section, document in documents:
        configuration.create(actor=actor, instance=sbc, section=section, document=document)
    records.take(batch(sbc, ANSWERED))
    service = {"service": sbc.pk}
    lists = ("trunks", "routes", "sources", "trunk-states", "calls", "bans", "records", "test-calls")
    whole = ("emergency", "tables", "statistics", "certificate", "certificate-renewal", "simulations")
    return {f"sbc-{name}": service for name in (*lists, *whole)} | {
        "sbc-trunk-state": service | {"pk": f"{MARK}-pbx"},
        "sbc-trunk": service | {"pk": f"{MARK}-pbx"},
        "sbc-route": service | {"pk": f"{MARK}-out"},
        "sbc-source": service | {"pk": f"{MARK}-rule"},
        "sbc-call": service | {"pk": "1700000000123-12-34"},
        "sbc-ban": service | {"pk": "198.18.7.7"},
        "sbc-record": service | {"pk": str(CallRecord.unscoped.get().pk)},
        "sbc-test-call": service | {"pk": testcalls.make(actor=actor, instance=sbc).pk},
    }


@pytest.fixture(scope="module")
def owner(share: Share) -> Owned:
    made: Owned = share(own)
    return made


@pytest.fixture
def owned(owner: Owned) -> dict[str, dict[str, str]]:
    return owner.ids


@pytest.fixture
def tenant(owner: Owned) -> Tenant:
    return owner.tenant


@pytest.fixture
def uni(owner: Owned) -> Uni:
    return owner.uni


@pytest.fixture
def lan(owner: Owned) -> Segment:
    return owner.lan


@pytest.fixture
def standing(owner: Owned) -> ServiceInstance:
    return owner.standing


@pytest.fixture
def stranger(db: None, owner: Owned) -> Caller:
    return Caller(Tenant.objects.create(name="Globex", slug="globex"))


def filled(route: str, ids: dict[str, str]) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: ids[found[1]], route)


def essence(answer: Any, ids: dict[str, str]) -> tuple[int, Any]:
    """Status and body without what differs in every answer: the request's id and the id that was asked for."""
    text = answer.content.decode()
    for id in ids.values():
        text = text.replace(id, "ID")
    body = json.loads(text) if text else None
    if isinstance(body, dict):
        body.pop("instance", None)
    return answer.status_code, body


def test_every_address_with_an_id_is_in_the_table(owned):
    assert {name for name, _ in WITH_ID} == set(owned)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "route"), WITH_ID, ids=[name for name, _ in WITH_ID])
def test_what_is_anothers_is_not_there(owned, stranger, name, route, method):
    ids = owned[name]
    never = dict.fromkeys(ids, NEVER)
    answer = stranger.raw(method, filled(route, ids), "{}")
    assert answer.status_code in (404, 405), answer.content
    assert essence(answer, ids) == essence(stranger.raw(method, filled(route, never), "{}"), never)


@pytest.mark.parametrize(("name", "route"), WITH_ID, ids=[name for name, _ in WITH_ID])
def test_the_owner_finds_it(tenant, owned, name, route, monkeypatch):
    monkeypatch.setattr(live, "USUAL_WAIT", 0)  # no PoP is there to answer
    owner = Caller(tenant)
    found = [owner.raw(method, filled(route, owned[name]), "{}").status_code for method in METHODS]
    assert set(found) - {404, 405}


def test_an_inquiry_is_found_under_its_own_service_only(tenant, owned, standing):
    owner = Caller(tenant)
    inquiry = owned["inquiry"]["pk"]
    assert owner.get(f"services/{standing.pk}/inquiries/{inquiry}").status_code == 200
    assert owner.get(f"services/{NEVER}/inquiries/{inquiry}").status_code == 404


@pytest.mark.parametrize(("name", "route"), LISTS, ids=[name for name, _ in LISTS])
def test_no_list_names_anything_of_another(owned, stranger, standing, lan, uni, tenant, name, route):
    answer = stranger.get(route)
    text = answer.content.decode()
    ids = {id for ids in owned.values() for id in ids.values() if not id.isdigit()}  # a number may be of anything
    named = ids | {MARK, standing.name, tenant.pk, tenant.slug}
    assert not [word for word in named if f'"{word}' in text]
    if answer.status_code == 200 and name not in ("offerings", "pops", "me", "quota", "authority", "prometheus"):
        body = answer.json()
        assert body["count"] == len(body["results"])
        assert body["count"] <= 1, "its own token, and its own line in the trail"


@pytest.mark.parametrize(
    ("route", "filter"),
    [
        ("services", {"name": "edge"}),
        ("services", {"state": "active"}),
        ("services", {"pop": "fra1"}),
        ("orders", {"state": "completed"}),
        ("orders", {"service": "SERVICE"}),
        ("segments", {"name": "lan"}),
        ("segments", {"uni": "UNI"}),
        ("unis", {"name": "site-a"}),
        ("audit", {"object_id": "SERVICE"}),
        ("audit", {"verb": "order.place"}),
        ("audit", {"actor": "a test"}),
    ],
)
def test_no_filter_finds_anything_of_another(owned, stranger, tenant, standing, uni, route, filter):
    query = {key: {"SERVICE": standing.pk, "UNI": uni.pk}.get(value, value) for key, value in filter.items()}
    answer = stranger.get(route, **query)
    own = 1 if filter == {"actor": "a test"} else 0
    assert answer.json()["count"] == own, answer.content


def test_names_and_addresses_of_another_are_free(stranger, standing, lan):
    """What is taken elsewhere can be had: a refusal would tell that it is there."""
    body = {"name": lan.name, "pop": "fra1", "prefixes": ["10.1.0.0/24"]}
    made = stranger.post("segments", body)
    assert made.status_code == 201, made.content
    spec = {"ports": [{"name": "lan", "segment": lan.name, "addresses": ["10.1.0.1/24"]}]}
    item = {"action": "add", "kind": "router", "pop": "fra1", "name": standing.name, "spec": spec}
    assert stranger.post("orders", {"items": [item]}).status_code == 201


def test_a_key_of_another_is_free(tenant, stranger):
    body = {"name": "office", "pop": "fra1"}
    assert Caller(tenant).post("segments", body, key="k").status_code == 201
    answer = stranger.post("segments", body | {"name": "other"}, key="k")
    assert (answer.status_code, answer.json()["name"]) == (201, "other")
