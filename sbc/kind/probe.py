"""The test call of an SBC: the trunks and the route by which it goes, and how the probe is told to place it. Pure.

The probe's telephone knows IPv4 alone, so an SBC with a side that has no such address is not tested by a call.
The probe's two addresses are trunks of their own. Their names have a colon, which no name of a customer's trunk or
route may have, so nobody can route a call to them, and whatever they call goes to the echo: the route of the
calling one takes every number, and routes of a trunk that are patterns come before all others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sbc.kind.compile import bracketed, hosts
from sbc.kind.entries import Calls, Entry, place_entry, route_place, rule_entries, trunk_entries
from sbc.kind.entries import Srtp as Media
from sbc.kind.render import FILES, TEST_CALLER
from sbc.kind.spec import SbcSpec
from sbc.policy import Action, Address, Route, SourceRule, Target, Trunk
from sbc.probe.arguments import MARGIN, PROGRAM, options
from sbc.probe.call import Credentials, Line, Srtp, Transport, Wanted
from services.kind import Context
from worker.topology import ConfigFile

#: The probe among the VNFs of an SBC, and what names of its trunks and its route begin with.
PROBE = "probe"
CALLER, ECHO = TEST_CALLER, f"{PROBE}:echo"
#: Country code 999 is nobody's (ITU-T E.164, annexes).
NUMBER = "+999"
ROUTE = Route(ECHO, (Target(ECHO),), trunk=CALLER, pattern=".")
#: Seconds that the program may take.
TIMEOUT = Wanted.within + MARGIN

_ARGUMENTS, _AUTHORITY = "test-call", "authority.crt"
_COMMAND = (PROGRAM, f"@{FILES}/{_ARGUMENTS}")


def command(*more: str) -> tuple[str, ...]:
    """Place the test call, but for what `more` says otherwise."""
    return (*_COMMAND, *more)


def is_possible(spec: SbcSpec, context: Context) -> bool:
    """Whether SBC and probe have an IPv4 address on either side of the test call."""
    return all(_ipv4(context, f"{vnf}{side}") for side in spec.test_sides for vnf in ("", f"{PROBE}:"))


def files(spec: SbcSpec, context: Context) -> tuple[ConfigFile, ...]:
    """What the probe's container finds: the arguments of its program, and whom it believes."""
    if not is_possible(spec, context):
        return ()
    told = ConfigFile(_ARGUMENTS, "".join(f"{option}\n" for option in options(wanted(spec, context))))
    if _is_issued(spec) and context.certificate:
        return told, ConfigFile(_AUTHORITY, context.certificate.authority)
    return (told,)


def wanted(spec: SbcSpec, context: Context) -> Wanted:
    """From a telephone with TLS and SRTP, where the SBC takes that from everyone, to one with neither.

    The customer's own certificate is not verified: the probe calls an address, which it need not name.
    """
    caller, here, echo, _ = _addresses(spec, context)
    secure = spec.tls is not None and spec.tls.clients == "off"
    transport = Transport.TLS if secure else Transport.UDP
    return Wanted(
        caller=Line(caller, transport, Srtp.REQUIRED if secure else Srtp.OFF),
        host=here,
        port=transport.port,
        number=NUMBER,
        echo=Line(echo, port=Transport.UDP.port),
        credentials=Credentials(authorities=f"{FILES}/{_AUTHORITY}" if _is_issued(spec) else ""),
    )


def entries(spec: SbcSpec, context: Context) -> tuple[Entry, ...]:
    """What the SBC's tables hold for the test call, besides what the customer wrote."""
    if not is_possible(spec, context):
        return ()
    of_trunks = (entry for trunk, calls in trunks(spec, context) for entry in trunk_entries(trunk, calls))
    # A customer who denies everyone else does not mean the probe.
    heard = SourceRule(_whole(_addresses(spec, context)[0]), Action.ALLOW, spec.test_sides[0])
    return (*of_trunks, place_entry(route_place(ROUTE), [ROUTE]), *rule_entries(heard))


def trunks(spec: SbcSpec, context: Context) -> Iterator[tuple[Trunk, Calls]]:
    """The calling end and the answering one, and how calls of theirs are carried."""
    caller_side, echo_side = spec.test_sides
    caller, here, echo, there = _addresses(spec, context)
    calling = Trunk(CALLER, sources=(_whole(caller),), side=caller_side)
    yield calling, _calls(caller_side, here, caller, Media.OPTIONAL)
    address = Address(f"sip:{bracketed(echo)}:{Transport.UDP.port}")
    answering = Trunk(ECHO, addresses=(address,), side=echo_side)
    yield answering, _calls(echo_side, there, echo, Media.OFF)


def _whole(address: str) -> str:
    """The prefix of one address."""
    return str(ipaddress.ip_network(address))


def _calls(side: str, here: str, host: str, srtp: Media) -> Calls:
    return Calls(
        socket=f"udp:{bracketed(here)}:{Transport.UDP.port}",
        me=bracketed(here),
        host=bracketed(host),
        interface=side,
        family=ipaddress.ip_address(here).version,
        srtp=srtp,
    )


def _addresses(spec: SbcSpec, context: Context) -> tuple[str, str, str, str]:
    """The probe's and the SBC's on the calling side, and on that of the echo."""
    caller_side, echo_side = spec.test_sides
    return (*_pair(context, caller_side), *_pair(context, echo_side))


def _pair(context: Context, side: str) -> tuple[str, str]:
    """The probe's address on a side, and the SBC's."""
    return _ipv4(context, f"{PROBE}:{side}")[0], _ipv4(context, side)[0]


def _ipv4(context: Context, port: str) -> list[str]:
    return [host for host in hosts(context, port) if ipaddress.ip_address(host).version == 4]


def _is_issued(spec: SbcSpec) -> bool:
    """Whether the platform issued the SBC's certificate."""
    return spec.tls is not None and spec.tls.certificate is None
