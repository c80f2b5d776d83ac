"""How a wire is found and made: a veth pair from the fabric into a VNF's namespace, and its shaping.

Rates are shaped in the fabric, out of the tenant's reach: what goes to the VNF where the
near end sends it, what comes from it on an ifb that it passes on its way in.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pyroute2.netlink.exceptions import NetlinkError

from worker.errors import PermanentError, TemporaryError
from worker.topology import LiveWire, Route, Wire, digest, fabric_port
from worker.wiring import marks, namespace
from worker.wiring.base import Counters
from worker.wiring.marks import Mark
from worker.wiring.netlink.kernel import Address, Link, Net, entered, marked
from worker.wiring.shaping import Bucket, bucket

#: How near ends and shapers are called (see `fabric_port`).
_NEAR, _PREFIXES = "w", ("w", "i")


@dataclass(frozen=True)
class Plug:
    """What one call of `plug` works with."""

    fabric: Net
    inside: Net
    netns: str
    instance: str
    wire: Wire
    mtu: int
    bridge: Link


class Wires:
    """The wires of one PoP."""

    def __init__(self, pop: str) -> None:
        self._pop = pop

    def instances(self, fabric: Net) -> frozenset[str]:
        links = fabric.links()
        return frozenset(mark.key[0] for kind in ("wire", "shaper") for _, mark in marked(links, self._pop, kind))

    def counters(self, fabric: Net) -> Iterator[Counters]:
        """What each wire carried. The kernel counts from the fabric's side: what the VNF sends is received there."""
        ends = {found.name: found for found in fabric.counted() if found.name[:1] in _PREFIXES}
        drops = fabric.dropped()
        for name, near in ends.items():
            if name.startswith(_NEAR):
                shaper = ends.get(_shaper_name(name))
                yield Counters(
                    name,
                    near.index,
                    in_bytes=near.tx_bytes,
                    in_packets=near.tx_packets,
                    in_errors=near.tx_errors,
                    in_drops=near.tx_dropped + drops.get(near.index, 0),
                    out_bytes=near.rx_bytes,
                    out_packets=near.rx_packets,
                    out_errors=near.rx_errors,
                    out_drops=near.rx_dropped + (drops.get(shaper.index, 0) if shaper else 0),
                )

    def live(self, fabric: Net, instance: str, namespaces: Mapping[str, str]) -> list[LiveWire]:
        """The instance's wires as the kernel tells them; shaping whose wire is gone is a wire half made."""
        links = {link.index: link for link in fabric.links()}
        buckets = fabric.buckets()
        wires = {mark.key[1:]: (link, mark) for link, mark in self._of(instance, links, "wire")}
        left = {mark.key[1:] for _, mark in self._of(instance, links, "shaper")} - set(wires)
        found = [LiveWire(vnf, port, None, None, up=False) for vnf, port in left]
        views = {vnf: _view(fabric, path) for vnf, path in _visited(wires, namespaces)}
        for (vnf, port), (near, mark) in wires.items():
            wire = LiveWire(vnf, port, self._segment_of(near, links), None, up=False)
            if vnf in views:
                wire = views[vnf].complete(wire, near, mark)
            found.append(_look_at_shaping(wire, fabric, near, links, buckets))
        return found

    def _of(self, instance: str, links: Mapping[int, Link], kind: str) -> Iterator[tuple[Link, Mark]]:
        found = marked(links.values(), self._pop, kind)
        return ((link, mark) for link, mark in found if mark.key[0] == instance)

    def _segment_of(self, near: Link, links: Mapping[int, Link]) -> str | None:
        """The segment whose bridge the near end is on."""
        bridge = links.get(near.master or 0)
        mark = marks.read(self._pop, bridge.altnames) if bridge else None
        return mark.key[0] if mark and mark.kind == "seg" else None

    def build(self, plug: Plug) -> None:
        """Make the wire or bring it to these settings."""
        wire, fabric, inside = plug.wire, plug.fabric, plug.inside
        whole = Mark("wire", (plug.instance, wire.vnf, wire.port), (wire.digest,))
        marks.write(self._pop, whole)
        found = _ends(plug)
        near, far = found or _make_ends(plug)
        fresh = found is None
        if marks.read(self._pop, near.altnames) != whole:
            near = fabric.mark(near, self._pop, whole.draft())
        fabric.set(near, mtu=plug.mtu, master=plug.bridge.index, up=True)
        fabric.limit(near, _bucket(wire.rate_in, plug.mtu), fresh=fresh)
        self._limit_outward(plug, near, fresh=fresh)
        inside.set(far, mtu=plug.mtu, mac=_mac(plug))
        inside.address(far, wire.addresses, fresh=fresh)
        inside.set(far, up=True)
        inside.route(far, wire.routes, fresh=fresh)
        fabric.mark(near, self._pop, whole)

    def remove(self, fabric: Net, instance: str, vnf: str, port: str) -> None:
        """Remove both ends and the shaping."""
        near = fabric_port(instance, vnf, port)
        for name in (near, _shaper_name(near)):
            if (link := fabric.link(name)) is not None:
                fabric.remove(link)

    def _limit_outward(self, plug: Plug, near: Link, *, fresh: bool) -> None:
        """Hold what comes out of the VNF to its rate: on its way into the fabric it passes an ifb with a queue."""
        name = _shaper_name(near.name)
        wanted = _bucket(plug.wire.rate_out, plug.mtu)
        if wanted is None:
            plug.fabric.redirect(near, None, fresh=fresh)
            if (left := plug.fabric.link(name)) is not None:
                plug.fabric.remove(left)
            return
        shaper = plug.fabric.ensure(name, kind="ifb")
        shaper = plug.fabric.mark(shaper, self._pop, Mark("shaper", (plug.instance, plug.wire.vnf, plug.wire.port)))
        plug.fabric.limit(shaper, wanted)
        plug.fabric.set(shaper, up=True)
        plug.fabric.redirect(near, shaper, fresh=fresh)


