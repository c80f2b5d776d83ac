"""Trunks that are reached by names: looked up beforehand (RFC 3263), again and again, by a real name server."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sbc.kind.entries import NAMED, Calls, Check, Registration
from sbc.policy import Address, Target, Trunk
from tests.system.sbc.box import OUTSIDE, OUTSIDE6, Box, until
from tests.system.sbc.calls import CALLS, IN, OUT, carried, tables
from tests.system.sbc.nameserver import NameServer, name_server
from tests.system.sbc.peer import peer
from tests.system.sbc.phone import Phone, connect, hang_up

pytestmark = pytest.mark.system

#: Where the name server is, on the carrier's side.
SERVER = 11
POOL = "sip:pool.carrier.example"
#: A carrier that is reached by a name, and known by what is found for it.
CARRIER = Trunk("pool", (), (Address(POOL, named=True),), side="outside")
BY_NAME = dataclasses.replace(CALLS["carrier"], host="pool.carrier.example")
ROUTES = (dataclasses.replace(OUT, targets=(Target("pool"),)), dataclasses.replace(IN, trunk="pool"))


@pytest.fixture(scope="module")
def standing() -> Iterator[Box]:
    box = Box(resolvers=(f"{OUTSIDE}.{SERVER}",))
    try:
        box.start()
        yield box
    finally:
        box.close()


@pytest.fixture
def server(standing: Box) -> Iterator[NameServer]:
    # What an earlier test had looked up is forgotten when nobody wants it.
    standing.redis().flushdb()
    time.sleep(1.5)
    with name_server(standing, "carrier", f"{OUTSIDE}.{SERVER}") as made:
        yield made


@pytest.fixture
def caller(standing: Box) -> Iterator[Phone]:
    phone = Phone(standing, "pbx", media=31000)
    yield phone
    phone.close()


def load(box: Box, trunk: Trunk = CARRIER, calls: Calls = BY_NAME) -> None:
    kept = tables(trunk, routes=ROUTES)
    # The carrier of other tests would be known by the same addresses.
    others = {name: known for name, known in kept.trunks.items() if name != "carrier"}
    box.load(dataclasses.replace(kept, trunks=others), {"pbx": carried()["pbx"], trunk.id: calls})


def uri(last: int) -> str:
    return f"sip:{OUTSIDE}.{last}:5060"


def found(box: Box, *, error: bool = False) -> list[str]:
    """What was found for the name, as the trunk's state says, once there is an error or is none."""
    state: dict[str, Any] = {}

    def looked_up() -> bool:
        nonlocal state
        (state,) = json.loads(box.program("trunks", "--trunk", "pool").stdout)["trunks"]
        return state["names"][0]["until"] is not None and bool(state["names"][0]["error"]) is error

    until(looked_up)
    answer: list[str] = state["names"][0]["found"]
    return answer


def condition(box: Box) -> tuple[str, str]:
    (known,) = [item for item in json.loads(box.program("health").stdout) if item["type"] == "NamesFound"]
    return known["status"], known["message"]


def tried(box: Box, phone: Phone, code: int) -> list[str]:
    """The addresses to which a call went in turn until it was refused with this code."""
    known = len(box.records())
    phone.call_id = f"{phone.word}{time.monotonic_ns()}@{phone.host}"
    phone.remote = ""
    phone.cseq = 0
    phone.invite()
    assert phone.answer_to("INVITE", 12).code == code
    phone.acknowledge()
    until(lambda: len(box.records()) == known + 1)
    return [attempt["uri"] for attempt in box.records()[-1]["attempts"]]


def test_srv_records_say_where_in_which_order(standing: Box, server: NameServer, caller: Phone) -> None:
    server.say("_sip._udp.pool.carrier.example", "SRV", "20 1 5060 second.example.", "10 1 5060 first.example.")
    server.say("first.example", "A", f"{OUTSIDE}.7")
    server.say("second.example", "A", f"{OUTSIDE}.8")
    load(standing)
    assert found(standing) == [uri(7), uri(8)]
    assert condition(standing) == ("true", "")
    with peer(standing, "carrier", 7, INVITE=503), peer(standing, "carrier", 8, INVITE=486) as second:
        assert tried(standing, caller, 486) == [uri(7), uri(8)]
        assert second.asked("INVITE")[0].start.startswith("INVITE sip:+4940222@pool.carrier.example ")


def test_the_weights_of_srv_records_are_shares(standing: Box, server: NameServer, caller: Phone) -> None:
    server.say("_sip._udp.pool.carrier.example", "SRV", "1 9 5060 much.example.", "1 1 5060 little.example.")
    server.say("much.example", "A", f"{OUTSIDE}.7")
    server.say("little.example", "A", f"{OUTSIDE}.8")
    load(standing)
    assert found(standing) == [uri(7), uri(8)]
    with peer(standing, "carrier", 7, INVITE=486), peer(standing, "carrier", 8, INVITE=486):
        share = Counter(tried(standing, caller, 486)[0] for _ in range(40))
    assert share[uri(7)] > share[uri(8)]


