"""The field types that the specs of several kinds share: addresses, prefixes, names, text.

Each is a `str` or `int` in the form the daemons print it, so that what a customer writes
as `2001:DB8::0/32` and what a daemon shows compare equal. Each has a pattern of its own,
so that the published schema says what is taken. Nothing here knows a daemon's syntax;
what it promises is that no value holds a control character, and that a name or address
holds none that a shell, a template or a configuration file could take for its own.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

#: AS numbers that no one may have: RFC 7607, RFC 4893 (AS_TRANS), RFC 7300.
RESERVED_ASNS = frozenset({0, 23456, 65535, 4294967295})

_IPV4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_IPV6 = r"[0-9A-Fa-f:]{2,39}(:[0-9]{1,3}(\.[0-9]{1,3}){3})?"

T = TypeVar("T")

#: A list in JSON, a tuple in Python; what is in it stays as strict as the spec.
Many = Annotated[tuple[T, ...], Field(strict=False)]


# --- addresses ------------------------------------------------------------------------


def _usable(address: IPAddress) -> None:
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError("is not the address of a host")
    if address == ipaddress.IPv4Address("255.255.255.255"):
        raise ValueError("is the broadcast address")


def _address(text: str) -> str:
    address = ipaddress.ip_address(text)
    _usable(address)
    return str(address)


def _address4(text: str) -> str:
    address = ipaddress.IPv4Address(text)
    _usable(address)
    return str(address)


def _prefix(text: str) -> str:
    if "/" not in text:
        raise ValueError("needs a length, as in 192.0.2.0/24")
    network = ipaddress.ip_network(text, strict=False)
    if network.network_address != ipaddress.ip_interface(text).ip:
        raise ValueError(f"has bits set beyond its length; the prefix is {network}")
    return str(network)


def _unicast_prefix(text: str) -> str:
    network = ipaddress.ip_network(_prefix(text))
    if network.is_multicast or (network.is_loopback and network.prefixlen):
        raise ValueError("cannot be routed")
    return str(network)


def _prefix4(text: str) -> str:
    if ":" in text:
        raise ValueError("must be IPv4")
    return _unicast_prefix(text)


def _host_cidr(text: str) -> str:
    if "/" not in text:
        raise ValueError("needs a prefix length, as in 192.0.2.1/24")
    interface = ipaddress.ip_interface(text)
    _usable(interface.ip)
    network = interface.network
    spare = network.max_prefixlen - network.prefixlen
    if spare > 1 and interface.ip == network.network_address:
        raise ValueError("is the address of the network, not of a host in it")
    if spare > 1 and interface.version == 4 and interface.ip == network.broadcast_address:
        raise ValueError("is the broadcast address of its network")
    return str(interface)


def _said_plainly(check: Callable[[str], str], what: str) -> Callable[[str], str]:
    """`check`, with the library's several ways to say "not an address" replaced by one."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except (ipaddress.AddressValueError, ipaddress.NetmaskValueError):
            raise ValueError(f"is not {what}") from None
        except ValueError as error:
            if "does not appear to be" in str(error) or "has host bits" in str(error):
                raise ValueError(f"is not {what}") from None
            raise

    return checked


