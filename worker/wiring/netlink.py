"""The wiring in the Linux kernel, over netlink. The only importer of pyroute2.

Bridges, uplinks, the near ends of the wires and their shaping live in the fabric namespace,
which is made when first needed. Every socket is opened for one call and closed after it.
What it does not do: decide what should be wired (`worker.plan`), or know a container.

It needs a kernel of 5.18 or later, which lets an address say who put it there: what a VNF
adds to its ports by itself is left alone.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyroute2.netns
from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_DUMP_INTR
from pyroute2.netlink.exceptions import NetlinkError

from worker.errors import NaasError, PermanentError, TemporaryError
from worker.topology import LiveSegment, LiveWire, Nic, Route, Segment, Uplink, Vxlan, Wire, digest, fabric_port
from worker.wiring import marks, namespace
from worker.wiring.marks import Mark
from worker.wiring.shaping import Bucket, bucket

#: Who put an address or a route there, as `proto` in ip-address(8) and ip-route(8).
PROTOCOL = 78

_NO_DAD = 0x02
_PERMANENT = 0x80
_UP = 0x1
_ROOT_HANDLE = 0x10000
_ROOT_PARENT = 0xFFFFFFFF
_INGRESS = 0xFFFF0000
_EVERY_PROTOCOL = 3
_WITHOUT_STATISTICS = 1 << 3
_TRIES = 20
_ALL_REMOTES = "00:00:00:00:00:00"

#: Names of bridges and of the fabric side of wires.
_DERIVED = re.compile(r"[bw][0-9a-f]{14}")

#: Errors after which the same call may succeed: something came or went meanwhile, or the kernel is short of memory.
_PASSING = {
    errno.ENODEV,
    errno.ENOENT,
    errno.EAGAIN,
    errno.EINTR,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ENETDOWN,
    errno.ESRCH,
}

#: What keeps the fabric a plain switch: no host stack on its bridges, no netfilter on what they forward.
_FABRIC_SETTINGS = {
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}


class NetlinkWiring:
    """The wiring of one PoP, as `worker.wiring.base.Wiring` promises.

    `fabric` names the namespace of the bridges; `root` is name or path of the namespace that
    holds the PoP's NICs and underlay, None for the process's own.
    """

    def __init__(self, pop: str, fabric: str, root: str | None = None) -> None:
        self._pop = pop
        self._fabric = namespace.path_of(fabric)
        self._root = "/proc/thread-self/ns/net" if root is None else namespace.path_of(root)

    # --- what is there ---

    def segments(self) -> tuple[LiveSegment, ...]:
        """Every segment of the fabric, sorted by id. No fabric, no segments."""
        links = self._links()
        found = [self._live_segment(link, mark, links) for link, mark in self._marked(links, "seg")]
        return tuple(sorted(found, key=lambda segment: segment.id))

    def wires(self, instance: str, namespaces: Mapping[str, str]) -> tuple[LiveWire, ...]:
        """The instance's wires, sorted by VNF and port. `namespaces` maps each running VNF to its namespace path."""
        if not namespace.exists(self._fabric):
            return ()
        with _translated(f"list the wires of {instance}"), _entered(self._fabric) as fabric:
            found = self._live_wires(fabric, instance, namespaces)
        return tuple(sorted(found, key=lambda wire: (wire.vnf, wire.port)))

    def instances(self) -> frozenset[str]:
        """Every instance that has a wire, or what is left of one, in the fabric."""
        links = self._links()
        return frozenset(mark.key[0] for kind in ("wire", "shaper") for _, mark in self._marked(links, kind))

    # --- segments ---

    def add_segment(self, segment: Segment) -> None:
        """Make the segment, or bring the one that is there to this MTU and uplink without cutting its wires.

        Raises `TemporaryError` when its uplink does not exist in the root namespace.
        """
        with _translated(f"add segment {segment.id}"):
            self._ensure_fabric()
            with _locked(self._fabric), _entered(self._fabric) as fabric:
                self._build_segment(fabric, segment)

    def remove_segment(self, id: str) -> None:
        """Remove the segment with its uplink, unless a port is still attached: then it stays, which is success."""
        if not namespace.exists(self._fabric):
            return
        with _translated(f"remove segment {id}"), _locked(self._fabric), _entered(self._fabric) as fabric:
            for link in _going(fabric.links(), self._pop, id):
                fabric.remove(link)

    # --- wires ---

    def plug(self, instance: str, wire: Wire, netns: str, *, mtu: int) -> None:
        """Make the wire, or bring the one that is there to these addresses, routes and rates.

        What agrees already stays untouched, so that established connections live on.
        Raises `TemporaryError` when the segment is not there.
        """
        if not namespace.exists(self._fabric):
            raise TemporaryError(f"segment {wire.segment} is not there yet: the fabric namespace is missing", delay=1)
        with (
            _translated(f"plug {wire.vnf}:{wire.port} of {instance}"),
            _entered(self._fabric) as fabric,
            _entered(netns) as inside,
        ):
            self._build_wire(_Plug(fabric, inside, netns, instance, wire, mtu))

    def unplug(self, instance: str, vnf: str, port: str) -> None:
        """Remove both ends of the wire and its shaping."""
        if not namespace.exists(self._fabric):
            return
        near = fabric_port(instance, vnf, port)
        with _translated(f"unplug {vnf}:{port} of {instance}"), _entered(self._fabric) as fabric:
            for name in (near, _shaper_name(near)):
                if (link := fabric.link(name)) is not None:
                    fabric.remove(link)

    # --- how a segment is found and made ---

    def _links(self) -> dict[int, _Link]:
        """The fabric's interfaces by index."""
        if not namespace.exists(self._fabric):
            return {}
        with _translated("list the fabric"), _entered(self._fabric) as fabric:
            return {link.index: link for link in fabric.links()}

    def _marked(self, links: Mapping[int, _Link], kind: str) -> Iterator[tuple[_Link, Mark]]:
        for link in links.values():
            mark = marks.read(self._pop, link.altnames)
            if mark is not None and mark.kind == kind:
                yield link, mark

    def _live_segment(self, bridge: _Link, mark: Mark, links: Mapping[int, _Link]) -> LiveSegment:
        (id,) = mark.key
        ports = {link.name for link in links.values() if link.master == bridge.index and not _is_bare(link)}
        whole = bool(mark.digests) and bridge.up and self._has_uplink(bridge, mark, links)
        return LiveSegment(id, mark.digests[0] if whole else None, frozenset(ports - {_uplink_name(self._pop, id)}))

    def _has_uplink(self, bridge: _Link, segment: Mark, links: Mapping[int, _Link]) -> bool:
        """Whether the uplink that the bridge's mark speaks of (none: nothing to miss) is on it."""
        wanted = Mark("uplink", segment.key, segment.digests[1:])
        return not wanted.digests or any(
            link.master == bridge.index and link.up and mark == wanted for link, mark in self._marked(links, "uplink")
        )

    def _ensure_fabric(self) -> None:
        with _locked(str(_run_directory())):
            if not namespace.exists(self._fabric):
                Path(self._fabric).unlink(missing_ok=True)
                pyroute2.netns.create(self._fabric)
        namespace.call(self._fabric, _settle_fabric)

    def _build_segment(self, fabric: _Net, segment: Segment) -> None:
        whole = Mark("seg", (segment.id,), (segment.digest, *_uplink_digests(segment)))
        bridge = fabric.ensure(
            _bridge_name(self._pop, segment.id), kind="bridge", br_mcast_snooping=0, br_forward_delay=0
        )
        if marks.read(self._pop, bridge.altnames) != whole:
            bridge = fabric.mark(bridge, self._pop, whole.draft())
        fabric.set(bridge, mtu=segment.mtu)
        self._build_uplink(fabric, bridge, segment)
        fabric.set(bridge, up=True)
        fabric.mark(bridge, self._pop, whole)

    def _build_uplink(self, fabric: _Net, bridge: _Link, segment: Segment) -> None:
        name = _uplink_name(self._pop, segment.id)
        link = fabric.link(name)
        whole = Mark("uplink", (segment.id,), _uplink_digests(segment))
        if link is not None and (segment.uplink is None or marks.read(self._pop, link.altnames) != whole):
            fabric.remove(link)
            link = None
        if segment.uplink is None:
            return
        link = link or self._make_uplink(fabric, name, segment.uplink, segment.mtu)
        if isinstance(segment.uplink, Vxlan):
            fabric.flood(link, frozenset(segment.uplink.remotes))
        fabric.set(link, mtu=segment.mtu, master=bridge.index, up=True)
        fabric.mark(link, self._pop, whole)

    def _make_uplink(self, fabric: _Net, name: str, uplink: Uplink, mtu: int) -> _Link:
        """Made out of the root namespace, where its NIC or underlay is, straight into the fabric.

        There is no moment at which it could be left behind in the root namespace.
        """
        with _entered(self._root) as root:
            options = _nic_options(root, uplink, mtu) if isinstance(uplink, Nic) else _vxlan_options(uplink)
            try:
                root.add(name, **options, mtu=mtu, net_ns_fd=self._fabric)
            except NetlinkError as error:
                raise _unlinkable(uplink, error) from error
        return fabric.need(name)

    # --- how a wire is found and made ---

    def _live_wires(self, fabric: _Net, instance: str, namespaces: Mapping[str, str]) -> list[LiveWire]:
        links = {link.index: link for link in fabric.links()}
        buckets = fabric.buckets()
        wires = {mark.key[1:]: (link, mark) for link, mark in self._marked(links, "wire") if mark.key[0] == instance}
        left = {mark.key[1:] for _, mark in self._marked(links, "shaper") if mark.key[0] == instance} - set(wires)
        found = [LiveWire(vnf, port, None, None, up=False) for vnf, port in left]
        views = {vnf: _view(fabric, path) for vnf, path in _visited(wires, namespaces)}
        for (vnf, port), (near, mark) in wires.items():
            wire = LiveWire(vnf, port, self._segment_of(near, links), None, up=False)
            if vnf in views:
                wire = views[vnf].complete(wire, near, mark)
            found.append(_look_at_shaping(wire, fabric, near, links, buckets))
        return found

    def _segment_of(self, near: _Link, links: Mapping[int, _Link]) -> str | None:
        """The segment whose bridge the near end is on."""
        bridge = links.get(near.master or 0)
        mark = marks.read(self._pop, bridge.altnames) if bridge else None
        return mark.key[0] if mark and mark.kind == "seg" else None

    def _build_wire(self, plug: _Plug) -> None:
        wire, fabric, inside = plug.wire, plug.fabric, plug.inside
        bridge = self._segment_bridge(fabric, wire.segment)
        whole = Mark("wire", (plug.instance, wire.vnf, wire.port), (wire.digest,))
        marks.write(self._pop, whole)
        near, far = _ends(plug) or _make_ends(plug, bridge)
        if marks.read(self._pop, near.altnames) != whole:
            near = fabric.mark(near, self._pop, whole.draft())
        fabric.set(near, mtu=plug.mtu, master=bridge.index, up=True)
        fabric.limit(near, _bucket(wire.rate_in, plug.mtu))
        self._limit_outward(plug, near)
        inside.set(far, mtu=plug.mtu, mac=_mac(plug))
        inside.address(far, wire.addresses)
        inside.set(far, up=True)
        inside.route(far, wire.routes)
        fabric.mark(near, self._pop, whole)

    def _segment_bridge(self, fabric: _Net, segment: str) -> _Link:
        bridge = fabric.link(_bridge_name(self._pop, segment))
        if bridge is None or marks.read(self._pop, bridge.altnames) is None:
            raise TemporaryError(f"segment {segment} is not there yet", delay=1)
        return bridge

    def _limit_outward(self, plug: _Plug, near: _Link) -> None:
        """Hold what comes out of the VNF to its rate: on its way into the fabric it passes an ifb with a queue."""
        name = _shaper_name(near.name)
        wanted = _bucket(plug.wire.rate_out, plug.mtu)
        if wanted is None:
            plug.fabric.redirect(near, None)
            if (left := plug.fabric.link(name)) is not None:
                plug.fabric.remove(left)
            return
        shaper = plug.fabric.ensure(name, kind="ifb")
        shaper = plug.fabric.mark(shaper, self._pop, Mark("shaper", (plug.instance, plug.wire.vnf, plug.wire.port)))
        plug.fabric.limit(shaper, wanted)
        plug.fabric.set(shaper, up=True)
        plug.fabric.redirect(near, shaper)


