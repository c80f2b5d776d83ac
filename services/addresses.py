"""Which port holds which address: the one place where addresses are chosen, taken and given back.

Callers hold the tenant's lock (`services.orders`), and the database refuses a second
owner in any case (`one_owner_per_address_in_a_segment`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from itertools import islice

from naas.core.errors import Invalid, Problem
from services.kind import PortRequest
from services.models import Address, Segment, ServiceInstance

Network = IPv4Network | IPv6Network

#: Automatic addresses are looked for among this many from the start of a prefix, so that a
#: /64 that is full of explicit ones at its start does not take for ever.
SEARCHED = 65_536


@dataclass(frozen=True)
class PlacedPort:
    """A port of a spec with the segment it means."""

    request: PortRequest
    segment: Segment


def networks(segment: Segment) -> tuple[Network, ...]:
    return tuple(ip_network(prefix.cidr) for prefix in segment.prefixes.all())


def hosts(network: Network) -> Iterator[str]:
    """The addresses of a prefix that a port may have, first ones first.

    IPv4 leaves out network and broadcast except in /31 (RFC 3021) and /32; IPv6 leaves out the
    subnet-router anycast address (RFC 4291, 2.6.1) except in /127 (RFC 6164) and /128.
    """
    return map(str, islice(network.hosts(), SEARCHED))


def allocate(instance: ServiceInstance, ports: Iterable[PlacedPort]) -> None:
    """Take what the ports ask for and do not hold yet.

    Raises `Invalid` with a problem for each address that lies outside its segment or has an
    owner, and for each prefix without a free one.
    """
    problems: list[Problem] = []
    for port in ports:
        if port.request.addresses:
            problems.extend(_take_explicit(instance, port))
        else:
            problems.extend(_take_automatic(instance, port))
    if problems:
        raise Invalid(problems)


def held(instance: ServiceInstance, port: PlacedPort) -> tuple[str, ...]:
    """The addresses of the port in CIDR notation: those of the spec, or those chosen for it."""
    if port.request.addresses:
        return port.request.addresses
    rows = Address.unscoped.filter(
        instance=instance, port=port.request.key, segment=port.segment, automatic=True
    ).order_by("id")
    return tuple(str(row) for row in rows)


def release_unused(instance: ServiceInstance, ports: Iterable[PlacedPort]) -> None:
    """Give back every address of the instance that these ports do not use. Without ports: all."""
    wanted = {(port.segment.pk, str(ip_interface(address).ip)) for port in ports for address in held(instance, port)}
    for row in Address.unscoped.filter(instance=instance):
        if (row.segment_id, row.value) not in wanted:
            row.delete()


def _take_explicit(instance: ServiceInstance, port: PlacedPort) -> Iterator[Problem]:
    for index, text in enumerate(port.request.addresses):
        path = f"{port.request.path}.{port.request.field}[{index}]"
        wanted = ip_interface(text)
        network = next((n for n in networks(port.segment) if wanted.ip in n), None)
        if network is None or network.prefixlen != wanted.network.prefixlen:
            prefixes = ", ".join(map(str, networks(port.segment))) or "no prefix"
            yield Problem(path, f"{text} is not an address of segment {port.segment.name}, which has {prefixes}")
            continue
        row, _ = Address.unscoped.get_or_create(
            segment=port.segment,
            value=str(wanted.ip),
            defaults={
                "tenant": instance.tenant,
                "prefix_length": network.prefixlen,
                "instance": instance,
                "port": port.request.key,
            },
        )
        if (row.instance_id, row.port) != (instance.pk, port.request.key):
            yield Problem(path, f"{wanted.ip} is held by port {row.port} of {row.instance.name}; choose another")


def _take_automatic(instance: ServiceInstance, port: PlacedPort) -> Iterator[Problem]:
    ranges = networks(port.segment)
    if not ranges:
        yield Problem(
            f"{port.request.path}.segment",
            f"segment {port.segment.name} has no prefix to take an address from; give the port addresses",
        )
    has = [ip_interface(address).ip for address in held(instance, port)]
    for network in ranges:
        if any(address in network for address in has):
            continue
        taken = set(Address.unscoped.filter(segment=port.segment).values_list("value", flat=True))
        free = next((host for host in hosts(network) if host not in taken), None)
        if free is None:
            yield Problem(
                f"{port.request.path}.segment", f"{network} of segment {port.segment.name} has no free address left"
            )
            continue
        Address.unscoped.create(
            tenant=instance.tenant,
            segment=port.segment,
            value=free,
            prefix_length=network.prefixlen,
            instance=instance,
            port=port.request.key,
            automatic=True,
        )
