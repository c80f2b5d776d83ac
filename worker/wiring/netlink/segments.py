"""How a segment is found and made: a bridge in the fabric, and its uplink to the world outside."""

from __future__ import annotations

import errno
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from worker.errors import NaasError, PermanentError, TemporaryError
from worker.topology import LiveSegment, Nic, Segment, Uplink, Vxlan, digest
from worker.wiring import marks
from worker.wiring.marks import Mark
from worker.wiring.netlink.kernel import Link, Net, entered, marked

#: Names of bridges and of the fabric side of wires.
_DERIVED = re.compile(r"[bw][0-9a-f]{14}")


class Segments:
    """The segments of one PoP, in the fabric at path `fabric`; NICs and underlay are in the namespace at `root`."""

    def __init__(self, pop: str, fabric: str, root: str) -> None:
        self._pop = pop
        self._fabric = fabric
        self._root = root

    def live(self, fabric: Net) -> list[LiveSegment]:
        """The segments as the kernel tells them."""
        links = {link.index: link for link in fabric.links()}
        return [self._live(link, mark, links) for link, mark in marked(links.values(), self._pop, "seg")]

    def bridge(self, fabric: Net, segment: str) -> Link:
        """The segment's bridge. Raises `TemporaryError` when it is not there."""
        bridge = fabric.link(self._bridge_name(segment))
        if bridge is None or marks.read(self._pop, bridge.altnames) is None:
            raise TemporaryError(f"segment {segment} is not there yet", delay=1)
        return bridge

    def build(self, fabric: Net, segment: Segment) -> None:
        """Make the segment or bring it to these settings. The caller holds the fabric's lock."""
        whole = Mark("seg", (segment.id,), (segment.digest, *_uplink_digests(segment)))
        bridge = fabric.ensure(self._bridge_name(segment.id), kind="bridge", br_mcast_snooping=0, br_forward_delay=0)
        if marks.read(self._pop, bridge.altnames) != whole:
            bridge = fabric.mark(bridge, self._pop, whole.draft())
        fabric.set(bridge, mtu=segment.mtu)
        self._build_uplink(fabric, bridge, segment)
        fabric.set(bridge, up=True)
        fabric.mark(bridge, self._pop, whole)

    def remove(self, fabric: Net, segment: str) -> None:
        """Remove the segment unless a wire is on it. The caller holds the fabric's lock."""
        for link in self._going(fabric.links(), segment):
            fabric.remove(link)

    # --- finding ---

    def _live(self, bridge: Link, mark: Mark, links: Mapping[int, Link]) -> LiveSegment:
        (id,) = mark.key
        ports = {link.name for link in links.values() if link.master == bridge.index and not _is_bare(link)}
        whole = bool(mark.digests) and bridge.up and self._has_uplink(bridge, mark, links)
        return LiveSegment(id, mark.digests[0] if whole else None, frozenset(ports - {self._uplink_name(id)}))

    def _has_uplink(self, bridge: Link, segment: Mark, links: Mapping[int, Link]) -> bool:
        """Whether the uplink that the bridge's mark speaks of (none: nothing to miss) is on it."""
        wanted = Mark("uplink", segment.key, segment.digests[1:])
        uplinks = marked(links.values(), self._pop, "uplink")
        return not wanted.digests or any(
            link.master == bridge.index and link.up and mark == wanted for link, mark in uplinks
        )

    def _going(self, links: Sequence[Link], segment: str) -> Iterator[Link]:
        """What goes with the segment: nothing of it while a wire is on it; bridges that nobody can name, always."""
        bridge = next((link for link in links if link.name == self._bridge_name(segment)), None)
        uplink = [link for link in links if link.name == self._uplink_name(segment)]
        ports = [link for link in links if bridge and link.master == bridge.index and link not in uplink]
        if all(map(_is_bare, ports)):
            yield from (*uplink, *ports, *filter(None, [bridge]))
        yield from (link for link in links if link.kind == "bridge" and link != bridge and _is_bare(link))

    # --- the uplink ---

    def _build_uplink(self, fabric: Net, bridge: Link, segment: Segment) -> None:
        name = self._uplink_name(segment.id)
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

    def _make_uplink(self, fabric: Net, name: str, uplink: Uplink, mtu: int) -> Link:
        """Made out of the root namespace, where its NIC or underlay is, straight into the fabric.

        There is no moment at which it could be left behind in the root namespace.
        """
        with entered(self._root) as root:
            options = _nic_options(root, uplink, mtu) if isinstance(uplink, Nic) else _vxlan_options(uplink)
            try:
                root.add(name, **options, mtu=mtu, net_ns_fd=self._fabric)
            except NetlinkError as error:
                raise _unlinkable(uplink, error) from error
        return fabric.need(name)

    # --- names ---

    def _bridge_name(self, segment: str) -> str:
        return "b" + digest(["segment", self._pop, segment])[:14]

    def _uplink_name(self, segment: str) -> str:
        return "u" + digest(["segment", self._pop, segment])[:14]


def _is_bare(link: Link) -> bool:
    """Whether a worker was killed between making this bridge or wire and marking it.

    Bridges are marked under the fabric's lock; wires are not, and who is just making one tries again.
    """
    return bool(_DERIVED.fullmatch(link.name)) and not link.altnames


def _uplink_digests(segment: Segment) -> tuple[str, ...]:
    """What takes a new uplink when it changes; the remotes of a VXLAN come and go while it runs."""
    if segment.uplink is None:
        return ()
    covered = asdict(segment.uplink)
    covered.pop("remotes", None)
    return (digest(covered),)


def _nic_options(root: Net, uplink: Nic, mtu: int) -> dict[str, Any]:
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