Address = Annotated[
    str,
    Field(pattern=rf"^({_IPV4}|{_IPV6})$", examples=["192.0.2.1"]),
    AfterValidator(_said_plainly(_address, "an IP address")),
]
Address4 = Annotated[
    str,
    Field(pattern=rf"^{_IPV4}$", examples=["192.0.2.1"]),
    AfterValidator(_said_plainly(_address4, "an IPv4 address")),
]
#: A prefix with no bit set beyond its length; any of them, for filters.
Prefix = Annotated[
    str,
    Field(pattern=rf"^({_IPV4}|{_IPV6})/[0-9]{{1,3}}$", examples=["192.0.2.0/24"]),
    AfterValidator(_said_plainly(_prefix, "an IP prefix")),
]
#: A prefix that traffic can be routed to.
UnicastPrefix = Annotated[
    str,
    Field(pattern=rf"^({_IPV4}|{_IPV6})/[0-9]{{1,3}}$", examples=["192.0.2.0/24"]),
    AfterValidator(_said_plainly(_unicast_prefix, "an IP prefix")),
]
UnicastPrefix4 = Annotated[
    str,
    Field(pattern=rf"^{_IPV4}/[0-9]{{1,2}}$", examples=["192.0.2.0/24"]),
    AfterValidator(_said_plainly(_prefix4, "an IPv4 prefix")),
]
#: A host's address with the length of its network.
HostCidr = Annotated[
    str,
    Field(pattern=rf"^({_IPV4}|{_IPV6})/[0-9]{{1,3}}$", examples=["192.0.2.1/24"]),
    AfterValidator(_said_plainly(_host_cidr, "an address with its prefix length")),
]


# --- numbers --------------------------------------------------------------------------


def _asn(number: int) -> int:
    if number in RESERVED_ASNS:
        raise ValueError(f"AS {number} is reserved")
    return number


Asn = Annotated[int, Field(ge=1, le=4294967294, examples=[65001]), AfterValidator(_asn)]
TransportPort = Annotated[int, Field(ge=1, le=65535)]


# --- names and text -------------------------------------------------------------------


def _port_name(name: str) -> str:
    if name == "lo":
        raise ValueError("lo is the loopback interface")
    return name


def _printable(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not begin or end with a space")
    for character in text:
        if character != " " and (unicodedata.category(character)[0] in "CZ" or not character.isprintable()):
            raise ValueError(f"holds the character U+{ord(character):04X}, which cannot be shown")
    return text


#: What an interface inside a VNF is called.
PortName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9-]{0,14}$", examples=["wan"], json_schema_extra={"not": {"const": "lo"}}),
    AfterValidator(_port_name),
]
#: The name or id of something the tenant has made, such as a segment.
Reference = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        examples=["office"],
        json_schema_extra={"x-reference": "segment"},
    ),
    AfterValidator(_printable),
]
#: One line of text for people: letters of any script, no control or invisible characters.
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"), AfterValidator(_printable)]
#: One line in printable ASCII without the characters that configuration languages give a meaning,
#: its words parted by one space, because daemons print no more of them.
PlainText = Annotated[
    str,
    Field(
        max_length=80,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9.,:;()/_+@&=*'-]*( [A-Za-z0-9.,:;()/_+@&=*'-]+)*)?$",
        examples=["branch office, 2nd line"],
    ),
]


# --- findings -------------------------------------------------------------------------


class Findings:
    """Collects what is wrong between the fields of a spec, each with its own path.

    A validator of a whole model can only say that the model is wrong; through
    `raise_if_any` each finding arrives as if the field itself had been refused.
    """

    def __init__(self) -> None:
        self._found: list[tuple[tuple[str | int, ...], str]] = []

    def add(self, path: Iterable[str | int], message: str) -> None:
        self._found.append((tuple(path), message))

    def add_repeats(self, path: Iterable[str | int], values: Iterable[object], *field: str) -> None:
        """Adds a finding for each value of the list at `path` that an earlier one equals."""
        to = tuple(path)
        first: dict[object, int] = {}
        for position, value in enumerate(values):
            if value in first:
                self.add((*to, position, *field), f"is the same as in {to[-1]}[{first[value]}]")
            else:
                first[value] = position

    def raise_if_any(self, model: str, value: Any = None) -> None:
        """Raises the findings as one `ValidationError`, which pydantic takes up with its paths."""
        if not self._found:
            return
        raise ValidationError.from_exception_data(
            model,
            [
                # As an argument, not as the template: the message may hold braces.
                InitErrorDetails(
                    type=PydanticCustomError("inconsistent", "{message}", {"message": message}), loc=path, input=value
                )
                for path, message in self._found
            ],
            hide_input=True,
        )
