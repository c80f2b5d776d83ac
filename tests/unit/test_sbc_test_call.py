"""The test call of an SBC: by which trunks it goes, that nothing else goes by them, and how the probe is told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sbc.kind import KIND, probe
from sbc.kind.fields import Name
from sbc.kind.spec import SbcSpec
from sbc.policy import ANY_TRUNK, Address, Call, Route, Tables, Target, Trunk, decide
from sbc.probe import arguments
from sbc.probe.call import Line, Srtp, Transport, Wanted
from services.kind import Context, IssuedCertificate, Port
from tests.sbcs import SBC, certificate, changed

PORTS = {
    "inside": Port("inside", "seg-office", ("fd11::1/64", "10.11.0.1/24")),
    "outside": Port("outside", "seg-net", ("198.51.100.1/24",)),
    "probe:inside": Port("inside", "seg-office", ("10.11.0.9/24",)),
    "probe:outside": Port("outside", "seg-net", ("198.51.100.9/24",)),
}
HERE = Context(instance="svc-0123456789ab", name="sbc", cpu=1.0, memory=2**30, ports=PORTS)
ISSUED = dataclasses.replace(HERE, certificate=IssuedCertificate("chain", "key", "authority"))


def spec(document: dict[str, Any] = SBC) -> SbcSpec:
    return SbcSpec.model_validate_json(json.dumps(document))


def test_without_tls_the_call_goes_as_everybody_can() -> None:
    assert probe.wanted(spec(), HERE) == Wanted(
        caller=Line("10.11.0.9"), host="10.11.0.1", port=5060, number="+999", echo=Line("198.51.100.9", port=5060)
    )


def test_with_tls_an_encrypted_side_calls_a_plain_one_and_believes_the_platforms_authority() -> None:
    document = SBC | {"tls": {}}
    wanted = probe.wanted(spec(document), ISSUED)
    assert (wanted.caller, wanted.port) == (Line("10.11.0.9", Transport.TLS, Srtp.REQUIRED), 5061)
    assert wanted.credentials.authorities == "/etc/naas/authority.crt"
    assert {file.name: file.content for file in probe.files(spec(document), ISSUED)}["authority.crt"] == "authority"


def test_a_customers_own_certificate_need_not_name_the_address_that_is_called() -> None:
    chain, key = certificate()
    document = SBC | {"tls": {"certificate": chain, "key": key}}
    assert not probe.wanted(spec(document), HERE).credentials.authorities
    assert [file.name for file in probe.files(spec(document), HERE)] == ["test-call"]


def test_where_clients_must_show_certificates_the_probe_which_has_none_calls_without_tls() -> None:
    chain, _ = certificate()
    document = SBC | {"tls": {"clients": "required", "authorities": chain}}
    assert probe.wanted(spec(document), ISSUED).caller.transport is Transport.UDP


def test_the_program_understands_the_file_and_what_a_question_adds_to_it(tmp_path: Any) -> None:
    (tmp_path / "test-call").write_text(probe.files(spec(SBC | {"tls": {}}), ISSUED)[0].content)
    asked = KIND.questions["test-call"]
    for transport, port in (("udp", 5060), ("tls", 5061)):
        program, at, *more = asked.command(asked.arguments.model_validate({"transport": transport, "srtp": False}))
        assert (program, at) == ("/usr/lib/naas/test-call", "@/etc/naas/test-call")
        wanted, report, _ = arguments.parse([f"@{tmp_path}/test-call", *more])
        assert (wanted.caller, wanted.port) == (Line("10.11.0.9", Transport(transport)), port)
        assert report is arguments.Report.FULL


def test_a_program_that_is_late_says_so_before_it_is_stopped() -> None:
    assert probe.wanted(spec(), HERE).within < probe.TIMEOUT


def test_an_sbc_with_a_side_of_ipv6_alone_is_not_kept_waiting_for_a_call_that_cannot_be() -> None:
    six = {"outside": ("2001:db8::1/64",), "probe:outside": ("2001:db8::9/64",)}
    ports = PORTS | {key: Port("outside", "seg-net", addresses) for key, addresses in six.items()}
    here = dataclasses.replace(HERE, ports=ports)
    assert [gate.name for vnf in KIND.render(spec(), here) for gate in vnf.probes] == ["ready", "health"]
    assert probe.entries(spec(), here) == ()


# --- the tables ---


def tables(document: dict[str, Any] = SBC) -> Tables:
    """A customer's busy tables, with what the test call adds to them."""
    customers = [
        Trunk("pbx", ("10.11.0.0/24",), (Address("sip:10.11.0.2:5060"),), side="inside"),
        Trunk("carrier", ("198.51.100.0/24",), (Address("sip:198.51.100.2:5060"),), side="outside"),
    ]
    trunks = [*customers, *(trunk for trunk, _ in probe.trunks(spec(document), HERE))]
    routes = [
        Route("all", (Target("carrier"),), trunk=ANY_TRUNK, pattern="."),
        Route("exact", (Target("carrier"),), trunk=ANY_TRUNK, pattern="+999"),
        Route("prefix", (Target("carrier"),), trunk=ANY_TRUNK, prefix="+999"),
    ]
    return Tables({trunk.id: trunk for trunk in trunks}, (*routes, probe.ROUTE), {"112": (Target("carrier"),)})


@pytest.mark.parametrize("number", ["+999", "+4940123456", "1"])
def test_whatever_the_probe_calls_but_an_emergency_number_goes_to_its_echo(number: str) -> None:
    decision = decide(tables(), Call("10.11.0.9", number, side="inside"))
    assert [(attempt.trunk, attempt.uri) for attempt in decision.attempts] == [("probe:echo", "sip:198.51.100.9:5060")]
    assert decision.trunk == "probe:caller"


@pytest.mark.parametrize("source", ["10.11.0.2", "198.51.100.2", "198.51.100.9"])
def test_nobody_else_is_led_to_the_echo(source: str) -> None:
    side = "inside" if source.startswith("10.") else "outside"
    decision = decide(tables(), Call(source, probe.NUMBER, side=side))
    assert [attempt.trunk for attempt in decision.attempts] == ["carrier"]


def test_an_sbc_with_one_side_calls_from_it_to_itself() -> None:
    one_way = changed(SBC, "test_call", "to_side", "inside")
    decision = decide(tables(one_way), Call("10.11.0.9", probe.NUMBER, side="inside"))
    assert [attempt.uri for attempt in decision.attempts] == ["sip:10.11.0.9:5060"]


def test_no_customers_trunk_or_route_can_have_such_a_name() -> None:
    for name in (probe.CALLER, probe.ECHO):
        with pytest.raises(ValidationError):
            TypeAdapter(Name).validate_python(name)


def test_the_entries_share_no_place_with_those_of_customers() -> None:
    fields = {entry.field for entry in probe.entries(spec(), HERE) if entry.key in ("sbc:trunks", "sbc:patterns")}
    assert fields == {"probe:caller", "probe:echo"}
    assert not [entry for entry in probe.entries(spec(), HERE) if entry.key == "sbc:routes"]
