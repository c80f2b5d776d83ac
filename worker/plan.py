"""Decides what must be done at a PoP: the difference between wanted and found, as steps.

Pure: values in, values out. It acts on nothing (see `worker.apply`), so a plan can be
shown to a customer before anything happens.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from worker.errors import PermanentError
from worker.topology import (
    Container,
    DesiredState,
    LiveContainer,
    LiveSegment,
    LiveVnf,
    LiveWire,
    ObservedState,
    Route,
    Segment,
    Vnf,
    Wire,
    fabric_port,
)

# --- steps ----------------------------------------------------------------------------


@dataclass(frozen=True)
class AddSegment:
    """Make the segment, or bring the one that is there to this MTU and uplink."""

    segment: Segment
    reason: str
    action = "add segment"

    @property
    def subject(self) -> str:
        return self.segment.id


@dataclass(frozen=True)
class AddVnf:
    vnf: Vnf
    reason: str
    action = "add VNF"

    @property
    def subject(self) -> str:
        return self.vnf.name


@dataclass(frozen=True)
class StartContainer:
    vnf: str
    container: Container
    reason: str
    action = "start container"

    @property
    def subject(self) -> str:
        return f"{self.vnf}/{self.container.name}"


@dataclass(frozen=True)
class Configure:
    vnf: str
    container: Container
    reason: str
    action = "configure"

    @property
    def subject(self) -> str:
        return f"{self.vnf}/{self.container.name}"


@dataclass(frozen=True)
class Plug:
    """Make the wire or bring it to these settings. `mtu` is its segment's; `cuts` says that what flows is cut."""

    wire: Wire
    mtu: int
    reason: str
    cuts: bool = False
    action = "plug"

    @property
    def subject(self) -> str:
        return f"{self.wire.vnf}:{self.wire.port}"


@dataclass(frozen=True)
class Unplug:
    vnf: str
    port: str
    reason: str
    action = "unplug"

    @property
    def subject(self) -> str:
        return f"{self.vnf}:{self.port}"


@dataclass(frozen=True)
class StopContainer:
    vnf: str
    container: str
    reason: str
    action = "stop container"

    @property
    def subject(self) -> str:
        return f"{self.vnf}/{self.container}"


@dataclass(frozen=True)
class RemoveVnf:
    """Remove the VNF. Its volumes stay when it is about to be made again (`comes_back`)."""

    vnf: str
    reason: str
    comes_back: bool = False
    action = "remove VNF"

    @property
    def subject(self) -> str:
        return self.vnf


@dataclass(frozen=True)
class RemoveSegment:
    id: str
    reason: str
    action = "remove segment"

    @property
    def subject(self) -> str:
        return self.id


Step = AddSegment | AddVnf | StartContainer | Configure | Plug | Unplug | StopContainer | RemoveVnf | RemoveSegment


@dataclass(frozen=True)
class Plan:
    """What brings one instance from found to wanted, in order. Empty (false) when they agree."""

    instance: str
    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def interrupts(self) -> frozenset[str]:
        """The VNFs (`edge`) and wires (`edge:lan`) on which traffic that flows now is interrupted."""
        return frozenset(chain.from_iterable(map(_interrupted, self.steps)))


def _interrupted(step: Step) -> tuple[str, ...]:
    match step:
        case RemoveVnf(vnf=vnf) | StopContainer(vnf=vnf):
            return (vnf,)
        case Unplug() | Plug(cuts=True):
            return (step.subject,)
        case _:
            return ()


# --- the decision ---------------------------------------------------------------------


def plan(desired: DesiredState, observed: ObservedState) -> Plan:
    """The steps from `observed` to `desired`. Raises `PermanentError` when `desired` contradicts itself.

    What is shared goes last and only when nobody is on it; what is replaced goes just
    before its replacement, so that the gap is short.
    """
    _check(desired)
    remade = {vnf.name: reason for vnf in desired.vnfs if (reason := _needs_namespace(vnf, observed.vnf(vnf.name)))}
    return Plan(
        desired.instance,
        (
            *_unplug(desired, observed, remade),
            *_stop(desired, observed, remade),
            *_remove_vnfs(desired, observed, remade),
            *_add_segments(desired, observed),
            *(AddVnf(vnf, remade[vnf.name]) for vnf in desired.vnfs if vnf.name in remade),
            *_plug(desired, observed, remade),
            *_containers(desired, observed, remade),
            *_remove_segments(desired, observed),
        ),
    )


