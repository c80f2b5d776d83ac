"""Looks at interfaces, addresses, routes and queues, reading the kernel's answer itself (rtnetlink(7), if_link.h).

pyroute2 turns each of an interface's fifty attributes into an object: 60 interfaces take it
11 ms, this 1.3 ms. Every look at an instance lists the whole fabric, so that at twenty
instances it was most of what the PoP's processor did. Whatever changes something stays with pyroute2.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pyroute2.netlink.exceptions import NetlinkError

_GETLINK, _GETADDR, _GETROUTE, _GETQDISC, _GETTFILTER, _GETNSID = 18, 22, 26, 38, 46, 90
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x301  # NLM_F_REQUEST, with NLM_F_DUMP
_INTERRUPTED = 0x10
_WITHOUT_STATISTICS = 1 << 3
_NESTED = 0x3FFF
_MESSAGE = 2**18

_ADDRESS, _NAME, _MTU, _LINK, _MASTER, _INFO, _STATISTICS, _EXT_MASK, _NETNSID, _PROPERTIES, _ALTNAME = (
    1, 3, 4, 5, 10, 18, 23, 29, 37, 52, 53,
)  # fmt: skip
_INFO_KIND = 1
_TC_KIND, _TC_OPTIONS, _TC_STATISTICS, _TBF_PARAMETERS = 1, 2, 3, 1
_U32_ACTIONS, _ACTION_KIND, _ACTION_OPTIONS, _MIRRED_PARAMETERS = 7, 1, 2, 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _IFA_PROTOCOL = 1, 2, 8, 11
_RTA_DESTINATION, _RTA_LINK, _RTA_GATEWAY = 1, 4, 5
_NETNS_NUMBER, _NETNS_DESCRIPTOR = 1, 3

_HEADER = struct.Struct("IHHII")
_INTERFACE = struct.Struct("BxHiII")
_TRAFFIC_CONTROL = struct.Struct("BxxxiIII")
#: struct tc_tbf_qopt (linux/pkt_sched.h) up to its buffer, of the two rates the first one's bytes per second.
_TBF = struct.Struct("8xI12xII")
#: struct tc_mirred (linux/tc_act/tc_mirred.h): five numbers of every action, what it does, the interface.
_MIRRED = struct.Struct("24xI")
#: struct rtnl_link_stats64 (linux/if_link.h) up to tx_dropped.
_LINK_STATISTICS = struct.Struct("8Q")
#: struct tc_stats (linux/pkt_sched.h): bytes, packets, drops.
_QUEUE_STATISTICS = struct.Struct("QII")
_ADDRESS_HEADER = struct.Struct("BBBBI")
_ROUTE_HEADER = struct.Struct("BBBBBBBBI")
_ATTRIBUTE = struct.Struct("HH")
_NUMBER = struct.Struct("I")


@dataclass(frozen=True)
class Entry:
    """An interface as the kernel lists it; numbers it does not give are None."""

    index: int
    name: str
    up: bool
    mtu: int
    mac: str | None
    kind: str | None
    master: int | None
    link: int | None
    netnsid: int | None
    altnames: frozenset[str]


@dataclass(frozen=True)
class Queue:
    """A token bucket filter, in the kernel's numbers: bytes per second, bytes, ticks."""

    index: int
    parent: int
    rate: int
    limit: int
    buffer: int


@dataclass(frozen=True)
class Counted:
    """What passed an interface since it was made."""

    index: int
    name: str
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


@dataclass(frozen=True)
class Located:
    """An address of an interface; `protocol` says who put it there (0: nobody said)."""

    index: int
    cidr: str
    flags: int
    protocol: int


@dataclass(frozen=True)
class Hop:
    """A route by way of a gateway on an interface."""

    index: int
    destination: str
    gateway: str


class Torn(Exception):
    """Something changed while the kernel listed."""


def interfaces(line: socket.socket) -> list[Entry]:
    """All of them, of one moment. `line` is a netlink socket of the namespace. Raises `Torn`, `NetlinkError`."""
    body = _INTERFACE.pack(0, 0, 0, 0, 0) + _ATTRIBUTE.pack(8, _EXT_MASK) + _NUMBER.pack(_WITHOUT_STATISTICS)
    return [_entry(*place) for place in _dumped(line, _GETLINK, body)]


def interface(line: socket.socket, name: str) -> Entry:
    """The one of this name. Raises `NetlinkError`, ENODEV when there is none."""
    body = _INTERFACE.pack(0, 0, 0, 0, 0) + _text_attribute(_NAME, name)
    body += _ATTRIBUTE.pack(8, _EXT_MASK) + _NUMBER.pack(_WITHOUT_STATISTICS)
    return _entry(*_answered(line, _GETLINK, body))