def _ends(plug: Plug) -> tuple[Link, Link] | None:
    """Both ends of the wire that is there. A near end without its far end in this namespace is removed."""
    near = plug.fabric.link(fabric_port(plug.instance, plug.wire.vnf, plug.wire.port))
    if near is None:
        return None
    far = plug.inside.link(plug.wire.port)
    if far is not None and _is_pair(plug.fabric, near, far, plug.netns):
        return near, far
    plug.fabric.remove(near)
    return None


def _is_pair(fabric: Net, near: Link, far: Link, netns: str) -> bool:
    return _are_joined(near, far) and fabric.knows_as(netns) == near.peer_namespace


def _are_joined(near: Link, far: Link) -> bool:
    return (near.peer, far.peer) == (far.index, near.index)


def _make_ends(plug: Plug) -> tuple[Link, Link]:
    name = fabric_port(plug.instance, plug.wire.vnf, plug.wire.port)
    peer = {"ifname": plug.wire.port, "net_ns_fd": plug.netns, "address": _mac(plug), "mtu": plug.mtu}
    try:
        plug.fabric.add(name, kind="veth", mtu=plug.mtu, master=plug.bridge.index, state="up", peer=peer)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        raise _taken(plug) from error
    return plug.fabric.need(name), plug.inside.need(plug.wire.port)


def _taken(plug: Plug) -> TemporaryError | PermanentError:
    """The far end's name is in use: by what is left of a fabric that is just going, or by the VNF itself."""
    occupant = plug.inside.link(plug.wire.port)
    if occupant is None or occupant.kind == "veth":
        return TemporaryError(f"port {plug.wire.port} of {plug.wire.vnf} is just being made or removed", delay=1)
    return PermanentError(
        f"VNF {plug.wire.vnf} has an interface {plug.wire.port} of its own ({occupant.kind}): name the port otherwise"
    )


def _mac(plug: Plug) -> str:
    """The wanted address, or one derived from the wire: neighbours need not learn a new one when it is made anew."""
    derived = digest(["mac", plug.instance, plug.wire.vnf, plug.wire.port])
    return plug.wire.mac or ":".join(("02", *(derived[i : i + 2] for i in range(0, 10, 2))))


def _bucket(rate: int | None, mtu: int) -> Bucket | None:
    return None if rate is None else bucket(rate, mtu)


def _visited(wires: Iterable[tuple[str, ...]], namespaces: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The namespaces in which a far end is expected; one whose process just ended is left out."""
    owners = {vnf for vnf, _ in wires}
    return ((vnf, path) for vnf, path in namespaces.items() if vnf in owners and namespace.exists(path))


@dataclass(frozen=True)
class _View:
    """What is in a VNF's namespace, all its ports at once; `number` is what the fabric knows it as."""

    number: int | None
    links: Mapping[str, Link]
    addresses: Mapping[int, Sequence[Address]]
    routes: Mapping[int, frozenset[Route]]

    def complete(self, wire: LiveWire, near: Link, mark: Mark) -> LiveWire:
        """The wire with what is found at its far end; unchanged when the far end is not in this namespace."""
        far = self.links.get(wire.port)
        if far is None or not _are_joined(near, far) or near.peer_namespace != self.number:
            return wire
        return replace(
            wire,
            digest=mark.digests[0] if mark.digests else None,
            up=near.up and far.up,
            mac=far.mac,
            mtu=min(near.mtu, far.mtu),
            addresses=frozenset(x.cidr for x in self.addresses.get(far.index, ()) if x.is_lasting),
            routes=self.routes.get(far.index, frozenset()),
        )


def _view(fabric: Net, netns: str) -> _View:
    with entered(netns) as inside:
        links = {link.name: link for link in inside.links()}
        return _View(fabric.knows_as(netns), links, inside.addresses(), inside.routes())


def _look_at_shaping(
    wire: LiveWire, fabric: Net, near: Link, links: Mapping[int, Link], buckets: Mapping[int, Bucket]
) -> LiveWire:
    name = _shaper_name(near.name)
    shaper = next((link for link in links.values() if link.name == name and link.up), None)
    outward = shaper is not None and shaper.index in buckets and fabric.redirects(near, shaper)
    return replace(wire, shaped_in=near.index in buckets, shaped_out=outward)


def _shaper_name(near: str) -> str:
    return "i" + near[1:]
