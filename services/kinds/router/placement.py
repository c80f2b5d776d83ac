"""What only shows once the ports have addresses: subnets that overlap, next hops out of reach, foreign addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from itertools import combinations

from naas.core.errors import Problem
from services.fields import IPInterface
from services.kind import Context
from services.kinds.router.spec import Bgp, Nat, Neighbour, RouterSpec, StaticRoute

Placed = Mapping[str, tuple[IPInterface, ...]]


def placed(context: Context) -> Placed:
    """Each port's addresses with their networks."""
    return {name: tuple(map(ipaddress.ip_interface, port.addresses)) for name, port in context.ports.items()}


def problems(spec: RouterSpec, ports: Placed) -> Iterator[Problem]:
    """Everything that keeps `spec` from being rendered with these addresses."""
    yield from _ports(spec, ports)
    for position, route in enumerate(spec.static_routes):
        yield from _static_route(f"static_routes[{position}]", route, ports)
    if spec.bgp:
        yield from _bgp(spec.bgp, ports)
    if spec.nat:
        yield from _nat(spec.nat, ports)


def _ports(spec: RouterSpec, ports: Placed) -> Iterator[Problem]:
    where = {port.name: f"ports[{position}]" for position, port in enumerate(spec.ports)}
    for name, path in where.items():
        if not ports.get(name):
            yield Problem(f"{path}.addresses", "the segment has no prefix to take an address from: give an address")
    for (one, ones), (other, others) in combinations(((name, ports.get(name, ())) for name in where), 2):
        for interface in others:
            if any(interface.network.overlaps(known.network) for known in ones):
                yield Problem(f"{where[other]}.addresses", f"{interface.network} overlaps a subnet of port {one}")


def _static_route(path: str, route: StaticRoute, ports: Placed) -> Iterator[Problem]:
    if route.via and _is_own(route.via, ports):
        yield Problem(f"{path}.via", "is an address of the router itself")
    elif route.via and not _is_connected(route.via, ports):
        yield Problem(f"{path}.via", "is on none of the ports' subnets")


def _bgp(bgp: Bgp, ports: Placed) -> Iterator[Problem]:
    for position, neighbour in enumerate(bgp.neighbours):
        path = f"bgp.neighbours[{position}].address"
        if _is_own(neighbour.address, ports):
            yield Problem(path, "is an address of the router itself")
        elif _must_be_connected(bgp, neighbour) and not _is_connected(neighbour.address, ports):
            yield Problem(path, "is on none of the ports' subnets; a neighbour further away needs ebgp_multihop")


def _must_be_connected(bgp: Bgp, neighbour: Neighbour) -> bool:
    return neighbour.remote_asn != bgp.asn and neighbour.ebgp_multihop is None


def _nat(nat: Nat, ports: Placed) -> Iterator[Problem]:
    for position, rule in enumerate(nat.source):
        path = f"nat.source[{position}]"
        own = addresses4(ports, rule.out_port)
        if not own:
            yield Problem(f"{path}.out_port", f"port {rule.out_port} has no IPv4 address")
        elif rule.to != "masquerade" and rule.to not in own:
            yield Problem(f"{path}.to", f"is not an address of port {rule.out_port}, which has {', '.join(own)}")
    for position, forward in enumerate(nat.port_forwards):
        path = f"nat.port_forwards[{position}]"
        if not addresses4(ports, forward.in_port):
            yield Problem(f"{path}.in_port", f"port {forward.in_port} has no IPv4 address")
        if _is_own(forward.to, ports):
            yield Problem(f"{path}.to", "is an address of the router itself")


def addresses4(ports: Placed, name: str) -> tuple[str, ...]:
    """The IPv4 addresses of a port."""
    return tuple(str(interface.ip) for interface in ports.get(name, ()) if interface.version == 4)


def _is_own(address: str, ports: Placed) -> bool:
    return any(str(interface.ip) == address for interfaces in ports.values() for interface in interfaces)


def _is_connected(address: str, ports: Placed) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in interface.network for interfaces in ports.values() for interface in interfaces)