# --- one segment ----------------------------------------------------------------------


def _going(links: Sequence[_Link], pop: str, segment: str) -> Iterator[_Link]:
    """What goes with the segment: nothing of it while a wire is on it; bridges that nobody can name, always."""
    bridge = next((link for link in links if link.name == _bridge_name(pop, segment)), None)
    uplink = [link for link in links if link.name == _uplink_name(pop, segment)]
    ports = [link for link in links if bridge and link.master == bridge.index and link not in uplink]
    if all(map(_is_bare, ports)):
        yield from (*uplink, *ports, *filter(None, [bridge]))
    yield from (link for link in links if link.kind == "bridge" and link != bridge and _is_bare(link))


def _is_bare(link: _Link) -> bool:
    """Whether a worker was killed between making this bridge or wire and marking it.

    Bridges are marked under the fabric's lock; wires are not, and who is just making one tries again.
    """
    return bool(_DERIVED.fullmatch(link.name)) and not link.altnames


# --- one wire -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plug:
    """What one call of `plug` works with."""

    fabric: _Net
    inside: _Net
    netns: str
    instance: str
    wire: Wire
    mtu: int


def _ends(plug: _Plug) -> tuple[_Link, _Link] | None:
    """Both ends of the wire that is there. A near end without its far end in this namespace is removed."""
    near = plug.fabric.link(fabric_port(plug.instance, plug.wire.vnf, plug.wire.port))
    if near is None:
        return None
    far = plug.inside.link(plug.wire.port)
    if far is not None and _is_pair(plug.fabric, near, far, plug.netns):
        return near, far
    plug.fabric.remove(near)
    return None


