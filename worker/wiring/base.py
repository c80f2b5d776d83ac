"""What the PoP needs from the kernel's network stack.

Segments and the fabric side of every wire live in the PoP's fabric namespace, which is
made when first needed. Every method is idempotent. Ownership is an altname on each
interface, written last; an interface without a mark of this PoP is never touched, except
to finish one of the derived name that was left half made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from worker.topology import LiveSegment, LiveWire, Segment, Wire


@dataclass(frozen=True)
class Counters:
    """What passed a wire since it was made, seen from its VNF. Drops are also those above the port's rate.

    `port` is its name in the fabric (`fabric_port`), `index` another when it is made anew.
    """

    port: str
    index: int
    in_bytes: int = 0
    in_packets: int = 0
    in_errors: int = 0
    in_drops: int = 0
    out_bytes: int = 0
    out_packets: int = 0
    out_errors: int = 0
    out_drops: int = 0


class Wiring(Protocol):
    def segments(self) -> tuple[LiveSegment, ...]:
        """Every segment of the fabric, sorted by id. No fabric, no segments."""

    def wires(self, instance: str, namespaces: Mapping[str, str]) -> tuple[LiveWire, ...]:
        """The instance's wires, sorted by VNF and port. `namespaces` maps each running VNF to its namespace path."""

    def instances(self) -> frozenset[str]:
        """Every instance that has a wire in the fabric."""

    def counters(self) -> tuple[Counters, ...]:
        """What all wires of the fabric carried, of one moment. No fabric, no wires."""

    def add_segment(self, segment: Segment) -> None:
        """Make the segment, or bring the one that is there to this MTU and uplink without cutting its wires.

        Raises `TemporaryError` when its uplink does not exist in the root namespace.
        """

    def remove_segment(self, id: str) -> None:
        """Remove the segment with its uplink, unless a port is still attached: then it stays, which is success."""

    def plug(self, instance: str, wire: Wire, netns: str, *, mtu: int) -> None:
        """Make the wire, or bring the one that is there to these addresses, routes and rates.

        What agrees already stays untouched, so that established connections live on.
        Raises `TemporaryError` when the segment is not there.
        """

    def unplug(self, instance: str, vnf: str, port: str) -> None:
        """Remove both ends of the wire and its shaping."""
