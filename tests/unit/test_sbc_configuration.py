"""What tenants configure of an SBC: what is refused and why, and which commands each change becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from naas.core.errors import Conflict, Forbidden, Invalid
from sbc import configuration
from sbc.models import Route, SourceRule, TableLog, Tables, Trunk
from sbc.sections.base import Section
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from sbc.snapshot import snapshot
from services import orders
from services.entry import ItemRequest
from services.lifecycle import ServiceState
from services.models import ServiceInstance
from services.secrets import MASK, mask
from tenants.actor import Actor, ActorKind, Role
from tenants.keys import vault
from tenants.models import AuditEvent, Tenant
from tests.sbcs import changed
from tests.unit.conftest import found, fresh
from worker.report import Phase

PBX: dict[str, Any] = {"name": "pbx", "side": "inside", "addresses": [{"host": "10.1.0.20"}]}
CARRIER: dict[str, Any] = {
    "name": "carrier",
    "side": "outside",
    "addresses": [{"host": "10.255.0.4"}],
    "authentication": {"user": "trunk-1", "password": "correct horse battery"},
}
OUT: dict[str, Any] = {"name": "out", "from_trunk": "pbx", "prefix": "+", "targets": [{"trunk": "carrier"}]}


@pytest.fixture
def put(actor: Actor, sbc: ServiceInstance) -> Any:
    def put(section: Section[Any, Any], document: dict[str, Any]) -> Any:
        return configuration.create(actor=actor, instance=sbc, section=section, document=document)

    return put


@pytest.fixture
def both(put: Any) -> tuple[Trunk, Trunk]:
    return put(TRUNKS, PBX), put(TRUNKS, CARRIER)


def commands(sbc: ServiceInstance) -> list[list[str]]:
    """What led to the revision that is wanted now."""
    state = Tables.unscoped.get(instance=sbc)
    logged = TableLog.unscoped.get(tables=state, revision=state.wanted)
    found: list[list[str]] = json.loads(vault().decrypt(logged.commands))
    return found


def wanted(sbc: ServiceInstance) -> int:
    state: Tables = Tables.unscoped.get(instance=sbc)
    return state.wanted


def problems(act: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        act()
    return {problem.path: problem.message for problem in caught.value.problems}


# --- trunks ---


def test_the_first_change_writes_all_tables_and_later_ones_what_differs(put: Any, sbc: ServiceInstance) -> None:
    put(TRUNKS, PBX)
    assert not TableLog.unscoped.filter(tables=sbc.pk).exists()
    put(TRUNKS, CARRIER)
    assert wanted(sbc) == 2
    assert [command[:3] for command in commands(sbc)[:2]] == [
        ["HSET", "sbc:trunks", "carrier"],
        ["HSET", "sbc:sources", "outside/4:00001010111111110000000000000100"],
    ]


def test_a_change_that_changes_nothing_is_no_revision(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    before = wanted(sbc)
    configuration.change(actor=actor, row=both[0], section=TRUNKS, document=PBX)
    assert wanted(sbc) == before


def test_what_a_trunk_was_known_by_goes_with_a_change(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    moved = changed(PBX, "", "addresses", [{"host": "10.1.0.21"}])
    configuration.change(actor=actor, row=both[0], section=TRUNKS, document=moved)
    assert [command[:2] for command in commands(sbc)] == [
        ["HDEL", "sbc:sources"],
        ["HSET", "sbc:trunks"],
        ["HSET", "sbc:sources"],
    ]
    assert [source.cidr for source in both[0].sources.all()] == ["10.1.0.21/32"]


def test_a_removed_trunk_leaves_nothing(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    configuration.remove(actor=actor, row=both[1], section=TRUNKS)
    assert [command[:3] for command in commands(sbc)] == [
        ["HDEL", "sbc:trunks", "carrier"],
        ["HDEL", "sbc:sources", "outside/4:00001010111111110000000000000100"],
    ]
    assert Trunk.unscoped.filter(instance=sbc).count() == 1


@pytest.mark.parametrize(
    ("where", "key", "value", "path"),
    [
        ("", "name", "pbx", "name"),
        ("", "side", "nowhere", "side"),
        ("", "transport", "tls", "transport"),
        ("", "addresses", [{"host": "2001:db8::1"}], "addresses[0].host"),
        ("", "addresses", [{"host": "10.1.0.20"}], "addresses[0].host"),
        ("", "sources", ["10.9.0.0/16", "10.1.0.20/32"], "sources[1]"),
        ("", "surprise", 1, "surprise"),
    ],
)
def test_a_trunk_agrees_with_the_sbc_and_the_other_trunks(
    put: Any, where: str, key: str, value: object, path: str
) -> None:
    put(TRUNKS, PBX)
    assert list(problems(lambda: put(TRUNKS, changed(CARRIER, where, key, value)))) == [path]


def test_two_trunks_have_not_the_same_user(put: Any) -> None:
    digest = {"method": "digest", "user": "pbx", "password": "long enough it is"}
    put(TRUNKS, {"name": "one", "side": "inside", "authentication": digest})
    refused = problems(lambda: put(TRUNKS, {"name": "two", "side": "inside", "authentication": digest}))
    assert refused == {"authentication.user": "trunk one proves itself by this user already"}


def test_a_trunk_keeps_its_name(actor: Actor, both: Any) -> None:
    renamed = changed(PBX, "", "name", "other")
    assert "name" in problems(lambda: configuration.change(actor=actor, row=both[0], section=TRUNKS, document=renamed))


def test_a_password_is_encrypted_masked_and_kept(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    _, carrier = both
    assert "horse" not in json.dumps(carrier.document)
    shown = mask(carrier.document)
    assert shown["authentication"]["password"] == MASK
    configuration.change(actor=actor, row=carrier, section=TRUNKS, document=shown | {"most_calls": 7})
    assert "correct horse battery" in json.dumps(commands(sbc))
    assert "horse" not in TableLog.unscoped.get(tables=sbc.pk, revision=wanted(sbc)).commands


def test_a_trunk_in_use_stays_and_says_by_whom(actor: Actor, put: Any, both: Any, sbc: ServiceInstance) -> None:
    put(ROUTES, OUT)
    for number in range(6):
        put(ROUTES, OUT | {"name": f"more-{number}"})
    configuration.set_emergency(
        actor=actor, instance=sbc, document={"numbers": ["112"], "targets": [{"trunk": "carrier"}]}
    )
    with pytest.raises(Conflict) as refused:
        configuration.remove(actor=actor, row=both[1], section=TRUNKS)
    users = "the emergency numbers, route more-0, route more-1, route more-2, route more-3 and 3 more"
    assert refused.value.detail.startswith(f"trunk carrier is used by {users}")
    with pytest.raises(Conflict, match="route more-0"):
        configuration.remove(actor=actor, row=both[0], section=TRUNKS)


# --- routes ---


def test_a_route_leads_to_trunks_that_are_there(put: Any, both: Any) -> None:
    lost = OUT | {"from_trunk": "nobody", "targets": [{"trunk": "carrier"}, {"trunk": "gone"}]}
    assert problems(lambda: put(ROUTES, lost)) == {
        "from_trunk": "there is no trunk nobody",
        "targets[1].trunk": "there is no trunk gone",
    }


def test_routes_of_one_place_are_written_together(put: Any, both: Any, sbc: ServiceInstance) -> None:
    put(ROUTES, OUT)
    put(ROUTES, OUT | {"name": "second", "order": 1})
    ((verb, key, field, value),) = commands(sbc)
    assert (verb, key, field) == ("HSET", "sbc:routes", "pbx/+")
    assert [route["id"] for route in json.loads(value)] == ["second", "out"]


def test_a_route_that_moves_leaves_its_place_and_takes_the_other(
    actor: Actor, put: Any, both: Any, sbc: ServiceInstance
) -> None:
    row = put(ROUTES, OUT)
    configuration.change(actor=actor, row=row, section=ROUTES, document=changed(OUT, "", "prefix", "+44"))
    assert [command[:3] for command in commands(sbc)] == [
        ["HDEL", "sbc:routes", "pbx/+"],
        ["HSET", "sbc:routes", "pbx/+44"],
    ]
    configuration.change(actor=actor, row=row, section=ROUTES, document=OUT | {"enabled": False})
    assert commands(sbc) == [["HDEL", "sbc:routes", "pbx/+44"]]


def test_a_change_reads_no_route_of_another_place(
    actor: Actor, put: Any, both: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        put(ROUTES, OUT | {"name": f"place-{number}", "prefix": f"+{number}"})
    row = Route.unscoped.get(name="place-7")
    with django_assert_max_num_queries(60) as few:
        configuration.change(
            actor=actor, row=row, section=ROUTES, document=OUT | {"name": "place-7", "prefix": "+7", "order": 3}
        )
    texts = " ".join(query["sql"] for query in few.captured_queries if "sbc_route" in query["sql"])
    assert "place-7" in texts
    assert "place-8" not in texts


def test_a_name_takes_somebody_who_knows_it(put: Any, actor: Actor, sbc: ServiceInstance) -> None:
    named = PBX | {"addresses": [{"host": "pbx.example.net"}]}
    said = "a name takes name servers: give the SBC `resolvers` first, or the IP address here"
    assert problems(lambda: put(TRUNKS, named)) == {"addresses[0].host": said}
    asking = fresh(sbc).spec | {"resolvers": ["10.1.0.53"]}
    order = orders.place(actor=actor, items=[ItemRequest(action="modify", service=sbc.pk, spec=asking)])
    orders.start(order_id=order.pk)
    found(sbc, Phase.CONVERGED)
    put(TRUNKS, named)
    assert ("HSET", "sbc:names", "pbx", "inside\t4\tsip:pbx.example.net") in snapshot(fresh(sbc))
    refused = refusal(actor, fresh(sbc), resolvers=[])["items[0].spec.resolvers"]
    assert refused == "trunks are reached by names: pbx; change them first"


# --- the rest ---


def test_source_rules_are_one_for_each_prefix_and_side(put: Any, sbc: ServiceInstance) -> None:
    put(TRUNKS, PBX)
    rule = {"name": "all", "cidr": "0.0.0.0/0", "action": "deny", "side": "outside"}
    put(SOURCES, rule)
    assert commands(sbc) == [["HSET", "sbc:rules", "outside/4:", "deny"], ["SADD", "sbc:lengths", "4:0"]]
    assert problems(lambda: put(SOURCES, rule | {"name": "again"})) == {"cidr": "rule all is about the same sources"}
    assert problems(lambda: put(SOURCES, rule | {"name": "x", "side": "nowhere"})).keys() == {"side"}
    put(SOURCES, rule | {"name": "everywhere", "side": None})


def test_emergency_numbers_are_set_as_a_whole(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    def set(*numbers: str) -> None:
        document = {"numbers": numbers, "targets": [{"trunk": "carrier"}]}
        configuration.set_emergency(actor=actor, instance=sbc, document=document)

    set("112", "110")
    set("112", "19222")
    assert [command[:3] for command in commands(sbc)] == [
        ["HDEL", "sbc:emergency", "110"],
        ["HSET", "sbc:emergency", "19222"],
    ]
    lost = {"numbers": ["112"], "targets": [{"trunk": "gone"}]}
    refused = problems(lambda: configuration.set_emergency(actor=actor, instance=sbc, document=lost))
    assert refused == {"targets[0].trunk": "there is no trunk gone"}


def test_every_change_is_in_the_trail_without_secrets(actor: Actor, both: Any, sbc: ServiceInstance) -> None:
    configuration.change(actor=actor, row=both[0], section=TRUNKS, document=PBX | {"most_calls": 3})
    configuration.remove(actor=actor, row=both[1], section=TRUNKS)
    trail = AuditEvent.unscoped.filter(verb__startswith="trunk.").order_by("id")
    assert [event.verb for event in trail] == ["trunk.create", "trunk.create", "trunk.change", "trunk.remove"]
    assert "horse" not in json.dumps([event.detail for event in trail])


def test_viewers_change_nothing(tenant: Tenant, sbc: ServiceInstance, both: Any) -> None:
    viewer = Actor(tenant=tenant, role=Role.VIEWER, label="viewer", kind=ActorKind.USER)
    for act in (
        lambda: configuration.create(actor=viewer, instance=sbc, section=ROUTES, document=OUT),
        lambda: configuration.change(actor=viewer, row=both[0], section=TRUNKS, document=PBX),
        lambda: configuration.remove(actor=viewer, row=both[0], section=TRUNKS),
        lambda: configuration.set_emergency(actor=viewer, instance=sbc, document={}),
    ):
        with pytest.raises(Forbidden):
            act()


def test_an_sbc_that_has_gone_takes_no_more(put: Any, sbc: ServiceInstance) -> None:
    ServiceInstance.unscoped.filter(pk=sbc.pk).update(state=ServiceState.TERMINATED)
    with pytest.raises(Conflict, match="terminated"):
        put(TRUNKS, PBX)


def test_a_section_that_is_full_says_so(put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(TRUNKS, PBX)
    monkeypatch.setattr(type(TRUNKS), "most", 1)
    with pytest.raises(Conflict, match="at most 1"):
        put(TRUNKS, CARRIER)


# --- a new spec ---


def refusal(actor: Actor, sbc: ServiceInstance, **spec: Any) -> dict[str, str]:
    item = ItemRequest(action="modify", service=sbc.pk, spec=fresh(sbc).spec | spec)
    return problems(lambda: orders.place(actor=actor, items=[item]))


def test_a_side_with_trunks_or_rules_cannot_go(actor: Actor, put: Any, both: Any, sbc: ServiceInstance) -> None:
    put(SOURCES, {"name": "rule", "cidr": "192.0.2.0/24", "action": "deny", "side": "outside"})
    alone = {"ports": sbc.spec["ports"][:1], "test_call": {}}
    said = refusal(actor, sbc, **alone)["items[0].spec.ports"]
    assert "source rules are about a side that is missing here: rule" in said
    configuration.remove(actor=actor, row=SourceRule.unscoped.get(), section=SOURCES)
    assert "missing here: carrier;" in refusal(actor, sbc, **alone)["items[0].spec.ports"]
    configuration.remove(actor=actor, row=both[1], section=TRUNKS)
    orders.place(actor=actor, items=[ItemRequest(action="modify", service=sbc.pk, spec=fresh(sbc).spec | alone)])
