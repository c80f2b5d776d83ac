"""What the documents of an SBC refuse, each with the path of the wrong field, and what cannot be injected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, ValidationError

from sbc.kind.route import RouteSpec
from sbc.kind.security import EmergencySpec, SourceRule
from sbc.kind.spec import SbcSpec
from sbc.kind.trunk import TrunkSpec
from services.kind import problems_of
from tests.sbcs import EMERGENCY, ROUTE, SBC, SOURCE, TRUNK, certificate, changed

GOOD: dict[type[BaseModel], dict[str, Any]] = {
    SbcSpec: SBC,
    TrunkSpec: TRUNK,
    RouteSpec: ROUTE,
    SourceRule: SOURCE,
    EmergencySpec: EMERGENCY,
}
PASSWORD = "long enough it is"
DEFAULT = {"destination": "0.0.0.0/0", "via": "10.11.0.254"}

#: What is set where, and the path at which it is refused.
REFUSED: list[tuple[type[BaseModel], str, str, object, str]] = [
    (SbcSpec, "", "surprise", 1, "surprise"),
    (SbcSpec, "", "ports", [], "ports"),
    (SbcSpec, "", "ports", [{"name": f"p{i}", "segment": "s"} for i in range(9)], "ports"),
    (SbcSpec, "ports.1", "name", "inside", "ports[1].name"),
    (SbcSpec, "ports.0", "name", "in side", "ports[0].name"),
    (SbcSpec, "ports.0", "addresses", ["10.11.0.1"], "ports[0].addresses[0]"),
    (SbcSpec, "ports.0", "routes", [{"destination": "::/0", "via": "10.11.0.254"}], "ports[0].routes[0].via"),
    (SbcSpec, "ports.0", "routes", [{"destination": "10.0.0.1/8", "via": "1.1.1.1"}], "ports[0].routes[0].destination"),
    (SbcSpec, "ports.0", "routes", [DEFAULT, DEFAULT], "ports[0].routes[1].destination"),
    (SbcSpec, "ports.1", "routes", [DEFAULT, DEFAULT], "ports[1].routes[1].destination"),
    (SbcSpec, "ports.0", "probe_addresses", ["10.11.0.0/24"], "ports[0].probe_addresses[0]"),
    (SbcSpec, "", "realm", 'a"b', "realm"),
    (SbcSpec, "", "realm", "$fU", "realm"),
    (SbcSpec, "", "realm", "10.1", "realm"),
    (SbcSpec, "", "country", "049", "country"),
    (SbcSpec, "", "country", "+49", "country"),
    (SbcSpec, "", "most_calls", 0, "most_calls"),
    (SbcSpec, "", "most_calls", True, "most_calls"),
    (SbcSpec, "", "most_calls_per_second", 10_001, "most_calls_per_second"),
    (SbcSpec, "", "longest_message", 65_536, "longest_message"),
    (SbcSpec, "", "longest_call", 59, "longest_call"),
    (SbcSpec, "", "media_timeout", 5, "media_timeout"),
    (SbcSpec, "", "tls", {"clients": "required"}, "tls.authorities"),
    (SbcSpec, "", "tls", {"clients": "optional"}, "tls.clients"),
    (SbcSpec, "", "tls", {"authorities": "-----BEGIN CERTIFICATE-----\n!\n"}, "tls.authorities"),
    (SbcSpec, "", "tls", {"key": "none"}, "tls.key"),
    (SbcSpec, "test_call", "from_side", "elsewhere", "test_call.from_side"),
    (SbcSpec, "test_call", "to_side", "elsewhere", "test_call.to_side"),
    (SbcSpec, "test_call", "every", 1, "test_call.every"),
    (SbcSpec, "", "source_limit", {"messages_per_second": 0}, "source_limit.messages_per_second"),
    (SbcSpec, "", "ban", {"seconds": 1}, "ban.seconds"),
    (TrunkSpec, "", "name", "Carrier One", "name"),
    (TrunkSpec, "", "name", "a/b", "name"),
    (TrunkSpec, "", "name", "", "name"),
    (TrunkSpec, "", "name", "a" * 33, "name"),
    (TrunkSpec, "", "side", "eth 0", "side"),
    (TrunkSpec, "", "side", ..., "side"),
    (TrunkSpec, "", "transport", "sctp", "transport"),
    (TrunkSpec, "addresses.0", "host", "198.51.100.256", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "host", "198.51.100.2:5060", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "host", "[2001:db8::1]", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "host", "-a.example", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "host", "a;transport=tcp", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "host", "224.0.0.1", "addresses[0].host"),
    (TrunkSpec, "addresses.0", "port", 0, "addresses[0].port"),
    (TrunkSpec, "addresses.0", "weight", 0, "addresses[0].weight"),
    (TrunkSpec, "addresses.0", "priority", -1, "addresses[0].priority"),
    (TrunkSpec, "", "addresses", [{"host": "198.51.100.2"}] * 2, "addresses[1].host"),
    (TrunkSpec, "", "addresses", [{"host": f"198.51.100.{i}"} for i in range(2, 19)], "addresses"),
    (TrunkSpec, "", "domain", "a b", "domain"),
    (TrunkSpec, "", "sources", ["0.0.0.0/0"], "sources[0]"),
    (TrunkSpec, "", "sources", ["198.51.100.1/24"], "sources[0]"),
    (TrunkSpec, "", "sources", ["198.51.100.1"], "sources[0]"),
    (TrunkSpec, "", "sources", ["198.51.100.0/24", "198.51.100.0/24"], "sources[1]"),
    (TrunkSpec, "authentication", "method", "digest", "sources"),
    (TrunkSpec, "authentication", "method", "none", "authentication.method"),
    (TrunkSpec, "authentication", "user", ..., "authentication.user"),
    (TrunkSpec, "authentication", "password", ..., "authentication.password"),
    (TrunkSpec, "authentication", "user", "a@b", "authentication.user"),
    (TrunkSpec, "authentication", "password", "tab\tin it, which parts fields", "authentication.password"),
    (TrunkSpec, "authentication", "password", "é" * 20, "authentication.password"),
    (TrunkSpec, "authentication", "password", "a" * 64, "authentication.password"),
    (TrunkSpec, "authentication", "realm", 'a"', "authentication.realm"),
    (TrunkSpec, "authentication", "expires", 10, "authentication.expires"),
    (TrunkSpec, "", "authentication", {"user": "a"}, "authentication.password"),
    (TrunkSpec, "", "authentication", {"registrar": "a.example"}, "authentication.registrar"),
    (TrunkSpec, "", "authentication", {"realm": "a.example"}, "authentication.realm"),
    (
        TrunkSpec,
        "",
        "authentication",
        {"method": "digest", "user": "a", "password": "short"},
        "authentication.password",
    ),
    (TrunkSpec, "", "srtp", "maybe", "srtp"),
    (TrunkSpec, "", "codecs", ["telephone-event"], "codecs[0]"),
    (TrunkSpec, "", "codecs", ["PCMA", "PCMA"], "codecs[1]"),
    (TrunkSpec, "", "codecs", ["PCMA", "AMR"], "codecs[1]"),
    (TrunkSpec, "", "codecs", [], "codecs"),
    (TrunkSpec, "", "most_calls", 0, "most_calls"),
    (TrunkSpec, "", "most_calls", "5", "most_calls"),
    (TrunkSpec, "", "addresses", [], "health_check"),
    (TrunkSpec, "health_check", "every", 1, "health_check.every"),
    (TrunkSpec, "session_timer", "min_se", 3600, "session_timer.expires"),
    (TrunkSpec, "session_timer", "min_se", 60, "session_timer.min_se"),
    (TrunkSpec, "session_timer", "mode", "yes", "session_timer.mode"),
    (TrunkSpec, "", "caller_id", "hidden", "caller_id"),
    (TrunkSpec, "", "trusted", 1, "trusted"),
    (TrunkSpec, "number_plan", "country", "", "number_plan.country"),
    (TrunkSpec, "number_plan", "national", "+", "number_plan.national"),
    (TrunkSpec, "", "number_format", "E164", "number_format"),
    (TrunkSpec, "", "numbers_in", {"strip": -1}, "numbers_in.strip"),
    (TrunkSpec, "", "numbers_out", {"prefix": "a"}, "numbers_out.prefix"),
    (TrunkSpec, "headers.0", "action", "set", "headers[0].action"),
    (TrunkSpec, "headers.0", "name", "Via", "headers[0].name"),
    (TrunkSpec, "headers.0", "name", "contact", "headers[0].name"),
    (TrunkSpec, "headers.0", "name", "Hide-Pass-From", "headers[0].name"),
    (TrunkSpec, "headers.0", "name", "v", "headers[0].name"),
    (TrunkSpec, "headers.0", "name", "X Account", "headers[0].name"),
    (TrunkSpec, "headers.0", "value", ..., "headers[0].value"),
    (TrunkSpec, "headers.0", "value", "a\r\nVia: b", "headers[0].value"),
    (TrunkSpec, "headers.0", "value", "$var(x)", "headers[0].value"),
    (TrunkSpec, "headers.0", "action", "remove", "headers[0].value"),
    (RouteSpec, "", "pattern", "+49X.", "pattern"),
    (RouteSpec, "", "prefix", "0049a", "prefix"),
    (RouteSpec, "", "prefix", "00+49", "prefix"),
    (RouteSpec, "", "targets", [], "targets"),
    (RouteSpec, "", "targets", [{"trunk": "a"}, {"trunk": "a"}], "targets[1].trunk"),
    (RouteSpec, "targets.0", "weight", 0, "targets[0].weight"),
    (RouteSpec, "", "failover", [401], "failover[0]"),
    (RouteSpec, "", "failover", [302], "failover[0]"),
    (RouteSpec, "", "failover", [503, 503], "failover[1]"),
    (RouteSpec, "", "timeout", 0, "timeout"),
    (RouteSpec, "", "order", 70_000, "order"),
    (RouteSpec, "window", "timezone", "Europe/Nowhere", "window.timezone"),
    (RouteSpec, "window", "timezone", "../../etc/passwd", "window.timezone"),
    (RouteSpec, "window", "timezone", "Europe", "window.timezone"),
    (RouteSpec, "window", "days", [], "window.days"),
    (RouteSpec, "window", "days", ["mon", "mon"], "window.days[1]"),
    (RouteSpec, "window", "days", ["monday"], "window.days[0]"),
    (RouteSpec, "window", "start", "8:00", "window.start"),
    (RouteSpec, "window", "start", "24:00", "window.start"),
    (RouteSpec, "window", "end", "24:01", "window.end"),
    (SourceRule, "", "cidr", "10.0.0.1/8", "cidr"),
    (SourceRule, "", "cidr", "10.0.0.1", "cidr"),
    (SourceRule, "", "action", "drop", "action"),
    (SourceRule, "", "note", "a\nb", "note"),
    (EmergencySpec, "", "targets", [], "targets"),
    (EmergencySpec, "", "numbers", ["112", "112"], "numbers[1]"),
    (EmergencySpec, "", "numbers", ["sos"], "numbers[0]"),
]


def read(model: type[BaseModel], document: object) -> BaseModel:
    return model.model_validate_json(json.dumps(document))


def paths(model: type[BaseModel], document: object) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        read(model, document)
    return {problem.path for problem in problems_of(caught.value)}


@pytest.mark.parametrize("model", GOOD)
def test_the_document_from_which_every_case_departs_is_good(model: type[BaseModel]) -> None:
    assert read(model, GOOD[model])


@pytest.mark.parametrize(("model", "where", "key", "value", "path"), REFUSED)
def test_a_wrong_field_is_refused_at_its_path(
    model: type[BaseModel], where: str, key: str, value: object, path: str
) -> None:
    assert path in paths(model, changed(GOOD[model], where, key, value))


def test_a_trunk_known_by_address_needs_one() -> None:
    bare = {"name": "a", "side": "inside"}
    assert paths(TrunkSpec, bare) == {"sources"}
    for host in ("192.0.2.1", "sip.example.net"):
        assert read(TrunkSpec, bare | {"addresses": [{"host": host}]})
    digest = {"method": "digest", "user": "a", "password": PASSWORD}
    assert read(TrunkSpec, bare | {"authentication": digest})


def test_a_trunk_that_registers_says_where() -> None:
    register = {"method": "register", "user": "a", "password": "b"}
    nowhere = {"name": "a", "side": "inside", "sources": ["192.0.2.0/24"], "authentication": register}
    assert paths(TrunkSpec, nowhere) == {"authentication.registrar"}
    assert read(TrunkSpec, nowhere | {"domain": "example.net"})


def test_hosts_are_kept_as_daemons_write_them() -> None:
    trunk = TrunkSpec.model_validate_json(
        json.dumps(changed(TRUNK, "", "addresses", [{"host": "2001:DB8::0:1"}, {"host": "SIP.Example.net"}]))
    )
    assert [address.host for address in trunk.addresses] == ["2001:db8::1", "sip.example.net"]


def test_two_sides_do_not_lead_to_the_same_place() -> None:
    ports = [port | {"routes": [DEFAULT]} for port in SBC["ports"]]
    assert paths(SbcSpec, SBC | {"ports": ports}) == {"ports[1].routes[0].destination"}


def test_a_certificate_comes_with_its_own_key() -> None:
    chain, key = certificate()
    _, other = certificate()
    assert read(SbcSpec, SBC | {"tls": {"certificate": chain, "key": key}})
    assert read(SbcSpec, SBC | {"tls": {}})
    assert paths(SbcSpec, SBC | {"tls": {"certificate": chain}}) == {"tls.key"}
    assert paths(SbcSpec, SBC | {"tls": {"key": key}}) == {"tls.certificate"}
    assert paths(SbcSpec, SBC | {"tls": {"certificate": chain, "key": other}}) == {"tls.key"}


@pytest.mark.parametrize(
    "weak", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP192R1())], ids=["rsa", "ec"]
)
def test_a_weak_key_is_refused(weak: Any) -> None:
    chain, key = certificate(key=weak)
    assert paths(SbcSpec, SBC | {"tls": {"certificate": chain, "key": key}}) == {"tls.key"}


@pytest.mark.parametrize(
    ("ports", "test_call", "sides"),
    [
        (["inside", "outside"], {}, ("inside", "outside")),
        (["only"], {}, ("only", "only")),
        (["a", "b", "c"], {"from_side": "c", "to_side": "a"}, ("c", "a")),
    ],
)
def test_the_test_call_goes_from_the_first_side_to_the_second_unless_said(
    ports: list[str], test_call: dict[str, str], sides: tuple[str, str]
) -> None:
    document = {"ports": [{"name": name, "segment": "s"} for name in ports], "test_call": test_call}
    assert SbcSpec.model_validate_json(json.dumps(document)).test_sides == sides


HOSTILE = ["a\nb", "a\rb", "a\tb", 'a"b', "$fU", "a$b", "a\\b", "a\x00b", "a\u2028b", "{{ 7*7 }}", "a;b", "a<b>", "a/b"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("model", "where", "key"),
    [
        (SbcSpec, "", "realm"),
        (SbcSpec, "ports.0", "name"),
        (TrunkSpec, "", "name"),
        (TrunkSpec, "", "domain"),
        (TrunkSpec, "addresses.0", "host"),
        (TrunkSpec, "authentication", "user"),
        (TrunkSpec, "authentication", "realm"),
        (TrunkSpec, "authentication", "registrar"),
        (TrunkSpec, "headers.0", "name"),
        (TrunkSpec, "numbers_in", "prefix"),
        (RouteSpec, "", "prefix"),
        (RouteSpec, "targets.0", "trunk"),
        (RouteSpec, "window", "timezone"),
        (SourceRule, "", "cidr"),
    ],
)
def test_hostile_text_is_refused(model: type[BaseModel], where: str, key: str, text: str) -> None:
    assert paths(model, changed(GOOD[model], where, key, text))


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\tb", "$fU", "a\\b", "a\x00b", "a\u2028b", " a", "a "])
def test_a_header_stays_on_its_line(text: str) -> None:
    assert paths(TrunkSpec, changed(TRUNK, "headers.0", "value", text)) == {"headers[0].value"}


@pytest.mark.parametrize("name", ["Reason", "warning", "Retry-After"])
def test_a_rule_for_a_header_that_it_would_never_meet_is_refused(name: str) -> None:
    assert paths(TrunkSpec, changed(TRUNK, "headers.0", "name", name)) == {"headers[0].name"}


def test_secrets_are_in_no_repr_and_no_error() -> None:
    chain, key = certificate()
    shown = repr(read(SbcSpec, SBC | {"tls": {"certificate": chain, "key": key}})) + repr(read(TrunkSpec, TRUNK))
    assert "PRIVATE KEY" not in shown
    assert "horse" not in shown
    with pytest.raises(ValidationError) as caught:
        read(TrunkSpec, changed(TRUNK, "authentication", "password", "hunter2\thunter2"))
    assert "hunter2" not in str(caught.value)
