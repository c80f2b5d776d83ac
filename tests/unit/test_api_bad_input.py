"""Bad input gets a 4xx with the path of the field that is wrong, and changes nothing.

One table: where in a good request, what is put there, and where the answer must point.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps

from services.kinds.router import KIND
from services.models import Offering, Pop, Segment, Uni
from tenants.models import ApiToken, Quota, Tenant
from tests.callers import Caller, assert_problem

#: Takes the member away instead of setting it.
MISSING = object()

GOOD: dict[str, Any] = {
    "items": [
        {
            "action": "add",
            "kind": "router",
            "pop": "fra1",
            "name": "edge",
            "size": "S",
            "spec": {
                "ports": [
                    {"name": "lan", "segment": "lan", "addresses": ["10.1.0.1/24"]},
                    {"name": "wan", "segment": "core", "addresses": ["10.255.0.1/29"]},
                ],
                "static_routes": [{"destination": "10.9.0.0/16", "via": "10.1.0.254"}],
                "bgp": {
                    "asn": 65001,
                    "router_id": "10.255.0.1",
                    "networks": ["10.1.0.0/24"],
                    "neighbours": [
                        {
                            "address": "10.255.0.2",
                            "remote_asn": 65002,
                            "description": "Branch",
                            "password": "hunter2",
                            "prefixes_in": [{"action": "permit", "prefix": "10.0.0.0/8", "le": 24}],
                        }
                    ],
                },
                "nat": {
                    "source": [{"out_port": "wan", "source": ["10.1.0.0/24"], "to": "masquerade"}],
                    "port_forwards": [{"in_port": "wan", "protocol": "tcp", "port": 443, "to": "10.1.0.9"}],
                },
            },
        }
    ],
    "external_id": "po-7",
    "note": "first",
    "complete_within": 60,
}

SPEC = "items[0].spec"
PORT = f"{SPEC}.ports[0]"
NEIGHBOUR = f"{SPEC}.bgp.neighbours[0]"

ORDERS: list[tuple[str, Any, str]] = [
    # The order itself.
    ("items", MISSING, "items"),
    ("items", None, "items"),
    ("items", "edge", "items"),
    ("items", [], "items"),
    ("items", GOOD["items"] * 51, "items"),
    ("items[0]", "edge", "items[0]"),
    ("colour", "red", "colour"),
    ("external_id", "po\n7", "external_id"),
    ("external_id", "x" * 65, "external_id"),
    ("external_id", 7, "external_id"),
    ("note", "\x1b[2J", "note"),
    ("note", "x" * 501, "note"),
    ("complete_within", 4, "complete_within"),
    ("complete_within", 10**9, "complete_within"),
    ("complete_within", "60", "complete_within"),
    ("complete_within", 60.0, "complete_within"),
    ("complete_within", True, "complete_within"),
    # An item.
    ("items[0].action", MISSING, "items[0].action"),
    ("items[0].action", "explode", "items[0].action"),
    ("items[0].action", None, "items[0].action"),
    ("items[0].action", ["add"], "items[0].action"),
    ("items[0].kind", MISSING, "items[0].kind"),
    ("items[0].kind", "toaster", "items[0].kind"),
    ("items[0].kind", "../router", "items[0].kind"),
    ("items[0].kind", 7, "items[0].kind"),
    ("items[0].pop", MISSING, "items[0].pop"),
    ("items[0].pop", "nowhere", "items[0].pop"),
    ("items[0].pop", "fra1; reboot", "items[0].pop"),
    ("items[0].pop", ["fra1"], "items[0].pop"),
    ("items[0].size", "XXL", "items[0].size"),
    ("items[0].size", 1, "items[0].size"),
    ("items[0].name", MISSING, "items[0].name"),
    ("items[0].name", "", "items[0].name"),
    ("items[0].name", "x" * 64, "items[0].name"),
    ("items[0].name", True, "items[0].name"),
    ("items[0].colour", "red", "items[0].colour"),
    ("items[0].service", "svc-000000000000", "items[0].service"),
    ("items[0].spec", MISSING, "items[0].spec"),
    ("items[0].spec", None, "items[0].spec"),
    ("items[0].spec", [], "items[0].spec"),
    ("items[0].spec", "{}", "items[0].spec"),
    # The spec.
    (f"{SPEC}.colour", "red", f"{SPEC}.colour"),
    (f"{SPEC}.ports", MISSING, f"{SPEC}.ports"),
    (f"{SPEC}.ports", [], f"{SPEC}.ports"),
    (f"{SPEC}.ports", {}, f"{SPEC}.ports"),
    (f"{SPEC}.ports", [{"name": f"p{n}", "segment": "lan"} for n in range(17)], f"{SPEC}.ports"),
    (f"{SPEC}.ports[0].name", "lo", f"{SPEC}.ports[0].name"),
    (f"{SPEC}.ports[0].name", "x" * 16, f"{SPEC}.ports[0].name"),
    (f"{SPEC}.ports[0].name", 5, f"{SPEC}.ports[0].name"),
    (f"{SPEC}.ports[1].name", "lan", f"{SPEC}.ports[1].name"),
    (f"{SPEC}.ports[0].segment", "nowhere", f"{SPEC}.ports[0].segment"),
    (f"{SPEC}.ports[0].segment", None, f"{SPEC}.ports[0].segment"),
    (f"{SPEC}.ports[0].addresses[0]", "10.2.0.1/24", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", "10.1.0.0/24", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", "10.1.0.255/24", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", "10.1.0.1", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", "10.1.0.1/99", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", False, f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses[0]", "::1/128", f"{SPEC}.ports[0].addresses[0]"),
    (f"{SPEC}.ports[0].addresses", "10.1.0.1/24", f"{SPEC}.ports[0].addresses"),
    (f"{SPEC}.static_routes[0].destination", "10.9.0.1/16", f"{SPEC}.static_routes[0].destination"),
    (f"{SPEC}.static_routes[0].via", "fe80::1", f"{SPEC}.static_routes[0].via"),
    (f"{SPEC}.static_routes[0].port", "dmz", f"{SPEC}.static_routes[0].port"),
    (f"{SPEC}.static_routes[0].distance", 0, f"{SPEC}.static_routes[0].distance"),
    (f"{SPEC}.bgp.asn", 0, f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", 23456, f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", -1, f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", 2**32, f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", "65001", f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", 65001.5, f"{SPEC}.bgp.asn"),
    (f"{SPEC}.bgp.asn", True, f"{SPEC}.bgp.asn"),
    (f"{NEIGHBOUR}.address", False, f"{NEIGHBOUR}.address"),
    (f"{NEIGHBOUR}.address", "127.0.0.1", f"{NEIGHBOUR}.address"),
    (f"{NEIGHBOUR}.address", "224.0.0.5", f"{NEIGHBOUR}.address"),
    (f"{NEIGHBOUR}.remote_asn", 0, f"{NEIGHBOUR}.remote_asn"),
    (f"{NEIGHBOUR}.password", "", f"{NEIGHBOUR}.password"),
    (f"{NEIGHBOUR}.password", "x" * 81, f"{NEIGHBOUR}.password"),
    (f"{NEIGHBOUR}.password", "********", f"{NEIGHBOUR}.password"),
    (f"{NEIGHBOUR}.prefixes_in[0].le", 33, f"{NEIGHBOUR}.prefixes_in[0].le"),
    (f"{NEIGHBOUR}.prefixes_in[0].action", "allow", f"{NEIGHBOUR}.prefixes_in[0].action"),
    (f"{NEIGHBOUR}.max_prefix", 0, f"{NEIGHBOUR}.max_prefix"),
    (f"{SPEC}.nat.port_forwards[0].port", 0, f"{SPEC}.nat.port_forwards[0].port"),
    (f"{SPEC}.nat.port_forwards[0].port", 70000, f"{SPEC}.nat.port_forwards[0].port"),
    (f"{SPEC}.nat.port_forwards[0].port", 179, f"{SPEC}.nat.port_forwards[0].port"),
    (f"{SPEC}.nat.port_forwards[0].protocol", "icmp", f"{SPEC}.nat.port_forwards[0].protocol"),
    (f"{SPEC}.nat.source[0].out_port", "dmz", f"{SPEC}.nat.source[0].out_port"),
]

SEGMENT: dict[str, Any] = {
    "name": "office",
    "kind": "private",
    "pop": "fra1",
    "mtu": 1500,
    "prefixes": ["10.30.0.0/24", "2001:db8:30::/64"],
}
SEGMENTS: list[tuple[str, Any, str]] = [
    ("name", MISSING, "name"),
    ("name", "", "name"),
    ("name", "lan", "name"),
    ("name", "x" * 65, "name"),
    ("name", "a\nb", "name"),
    ("name", {"x": 1}, "name"),
    ("kind", "magic", "kind"),
    ("kind", "access", "uni"),
    ("pop", None, "pop"),
    ("pop", "nowhere", "pop"),
    ("uni", "uni-000000000000", "uni"),
    ("mtu", 576, "mtu"),
    ("mtu", 65535, "mtu"),
    ("mtu", "1500", "mtu"),
    ("colour", "red", "colour"),
    ("prefixes", "10.30.0.0/24", "prefixes"),
    ("prefixes", [f"10.{n}.0.0/24" for n in range(40, 49)], "prefixes"),
    ("prefixes[0]", "10.30.0.1/24", "prefixes[0]"),
    ("prefixes[0]", "10.30.0.0/33", "prefixes[0]"),
    ("prefixes[0]", "10.30.0.0/24; reboot", "prefixes[0]"),
    ("prefixes[0]", "0.0.0.0/0", "prefixes[0]"),
    ("prefixes[0]", "127.0.0.0/8", "prefixes[0]"),
    ("prefixes[0]", "224.0.0.0/8", "prefixes[0]"),
    ("prefixes[0]", "10.1.0.128/25", "prefixes[0]"),
    ("prefixes[0]", "10.0.0.0/8", "prefixes[0]"),
    ("prefixes[0]", 10, "prefixes[0]"),
    ("prefixes[1]", "10.30.0.0/25", "prefixes[1]"),
]

QUESTION: dict[str, Any] = {"question": "ping", "arguments": {"destination": "10.1.0.2", "count": 1}}
QUESTIONS: list[tuple[str, Any, str]] = [
    ("question", MISSING, "question"),
    ("question", "reboot", "question"),
    ("question", ["ping"], "question"),
    ("colour", "red", "colour"),
    ("arguments", "-c 1", "arguments"),
    ("arguments", {}, "arguments.destination"),
    ("arguments.destination", "-c", "arguments.destination"),
    ("arguments.destination", "10.1.0.2; reboot", "arguments.destination"),
    ("arguments.destination", "10.1.0.2 -c 9", "arguments.destination"),
    ("arguments.destination", "$(reboot)", "arguments.destination"),
    ("arguments.destination", "host.example", "arguments.destination"),
    ("arguments.destination", "10.1.0.2\n", "arguments.destination"),
    ("arguments.destination", 167837954, "arguments.destination"),
    ("arguments.count", 0, "arguments.count"),
    ("arguments.count", 1000, "arguments.count"),
    ("arguments.count", "1", "arguments.count"),
    ("arguments.port", "lan -f", "arguments.port"),
    ("arguments.flood", True, "arguments.flood"),
]

CHANGES: list[tuple[Any, str]] = [
    ({}, "spec"),
    ({"name": ""}, "name"),
    ({"name": "a;b"}, "name"),
    ({"name": None}, "name"),
    ({"size": "XXL"}, "size"),
    ({"spec": None}, "spec"),
    ({"spec": {}}, "spec.ports"),
    ({"kind": "router"}, "kind"),
    (
        {"spec": {"ports": [{"name": "lan", "segment": "lan", "addresses": ["10.1.0.7/25"]}]}},
        "spec.ports[0].addresses[0]",
    ),
]

#: What may not reach a configuration file, a command line, a path or a terminal.
NASTY = [
    "../../etc/passwd",
    "a;b",
    'a"b',
    "a'b",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a`id`",
    "$(id)",
    "a|b",
    "a&b",
    "a\\b",
    "a>b",
    "-x",
    "{{7*7}}",
    "{% x %}",
    "%s",
    "a\u202eb",
    "a\u2028b",
    "\x1b[2J",
    "!",
    "x" * 600,
]
#: Free text, and a password: signs are allowed in them that the templates and daemons take as they are.
FREE = {"description", "password", "note", "external_id"}
CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u202e]|x{600}")


def at(document: Any, path: str, value: Any) -> Any:
    """A copy of the document with the value at the path."""
    document = copy.deepcopy(document)
    *way, last = [int(p) if p.isdigit() else p for p in re.findall(r"\w+", path)]
    parent = document
    for part in way:
        parent = parent[part]
    if value is MISSING:
        del parent[last]
    else:
        parent[last] = value
    return document


def strings(value: Any, path: str = "") -> Iterator[str]:
    """The path of every string in the document."""
    match value:
        case str():
            yield path
        case dict():
            for key, item in value.items():
                yield from strings(item, f"{path}.{key}" if path else key)
        case list():
            for index, item in enumerate(value):
                yield from strings(item, f"{path}[{index}]")


def names(case: tuple[Any, ...]) -> str:
    shown = "missing" if case[1] is MISSING else json.dumps(case[1])
    return f"{case[0]}={shown}"[:60]


# --- the rows before and after ----------------------------------------------------------


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of ours, but for when a token was last used."""
    models = [m for m in apps.get_models() if m.__module__.split(".")[0] in ("tenants", "services", "sbc")]
    rows = {model.__name__: list(model._base_manager.order_by("pk").values()) for model in models}
    for token in rows[ApiToken.__name__]:
        del token["last_used_at"]
    return rows


