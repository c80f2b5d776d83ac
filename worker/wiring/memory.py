"""The wiring in memory: what `worker.wiring.base.Wiring` promises, without a kernel.

It ships, because it is the quickest way to try a plan, and holds to the same contract suite
as the netlink wiring. `drop`, `halve`, `lose_fabric` and `fail` do what the world does to the
real one. No packet goes anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.errors import PermanentError, TemporaryError
from worker.topology import LiveSegment, LiveWire, Nic, Route, Segment, Wire, digest, fabric_port
from worker.wiring.base import Counters


@dataclass
class _Plugged:
    """A wire here; `whole` is false while it is half made, `netns` is where its far end is."""

    wire: Wire
    netns: str
    mtu: int
    counters: Counters
    whole: bool = True


class MemoryWiring:
    """`interfaces` are those of the PoP's root namespace; `calls` lists what was asked to change, in order."""

    def __init__(self, interfaces: frozenset[str] = frozenset()) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.interfaces = set(interfaces)
        self._segments: dict[str, Segment] = {}
        self._wires: dict[tuple[str, str, str], _Plugged] = {}
        self._faults: dict[int, Exception] = {}

    # --- what the world does ---

    def drop(self, instance: str, vnf: str, port: str) -> None:
        """The wire is gone, as by `ip link del`."""
        self._wires.pop((instance, vnf, port), None)

    def halve(self, instance: str, vnf: str, port: str) -> None:
        """The wire is as a worker leaves it that was killed while it plugged."""
        self._wires[instance, vnf, port].whole = False

    def carry(self, instance: str, vnf: str, port: str, **counted: int) -> None:
        """The wire's counters are these now, by the names of `Counters`."""
        plugged = self._wires[instance, vnf, port]
        plugged.counters = replace(plugged.counters, **counted)  # type: ignore[arg-type]  # none of them is the port

    def lose_namespace(self, netns: str) -> None:
        """The namespace ended and took the wires in it along."""
        self._wires = {key: plugged for key, plugged in self._wires.items() if plugged.netns != netns}

    def lose_fabric(self) -> None:
        """The fabric namespace is gone with all segments and wires, as after a reboot."""
        self._segments.clear()
        self._wires.clear()

    def fail(self, call: int, error: Exception) -> None:
        """The change that is number `call` from now (1 is the next) raises `error` and changes nothing."""
        self._faults[len(self.calls) + call] = error

    # --- the protocol ---

    def segments(self) -> tuple[LiveSegment, ...]:
        return tuple(self._live_segment(segment) for _, segment in sorted(self._segments.items()))

    def wires(self, instance: str, namespaces: Mapping[str, str]) -> tuple[LiveWire, ...]:
        mine = sorted((key[1:], plugged) for key, plugged in self._wires.items() if key[0] == instance)
        return tuple(self._live_wire(plugged, namespaces) for _, plugged in mine)

    def instances(self) -> frozenset[str]:
        return frozenset(instance for instance, _, _ in self._wires)

    def counters(self) -> tuple[Counters, ...]:
        return tuple(plugged.counters for plugged in self._wires.values())

    def add_segment(self, segment: Segment) -> None:
        self._called("add_segment", segment.id)
        if self._misses_uplink(segment):
            raise TemporaryError(f"the uplink of segment {segment.id} is not in the PoP's root namespace")
        self._segments[segment.id] = segment

    def remove_segment(self, id: str) -> None:
        self._called("remove_segment", id)
        if not self._ports(id):
            self._segments.pop(id, None)

    def plug(self, instance: str, wire: Wire, netns: str, *, mtu: int) -> None:
        self._called("plug", instance, wire.vnf, wire.port)
        if wire.segment not in self._segments:
            raise TemporaryError(f"segment {wire.segment} is not there yet", delay=1)
        try:
            _canonical(wire)
        except ValueError as error:
            raise PermanentError(f"cannot plug {wire.vnf}:{wire.port} of {instance}: {error}") from error
        known = self._wires.get((instance, wire.vnf, wire.port))
        lives = known is not None and known.whole and known.netns == netns
        fresh = Counters(fabric_port(instance, wire.vnf, wire.port), len(self.calls))
        counters = known.counters if known is not None and lives else fresh
        self._wires[instance, wire.vnf, wire.port] = _Plugged(wire, netns, mtu, counters)

    def unplug(self, instance: str, vnf: str, port: str) -> None:
        self._called("unplug", instance, vnf, port)
        self.drop(instance, vnf, port)

    # --- inside ---

    def _called(self, *call: str) -> None:
        self.calls.append(call)
        if (error := self._faults.pop(len(self.calls), None)) is not None:
            raise error

    def _misses_uplink(self, segment: Segment) -> bool:
        return isinstance(segment.uplink, Nic) and segment.uplink.name not in self.interfaces

    def _ports(self, segment: str) -> frozenset[str]:
        on_it = [key for key, plugged in self._wires.items() if plugged.wire.segment == segment]
        return frozenset(fabric_port(*key) for key in on_it)

    def _live_segment(self, segment: Segment) -> LiveSegment:
        whole = None if self._misses_uplink(segment) else segment.digest
        return LiveSegment(segment.id, whole, self._ports(segment.id))

    def _live_wire(self, plugged: _Plugged, namespaces: Mapping[str, str]) -> LiveWire:
        wire = plugged.wire
        segment = wire.segment if wire.segment in self._segments else None
        found = LiveWire(wire.vnf, wire.port, segment, None, up=False)
        found = replace(found, shaped_in=wire.rate_in is not None, shaped_out=wire.rate_out is not None)
        if namespaces.get(wire.vnf) != plugged.netns:
            return found
        addresses, routes = _canonical(wire)
        return replace(
            found,
            digest=wire.digest if plugged.whole else None,
            up=True,
            mac=wire.mac or _derived_mac(wire),
            mtu=plugged.mtu,
            addresses=addresses,
            routes=routes,
        )


def _derived_mac(wire: Wire) -> str:
    derived = digest([wire.vnf, wire.port])
    return ":".join(("02", *(derived[i : i + 2] for i in range(0, 10, 2))))


def _canonical(wire: Wire) -> tuple[frozenset[str], frozenset[Route]]:
    """Addresses and routes as the kernel would tell them. Raises `ValueError` for what is none."""
    return (
        frozenset(str(ipaddress.ip_interface(address)) for address in wire.addresses),
        frozenset(
            Route(str(ipaddress.ip_network(route.destination, strict=False)), str(ipaddress.ip_address(route.via)))
            for route in wire.routes
        ),
    )