def test_without_srv_and_with_a_port_addresses_are_looked_up_alone(standing: Box, server: NameServer) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.8", f"{OUTSIDE}.7")
    load(standing)
    assert found(standing) == [uri(7), uri(8)]
    server.asked.clear()
    load(standing, dataclasses.replace(CARRIER, addresses=(Address(f"{POOL}:5070", named=True),)))
    assert found(standing) == [f"sip:{OUTSIDE}.7:5070", f"sip:{OUTSIDE}.8:5070"]
    assert server.asked == ["pool.carrier.example A"]


def test_calls_from_what_was_found_are_the_trunks(standing: Box, server: NameServer) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.2")
    load(standing)
    assert found(standing) == [uri(2)]
    caller, callee = Phone(standing, "carrier"), Phone(standing, "pbx", media=31000)
    try:
        connect(caller, callee)
        hang_up(caller, callee)
    finally:
        caller.close()
        callee.close()
    assert standing.record()["from_trunk"] == "pool"


def test_a_change_is_followed_when_its_time_has_come(standing: Box, server: NameServer, caller: Phone) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7", ttl=5)
    load(standing)
    assert found(standing) == [uri(7)]
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.8", ttl=5)
    until(lambda: found(standing) == [uri(8)])
    with peer(standing, "carrier", 8, INVITE=486):
        assert tried(standing, caller, 486) == [uri(8)]


def test_a_name_server_that_is_gone_changes_nothing_but_is_told_of(
    standing: Box, server: NameServer, caller: Phone
) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7", ttl=5)
    load(standing)
    assert found(standing) == [uri(7)]
    server.up = False
    assert found(standing, error=True) == [uri(7)]
    assert condition(standing) == ("false", "trunk pool: no name server answered about _sip._udp.pool.carrier.example")
    with peer(standing, "carrier", 7, INVITE=486):
        assert tried(standing, caller, 486) == [uri(7)]
    server.up = True
    assert found(standing) == [uri(7)]
    assert condition(standing) == ("true", "")


def test_a_name_that_leads_nowhere_is_not_called_and_holds_nobody_up(
    standing: Box, server: NameServer, caller: Phone
) -> None:
    load(standing)
    assert found(standing, error=True) == []
    assert condition(standing) == ("false", "trunk pool: pool.carrier.example has no A record")
    assert tried(standing, caller, 503) == []


def test_a_domain_that_takes_no_sip_says_so(standing: Box, server: NameServer) -> None:
    server.say("_sip._udp.pool.carrier.example", "SRV", "0 0 0 .")
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7")
    load(standing)
    assert found(standing, error=True) == []
    assert "takes no SIP over udp" in condition(standing)[1]


def test_each_address_of_a_name_is_asked_whether_it_is_there(standing: Box, server: NameServer, caller: Phone) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7", f"{OUTSIDE}.8")
    with peer(standing, "carrier", 7, OPTIONS=200, INVITE=486):
        load(standing, calls=dataclasses.replace(BY_NAME, check=Check(every=1, failures=1)))
        assert found(standing) == [uri(7), uri(8)]
        until(lambda: standing.redis().smembers("live:down") == {f"pool {uri(8)}"})
        for _ in range(4):
            assert tried(standing, caller, 486) == [uri(7)]


def test_of_a_trunk_spoken_to_over_ipv6_aaaa_records_are_wanted(standing: Box, server: NameServer) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7")
    server.say("pool.carrier.example", "AAAA", f"{OUTSIDE6}:2")
    load(
        standing, calls=dataclasses.replace(BY_NAME, socket=f"udp:[{OUTSIDE6}:1]:5060", me=f"[{OUTSIDE6}:1]", family=6)
    )
    assert found(standing) == [f"sip:[{OUTSIDE6}:2]:5060"]


def test_the_sbc_registers_where_the_registrars_name_leads(standing: Box, server: NameServer) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7")
    contact = f"sip:trunk-1@{OUTSIDE}.1:5060"
    registration = Registration(
        "sip:pool.carrier.example", "sip:trunk-1@pool.carrier.example", contact, 60, (f"{NAMED}{POOL}",)
    )
    with peer(standing, "carrier", 7, REGISTER=200) as registrar:
        load(standing, calls=dataclasses.replace(BY_NAME, user="trunk-1", password="x", registration=registration))
        asked = registrar.wait_for("REGISTER")
        assert asked.headers["contact"].startswith(f"<{contact}>")


def test_a_killed_resolver_forgets_nothing(standing: Box, server: NameServer, caller: Phone) -> None:
    server.say("pool.carrier.example", "A", f"{OUTSIDE}.7")
    load(standing)
    assert found(standing) == [uri(7)]
    standing.kill("resolver")
    with peer(standing, "carrier", 7, INVITE=486):
        assert tried(standing, caller, 486) == [uri(7)]
    server.asked.clear()
    standing.restart("resolver")
    until(lambda: "pool.carrier.example A" in server.asked)