@pytest.fixture
def caller(tenant: Tenant) -> Caller:
    return Caller(tenant)


@pytest.fixture
def site(lan: Segment, core: Segment) -> tuple[Segment, Segment]:
    return lan, core


def refused(caller: Caller, method: str, path: str, body: Any, status: int = 400) -> dict[str, Any]:
    """The problem, after seeing that nothing was changed."""
    before = everything()
    problem = assert_problem(caller.raw(method, path, json.dumps(body)), status)
    assert everything() == before
    return problem


def paths(problem: dict[str, Any]) -> list[str]:
    return [error["path"] for error in problem["errors"]]


# --- the tables -------------------------------------------------------------------------


def test_the_good_requests_are_good(caller, site, standing):
    for path in ("orders/preview", "orders"):
        order = copy.deepcopy(GOOD)
        order["items"][0]["name"] = "another"
        order["items"][0]["spec"]["ports"][0]["addresses"] = ["10.1.0.2/24"]
        order["items"][0]["spec"]["ports"][1]["addresses"] = ["10.255.0.3/29"]
        order["items"][0]["spec"]["bgp"]["neighbours"][0]["address"] = "10.255.0.4"
        order["items"][0]["spec"]["bgp"]["router_id"] = "10.255.0.3"
        if path == "orders/preview":
            order = {"items": order["items"]}
        answer = caller.post(path, order)
        assert answer.status_code < 300, answer.content
    assert caller.post("segments", SEGMENT).status_code == 201
    answer = caller.post(f"services/{standing.pk}/inquiries", QUESTION)
    assert answer.status_code == 202, answer.content


