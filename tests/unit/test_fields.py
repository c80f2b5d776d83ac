"""The shared field types: what they take, in which form they keep it, and what they refuse."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services import fields

TAKEN = [
    (fields.Address, "192.0.2.1", "192.0.2.1"),
    (fields.Address, "2001:DB8:0::0001", "2001:db8::1"),
    (fields.Address, "fe80::1", "fe80::1"),
    (fields.Address4, "10.0.0.1", "10.0.0.1"),
    (fields.Prefix, "0.0.0.0/0", "0.0.0.0/0"),
    (fields.Prefix, "2001:DB8::/32", "2001:db8::/32"),
    (fields.Prefix, "224.0.0.0/4", "224.0.0.0/4"),
    (fields.UnicastPrefix, "10.1.0.0/16", "10.1.0.0/16"),
    (fields.UnicastPrefix, "::/0", "::/0"),
    (fields.UnicastPrefix4, "10.1.2.3/32", "10.1.2.3/32"),
    (fields.HostCidr, "10.1.0.1/24", "10.1.0.1/24"),
    (fields.HostCidr, "10.1.0.0/31", "10.1.0.0/31"),
    (fields.HostCidr, "10.1.0.9/32", "10.1.0.9/32"),
    (fields.HostCidr, "2001:db8:0::1/64", "2001:db8::1/64"),
    (fields.Asn, 1, 1),
    (fields.Asn, 64512, 64512),
    (fields.Asn, 4294967294, 4294967294),
    (fields.PortName, "wan", "wan"),
    (fields.PortName, "a23456789012345", "a23456789012345"),
    (fields.Reference, "Büro Nord", "Büro Nord"),
    (fields.Text, "", ""),
    (fields.PlainText, "Carrier's line (north)", "Carrier's line (north)"),
]

REFUSED = [
    (fields.Address, "192.0.2.1/24"),
    (fields.Address, "192.0.2"),
    (fields.Address, "192.0.2.256"),
    (fields.Address, "010.0.0.1"),
    (fields.Address, "fe80::1%eth0"),
    (fields.Address, "::"),
    (fields.Address, "0.0.0.0"),
    (fields.Address, "127.0.0.1"),
    (fields.Address, "224.0.0.5"),
    (fields.Address, "ff02::1"),
    (fields.Address, "255.255.255.255"),
    (fields.Address, "-f"),
    (fields.Address, "192.0.2.1\n"),
    (fields.Address, "192.0.2.1;reboot"),
    (fields.Address, "example.net"),
    (fields.Address, ""),
    (fields.Address, False),
    (fields.Address, 3232235777),
    (fields.Address4, "2001:db8::1"),
    (fields.Prefix, "10.0.0.1/8"),
    (fields.Prefix, "10.0.0.0"),
    (fields.Prefix, "10.0.0.0/33"),
    (fields.Prefix, "10.0.0.0/255.0.0.0"),
    (fields.Prefix, "::/129"),
    (fields.Prefix, True),
    (fields.UnicastPrefix, "224.0.0.0/4"),
    (fields.UnicastPrefix, "127.0.0.0/8"),
    (fields.UnicastPrefix4, "2001:db8::/32"),
    (fields.HostCidr, "10.1.0.0/24"),
    (fields.HostCidr, "10.1.0.255/24"),
    (fields.HostCidr, "10.1.0.1"),
    (fields.HostCidr, "2001:db8::/64"),
    (fields.HostCidr, "0.0.0.0/0"),
    (fields.HostCidr, "127.0.0.1/8"),
    (fields.Asn, 0),
    (fields.Asn, 23456),
    (fields.Asn, 65535),
    (fields.Asn, 4294967295),
    (fields.Asn, -1),
    (fields.Asn, True),
    (fields.Asn, "65001"),
    (fields.Asn, 65001.0),
    (fields.TransportPort, 0),
    (fields.TransportPort, 65536),
    (fields.PortName, "lo"),
    (fields.PortName, "Wan"),
    (fields.PortName, "1wan"),
    (fields.PortName, "a234567890123456"),
    (fields.PortName, "../x"),
    (fields.PortName, "wan\n"),
    (fields.PortName, ""),
    (fields.Reference, ""),
    (fields.Reference, "a\nb"),
    (fields.Reference, " a"),
    (fields.Reference, "a\u202eb"),
    (fields.Text, "a\x00b"),
    (fields.Text, "a\u2028b"),
    (fields.Text, "a\u0085b"),
    (fields.PlainText, "two  spaces"),
    (fields.PlainText, " leading"),
    (fields.PlainText, "trailing "),
    (fields.PlainText, "new\nline"),
    (fields.PlainText, 'quo"te'),
    (fields.PlainText, "pipe | include"),
    (fields.PlainText, "! comment"),
    (fields.PlainText, "help?"),
    (fields.PlainText, "back\\slash"),
    (fields.PlainText, "{{ 7 * 7 }}"),
    (fields.PlainText, "Büro"),
    (fields.PlainText, "x" * 81),
]


@pytest.mark.parametrize(("field", "given", "kept"), TAKEN)
def test_a_value_is_kept_in_its_one_form(field: Any, given: object, kept: object) -> None:
    assert TypeAdapter(field).validate_python(given, strict=True) == kept


@pytest.mark.parametrize(("field", "given"), REFUSED)
def test_a_value_outside_the_type_is_refused(field: Any, given: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(field).validate_python(given, strict=True)


def test_a_list_is_taken_but_what_is_in_it_stays_strict() -> None:
    numbers = TypeAdapter(fields.Many[int])
    assert numbers.validate_python([1, 2], strict=None) == (1, 2)
    assert numbers.validate_json("[1, 2]") == (1, 2)


def test_findings_arrive_at_the_fields_they_are_about() -> None:
    findings = fields.Findings()
    findings.add(("ports", 1, "name"), "holds {braces}")
    with pytest.raises(ValidationError) as caught:
        findings.raise_if_any("Spec")
    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == (("ports", 1, "name"), "holds {braces}")


def test_no_findings_raise_nothing() -> None:
    fields.Findings().raise_if_any("Spec")