def _is_pair(fabric: _Net, near: _Link, far: _Link, netns: str) -> bool:
    return _are_joined(near, far) and fabric.knows_as(netns) == near.peer_namespace


def _are_joined(near: _Link, far: _Link) -> bool:
    return (near.peer, far.peer) == (far.index, near.index)


def _make_ends(plug: _Plug, bridge: _Link) -> tuple[_Link, _Link]:
    name = fabric_port(plug.instance, plug.wire.vnf, plug.wire.port)
    peer = {"ifname": plug.wire.port, "net_ns_fd": plug.netns, "address": _mac(plug), "mtu": plug.mtu}
    try:
        plug.fabric.add(name, kind="veth", mtu=plug.mtu, master=bridge.index, state="up", peer=peer)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        raise _taken(plug) from error
    return plug.fabric.need(name), plug.inside.need(plug.wire.port)


def _taken(plug: _Plug) -> TemporaryError | PermanentError:
    """The far end's name is in use: by what is left of a fabric that is just going, or by the VNF itself."""
    occupant = plug.inside.link(plug.wire.port)
    if occupant is None or occupant.kind == "veth":
        return TemporaryError(f"port {plug.wire.port} of {plug.wire.vnf} is just being made or removed", delay=1)
    return PermanentError(
        f"VNF {plug.wire.vnf} has an interface {plug.wire.port} of its own ({occupant.kind}): name the port otherwise"
    )