@pytest.mark.parametrize(("where", "what", "wrong"), ORDERS, ids=map(names, ORDERS))
def test_an_order_that_is_wrong_says_where(caller, site, where, what, wrong):
    assert wrong in paths(refused(caller, "POST", "orders", at(GOOD, where, what)))


@pytest.mark.parametrize(
    ("where", "what", "words"),
    [
        ("items[0].action", "destroy", "Use one of: add, modify, delete."),
        ("items[0].size", ["S"], "Use one of: S, M, L."),
        (f"{SPEC}.colour", "red", "there is no such field; there are: ports, static_routes, bgp, nat"),
        (f"{PORT}.colour", "red", "there is no such field; there are: name, segment, addresses"),
        (f"{SPEC}.ports", [], "needs at least 1, has 0"),
        (f"{PORT}.name", "a;b", "must look like wan: it must match"),
        (f"{PORT}.addresses[0]", "here", "must look like 192.0.2.1/24: it must match"),
        (f"{NEIGHBOUR}.description", "a\nb", "must look like branch office, 2nd line: it must match"),
    ],
)
def test_what_is_wrong_is_said_once_and_with_what_would_be_right(caller, site, where, what, words):
    problem = refused(caller, "POST", "orders", at(GOOD, where, what))
    ((path, message),) = [(error["path"], error["message"]) for error in problem["errors"]]
    assert (path, message[: len(words)]) == (where, words)


