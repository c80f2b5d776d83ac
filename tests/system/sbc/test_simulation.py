"""The SBC does with a call what the dial simulator said of it, with the tables that the same rows come to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from sbc import configuration
from sbc.sections.routes import ROUTES
from sbc.sections.sources import SOURCES
from sbc.sections.trunks import TRUNKS
from sbc.simulation import Outcome, Simulation, simulate
from sbc.snapshot import snapshot
from services import orders, segments
from services.entry import ItemRequest
from services.models import Pop, ServiceInstance
from services.segments import SegmentRequest
from tenants.actor import Actor
from tests.system.sbc.box import INSIDE, OUTSIDE, Box
from tests.system.sbc.phone import Message, Phone
from tests.unit.conftest import _own_keys_and_broker, actor, django_db_setup, pop, tenant

__all__ = ["_own_keys_and_broker", "actor", "django_db_setup", "pop", "tenant"]

pytestmark = [pytest.mark.system, pytest.mark.django_db]

#: Hosts of either side; the platform's own probe has the first free ones.
PBX, DENIED, UNKNOWN = 8, 9, 10
FIRST, SECOND, CENTRE = 8, 9, 10
#: Of callers: answers to one call come again for a while, and must not be taken for those to the next.
PORTS = itertools.count(5070)
PASSWORD = "correct horse battery"


def trunk(name: str, side: str, net: str, *hosts: int, **more: Any) -> dict[str, Any]:
    addresses = [{"host": f"{net}.{host}", "priority": 10 * (number + 1)} for number, host in enumerate(hosts)]
    return {"name": name, "side": side, "addresses": addresses, **more}


def route(name: str, *targets: str, **more: Any) -> dict[str, Any]:
    leads_to = [{"trunk": target, "priority": 10 * (number + 1)} for number, target in enumerate(targets)]
    return {"name": name, "from_trunk": "pbx", "targets": leads_to, **more}


DOCUMENTS: list[tuple[Any, dict[str, Any]]] = [
    (TRUNKS, trunk("pbx", "inside", INSIDE, PBX, sources=[f"{INSIDE}.{PBX}/31"])),
    (TRUNKS, trunk("first", "outside", OUTSIDE, FIRST, number_format="plain")),
    (TRUNKS, trunk("second", "outside", OUTSIDE, SECOND, CENTRE, numbers_out={"strip": 3, "prefix": "0"})),
    (TRUNKS, trunk("off", "outside", OUTSIDE, 11, enabled=False)),
    (TRUNKS, {"name": "remote", "side": "outside",
              "authentication": {"method": "digest", "user": "home-7", "password": PASSWORD}}),
    (ROUTES, route("berlin", "first", prefix="+4930")),
    (ROUTES, route("germany", "off", "second", "first", prefix="+49")),
    (ROUTES, route("service", "second", pattern="+491XX.")),
    (ROUTES, route("dead", "off", prefix="+1")),
    (ROUTES, route("never", "second", prefix="+4930", order=1, enabled=False)),
    (SOURCES, {"name": "not-this-one", "cidr": f"{INSIDE}.{DENIED}/32", "action": "deny"}),
]  # fmt: skip
EMERGENCY = {"numbers": ["112"], "targets": [{"trunk": "second"}]}


@pytest.fixture
def sbc(actor: Actor, pop: Pop) -> ServiceInstance:
    """An SBC in the database, whose sides have the addresses of the box's."""
    ports = []
    for side, net in (("inside", INSIDE), ("outside", OUTSIDE)):
        request = SegmentRequest(name=side, kind="private", pop=pop.slug, prefixes=(f"{net}.0/24",))
        segments.create(actor=actor, request=request)
        ports.append({"name": side, "segment": side, "addresses": [f"{net}.1/24"]})
    spec = {"ports": ports, "country": "49"}
    item = ItemRequest(action="add", kind="sbc", pop=pop.slug, name="sbc", size="S", spec=spec)
    instance: ServiceInstance = orders.place(actor=actor, items=[item]).items.get().instance
    for section, document in DOCUMENTS:
        configuration.create(actor=actor, instance=instance, section=section, document=document)
    configuration.set_emergency(actor=actor, instance=instance, document=EMERGENCY)
    return instance