def _mac(plug: _Plug) -> str:
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
    links: Mapping[str, _Link]
    addresses: Mapping[int, Sequence[_Address]]
    routes: Mapping[int, frozenset[Route]]

    def complete(self, wire: LiveWire, near: _Link, mark: Mark) -> LiveWire:
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


def _view(fabric: _Net, netns: str) -> _View:
    with _entered(netns) as inside:
        links = {link.name: link for link in inside.links()}
        return _View(fabric.knows_as(netns), links, inside.addresses(), inside.routes())


def _look_at_shaping(
    wire: LiveWire, fabric: _Net, near: _Link, links: Mapping[int, _Link], buckets: Mapping[int, Bucket]
) -> LiveWire:
    name = _shaper_name(near.name)
    shaper = next((link for link in links.values() if link.name == name and link.up), None)
    outward = shaper is not None and shaper.index in buckets and fabric.redirects(near, shaper)
    return replace(wire, shaped_in=near.index in buckets, shaped_out=outward)


# --- names and options ----------------------------------------------------------------


def _bridge_name(pop: str, segment: str) -> str:
    return "b" + digest(["segment", pop, segment])[:14]


def _uplink_name(pop: str, segment: str) -> str:
    return "u" + digest(["segment", pop, segment])[:14]


def _shaper_name(near: str) -> str:
    return "i" + near[1:]