@pytest.mark.parametrize(("where", "what", "wrong"), SEGMENTS, ids=map(names, SEGMENTS))
def test_a_segment_that_is_wrong_says_where(caller, site, where, what, wrong):
    assert wrong in paths(refused(caller, "POST", "segments", at(SEGMENT, where, what)))


@pytest.mark.parametrize(("where", "what", "wrong"), QUESTIONS, ids=map(names, QUESTIONS))
def test_a_question_that_is_wrong_says_where(caller, standing, where, what, wrong):
    assert wrong in paths(refused(caller, "POST", f"services/{standing.pk}/inquiries", at(QUESTION, where, what)))


@pytest.mark.parametrize(("body", "wrong"), CHANGES, ids=[json.dumps(body)[:60] for body, _ in CHANGES])
def test_a_change_that_is_wrong_says_where(caller, standing, body, wrong):
    assert wrong in paths(refused(caller, "PATCH", f"services/{standing.pk}", body))


@pytest.mark.parametrize("text", NASTY, ids=[json.dumps(text)[:20] for text in NASTY])
def test_no_string_smuggles_anything(caller, site, text):
    """Every string of an order in turn. What is let through is free text, and no control character."""
    before = everything()
    for path in strings(GOOD):
        answer = caller.post("orders/preview", {"items": at(GOOD, path, text)["items"]}) if "items" in path else None
        answer = answer or caller.post("orders", at(GOOD, path, text))
        if path.rsplit(".", 1)[-1] in FREE and not CONTROL.search(text):
            assert answer.status_code in (200, 201, 400), (path, answer.content)
            if answer.status_code == 201:
                before = everything()
        else:
            assert path in paths(assert_problem(answer, 400)), path
    assert everything() == before


