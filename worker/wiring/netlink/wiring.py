"""The wiring of one PoP: the fabric namespace, and who may change it when.

Every socket is opened for one call and closed after it. What it does not do: decide what
should be wired (`worker.plan`), or know a container.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyroute2.netns

from worker.errors import TemporaryError
from worker.topology import LiveSegment, LiveWire, Segment, Wire
from worker.wiring import namespace
from worker.wiring.base import Counters
from worker.wiring.netlink.kernel import entered, locked, translated
from worker.wiring.netlink.segments import Segments
from worker.wiring.netlink.wires import Plug, Wires

#: What keeps the fabric a plain switch: no host stack on its bridges, no netfilter on what they forward.
_SETTINGS = {
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}


class NetlinkWiring:
    """The wiring of one PoP, as `worker.wiring.base.Wiring` promises.

    `fabric` names the namespace of bridges, uplinks and near ends, which is made when first
    needed; `root` is name or path of the namespace that holds the PoP's NICs and underlay,
    None for the process's own.
    """

    def __init__(self, pop: str, fabric: str, root: str | None = None) -> None:
        self._fabric = namespace.path_of(fabric)
        root_path = "/proc/thread-self/ns/net" if root is None else namespace.path_of(root)
        self._segments = Segments(pop, self._fabric, root_path)
        self._wires = Wires(pop)

    # --- what is there ---

    def segments(self) -> tuple[LiveSegment, ...]:
        """Every segment of the fabric, sorted by id. No fabric, no segments."""
        if not namespace.exists(self._fabric):
            return ()
        with translated("list the segments"), entered(self._fabric) as fabric:
            found = self._segments.live(fabric)
        return tuple(sorted(found, key=lambda segment: segment.id))

    def wires(self, instance: str, namespaces: Mapping[str, str]) -> tuple[LiveWire, ...]:
        """The instance's wires, sorted by VNF and port. `namespaces` maps each running VNF to its namespace path."""
        if not namespace.exists(self._fabric):
            return ()
        with translated(f"list the wires of {instance}"), entered(self._fabric) as fabric:
            found = self._wires.live(fabric, instance, namespaces)
        return tuple(sorted(found, key=lambda wire: (wire.vnf, wire.port)))

    def instances(self) -> frozenset[str]:
        """Every instance that has a wire, or what is left of one, in the fabric."""
        if not namespace.exists(self._fabric):
            return frozenset()
        with translated("list the instances"), entered(self._fabric) as fabric:
            return self._wires.instances(fabric)

    def counters(self) -> tuple[Counters, ...]:
        """What all wires of the fabric carried, of one moment."""
        if not namespace.exists(self._fabric):
            return ()
        with translated("count what the wires carry"), entered(self._fabric) as fabric:
            return tuple(self._wires.counters(fabric))

    # --- segments ---

    def add_segment(self, segment: Segment) -> None:
        """Make the segment, or bring the one that is there to this MTU and uplink without cutting its wires.

        Raises `TemporaryError` when its uplink does not exist in the root namespace.
        """
        with translated(f"add segment {segment.id}"):
            self._ensure_fabric()
            with locked(self._fabric), entered(self._fabric) as fabric:
                self._segments.build(fabric, segment)

    def remove_segment(self, id: str) -> None:
        """Remove the segment with its uplink, unless a port is still attached: then it stays, which is success."""
        if not namespace.exists(self._fabric):
            return
        with translated(f"remove segment {id}"), locked(self._fabric), entered(self._fabric) as fabric:
            self._segments.remove(fabric, id)

    def _ensure_fabric(self) -> None:
        namespace.NAMED.mkdir(parents=True, exist_ok=True)
        with locked(str(namespace.NAMED)):
            if not namespace.exists(self._fabric):
                Path(self._fabric).unlink(missing_ok=True)
                pyroute2.netns.create(self._fabric)
        namespace.call(self._fabric, _settle)

    # --- wires ---

    def plug(self, instance: str, wire: Wire, netns: str, *, mtu: int) -> None:
        """Make the wire, or bring the one that is there to these addresses, routes and rates.

        What agrees already stays untouched, so that established connections live on.
        Raises `TemporaryError` when the segment is not there.
        """
        if not namespace.exists(self._fabric):
            raise TemporaryError(f"segment {wire.segment} is not there yet: the fabric namespace is missing", delay=1)
        with (
            translated(f"plug {wire.vnf}:{wire.port} of {instance}"),
            entered(self._fabric) as fabric,
            entered(netns) as inside,
        ):
            bridge = self._segments.bridge(fabric, wire.segment)
            self._wires.build(Plug(fabric, inside, netns, instance, wire, mtu, bridge))

    def unplug(self, instance: str, vnf: str, port: str) -> None:
        """Remove both ends of the wire and its shaping."""
        if not namespace.exists(self._fabric):
            return
        with translated(f"unplug {vnf}:{port} of {instance}"), entered(self._fabric) as fabric:
            self._wires.remove(fabric, instance, vnf, port)


def _settle() -> None:
    """Bring the fabric, in which this runs, to its settings."""
    for setting, value in _SETTINGS.items():
        path = Path("/proc/sys") / setting
        if path.exists():
            path.write_text(value)
    with entered("/proc/thread-self/ns/net") as fabric:
        fabric.set(fabric.need("lo"), up=True)