@pytest.fixture
def box(standing: Box, sbc: ServiceInstance) -> Box:
    store = standing.redis()
    store.flushdb()
    for command in snapshot(sbc):
        store.execute_command(*command)
    store.set("revision", 1)
    return standing


@pytest.fixture
def phones(box: Box) -> Iterator[dict[str, Phone]]:
    """A telephone at each address that a call can go to, by the URI that the simulator names."""
    with ExitStack() as stack:
        hosts = (FIRST, SECOND, CENTRE)
        yield {
            f"sip:{OUTSIDE}.{host}:5060": stack.enter_context(
                closing(Phone(box, "carrier", host, media=30000 + 2 * host))
            )
            for host in hosts
        }


def dialled(invite: Message) -> str:
    found = re.match(r"INVITE sip:([^@]+)@", invite.start)
    assert found is not None
    return found[1]


def calling(invite: Message) -> str:
    found = re.search(r"<sip:([^@]+)@", invite.headers["from"])
    assert found is not None
    return found[1]


def assert_happens(box: Box, caller: Phone, phones: dict[str, Phone], number: str, said: Simulation) -> None:
    """Call, refuse at each address that rings, and see that they rang and the caller heard as was said."""
    caller.invite(number)
    for attempt in said.decision.attempts:
        callee = phones[attempt.uri]
        invite = callee.asked("INVITE")
        assert (dialled(invite), calling(invite)) == (attempt.number, attempt.who.caller)
        callee.reply(invite, 480)
        callee.asked("ACK")
    if said.outcome is Outcome.UNANSWERED:
        assert caller.hears_nothing()
        return
    codes = {Outcome.ROUTED: {480}, Outcome.REFUSED: {said.decision.code}, Outcome.CHALLENGED: {401, 407}}
    assert caller.answer_to("INVITE").code in codes[said.outcome]
    caller.acknowledge()
    assert all(phone.hears_nothing(0.02) for phone in phones.values())


@pytest.mark.parametrize(
    ("number", "outcome", "route", "trunks"),
    [
        ("030123", Outcome.ROUTED, "berlin", ["first"]),
        ("+4930123", Outcome.ROUTED, "berlin", ["first"]),
        ("0040123", Outcome.REFUSED, "", []),
        ("040123", Outcome.ROUTED, "germany", ["second", "second", "first"]),
        ("0180123", Outcome.ROUTED, "service", ["second", "second"]),
        ("018", Outcome.ROUTED, "germany", ["second", "second", "first"]),
        ("001212", Outcome.REFUSED, "dead", []),
        ("112", Outcome.ROUTED, "", ["second", "second"]),
        ("1120", Outcome.REFUSED, "", []),
    ],
)
def test_a_number_goes_where_the_simulator_said(
    box: Box,
    phones: dict[str, Phone],
    sbc: ServiceInstance,
    number: str,
    outcome: Outcome,
    route: str,
    trunks: list[str],
) -> None:
    said = simulate(sbc, {"number": number, "caller": "+4930111", "source": f"{INSIDE}.{PBX}"})
    assert (said.outcome, said.decision.route) == (outcome, route)
    assert [attempt.trunk for attempt in said.decision.attempts] == trunks
    with closing(Phone(box, "pbx", PBX, port=next(PORTS), media=31000)) as caller:
        assert_happens(box, caller, phones, number, said)


@pytest.mark.parametrize(
    ("side", "net", "host", "outcome"),
    [
        ("pbx", INSIDE, DENIED, Outcome.UNANSWERED),
        ("pbx", INSIDE, UNKNOWN, Outcome.UNANSWERED),
        ("carrier", OUTSIDE, 7, Outcome.CHALLENGED),
        ("carrier", OUTSIDE, FIRST, Outcome.REFUSED),
    ],
)
def test_a_source_hears_what_the_simulator_said(
    box: Box, phones: dict[str, Phone], sbc: ServiceInstance, side: str, net: str, host: int, outcome: Outcome
) -> None:
    port = {"pbx": "inside", "carrier": "outside"}[side]
    said = simulate(sbc, {"number": "030123", "source": f"{net}.{host}", "side": port})
    assert said.outcome is outcome
    with closing(Phone(box, side, host, port=next(PORTS), media=31000)) as caller:
        assert_happens(box, caller, phones, "030123", said)