def counted(line: socket.socket) -> list[Counted]:
    """What passed each of them, of one moment. Raises `Torn`, `NetlinkError`."""
    return [found for place in _dumped(line, _GETLINK, _INTERFACE.pack(0, 0, 0, 0, 0)) if (found := _count(*place))]


def dropped(line: socket.socket) -> list[tuple[int, int]]:
    """By interface, what its queues dropped, of one moment. Raises `Torn`, `NetlinkError`."""
    return [_drops(*place) for place in _dumped(line, _GETQDISC, _TRAFFIC_CONTROL.pack(0, 0, 0, 0, 0))]


def namespace_number(line: socket.socket, descriptor: int) -> int | None:
    """By which number the namespace of `line` knows the one that is open as `descriptor`; None when it never met it."""
    body = struct.pack("B3x", 0) + _ATTRIBUTE.pack(8, _NETNS_DESCRIPTOR) + _NUMBER.pack(descriptor)
    data, start, end = _answered(line, _GETNSID, body)
    at, _ = _attributes(data, start + 4, end)[_NETNS_NUMBER]
    number: int = struct.unpack_from("i", data, at)[0]
    return None if number < 0 else number


def addresses(line: socket.socket) -> list[Located]:
    """All of them, of one moment. Raises `Torn`, `NetlinkError`."""
    return [_located(*place) for place in _dumped(line, _GETADDR, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0))]


def hops(line: socket.socket, protocol: int) -> list[Hop]:
    """The routes of this protocol that lead to a gateway, of one moment each family. Raises `Torn`, `NetlinkError`.

    The kernel filters (the socket must be strict): there may be a million others.
    """
    bodies = (_ROUTE_HEADER.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0) for family in (socket.AF_INET, socket.AF_INET6))
    return [hop for body in bodies for place in _dumped(line, _GETROUTE, body) if (hop := _hop(*place)) is not None]


def redirections(line: socket.socket, index: int, parent: int) -> list[int]:
    """The interfaces to which filters of this one pass what arrives. Raises `Torn`, `NetlinkError`."""
    body = _TRAFFIC_CONTROL.pack(0, index, 0, parent, 0)
    return [target for place in _dumped(line, _GETTFILTER, body) for target in _targets(*place)]


def token_buckets(line: socket.socket) -> list[Queue]:
    """All token bucket filters, of one moment. Raises `Torn`, `NetlinkError`."""
    body = _TRAFFIC_CONTROL.pack(0, 0, 0, 0, 0)
    return [queue for place in _dumped(line, _GETQDISC, body) if (queue := _queue(*place)) is not None]


def _answered(line: socket.socket, request: int, body: bytes) -> tuple[bytes, int, int]:
    """Where in what was received the one answer lies. Raises `NetlinkError`."""
    line.send(_HEADER.pack(_HEADER.size + len(body), request, _REQUEST, 1, 0) + body)
    data, _, start, end = next(_messages(line))
    return data, start, end


def _dumped(line: socket.socket, request: int, body: bytes) -> list[tuple[bytes, int, int]]:
    line.send(_HEADER.pack(_HEADER.size + len(body), request, _DUMP, 1, 0) + body)
    found, torn = [], False
    for data, flags, start, end in _messages(line):
        torn = torn or bool(flags & _INTERRUPTED)
        found.append((data, start, end))
    # Read to its end first, so that the next list does not begin with the rest of this one.
    if torn:
        raise Torn
    return found


def _messages(line: socket.socket) -> Iterator[tuple[bytes, int, int, int]]:
    """What was received with the flags of each message, and its place in it, without its header."""
    while True:
        data = line.recv(_MESSAGE)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (code,) = struct.unpack_from("i", data, at + _HEADER.size)
                raise NetlinkError(-code)
            yield data, flags, at + _HEADER.size, at + length
            at += _aligned(length)


def _entry(data: bytes, start: int, end: int) -> Entry:
    _, _, index, flags, _ = _INTERFACE.unpack_from(data, start)
    found = _attributes(data, start + _INTERFACE.size, end)

    def number(kind: int) -> int | None:
        return int(_NUMBER.unpack_from(data, found[kind][0])[0]) if kind in found else None

    info = _attributes(data, *found[_INFO]) if _INFO in found else {}
    return Entry(
        index=index,
        name=_text(data, *found[_NAME]),
        up=bool(flags & 1),
        mtu=number(_MTU) or 0,
        mac=data[slice(*found[_ADDRESS])].hex(":") if _ADDRESS in found else None,
        kind=_text(data, *info[_INFO_KIND]) if _INFO_KIND in info else None,
        master=number(_MASTER),
        link=number(_LINK),
        netnsid=number(_NETNSID),
        altnames=frozenset(_altnames(data, *found[_PROPERTIES])) if _PROPERTIES in found else frozenset(),
    )