def _check(desired: DesiredState) -> None:
    """A wire that leads nowhere could never be plugged: say so before anything is touched."""
    _check_unique("segment", (segment.id for segment in desired.segments))
    _check_unique("VNF", (vnf.name for vnf in desired.vnfs))
    _check_unique("wire", (f"{wire.vnf}:{wire.port}" for wire in desired.wires))
    segments = {segment.id for segment in desired.segments}
    vnfs = {vnf.name for vnf in desired.vnfs}
    for wire in desired.wires:
        if wire.vnf not in vnfs:
            raise PermanentError(f"wire {wire.port} belongs to VNF {wire.vnf}, which is not part of {desired.instance}")
        if wire.segment not in segments:
            raise PermanentError(f"wire {wire.vnf}:{wire.port} is on segment {wire.segment}, which is not described")


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PermanentError(f"{what} {name} is described twice")
        seen.add(name)


def _needs_namespace(vnf: Vnf, live: LiveVnf | None) -> str | None:
    """Why the VNF's namespace must be made, None when it stands."""
    if live is None:
        return f"VNF {vnf.name} does not exist"
    if not live.identity:
        return f"the holder of VNF {vnf.name} does not exist"
    if live.identity != vnf.identity:
        return f"the system settings of VNF {vnf.name} changed"
    if not live.namespace:
        return f"the network namespace of VNF {vnf.name} is gone"
    return None


def _unplug(desired: DesiredState, observed: ObservedState, remade: dict[str, str]) -> Iterator[Unplug]:
    """Wires nobody wants, and those of a namespace that goes: the kernel would take them later, in its own time."""
    wanted = {(wire.vnf, wire.port) for wire in desired.wires}
    for live in observed.wires:
        if (live.vnf, live.port) not in wanted:
            yield Unplug(live.vnf, live.port, f"port {live.port} of {live.vnf} is not wanted any more")
        elif live.vnf in remade:
            yield Unplug(live.vnf, live.port, remade[live.vnf])


def _stop(desired: DesiredState, observed: ObservedState, remade: dict[str, str]) -> Iterator[StopContainer]:
    for live in observed.vnfs:
        vnf = desired.vnf(live.name)
        if vnf is None or _is_replaced(vnf, live):
            continue  # RemoveVnf takes its containers along
        wanted = {container.name for container in vnf.containers}
        for container in live.containers:
            if container.name not in wanted:
                reason = f"container {container.name} is not wanted any more"
                yield StopContainer(live.name, container.name, reason)
            elif live.name in remade:
                yield StopContainer(live.name, container.name, remade[live.name])


def _is_replaced(vnf: Vnf, live: LiveVnf) -> bool:
    return live.identity != vnf.identity


def _remove_vnfs(desired: DesiredState, observed: ObservedState, remade: dict[str, str]) -> Iterator[RemoveVnf]:
    for live in observed.vnfs:
        vnf = desired.vnf(live.name)
        if vnf is None:
            yield RemoveVnf(live.name, f"VNF {live.name} is not wanted any more")
        elif _is_replaced(vnf, live):
            yield RemoveVnf(live.name, remade[live.name], comes_back=True)


def _add_segments(desired: DesiredState, observed: ObservedState) -> Iterator[AddSegment]:
    for segment in desired.segments:
        live = observed.segment(segment.id)
        if live is None:
            yield AddSegment(segment, f"segment {segment.id} does not exist")
        elif live.digest is None:
            yield AddSegment(segment, f"segment {segment.id} is half made or lost its uplink")
        elif live.digest != segment.digest:
            yield AddSegment(segment, f"the settings of segment {segment.id} changed")


def _remove_segments(desired: DesiredState, observed: ObservedState) -> Iterator[RemoveSegment]:
    wanted = {segment.id for segment in desired.segments}
    own = {fabric_port(desired.instance, wire.vnf, wire.port) for wire in observed.wires}
    for live in observed.segments:
        if live.id not in wanted and live.ports <= own:
            yield RemoveSegment(live.id, f"nothing is on segment {live.id} any more")


# --- wires ----------------------------------------------------------------------------


