"""What the PoP needs from the kernel's network stack.

Segments and the fabric side of every wire live in the PoP's fabric namespace, which is
made when first needed. Every method is idempotent. Ownership is an altname on each
interface, written last; an interface without a mark of this PoP is never touched, except
to finish one of the derived name that was left half made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from worker.topology import LiveSegment, LiveWire, Segment, Wire


class Wiring(Protocol):
    def segments(self) -> tuple[LiveSegment, ...]:
        """Every segment of the fabric, sorted by id. No fabric, no segments."""

    def wires(self, instance: str, namespaces: Mapping[str, str]) -> tuple[LiveWire, ...]:
        """The instance's wires, sorted by VNF and port. `namespaces` maps each running VNF to its namespace path."""

    def instances(self) -> frozenset[str]:
        """Every instance that has a wire in the fabric."""

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
