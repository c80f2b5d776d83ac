"""What a customer may order of a router, and what must agree within an order.

Here stands what can be said without knowing addresses that the platform allocates; what
only shows with them is in `placement`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, model_validator

from services.fields import (
    Address,
    Address4,
    Asn,
    Findings,
    HostCidr,
    Many,
    PlainText,
    PortName,
    Prefix,
    Reference,
    TransportPort,
    UnicastPrefix,
    UnicastPrefix4,
)
from services.kind import Spec

#: Prefixes accepted of a neighbour unless the order says otherwise: enough for a site, far below a full table.
MAX_PREFIX_DEFAULT = 1000

#: TCP and UDP ports on which the router itself answers its BGP neighbours (BGP, BFD: RFC 4271, 5881, 5883).
OWN_PORTS = {"tcp": frozenset({179}), "udp": frozenset({3784, 3785, 4784})}

#: The kernel takes 80 octets as a TCP MD5 key; quotes, backslash, `|` and `?` mean something to FRR's command line.
Password = Annotated[SecretStr, Field(min_length=1, max_length=80)]
_PASSWORD = frozenset(map(chr, range(0x21, 0x7F))) - set("\"'`\\|?")


def _translation(text: str) -> str:
    return text if text == "masquerade" else _ADDRESS4.validate_python(text)


_ADDRESS4: TypeAdapter[str] = TypeAdapter(Address4)
#: One type, not a union of two: what is wrong is then said once, at the field's own path.
Translation = Annotated[
    str,
    Field(pattern=r"^(masquerade|[0-9]{1,3}(\.[0-9]{1,3}){3})$", examples=["masquerade"]),
    AfterValidator(_translation),
]


class RouterPort(Spec):
    """A port of the router on one of the tenant's segments."""

    name: PortName
    segment: Reference = Field(description="Id or name of the segment")
    addresses: Many[HostCidr] = Field(
        (), max_length=8, description="Without any, the platform takes one from each prefix of the segment"
    )


class StaticRoute(Spec):
    """A route to `destination`: over a next hop, out of a port, or into nothing."""

    destination: UnicastPrefix
    via: Address | None = Field(None, description="Next hop, on a subnet of a port")
    port: PortName | None = Field(None, description="The destination is directly on this port")
    blackhole: bool = Field(False, description="Drop what goes there")
    distance: int = Field(1, ge=1, le=254, description="The route of the smallest distance is used")

    @model_validator(mode="after")
    def leads_one_way(self) -> Self:
        findings = Findings()
        ways = [name for name in ("via", "port", "blackhole") if getattr(self, name)]
        if len(ways) != 1:
            findings.add(ways[1:2], "give one of via, port and blackhole")
        if self.via and _version(self.via) != _version(self.destination):
            findings.add(("via",), "is not of the destination's address family")
        if self.via and ipaddress.ip_address(self.via).is_link_local:
            findings.add(("via",), "a link-local next hop is not supported")
        findings.raise_if_any("StaticRoute")
        return self


class PrefixRule(Spec):
    """One line of a filter. Without `ge` and `le` it matches the prefix alone, with them what lies inside."""

    action: Literal["permit", "deny"]
    prefix: Prefix
    ge: int | None = Field(None, ge=0, le=128, description="Shortest length that matches")
    le: int | None = Field(None, ge=0, le=128, description="Longest length that matches")

    @model_validator(mode="after")
    def lengths_ascend(self) -> Self:
        network = ipaddress.ip_network(self.prefix)
        findings = Findings()
        for name, length in (("ge", self.ge), ("le", self.le)):
            if length is not None and not network.prefixlen <= length <= network.max_prefixlen:
                findings.add((name,), f"must lie between {network.prefixlen} and {network.max_prefixlen}")
        if self.ge is not None and self.le is not None and self.ge > self.le:
            findings.add(("ge",), "must not be above le")
        findings.raise_if_any("PrefixRule")
        return self