def _uplink_digests(segment: Segment) -> tuple[str, ...]:
    """What takes a new uplink when it changes; the remotes of a VXLAN come and go while it runs."""
    if segment.uplink is None:
        return ()
    covered = asdict(segment.uplink)
    covered.pop("remotes", None)
    return (digest(covered),)


def _nic_options(root: _Net, uplink: Nic, mtu: int) -> dict[str, Any]:
    """The NIC stays where it is and is set up; what goes to the fabric is an interface on top of it."""
    nic = root.link(uplink.name)
    if nic is None:
        raise TemporaryError(f"interface {uplink.name} is not in the PoP's root namespace")
    if nic.mtu < mtu:
        raise PermanentError(f"interface {uplink.name} has an MTU of {nic.mtu}, the segment needs {mtu}")
    root.set(nic, up=True)
    if uplink.vlan is not None:
        return {"kind": "vlan", "link": nic.index, "vlan_id": uplink.vlan}
    return {"kind": "macvlan", "link": nic.index, "macvlan_mode": "passthru"}


def _vxlan_options(uplink: Vxlan) -> dict[str, Any]:
    ends = [ipaddress.ip_address(end) for end in (*uplink.remotes, *filter(None, [uplink.local]))]
    versions = {end.version for end in ends}
    if len(versions) > 1:
        raise PermanentError(f"VXLAN {uplink.vni} mixes IPv4 and IPv6 ends: {', '.join(map(str, ends))}")
    options = {"kind": "vxlan", "vxlan_id": uplink.vni, "vxlan_port": uplink.port, "vxlan_learning": True}
    if versions == {6}:
        return options | {"vxlan_local6": uplink.local or "::"}
    return options if uplink.local is None else options | {"vxlan_local": uplink.local}


def _unlinkable(uplink: Uplink, error: NetlinkError) -> NaasError | NetlinkError:
    """Why the kernel does not make the uplink. What is in use may be so by a fabric that is just going."""
    match uplink, error.code:
        case Nic(vlan=int() as vlan), errno.EOPNOTSUPP:
            return PermanentError(f"this kernel has no VLAN interfaces (8021q): cannot reach {uplink.name} VLAN {vlan}")
        case Nic(), errno.EINVAL | errno.EBUSY | errno.EEXIST:
            return TemporaryError(f"interface {uplink.name} is in use by another segment", delay=2)
        case Vxlan(), errno.EEXIST:
            return TemporaryError(f"VXLAN {uplink.vni} on port {uplink.port} is in use by another segment", delay=2)
    return error


def _settle_fabric() -> None:
    for setting, value in _FABRIC_SETTINGS.items():
        path = Path("/proc/sys") / setting
        if path.exists():
            path.write_text(value)
    with _netlink(_open_socket()) as net:
        net.set(net.need("lo"), up=True)


def _run_directory() -> Path:
    """Where named namespaces are kept; made here when this is the first one of the host."""
    namespace.NAMED.mkdir(parents=True, exist_ok=True)
    return namespace.NAMED


# --- the kernel -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Link:
    """An interface. `peer` is the index of a veth's other end in the namespace that is known as `peer_namespace`."""

    index: int
    name: str
    kind: str | None
    up: bool
    mtu: int
    mac: str | None
    master: int | None
    peer: int | None
    peer_namespace: int | None
    altnames: frozenset[str]


@dataclass(frozen=True)
class _Address:
    """An address on an interface. `is_ours`: put there by this driver; `is_lasting`: neither link-local nor learned."""

    cidr: str
    is_ours: bool
    is_lasting: bool


