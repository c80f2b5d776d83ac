"""Trunks: known by their sources or a user, each of which one trunk alone can have."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from naas.core.errors import Problem
from sbc.documents import read
from sbc.kind import compile
from sbc.kind.compile import World
from sbc.kind.entries import Entry
from sbc.kind.fields import is_address
from sbc.kind.security import EmergencySpec
from sbc.kind.trunk import TrunkSpec
from sbc.models import Emergency, Route, Trunk, TrunkSource
from sbc.sections.base import Place, Section
from services.models import ServiceInstance

#: Users of a trunk that are looked up to be named.
NAMED = 100


class Trunks(Section[TrunkSpec, Trunk]):
    noun = "trunk"
    verb = "trunk"
    most = 20_000
    spec = TrunkSpec
    model = Trunk

    def name(self, spec: TrunkSpec) -> str:
        return spec.name

    def problems(self, instance: ServiceInstance, spec: TrunkSpec, here: World, row: Trunk | None) -> Iterator[Problem]:
        yield from _looked_up(spec, here)
        yield from _on_its_side(spec, here)
        yield from _known_by_others(instance, spec, row)

    def columns(self, instance: ServiceInstance, spec: TrunkSpec) -> dict[str, Any]:
        return {
            "side": spec.side,
            "transport": spec.transport,
            "enabled": spec.enabled,
            "user": _user(spec),
            "named": any(_names(spec)),
        }

    def relate(self, row: Trunk, spec: TrunkSpec) -> None:
        TrunkSource.unscoped.filter(trunk=row).delete()
        TrunkSource.unscoped.bulk_create(
            TrunkSource(tenant_id=row.tenant_id, trunk=row, instance_id=row.instance_id, cidr=cidr)
            for cidr in compile.sources(spec)
        )

    def users(self, row: Trunk) -> Iterable[str]:
        emergency = Emergency.unscoped.filter(instance=row.instance_id).first()
        if emergency and row.name in {target.trunk for target in read(EmergencySpec, emergency.document).targets}:
            yield "the emergency numbers"
        leading = Route.unscoped.filter(targets__trunk=row) | Route.unscoped.filter(from_trunk=row)
        names = leading.distinct().order_by("name").values_list("name", flat=True)
        yield from (f"route {name}" for name in names[:NAMED])

    def place(self, row: Trunk) -> Place:
        return (row.name,)

    def entries(self, instance: ServiceInstance, place: Place, here: World) -> tuple[Entry, ...]:
        row = Trunk.unscoped.filter(instance=instance, name=place[0]).first()
        return compile.of_trunk(read(TrunkSpec, row.document), here) if row else ()


def _names(spec: TrunkSpec) -> Iterator[str]:
    """Where the trunk is reached by a name that must be looked up: paths."""
    for position, address in enumerate(spec.addresses):
        if not is_address(address.host):
            yield f"addresses[{position}].host"
    registrar = spec.authentication.registrar or spec.domain
    if spec.authentication.method == "register" and not spec.addresses and not (registrar and is_address(registrar)):
        yield "authentication.registrar"


def _looked_up(spec: TrunkSpec, here: World) -> Iterator[Problem]:
    """Names without anybody to ask would be kept and never found."""
    for path in _names(spec) if not here.resolvers else ():
        yield Problem(path, "a name takes name servers: give the SBC `resolvers` first, or the IP address here")


def _on_its_side(spec: TrunkSpec, here: World) -> Iterator[Problem]:
    if spec.side not in here.sides:
        yield Problem("side", f"the SBC has no side {spec.side}; there are: {', '.join(here.sides)}")
        return
    if spec.transport == "tls" and not here.tls:
        yield Problem("transport", "the SBC has no tls; order it first")
    families = {_version(address) for address in here.sides[spec.side]}
    hosts = [(f"addresses[{position}].host", address.host) for position, address in enumerate(spec.addresses)]
    for path, host in (*hosts, ("authentication.registrar", spec.authentication.registrar or "")):
        if host and is_address(host) and _version(host) not in families:
            yield Problem(path, f"the SBC has no such address on side {spec.side}")


def _known_by_others(instance: ServiceInstance, spec: TrunkSpec, row: Trunk | None) -> Iterator[Problem]:
    others = Trunk.unscoped.filter(instance=instance).exclude(pk=row.pk if row else None)
    if user := _user(spec):
        other = others.filter(user=user).first()
        if other is not None:
            yield Problem("authentication.user", f"trunk {other.name} proves itself by this user already")
    wanted = compile.sources(spec)
    taken = TrunkSource.unscoped.filter(instance=instance, cidr__in=wanted, trunk__in=others).select_related("trunk")
    for source in islice(taken, NAMED):
        yield Problem(_where(spec, source.cidr), f"calls from {source.cidr} are those of trunk {source.trunk.name}")


def _where(spec: TrunkSpec, cidr: str) -> str:
    """The field by which the trunk has this source."""
    if spec.sources:
        return f"sources[{spec.sources.index(cidr)}]"
    hosts, host = [address.host for address in spec.addresses], cidr.partition("/")[0]
    return f"addresses[{hosts.index(host)}].host" if host in hosts else "authentication.registrar"


def _user(spec: TrunkSpec) -> str | None:
    """The name by which the trunk proves itself to the SBC."""
    return spec.authentication.user if spec.authentication.method == "digest" else None


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


TRUNKS = Trunks()