class Timers(Spec):
    """Seconds between keepalives, and without any until the session ends."""

    keepalive: int = Field(10, ge=1, le=21845)
    hold: int = Field(30, ge=3, le=65535)

    @model_validator(mode="after")
    def hold_outlasts_two_keepalives(self) -> Self:
        findings = Findings()
        if self.keepalive * 3 > self.hold:
            findings.add(("hold",), "must be at least three times keepalive")
        findings.raise_if_any("Timers")
        return self


class BfdTimers(Spec):
    """Milliseconds between BFD packets, and how many may be missed."""

    detect_multiplier: int = Field(3, ge=2, le=255)
    receive_interval: int = Field(300, ge=10, le=60000)
    transmit_interval: int = Field(300, ge=10, le=60000)


class Neighbour(Spec):
    """A BGP neighbour. The address family of its address is the one exchanged."""

    address: Address
    remote_asn: Asn
    description: PlainText = ""
    password: Password | None = Field(None, description="TCP MD5 (RFC 2385)")
    prefixes_in: Many[PrefixRule] | None = Field(
        None, max_length=200, description="What is accepted; none given accepts all, an empty list nothing"
    )
    prefixes_out: Many[PrefixRule] | None = Field(
        None, max_length=200, description="What is announced; none given announces all, an empty list nothing"
    )
    max_prefix: int = Field(
        MAX_PREFIX_DEFAULT, ge=1, le=1_000_000, description="Above it the session ends, for five minutes"
    )
    timers: Timers = Timers()
    bfd: bool = Field(False, description="Find a dead neighbour within a second")
    bfd_timers: BfdTimers | None = None
    ebgp_multihop: int | None = Field(None, ge=2, le=255, description="Hops to an external neighbour further away")
    next_hop_self: bool = False
    default_originate: bool = Field(False, description="Announce a default route to it")
    local_preference: int | None = Field(None, ge=0, le=4294967295, description="Of what it announces")
    med: int | None = Field(None, ge=0, le=4294967295, description="Of what is announced to it")
    prepend: int | None = Field(None, ge=1, le=10, description="Own AS number, this many times more")
    allow_own_asn: int | None = Field(None, ge=1, le=10, description="Accept paths with the own AS number in them")
    shutdown: bool = Field(False, description="Keep the session down")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        for name in ("prefixes_in", "prefixes_out"):
            for position, rule in enumerate(getattr(self, name) or ()):
                if _version(rule.prefix) != _version(self.address):
                    findings.add((name, position, "prefix"), "is not of the neighbour's address family")
        if self.bfd_timers and not self.bfd:
            findings.add(("bfd_timers",), "have no effect without bfd")
        if ipaddress.ip_address(self.address).is_link_local:
            findings.add(("address",), "a link-local neighbour is not supported")
        if self.password and (strange := set(self.password.get_secret_value()) - _PASSWORD):
            findings.add(("password",), f"may not hold {_shown(strange)}")
        findings.raise_if_any("Neighbour")
        return self


class Bgp(Spec):
    """BGP (RFC 4271) for IPv4 and IPv6 unicast."""

    asn: Asn
    router_id: Address4 | None = Field(None, description="Without one: the first IPv4 address of the first port")
    networks: Many[UnicastPrefix] = Field((), max_length=200, description="Announced while there is a route to them")
    redistribute: Many[Literal["connected", "static"]] = Field((), max_length=2)
    neighbours: Many[Neighbour] = Field((), max_length=100)
    graceful_shutdown: bool = Field(False, description="Ask every neighbour to prefer other ways (RFC 8326)")

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("networks",), self.networks)
        findings.add_repeats(("redistribute",), self.redistribute)
        findings.add_repeats(("neighbours",), [n.address for n in self.neighbours], "address")
        for position, neighbour in enumerate(self.neighbours):
            if neighbour.ebgp_multihop and neighbour.remote_asn == self.asn:
                findings.add(("neighbours", position, "ebgp_multihop"), "is for neighbours of another AS")
            if neighbour.local_preference is None or neighbour.remote_asn != self.asn:
                continue
            findings.add(("neighbours", position, "local_preference"), "an internal neighbour sends its own")
        findings.raise_if_any("Bgp")
        return self