class _Net:
    """The network stack of one namespace, in typed values. Making what is there is success."""

    def __init__(self, ip: IPRoute) -> None:
        self._ip = ip

    # --- interfaces ---

    def links(self) -> Sequence[_Link]:
        return [_link(message) for message in _dump(self._ip.get_links, ext_mask=_WITHOUT_STATISTICS)]

    def link(self, name: str) -> _Link | None:
        try:
            return _link(self._ip.link("get", ifname=name)[0])
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise

    def need(self, name: str) -> _Link:
        link = self.link(name)
        if link is None:
            raise TemporaryError(f"interface {name} vanished while it was worked on", delay=1)
        return link

    def add(self, name: str, **options: Any) -> None:
        self._ip.link("add", ifname=name, **options)

    def ensure(self, name: str, **options: Any) -> _Link:
        """The interface of this name, made if it is not there (and if nobody else is faster)."""
        found = self.link(name)
        if found is not None:
            return found
        with _allowing(errno.EEXIST):
            self.add(name, **options)
        return self.need(name)

    def remove(self, link: _Link) -> None:
        with _allowing(errno.ENODEV):
            self._ip.link("del", index=link.index)

    def set(
        self,
        link: _Link,
        *,
        mtu: int | None = None,
        mac: str | None = None,
        master: int | None = None,
        up: bool | None = None,
    ) -> None:
        """Bring these properties to these values; what agrees already is not touched."""
        changed: dict[str, Any] = {}
        if mtu is not None and link.mtu != mtu:
            changed["mtu"] = mtu
        if mac is not None and link.mac != mac:
            changed["address"] = mac
        if master is not None and link.master != master:
            changed["master"] = master
        if up and not link.up:
            changed["state"] = "up"
        if changed:
            self._ip.link("set", index=link.index, **changed)

    def mark(self, link: _Link, pop: str, mark: Mark) -> _Link:
        """Write the mark, then take away what this PoP had written on the interface before."""
        wanted = marks.write(pop, mark)
        if wanted not in link.altnames:
            with _allowing(errno.EEXIST):
                self._ip.link("property_add", index=link.index, altname=wanted)
        for altname in link.altnames:
            if altname != wanted and marks.read(pop, [altname]) is not None:
                with _allowing(errno.ENOENT, errno.ENODEV):
                    self._ip.link("property_del", index=link.index, altname=altname)
        return replace(link, altnames=frozenset({wanted}))

    def knows_as(self, netns: str) -> int | None:
        """By which number this namespace knows the one at `netns`; None when it never met it."""
        descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            number: int = self._ip.get_netnsid(fd=descriptor)["nsid"]
        finally:
            os.close(descriptor)
        return number

    def flood(self, vxlan: _Link, remotes: frozenset[str]) -> None:
        """Send what has no known receiver to exactly these remotes."""
        found = self._flooded(vxlan)
        for remote in sorted(remotes - found):
            with _allowing(errno.EEXIST):
                self._ip.fdb("append", ifindex=vxlan.index, lladdr=_ALL_REMOTES, dst=remote)
        for remote in sorted(found - remotes):
            with _allowing(errno.ENOENT):
                self._ip.fdb("del", ifindex=vxlan.index, lladdr=_ALL_REMOTES, dst=remote)

    def _flooded(self, vxlan: _Link) -> frozenset[str]:
        entries = [entry for entry in _dump(self._ip.fdb, "dump") if entry["ifindex"] == vxlan.index]
        flooded = [entry.get("NDA_DST") for entry in entries if entry.get("NDA_LLADDR") == _ALL_REMOTES]
        return frozenset(filter(None, flooded))

    # --- addresses and routes ---

    def addresses(self) -> dict[int, list[_Address]]:
        """All addresses, by the index of their interface."""
        found: dict[int, list[_Address]] = {}
        for message in _dump(self._ip.get_addr):
            found.setdefault(message["index"], []).append(_address(message))
        return found

    def address(self, link: _Link, wanted: Sequence[str]) -> None:
        """Add what is missing, remove what this driver put there and nobody wants any more."""
        cidrs = [str(ipaddress.ip_interface(cidr)) for cidr in wanted]
        ours = {address.cidr for address in self.addresses().get(link.index, ()) if address.is_ours}
        self._add_addresses(link, [cidr for cidr in cidrs if cidr not in ours])
        for cidr in ours - set(cidrs):
            with _allowing(errno.EADDRNOTAVAIL):
                self._ip.addr("del", index=link.index, **_split(cidr))
        if ours - set(cidrs):
            # Where secondary addresses are not promoted, the kernel takes them away with the first of their subnet.
            left = {address.cidr for address in self.addresses().get(link.index, ())}
            self._add_addresses(link, [cidr for cidr in cidrs if cidr not in left])

    def _add_addresses(self, link: _Link, cidrs: Sequence[str]) -> None:
        for cidr in cidrs:
            flags = {"flags": _NO_DAD} if ":" in cidr else {}
            self._ip.addr("replace", index=link.index, proto=PROTOCOL, **_split(cidr), **flags)

    def routes(self) -> dict[int, frozenset[Route]]:
        """The routes that this driver made, by the index of their interface.

        The kernel filters: a VNF may hold a million others.
        """
        found: dict[int, frozenset[Route]] = {}
        for family, everything in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - a route
            for message in _dump(self._ip.route, "dump", dump_filter=None, family=family, proto=PROTOCOL):
                via, index = message.get("RTA_GATEWAY"), message.get("RTA_OIF")
                if via is not None and index is not None:
                    route = Route(f"{message.get('RTA_DST') or everything}/{message['dst_len']}", via)
                    found[index] = found.get(index, frozenset()) | {route}
        return found

    def route(self, link: _Link, wanted: Sequence[Route]) -> None:
        """Add what is missing, remove what this driver put there and nobody wants any more."""
        routes = {_canonical(route) for route in wanted}
        found = self.routes().get(link.index, frozenset())
        for route in found - routes:
            with _allowing(errno.ESRCH):
                self._ip.route("del", dst=route.destination, gateway=route.via, oif=link.index, proto=PROTOCOL)
        for route in routes - found:
            self._ip.route("replace", dst=route.destination, gateway=route.via, oif=link.index, proto=PROTOCOL)

    # --- shaping ---

    def buckets(self, link: _Link | None = None) -> dict[int, Bucket]:
        """The token buckets of all interfaces, or of one, by interface index."""
        queues = _dump(self._ip.get_qdiscs, **({} if link is None else {"index": link.index}))
        return {
            queue["index"]: _bucket_of(queue)
            for queue in queues
            if queue["parent"] == _ROOT_PARENT and queue.get("TCA_KIND") == "tbf"
        }

    def limit(self, link: _Link, wanted: Bucket | None) -> None:
        """Hold what leaves by this interface to the bucket; None lifts the limit."""
        found = self.buckets(link).get(link.index)
        if wanted is None:
            if found is not None:
                with _allowing(errno.ENOENT, errno.EINVAL):
                    self._ip.tc("del", index=link.index, parent=_ROOT_PARENT, handle=_ROOT_HANDLE)
        elif found is None or (found.rate, found.limit) != (wanted.rate, wanted.limit):
            self._ip.tc("replace", "tbf", link.index, handle=_ROOT_HANDLE, **asdict(wanted))

    def redirects(self, link: _Link, target: _Link) -> bool:
        """Whether everything that arrives on the interface goes out by `target`."""
        return target.index in self._targets(link)

    def redirect(self, link: _Link, target: _Link | None) -> None:
        """Send all that arrives on the interface out by `target`; None lets it pass."""
        targets = self._targets(link)
        if target is not None and targets == [target.index]:
            return
        with _allowing(errno.ENOENT, errno.EINVAL):
            self._ip.tc("del", "ingress", link.index)
        if target is None:
            return
        with _allowing(errno.EEXIST):
            self._ip.tc("add", "ingress", link.index)
        self._ip.tc(
            "add-filter",
            "u32",
            link.index,
            parent=_INGRESS,
            protocol=_EVERY_PROTOCOL,
            prio=1,
            target=_ROOT_HANDLE + 1,
            keys=["0x0/0x0+0"],
            action={"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target.index},
        )

    def _targets(self, link: _Link) -> list[int]:
        return list(_redirected_to(_dump(self._ip.get_filters, index=link.index, parent=_INGRESS)))


def _dump(request: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> Sequence[Any]:
    """What the kernel lists, all of one moment: when something changed meanwhile it says so, and is asked again."""
    for _ in range(_TRIES):
        messages = tuple(request(*args, **kwargs))
        if not any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in messages):
            return messages
    raise TemporaryError("the kernel's network changes too fast to be listed", delay=1)


def _redirected_to(filters: Iterable[Any]) -> Iterator[int]:
    for message in filters:
        options = message.get("TCA_OPTIONS")
        actions = options.get("TCA_U32_ACT") if options else None
        for _, action in actions["attrs"] if actions else ():
            if action.get("TCA_ACT_KIND") == "mirred":
                yield action.get("TCA_ACT_OPTIONS").get("TCA_MIRRED_PARMS")["ifindex"]


def _link(message: Any) -> _Link:
    # An interface has forty attributes, which pyroute2 decodes when they are asked for and searches one by one.
    slots = {slot.name: slot for slot in message["attrs"]}

    def value(name: str) -> Any:
        return slots[name].value if name in slots else None

    info, properties = value("IFLA_LINKINFO"), value("IFLA_PROP_LIST")
    return _Link(
        index=message["index"],
        name=value("IFLA_IFNAME"),
        kind=info.get("IFLA_INFO_KIND") if info else None,
        up=bool(message["flags"] & _UP),
        mtu=value("IFLA_MTU"),
        mac=value("IFLA_ADDRESS"),
        master=value("IFLA_MASTER"),
        peer=value("IFLA_LINK"),
        peer_namespace=value("IFLA_LINK_NETNSID"),
        altnames=frozenset(name for _, name in properties["attrs"]) if properties else frozenset(),
    )


def _address(message: Any) -> _Address:
    value = ipaddress.ip_interface(f"{message.get('IFA_LOCAL') or message.get('IFA_ADDRESS')}/{message['prefixlen']}")
    lasting = bool((message.get("IFA_FLAGS") or message["flags"]) & _PERMANENT) and not value.is_link_local
    return _Address(str(value), message.get("IFA_PROTO") == PROTOCOL, lasting)


def _bucket_of(queue: Any) -> Bucket:
    parameters = queue.get("TCA_OPTIONS").get("TCA_TBF_PARMS")
    return Bucket(parameters["rate"], parameters["buffer"], parameters["limit"])


def _split(cidr: str) -> dict[str, Any]:
    address, _, length = cidr.partition("/")
    return {"address": address, "prefixlen": int(length)}


def _canonical(route: Route) -> Route:
    destination = ipaddress.ip_network(route.destination, strict=False)
    return Route(str(destination), str(ipaddress.ip_address(route.via)))


def _open_socket() -> int:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE).detach()