def test_the_kinds_own_example_has_no_string_that_is_not_tried():
    tried = {path.split(".")[-1].split("[")[0] for path in strings(GOOD["items"][0]["spec"])}
    known = {path.split(".")[-1].split("[")[0] for path in strings(dict(KIND.example))}
    assert known <= tried


# --- what only several things together make wrong ----------------------------------------


@pytest.fixture
def foreign(pop: Pop) -> dict[str, str]:
    """Ids of things that another tenant has."""
    other = Tenant.objects.create(name="Globex", slug="globex")
    uni = Uni.unscoped.create(tenant=other, pop=pop, name="theirs", interface="uni-theirs")
    caller = Caller(other)
    body = {"name": "theirs", "kind": "access", "uni": uni.pk, "prefixes": ["10.1.0.0/24"]}
    segment = caller.post("segments", body).json()
    spec = {"ports": [{"name": "lan", "segment": "theirs"}]}
    item = {"action": "add", "kind": "router", "pop": "fra1", "name": "theirs", "spec": spec}
    order = caller.post("orders", {"items": [item]}).json()
    return {
        "uni": uni.pk,
        "segment": segment["id"],
        "service": order["items"][0]["service"]["id"],
        "order": order["id"],
    }


def test_overlapping_prefixes_are_refused_inside_a_tenant_only(caller, site, foreign):
    segment = SEGMENT | {"prefixes": ["10.1.0.0/16"]}
    assert "10.1.0.0/24" in refused(caller, "POST", "segments", segment)["detail"]


def test_a_foreign_id_is_refused_like_one_that_never_was(caller, site, foreign):
    segment_path = f"{SPEC}.ports[0].segment"
    cases: list[tuple[str, Any, str, str]] = [
        ("orders", at(GOOD, segment_path, foreign["segment"]), segment_path, "segment"),
        ("orders", at(GOOD, segment_path, "theirs"), segment_path, "segment"),
        ("orders", {"items": [{"action": "delete", "service": foreign["service"]}]}, "items[0].service", "service"),
        (
            "orders",
            {"items": [{"action": "modify", "service": foreign["service"], "size": "M"}]},
            "items[0].service",
            "",
        ),
        ("segments", SEGMENT | {"kind": "access", "uni": foreign["uni"]}, "uni", "uni"),
    ]
    for path, body, wrong, _ in cases:
        real = refused(caller, "POST", path, body)
        ids = {*foreign.values(), "theirs"}
        invented = json.loads(re.sub("|".join(ids), "nothing", json.dumps(body)))
        never = refused(caller, "POST", path, invented)
        assert wrong in paths(real)
        assert re.sub("|".join(ids), "nothing", real["detail"]) == never["detail"]


