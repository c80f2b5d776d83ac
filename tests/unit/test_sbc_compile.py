"""How documents become what the engine reads, and which commands lead from one state of its tables to another."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sbc.kind import compile
from sbc.kind.compile import World
from sbc.kind.entries import Entry
from sbc.kind.route import RouteSpec
from sbc.kind.trunk import TrunkSpec
from sbc.policy import Address, NumberPlan, Window
from tests.sbcs import ROUTE, TRUNK

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HERE = World({"inside": ("10.11.0.1",), "outside": ("198.51.100.1", "2001:db8::1")}, country="49")


def trunk(**fields: Any) -> TrunkSpec:
    return TrunkSpec.model_validate_json(json.dumps({"name": "carrier", "side": "outside"} | fields))


def route(**fields: Any) -> RouteSpec:
    return RouteSpec.model_validate_json(json.dumps({"name": "out", "targets": [{"trunk": "carrier"}]} | fields))


@pytest.mark.parametrize(
    ("transport", "host", "port", "uri"),
    [
        ("udp", "192.0.2.1", None, "sip:192.0.2.1:5060"),
        ("udp", "192.0.2.1", 5080, "sip:192.0.2.1:5080"),
        ("tcp", "192.0.2.1", None, "sip:192.0.2.1:5060;transport=tcp"),
        ("tls", "192.0.2.1", None, "sip:192.0.2.1:5061;transport=tls"),
        ("tls", "2001:db8::9", None, "sip:[2001:db8::9]:5061;transport=tls"),
        ("udp", "sip.example.net", None, "sip:sip.example.net"),
        ("tls", "sip.example.net", None, "sip:sip.example.net;transport=tls"),
        ("tcp", "sip.example.net", 5070, "sip:sip.example.net:5070;transport=tcp"),
    ],
)
def test_a_name_without_a_port_is_left_to_be_looked_up(transport: str, host: str, port: int | None, uri: str) -> None:
    spec = trunk(transport=transport, addresses=[{"host": host, "port": port}], sources=["192.0.2.0/24"])
    assert compile.trunk(spec, HERE).addresses == (Address(uri, named="example" in host),)


@pytest.mark.parametrize(
    ("fields", "checked"),
    [
        ({}, []),
        ({"health_check": {}, "enabled": False}, []),
        ({"health_check": {}}, ["30 3 udp:198.51.100.1:5060 sip:192.0.2.1 sip:198.51.100.1 sip:192.0.2.1:5060"]),
        (
            {"health_check": {"every": 5, "failures": 1}, "domain": "sip.example.net", "transport": "tls"},
            ["5 1 tls:198.51.100.1:5061 sip:sip.example.net sip:198.51.100.1 sip:192.0.2.1:5061;transport=tls"],
        ),
    ],
)
def test_a_trunk_is_asked_when_it_is_to_be_and_takes_calls(fields: dict[str, Any], checked: list[str]) -> None:
    entries = compile.of_trunk(trunk(addresses=[{"host": "192.0.2.1"}], **fields), HERE)
    found = [(entry.value or "").replace("\t", " ") for entry in entries if entry.key == "sbc:checks"]
    assert found == checked


REGISTER = {"method": "register", "user": "line-1", "password": "horse", "expires": 600}


@pytest.mark.parametrize(
    ("fields", "registered"),
    [
        (
            {"addresses": [{"host": "192.0.2.2", "priority": 20}, {"host": "192.0.2.1", "port": 5070}]},
            "sip:192.0.2.2 sip:line-1@192.0.2.2 sip:192.0.2.1:5070 sip:192.0.2.2:5060",
        ),
        (
            {"addresses": [{"host": "192.0.2.1"}], "domain": "sip.example"},
            "sip:sip.example sip:line-1@sip.example sip:192.0.2.1:5060",
        ),
        (
            {"addresses": [{"host": "192.0.2.1"}], "domain": "sip.example", "registrar": "reg.example"},
            "sip:reg.example sip:line-1@sip.example sip:192.0.2.1:5060",
        ),
        (
            {"addresses": [{"host": "192.0.2.1"}], "registrar": "192.0.2.9"},
            "sip:192.0.2.9 sip:line-1@192.0.2.9 sip:192.0.2.9:5060",
        ),
        (
            {"addresses": [{"host": "192.0.2.1", "port": 5070}, {"host": "192.0.2.2"}], "registrar": "192.0.2.1"},
            "sip:192.0.2.1 sip:line-1@192.0.2.1 sip:192.0.2.1:5070",
        ),
    ],
)
def test_the_sbc_registers_with_the_registrar_by_its_address_or_those_of_the_trunk(
    fields: dict[str, Any], registered: str
) -> None:
    known = dict(fields)
    registrar = {"registrar": known.pop("registrar")} if "registrar" in known else {}
    spec = trunk(authentication=REGISTER | registrar, **known)
    found = compile.calls(spec, HERE).registration
    assert found is not None
    assert " ".join([found.request, found.address, *found.uris]) == registered
    assert (found.contact, found.expires) == ("sip:line-1@198.51.100.1:5060", 600)
    assert compile.trunk(spec, HERE).contact == "line-1"


def test_a_registrar_is_a_source_of_its_trunk() -> None:
    spec = trunk(addresses=[{"host": "192.0.2.1"}], authentication=REGISTER | {"registrar": "192.0.2.9"})
    assert compile.sources(spec) == ("192.0.2.1/32", "192.0.2.9/32")


def test_over_tls_the_contact_says_so_and_a_trunk_that_is_off_is_not_registered_with() -> None:
    spec = trunk(addresses=[{"host": "2001:db8::9"}], authentication=REGISTER, transport="tls", enabled=False)
    found = compile.calls(spec, HERE).registration
    assert found is not None
    assert found.contact == "sip:line-1@[2001:db8::1]:5061;transport=tls"
    assert not [entry for entry in compile.of_trunk(spec, HERE) if entry.key == "sbc:registrations"]


def test_a_trunk_without_sources_is_known_by_its_addresses() -> None:
    addresses = [{"host": "192.0.2.1"}, {"host": "2001:db8::9", "port": 5070}, {"host": "sip.example.net"}]
    assert compile.sources(trunk(addresses=addresses)) == ("192.0.2.1/32", "2001:db8::9/128")
    assert compile.sources(trunk(addresses=addresses, sources=["192.0.2.0/24"])) == ("192.0.2.0/24",)


def test_a_trunk_with_a_password_is_known_by_no_address() -> None:
    digest = {"method": "digest", "user": "a", "password": "long enough it is"}
    assert compile.sources(trunk(addresses=[{"host": "192.0.2.1"}], authentication=digest)) == ()


@pytest.mark.parametrize(
    ("host", "transport", "socket", "me", "family"),
    [
        ("192.0.2.1", "udp", "udp:198.51.100.1:5060", "198.51.100.1", 4),
        ("2001:db8::9", "tls", "tls:[2001:db8::1]:5061", "[2001:db8::1]", 6),
        ("sip.example.net", "tcp", "tcp:198.51.100.1:5060", "198.51.100.1", 4),
    ],
)
def test_calls_leave_by_the_address_of_the_trunks_family(
    host: str, transport: str, socket: str, me: str, family: int
) -> None:
    spec = trunk(transport=transport, addresses=[{"host": host}], sources=["192.0.2.0/24"])
    carried = compile.calls(spec, HERE)
    assert (carried.socket, carried.me, carried.family, carried.interface) == (socket, me, family, "outside")


def test_numbers_are_those_of_the_sbcs_country_unless_the_trunk_has_its_own() -> None:
    spec = trunk(sources=["192.0.2.0/24"])
    assert compile.trunk(spec, HERE).plan == NumberPlan("49")
    other = trunk(sources=["192.0.2.0/24"], number_plan={"country": "1", "national": "1", "international": "011"})
    assert compile.trunk(other, HERE).plan == NumberPlan("1", "1", "011")


@pytest.mark.parametrize(
    ("days", "start", "end", "spans"),
    [
        (["mon"], "00:00", "24:00", ((0, 1440),)),
        (["tue", "mon"], "08:00", "12:30", ((480, 750), (1920, 2190))),
        (["mon"], "22:00", "06:00", ((1320, 1800),)),
        (["sun"], "22:00", "06:00", ((0, 360), (9960, 10_080))),
        (["wed"], "06:00", "06:00", ((3240, 4680),)),
    ],
)
def test_a_window_is_minutes_of_the_week(
    days: list[str], start: str, end: str, spans: tuple[tuple[int, int], ...]
) -> None:
    spec = route(window={"timezone": "UTC", "days": days, "start": start, "end": end})
    assert spec.window is not None
    assert compile.window(spec.window, NOW).spans == spans


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        (datetime(2026, 11, 25, 6, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 25, 7, 0, tzinfo=UTC), True),
        (datetime(2027, 7, 7, 6, 0, tzinfo=UTC), True),
        (datetime(2027, 7, 7, 5, 59, tzinfo=UTC), False),
        (datetime(2029, 3, 25, 0, 59, 59, tzinfo=UTC), False),
        (datetime(2029, 3, 28, 6, 0, tzinfo=UTC), True),
    ],
)
def test_a_window_follows_the_clock_of_its_zone(when: datetime, is_open: bool) -> None:
    spec = route(window={"timezone": "Europe/Berlin", "start": "08:00", "end": "17:00"})
    assert spec.window is not None
    assert compile.window(spec.window, NOW).is_open(int(when.timestamp())) is is_open


def test_the_clock_changes_at_the_minute() -> None:
    summer = int(datetime(2027, 3, 28, 1, 0, tzinfo=UTC).timestamp())
    assert (summer, 7200) in compile.offsets("Europe/Berlin", 2026)
    window = Window(((0, 10_080),), compile.offsets("Asia/Kathmandu", 2026))
    assert len(window.offsets) == 1


def test_a_route_that_is_off_is_nowhere() -> None:
    assert compile.of_routes([route(enabled=False)], NOW) == ()
    assert len(compile.of_routes([route(), route(name="b"), route(name="c", prefix="+49")], NOW)) == 2


def test_the_documents_of_the_tests_compile() -> None:
    assert compile.of_trunk(TrunkSpec.model_validate_json(json.dumps(TRUNK)), HERE)
    assert compile.of_routes([RouteSpec.model_validate_json(json.dumps(ROUTE))], NOW)


def test_commands_lead_from_one_state_to_another_and_repeat_nothing() -> None:
    before = [Entry("t", "a", "1"), Entry("t", "b", "1"), Entry("s", "x", None), Entry("s", "y", None)]
    after = [Entry("t", "a", "2"), Entry("t", "c", "1"), Entry("s", "y", None), Entry("s", "z", None)]
    assert compile.commands(before, after) == (
        ("HDEL", "t", "b"),
        ("SREM", "s", "x"),
        ("HSET", "t", "a", "2", "c", "1"),
        ("SADD", "s", "z"),
    )
    assert compile.commands(after, after) == ()


def test_what_several_trunks_share_is_not_taken_away_with_one() -> None:
    assert compile.commands([Entry("sbc:lengths", "4:24", None)], []) == ()


def test_many_entries_are_several_commands() -> None:
    many = [Entry("t", str(number), "v") for number in range(2500)]
    found = compile.commands([], many)
    assert [len(command) for command in found] == [2002, 2002, 1002]