@contextmanager
def _netlink(descriptor: int) -> Iterator[_Net]:
    # strict_check lets the kernel filter what is dumped; no groups: nobody reads notifications here.
    with IPRoute(fileno=descriptor, groups=0, strict_check=True) as ip:
        yield _Net(ip)


@contextmanager
def _entered(path: str) -> Iterator[_Net]:
    with _netlink(namespace.call(path, _open_socket)) as net:
        yield net


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """One process at a time, for as long as it lives."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _allowing(*codes: int) -> Iterator[None]:
    """Someone else was faster, or it is gone already: both are what was wanted."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


@contextmanager
def _translated(attempt: str) -> Iterator[None]:
    """Kernel errors in the platform's words."""
    try:
        yield
    except NetlinkError as error:
        reason = os.strerror(error.code)
        if error.code in _PASSING:
            raise TemporaryError(f"cannot {attempt}: {reason}", delay=1) from error
        if error.code == errno.EOPNOTSUPP:
            reason = f"this kernel cannot do it ({reason})"
        raise PermanentError(f"cannot {attempt}: {reason}") from error
    except FileNotFoundError as error:
        raise TemporaryError(f"cannot {attempt}: {error.filename} is gone", delay=1) from error
    except ValueError as error:
        raise PermanentError(f"cannot {attempt}: {error}") from error
