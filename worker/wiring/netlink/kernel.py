"""The kernel's network stack over netlink, in typed values: one `Net` per namespace, open for one call.

It knows how a thing is asked for and told, not which things there should be.

Kernels since 5.18 let an address say who put it there; on older ones an address that a
wire no longer wants stays.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_DUMP_INTR
from pyroute2.netlink.exceptions import NetlinkError

from worker.errors import PermanentError, TemporaryError
from worker.topology import Route
from worker.wiring import marks, namespace
from worker.wiring.marks import Mark
from worker.wiring.netlink import listing
from worker.wiring.shaping import Bucket

#: Who put an address or a route there, as `proto` in ip-address(8) and ip-route(8).
PROTOCOL = 78

_SOL_NETLINK, _STRICT_CHECK = 270, 12
_NO_DAD = 0x02
_PERMANENT = 0x80
_UP = 0x1
_ROOT_HANDLE = 0x10000
_ROOT_PARENT = 0xFFFFFFFF
_INGRESS = 0xFFFF0000
_EVERY_PROTOCOL = 3
_TRIES = 20
_ALL_REMOTES = "00:00:00:00:00:00"

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


T = TypeVar("T")


@dataclass(frozen=True)
class Link:
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
class Address:
    """An address on an interface. `is_ours`: put there by this driver; `is_lasting`: neither link-local nor learned."""

    cidr: str
    is_ours: bool
    is_lasting: bool


def marked(links: Iterable[Link], pop: str, kind: str) -> Iterator[tuple[Link, Mark]]:
    """The interfaces that carry a mark of this kind of this PoP."""
    for link in links:
        mark = marks.read(pop, link.altnames)
        if mark is not None and mark.kind == kind:
            yield link, mark


class Net:
    """The network stack of one namespace, in typed values. Making what is there is success.

    `line` is for listing; what pyroute2 does goes over `spare`, which it takes over when it is first needed:
    a look at a fabric alone does without its event loop.
    """

    def __init__(self, line: socket.socket, spare: socket.socket) -> None:
        self._line = line
        self._spare = spare

    @cached_property
    def _ip(self) -> IPRoute:
        # strict_check lets the kernel filter what is dumped; no groups: nobody reads notifications here.
        return IPRoute(fileno=self._spare.detach(), groups=0, strict_check=True)

    def close(self) -> None:
        if "_ip" in self.__dict__:
            self._ip.close()
        self._spare.close()
        self._line.close()

    # --- interfaces ---

    def links(self) -> Sequence[Link]:
        return [_listed(entry) for entry in self._listing(listing.interfaces)]

    def counted(self) -> Sequence[listing.Counted]:
        """What passed each interface."""
        return self._listing(listing.counted)

    def dropped(self) -> dict[int, int]:
        """What the queues of each interface dropped."""
        drops: dict[int, int] = {}
        for index, count in self._listing(listing.dropped):
            drops[index] = drops.get(index, 0) + count
        return drops

    def _listing(self, ask: Callable[[socket.socket], list[T]]) -> list[T]:
        """The list, asked for again when something changed while the kernel gave it."""
        for _ in range(_TRIES):
            try:
                return ask(self._line)
            except listing.Torn:
                continue
        raise TemporaryError("the kernel's network changes too fast to be listed", delay=1)

    def link(self, name: str) -> Link | None:
        try:
            return _listed(listing.interface(self._line, name))
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise

    def need(self, name: str) -> Link:
        link = self.link(name)
        if link is None:
            raise TemporaryError(f"interface {name} vanished while it was worked on", delay=1)
        return link

    def add(self, name: str, **options: Any) -> None:
        self._ip.link("add", ifname=name, **options)

    def ensure(self, name: str, **options: Any) -> Link:
        """The interface of this name, made if it is not there (and if nobody else is faster)."""
        if (found := self.link(name)) is not None:
            return found
        with allowing(errno.EEXIST):
            self.add(name, **options)
        return self.need(name)

    def remove(self, link: Link) -> None:
        with allowing(errno.ENODEV):
            self._ip.link("del", index=link.index)

    def set(
        self,
        link: Link,
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

    def mark(self, link: Link, pop: str, mark: Mark) -> Link:
        """Write the mark, then take away what this PoP had written on the interface before."""
        wanted = marks.write(pop, mark)
        if wanted not in link.altnames:
            with allowing(errno.EEXIST):
                self._ip.link("property_add", index=link.index, altname=wanted)
        for altname in link.altnames:
            if altname != wanted and marks.read(pop, [altname]) is not None:
                with allowing(errno.ENOENT, errno.ENODEV):
                    self._ip.link("property_del", index=link.index, altname=altname)
        return replace(link, altnames=frozenset({wanted}))

    def knows_as(self, netns: str) -> int | None:
        """By which number this namespace knows the one at `netns`; None when it never met it."""
        descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return listing.namespace_number(self._line, descriptor)
        finally:
            os.close(descriptor)

    def flood(self, vxlan: Link, remotes: frozenset[str]) -> None:
        """Send what has no known receiver to exactly these remotes."""
        found = self._flooded(vxlan)
        for remote in sorted(remotes - found):
            with allowing(errno.EEXIST):
                self._ip.fdb("append", ifindex=vxlan.index, lladdr=_ALL_REMOTES, dst=remote)
        for remote in sorted(found - remotes):
            with allowing(errno.ENOENT):
                self._ip.fdb("del", ifindex=vxlan.index, lladdr=_ALL_REMOTES, dst=remote)

    def _flooded(self, vxlan: Link) -> frozenset[str]:
        entries = [entry for entry in _dump(self._ip.fdb, "dump") if entry["ifindex"] == vxlan.index]
        flooded = [entry.get("NDA_DST") for entry in entries if entry.get("NDA_LLADDR") == _ALL_REMOTES]
        return frozenset(filter(None, flooded))

    # --- addresses and routes ---

    def addresses(self) -> dict[int, list[Address]]:
        """All addresses, by the index of their interface."""
        found: dict[int, list[Address]] = {}
        for located in self._listing(listing.addresses):
            found.setdefault(located.index, []).append(_address(located))
        return found

    def address(self, link: Link, wanted: Sequence[str], *, fresh: bool = False) -> None:
        """Add what is missing, remove what this driver put there and nobody wants any more.

        On a `fresh` interface, here and below, there is nothing yet to be looked for.
        """
        cidrs = [str(ipaddress.ip_interface(cidr)) for cidr in wanted]
        if fresh:
            self._add_addresses(link, cidrs)
            return
        ours = {address.cidr for address in self.addresses().get(link.index, ()) if address.is_ours}
        self._add_addresses(link, [cidr for cidr in cidrs if cidr not in ours])
        for cidr in ours - set(cidrs):
            with allowing(errno.EADDRNOTAVAIL):
                self._ip.addr("del", index=link.index, **_split(cidr))
        if ours - set(cidrs):
            # Where secondary addresses are not promoted, the kernel takes them away with the first of their subnet.
            left = {address.cidr for address in self.addresses().get(link.index, ())}
            self._add_addresses(link, [cidr for cidr in cidrs if cidr not in left])

    def _add_addresses(self, link: Link, cidrs: Sequence[str]) -> None:
        for cidr in cidrs:
            flags = {"flags": _NO_DAD} if ":" in cidr else {}
            self._ip.addr("replace", index=link.index, proto=PROTOCOL, **_split(cidr), **flags)

    def routes(self) -> dict[int, frozenset[Route]]:
        """The routes that this driver made, by the index of their interface.

        The kernel filters: a VNF may hold a million others.
        """
        found: dict[int, frozenset[Route]] = {}
        for hop in self._listing(lambda line: listing.hops(line, PROTOCOL)):
            found[hop.index] = found.get(hop.index, frozenset()) | {Route(hop.destination, hop.gateway)}
        return found

    def route(self, link: Link, wanted: Sequence[Route], *, fresh: bool = False) -> None:
        """Add what is missing, remove what this driver put there and nobody wants any more."""
        routes = {_canonical(route) for route in wanted}
        found = frozenset() if fresh else self.routes().get(link.index, frozenset())
        for route in found - routes:
            with allowing(errno.ESRCH):
                self._ip.route("del", dst=route.destination, gateway=route.via, oif=link.index, proto=PROTOCOL)
        for route in routes - found:
            self._ip.route("replace", dst=route.destination, gateway=route.via, oif=link.index, proto=PROTOCOL)

    # --- shaping ---

    def buckets(self) -> dict[int, Bucket]:
        """The token buckets of all interfaces, by interface index."""
        return {
            queue.index: Bucket(queue.rate, queue.buffer, queue.limit)
            for queue in self._listing(listing.token_buckets)
            if queue.parent == _ROOT_PARENT
        }

    def limit(self, link: Link, wanted: Bucket | None, *, fresh: bool = False) -> None:
        """Hold what leaves by this interface to the bucket; None lifts the limit."""
        found = None if fresh else self.buckets().get(link.index)
        if wanted is None:
            if found is not None:
                with allowing(errno.ENOENT, errno.EINVAL):
                    self._ip.tc("del", index=link.index, parent=_ROOT_PARENT, handle=_ROOT_HANDLE)
        elif found is None or (found.rate, found.limit) != (wanted.rate, wanted.limit):
            self._ip.tc("replace", "tbf", link.index, handle=_ROOT_HANDLE, **asdict(wanted))

    def redirects(self, link: Link, target: Link) -> bool:
        """Whether everything that arrives on the interface goes out by `target`."""
        return target.index in self._targets(link)

    def redirect(self, link: Link, target: Link | None, *, fresh: bool = False) -> None:
        """Send all that arrives on the interface out by `target`; None lets it pass."""
        if not fresh:
            if target is not None and self._targets(link) == [target.index]:
                return
            with allowing(errno.ENOENT, errno.EINVAL):
                self._ip.tc("del", "ingress", link.index)
        if target is None:
            return
        with allowing(errno.EEXIST):
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

    def _targets(self, link: Link) -> list[int]:
        return self._listing(lambda line: listing.redirections(line, link.index, _INGRESS))


def _dump(request: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> Sequence[Any]:
    """What the kernel lists, all of one moment: when something changed meanwhile it says so, and is asked again."""
    for _ in range(_TRIES):
        messages = tuple(request(*args, **kwargs))
        if not any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in messages):
            return messages
    raise TemporaryError("the kernel's network changes too fast to be listed", delay=1)


def _address(found: listing.Located) -> Address:
    is_link_local = ipaddress.ip_interface(found.cidr).is_link_local
    return Address(found.cidr, found.protocol == PROTOCOL, bool(found.flags & _PERMANENT) and not is_link_local)


def _split(cidr: str) -> dict[str, Any]:
    address, _, length = cidr.partition("/")
    return {"address": address, "prefixlen": int(length)}


def _canonical(route: Route) -> Route:
    destination = ipaddress.ip_network(route.destination, strict=False)
    return Route(str(destination), str(ipaddress.ip_address(route.via)))


def _listed(entry: listing.Entry) -> Link:
    return Link(
        entry.index, entry.name, entry.kind, entry.up, entry.mtu, entry.mac, entry.master, entry.link, entry.netnsid,
        entry.altnames,
    )  # fmt: skip


def _sockets() -> tuple[socket.socket, socket.socket]:
    """One for listing, one for pyroute2."""
    return _socket(), _socket()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    # The kernel then filters what is listed.
    made.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
    return made


@contextmanager
def entered(path: str) -> Iterator[Net]:
    with closing(Net(*namespace.call(path, _sockets))) as net:
        yield net


@contextmanager
def locked(path: str) -> Iterator[None]:
    """One process at a time, for as long as it lives."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def allowing(*codes: int) -> Iterator[None]:
    """Someone else was faster, or it is gone already: both are what was wanted."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


@contextmanager
def translated(attempt: str) -> Iterator[None]:
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