class SourceNat(Spec):
    """What leaves by `out_port` gets another source address. The first rule that matches is used."""

    out_port: PortName
    source: Many[UnicastPrefix4] = Field((), max_length=50, description="Without any: every source")
    to: Translation = Field("masquerade", description="masquerade: the port's own address; or one address of that port")


class PortForward(Spec):
    """What arrives at `in_port`'s own address on `port` goes to `to`."""

    in_port: PortName
    protocol: Literal["tcp", "udp"]
    port: TransportPort
    to: Address4
    to_port: TransportPort | None = Field(None, description="Without one: the same port")


class Nat(Spec):
    """Address translation, IPv4."""

    source: Many[SourceNat] = Field((), max_length=50)
    port_forwards: Many[PortForward] = Field((), max_length=200)

    @model_validator(mode="after")
    def rules_do_not_collide(self) -> Self:
        findings = Findings()
        forwards = [(f.in_port, f.protocol, f.port) for f in self.port_forwards]
        findings.add_repeats(("port_forwards",), forwards, "port")
        seen: set[tuple[str, str]] = set()
        for position, rule in enumerate(self.source):
            for source in rule.source or ("0.0.0.0/0",):
                if (rule.out_port, source) in seen:
                    where = ("source", position, "source") if rule.source else ("source", position)
                    findings.add(where, f"another rule translates {source} on {rule.out_port}")
                seen.add((rule.out_port, source))
        findings.raise_if_any("Nat")
        return self


class RouterSpec(Spec):
    """A router: ports on segments, static routes, BGP and address translation."""

    ports: Many[RouterPort] = Field(min_length=1, max_length=16)
    static_routes: Many[StaticRoute] = Field((), max_length=1000)
    bgp: Bgp | None = None
    nat: Nat | None = None

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        findings = Findings()
        findings.add_repeats(("ports",), [port.name for port in self.ports], "name")
        self._refuse_unknown_ports(findings)
        ways = [(r.destination, r.via or r.port or "blackhole") for r in self.static_routes]
        findings.add_repeats(("static_routes",), ways, "destination")
        self._refuse_half_a_blackhole(findings)
        self._refuse_forwarding_own_protocols(findings)
        findings.raise_if_any("RouterSpec")
        return self

    def _refuse_unknown_ports(self, findings: Findings) -> None:
        known = {port.name for port in self.ports}
        for path, name in self._port_references():
            if name not in known:
                findings.add(path, f"there is no port {name}")

    def _port_references(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for position, route in enumerate(self.static_routes):
            if route.port:
                yield ("static_routes", position, "port"), route.port
        if self.nat is None:
            return
        for position, rule in enumerate(self.nat.source):
            yield ("nat", "source", position, "out_port"), rule.out_port
        for position, forward in enumerate(self.nat.port_forwards):
            yield ("nat", "port_forwards", position, "in_port"), forward.in_port

    def _refuse_half_a_blackhole(self, findings: Findings) -> None:
        used = {(r.destination, r.distance) for r in self.static_routes if not r.blackhole}
        for position, route in enumerate(self.static_routes):
            if route.blackhole and (route.destination, route.distance) in used:
                findings.add(
                    ("static_routes", position, "blackhole"),
                    "another route of this destination has the same distance; give the blackhole a greater one",
                )

    def _refuse_forwarding_own_protocols(self, findings: Findings) -> None:
        if self.bgp is None or self.nat is None:
            return
        for position, forward in enumerate(self.nat.port_forwards):
            if forward.port in OWN_PORTS[forward.protocol]:
                findings.add(
                    ("nat", "port_forwards", position, "port"), "the router's own BGP and BFD sessions use this port"
                )


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def _shown(characters: Iterable[str]) -> str:
    return ", ".join("space" if c == " " else c if c.isprintable() else f"U+{ord(c):04X}" for c in sorted(characters))