def test_a_pool_that_is_empty_says_so(caller, site):
    """A /29 has six addresses; the seventh router finds none."""
    items = [
        {"action": "add", "kind": "router", "pop": "fra1", "name": f"r{n}", "spec": {"ports": [WAN]}} for n in range(7)
    ]
    assert "items[6].spec.ports[0]" in str(paths(refused(caller, "POST", "orders", {"items": items})))


WAN = {"name": "wan", "segment": "core"}


def test_every_wrong_item_is_told_and_no_right_one_is_kept(caller, site):
    right, wrong = GOOD["items"][0], at(GOOD, "items[0].size", "XXL")["items"][0]
    again = right | {"name": "other"}
    problem = refused(caller, "POST", "orders", {"items": [right, again]})
    assert all(path.startswith("items[1].spec.ports") for path in paths(problem))
    assert "items[1].size" in paths(refused(caller, "POST", "orders", {"items": [right, wrong]}))
    assert "items[1].name" in paths(refused(caller, "POST", "orders", {"items": [right, right]}))


def test_the_quota_and_the_room_at_a_pop_are_kept(caller, tenant, site):
    Quota.unscoped.update_or_create(tenant=tenant, defaults={"services": 0})
    assert refused(caller, "POST", "orders", GOOD, 409)["code"] == "quota-exceeded"
    Quota.unscoped.update(services=5)
    Pop.objects.update(vcpu_capacity=Decimal("0.1"))
    assert refused(caller, "POST", "orders", GOOD, 409)["code"] == "capacity-exceeded"


def test_what_others_have_at_a_pop_counts(caller, site, foreign):
    Pop.objects.update(vcpu_capacity=Decimal("0.9"))
    problem = refused(caller, "POST", "orders", GOOD, 409)
    assert problem["code"] == "capacity-exceeded"
    assert "theirs" not in str(problem)


def test_a_pop_that_is_closed_and_an_offering_off_sale_are_refused(caller, site):
    Pop.objects.update(status="maintenance")
    assert "items[0].pop" in paths(refused(caller, "POST", "orders", GOOD))
    Pop.objects.update(status="open")
    Offering.objects.update(on_sale=False)
    assert "items[0].kind" in paths(refused(caller, "POST", "orders", GOOD))


@pytest.mark.parametrize("extra", [{"size": "M"}, {"spec": {}}, {"name": "x"}, {"pop": "fra1"}, {"kind": "router"}])
def test_a_deletion_takes_a_service_and_nothing_else(caller, standing, extra):
    body = {"items": [{"action": "delete", "service": standing.pk} | extra]}
    assert f"items[0].{next(iter(extra))}" in paths(refused(caller, "POST", "orders", body))


def test_a_service_that_is_being_changed_waits(caller, standing):
    assert caller.patch(f"services/{standing.pk}", {"size": "M"}).status_code == 202
    problem = refused(caller, "PATCH", f"services/{standing.pk}", {"size": "L"}, 409)
    assert "is being changed by order" in problem["detail"]


def test_a_prefix_whose_address_is_in_use_stays(caller, standing, lan):
    problem = refused(caller, "PATCH", f"segments/{lan.pk}", {"prefixes": ["10.77.0.0/24"]})
    assert "edge" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [({"name": "core"}, "name"), ({"name": None}, "name"), ({"prefixes": None}, "prefixes"), ({"mtu": 1400}, "mtu")],
)
def test_a_segment_cannot_be_changed_into_anything(caller, lan, core, body, wrong):
    assert wrong in paths(refused(caller, "PATCH", f"segments/{lan.pk}", body))


def test_a_body_of_two_megabytes_is_refused_unread(caller, site):
    order = at(GOOD, "note", "x" * 2 * 2**20)
    assert refused(caller, "POST", "orders", order, 413)["code"] == "too-large"


def test_an_order_just_below_the_limit_is_answered_soon(caller, site):
    routes = [{"destination": f"10.{100 + n // 250}.{n % 250}.0/24", "via": "10.1.0.254"} for n in range(9000)]
    assert f"{SPEC}.static_routes" in paths(
        refused(caller, "POST", "orders", at(GOOD, f"{SPEC}.static_routes", routes))
    )