def _plug(desired: DesiredState, observed: ObservedState, remade: dict[str, str]) -> Iterator[Plug]:
    for wire in desired.wires:
        mtu = desired.segment(wire.segment).mtu
        live = None if wire.vnf in remade else observed.wire(wire.vnf, wire.port)
        segment = observed.segment(wire.segment)
        reason = _wire_drift(wire, live, segment, mtu)
        if reason is not None:
            yield Plug(wire, mtu, reason, cuts=live is not None and _is_cut(wire, live))


def _wire_drift(wire: Wire, live: LiveWire | None, segment: LiveSegment | None, mtu: int) -> str | None:
    """Why the wire must be plugged, None when it is as wanted."""
    if live is None:
        return f"port {wire.port} does not exist"
    if segment is None or live.segment != wire.segment:
        return f"port {wire.port} is not on segment {wire.segment}"
    if live.digest is None:
        return f"port {wire.port} is half made"
    return next(_link_drift(wire, live, mtu), None) or next(_address_drift(wire, live), None)


def _link_drift(wire: Wire, live: LiveWire, mtu: int) -> Iterator[str]:
    if not live.up:
        yield f"port {wire.port} is down"
    if wire.mac is not None and live.mac != wire.mac:
        yield f"port {wire.port} has MAC address {live.mac}, not {wire.mac}"
    if live.mtu != mtu:
        yield f"port {wire.port} has an MTU of {live.mtu}, not {mtu}"
    if live.shaped_in != (wire.rate_in is not None) or live.shaped_out != (wire.rate_out is not None):
        yield f"the rate limits of port {wire.port} are not as wanted"


def _address_drift(wire: Wire, live: LiveWire) -> Iterator[str]:
    """What is missing, by name. More than is wanted is fine: routing daemons and VRRP add their own."""
    present = {_interface(address) for address in live.addresses}
    for address in wire.addresses:
        if _interface(address) not in present:
            yield f"address {address} is missing on {wire.port}"
    routes = {_route(route) for route in live.routes}
    for route in wire.routes:
        if _route(route) not in routes:
            yield f"the route to {route.destination} is missing on {wire.port}"
    if live.digest != wire.digest:
        yield f"the settings of port {wire.port} changed"


def _is_cut(wire: Wire, live: LiveWire) -> bool:
    """Whether bringing this live wire to the wanted settings cuts what flows over it."""
    if not live.up or live.digest is None:
        return False
    moved = live.segment != wire.segment
    renamed = wire.mac is not None and live.mac != wire.mac
    kept = {_interface(address) for address in wire.addresses}
    return moved or renamed or any(_interface(address) not in kept for address in live.addresses)


def _interface(address: str) -> str:
    """One spelling per address. What is none is left for the driver to refuse, with its own words."""
    try:
        return str(ipaddress.ip_interface(address))
    except ValueError:
        return address


def _route(route: Route) -> tuple[str, str]:
    try:
        destination = str(ipaddress.ip_network(route.destination, strict=False))
        return destination, str(ipaddress.ip_address(route.via))
    except ValueError:
        return route.destination, route.via


# --- containers -----------------------------------------------------------------------


def _containers(desired: DesiredState, observed: ObservedState, remade: dict[str, str]) -> Iterator[Step]:
    for vnf in desired.vnfs:
        live = observed.vnf(vnf.name)
        for container in vnf.containers:
            if vnf.name in remade or live is None:
                yield StartContainer(vnf.name, container, f"container {container.name} does not exist")
            else:
                yield from _container(live, container)


def _container(vnf: LiveVnf, container: Container) -> Iterator[Step]:
    live = vnf.container(container.name)
    if live is None:
        yield StartContainer(vnf.name, container, f"container {container.name} does not exist")
    elif (reason := _needs_replacement(vnf, container, live)) is not None:
        yield StopContainer(vnf.name, container.name, reason)
        yield StartContainer(vnf.name, container, reason)
    elif not live.running:
        yield StartContainer(vnf.name, container, f"container {container.name} is not running")
    elif live.config != container.config:
        yield Configure(vnf.name, container, f"the configuration of {container.name} changed")


def _needs_replacement(vnf: LiveVnf, container: Container, live: LiveContainer) -> str | None:
    """Why the container must be made anew, None when it can stay."""
    if live.identity != container.identity:
        return f"the image or settings of container {container.name} changed"
    if live.running and live.namespace != vnf.namespace:
        return f"container {container.name} was left behind in a namespace that is gone"
    if live.running and container.reload is None and live.config != container.config:
        return f"container {container.name} was started without its files"
    return None