def _altnames(data: bytes, at: int, end: int) -> Iterator[str]:
    """All of them: an attribute of its own each."""
    while at < end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind & _NESTED == _ALTNAME:
            yield _text(data, at + _ATTRIBUTE.size, at + length)
        at += _aligned(max(length, _ATTRIBUTE.size))


def _count(data: bytes, start: int, end: int) -> Counted | None:
    _, _, index, _, _ = _INTERFACE.unpack_from(data, start)
    found = _attributes(data, start + _INTERFACE.size, end)
    if _STATISTICS not in found:
        return None
    return Counted(index, _text(data, *found[_NAME]), *_LINK_STATISTICS.unpack_from(data, found[_STATISTICS][0]))


def _drops(data: bytes, start: int, end: int) -> tuple[int, int]:
    _, index, _, _, _ = _TRAFFIC_CONTROL.unpack_from(data, start)
    found = _attributes(data, start + _TRAFFIC_CONTROL.size, end)
    if _TC_STATISTICS not in found:
        return index, 0
    _, _, drops = _QUEUE_STATISTICS.unpack_from(data, found[_TC_STATISTICS][0])
    return index, drops


def _queue(data: bytes, start: int, end: int) -> Queue | None:
    _, index, _, parent, _ = _TRAFFIC_CONTROL.unpack_from(data, start)
    found = _attributes(data, start + _TRAFFIC_CONTROL.size, end)
    if _TC_KIND not in found or _text(data, *found[_TC_KIND]) != "tbf":
        return None
    at, _ = _attributes(data, *found[_TC_OPTIONS])[_TBF_PARAMETERS]
    rate, limit, buffer = _TBF.unpack_from(data, at)
    return Queue(index, parent, rate, limit, buffer)


def _targets(data: bytes, start: int, end: int) -> Iterator[int]:
    found = _attributes(data, start + _TRAFFIC_CONTROL.size, end)
    options = _attributes(data, *found[_TC_OPTIONS]) if _TC_OPTIONS in found else {}
    actions = _attributes(data, *options[_U32_ACTIONS]) if _U32_ACTIONS in options else {}
    for place in actions.values():
        action = _attributes(data, *place)
        if _text(data, *action[_ACTION_KIND]) == "mirred":
            at, _ = _attributes(data, *action[_ACTION_OPTIONS])[_MIRRED_PARAMETERS]
            yield _MIRRED.unpack_from(data, at)[0]


def _located(data: bytes, start: int, end: int) -> Located:
    _, length, flags, _, index = _ADDRESS_HEADER.unpack_from(data, start)
    found = _attributes(data, start + _ADDRESS_HEADER.size, end)
    value = data[slice(*found[_IFA_LOCAL if _IFA_LOCAL in found else _IFA_ADDRESS])]
    if _IFA_FLAGS in found:
        (flags,) = _NUMBER.unpack_from(data, found[_IFA_FLAGS][0])
    protocol = data[found[_IFA_PROTOCOL][0]] if _IFA_PROTOCOL in found else 0
    return Located(index, f"{ipaddress.ip_address(value)}/{length}", flags, protocol)


def _hop(data: bytes, start: int, end: int) -> Hop | None:
    family, length, *_ = _ROUTE_HEADER.unpack_from(data, start)
    found = _attributes(data, start + _ROUTE_HEADER.size, end)
    if _RTA_GATEWAY not in found or _RTA_LINK not in found:
        return None
    everything = bytes(4 if family == socket.AF_INET else 16)
    destination = data[slice(*found[_RTA_DESTINATION])] if _RTA_DESTINATION in found else everything
    return Hop(
        _NUMBER.unpack_from(data, found[_RTA_LINK][0])[0],
        f"{ipaddress.ip_address(destination)}/{length}",
        str(ipaddress.ip_address(data[slice(*found[_RTA_GATEWAY])])),
    )


def _attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Start and end of each attribute's value, by its type. An interface has fifty of them, so nothing is called."""
    found: dict[int, tuple[int, int]] = {}
    unpack = _ATTRIBUTE.unpack_from
    while at + 4 <= end:
        length, kind = unpack(data, at)
        found[kind & _NESTED] = (at + 4, at + length)
        at += (length + 3) & ~3 if length > 4 else 4
    return found


def _text(data: bytes, start: int, end: int) -> str:
    return data[start:end].rstrip(b"\0").decode()


def _text_attribute(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(_aligned(size) - size)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
