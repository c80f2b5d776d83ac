"""The verbs of segments: make one, change its name or prefixes, remove it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.db import transaction

from naas.core.errors import Conflict, Invalid, NotFound, Problem
from services.addresses import networks
from services.locks import lock_tenant
from services.models import Address, Pop, Prefix, Segment, SegmentKind, Uni
from tenants import scope
from tenants.actor import Actor, Role
from tenants.verbs import audit

#: Room for a bridge per segment on one host without a second thought.
MOST_PREFIXES = 8


@dataclass(frozen=True)
class SegmentRequest:
    """A segment to make. `uni` is given for an access segment and for no other; `prefixes` in CIDR notation."""

    name: str
    kind: str = SegmentKind.PRIVATE
    pop: str | None = None
    uni: str | None = None
    mtu: int = 1500
    prefixes: tuple[str, ...] = ()


@transaction.atomic
def create(*, actor: Actor, request: SegmentRequest) -> Segment:
    """Make a segment. Raises `Invalid` with the fields that are wrong."""
    actor.require(Role.OPERATOR)
    lock_tenant(actor.tenant)
    rows = scope.of(actor)
    if rows.all(Segment).filter(name=request.name).exists():
        raise Invalid([Problem("name", f"you have a segment called {request.name!r} already")])
    uni = _uni(rows, request)
    segment: Segment = Segment.unscoped.create(
        tenant=actor.tenant,
        pop=uni.pop if uni else _pop(request.pop),
        name=request.name,
        kind=request.kind,
        uni=uni,
        mtu=_mtu(request.mtu, uni),
    )
    _add_prefixes(segment, request.prefixes)
    audit.record(actor, "segment.create", segment, name=segment.name, prefixes=list(request.prefixes))
    return segment


@transaction.atomic
def change(
    *, actor: Actor, segment: Segment, name: str | None = None, prefixes: Sequence[str] | None = None
) -> Segment:
    """Rename a segment, or give it these prefixes instead of its own.

    Raises `Invalid`, also when an address of a prefix that would go is held by a service.
    """
    actor.require(Role.OPERATOR)
    lock_tenant(actor.tenant)
    if name is not None and name != segment.name:
        if scope.of(actor).all(Segment).filter(name=name).exists():
            raise Invalid([Problem("name", f"you have a segment called {name!r} already")])
        segment.name = name
        segment.save(update_fields=["name"])
    if prefixes is not None:
        _replace_prefixes(segment, prefixes)
    audit.record(actor, "segment.change", segment, name=segment.name, prefixes=list(prefixes or ()))
    return segment


@transaction.atomic
def remove(*, actor: Actor, segment: Segment) -> None:
    """Remove a segment. Raises `Conflict` while a service has a port on it."""
    actor.require(Role.OPERATOR)
    lock_tenant(actor.tenant)
    users = sorted(set(Address.unscoped.filter(segment=segment).values_list("instance__name", flat=True)))
    if users:
        raise Conflict(f"segment {segment.name} is used by {', '.join(users)}; delete or move these first")
    audit.record(actor, "segment.remove", segment, name=segment.name)
    segment.delete()


def _uni(rows: scope.Scope, request: SegmentRequest) -> Uni | None:
    if request.kind != SegmentKind.ACCESS:
        if request.uni is not None:
            raise Invalid([Problem("uni", "only a segment of kind access has a UNI")])
        return None
    if request.uni is None:
        raise Invalid([Problem("uni", "a segment of kind access needs the id of a UNI")])
    try:
        uni = rows.get(Uni, request.uni)
    except NotFound as error:
        raise Invalid([Problem("uni", str(error))]) from error
    if request.pop is not None and request.pop != uni.pop_id:
        raise Invalid([Problem("pop", f"UNI {uni.name} is at PoP {uni.pop_id}, not at {request.pop}")])
    taken = rows.all(Segment).filter(uni=uni).first()
    if taken is not None:
        raise Invalid([Problem("uni", f"UNI {uni.name} is used by segment {taken.name} already")])
    return uni


def _pop(slug: str | None) -> Pop:
    if slug is None:
        raise Invalid([Problem("pop", "say at which PoP")])
    pop = Pop.objects.filter(slug=slug).first()
    if pop is None:
        known = ", ".join(Pop.objects.values_list("slug", flat=True))
        raise Invalid([Problem("pop", f"there is no PoP {slug!r}; there are: {known}")])
    return pop


def _mtu(mtu: int, uni: Uni | None) -> int:
    most = uni.mtu if uni else 9216
    if not 1280 <= mtu <= most:
        raise Invalid([Problem("mtu", f"{mtu} is not from 1280 (the least of IPv6, RFC 8200) to {most}")])
    return mtu


def _replace_prefixes(segment: Segment, wanted: Sequence[str]) -> None:
    parsed = _parse(wanted)
    for row in segment.prefixes.all():
        network = ip_network(row.cidr)
        if network in parsed:
            continue
        for address in Address.unscoped.filter(segment=segment).select_related("instance"):
            if ip_address(address.value) in network:
                raise Invalid([Problem("prefixes", f"{address.value} of {network} is held by {address.instance.name}")])
        row.delete()
    present = networks(Segment.unscoped.get(pk=segment.pk))
    _add_prefixes(segment, [text for text, network in zip(wanted, parsed, strict=True) if network not in present])


def _add_prefixes(segment: Segment, wanted: Sequence[str]) -> None:
    parsed = _parse(wanted)
    others = [
        (ip_network(row.cidr), row.segment.name)
        for row in Prefix.unscoped.filter(tenant=segment.tenant).select_related("segment")
    ]
    problems = []
    for index, network in enumerate(parsed):
        clash = next((o for o in others if o[0].version == network.version and o[0].overlaps(network)), None)
        if clash is not None:
            problems.append(Problem(f"prefixes[{index}]", f"{network} overlaps {clash[0]} of segment {clash[1]}"))
        others.append((network, segment.name))
    if problems:
        raise Invalid(problems)
    Prefix.unscoped.bulk_create(Prefix(tenant=segment.tenant, segment=segment, cidr=str(network)) for network in parsed)


def _parse(texts: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    found, problems = [], []
    for index, text in enumerate(texts):
        try:
            network = ip_network(text)
        except ValueError as error:
            problems.append(Problem(f"prefixes[{index}]", f"not a prefix: {error}"))
            continue
        if not _usable(network):
            problems.append(Problem(f"prefixes[{index}]", f"{network} cannot be used on a segment"))
        found.append(network)
    if len(found) > MOST_PREFIXES:
        problems.append(Problem("prefixes", f"a segment has at most {MOST_PREFIXES} prefixes"))
    if problems:
        raise Invalid(problems)
    return found


def _usable(network: IPv4Network | IPv6Network) -> bool:
    return network.prefixlen > 0 and not (
        network.is_multicast or network.is_loopback or network.is_link_local or network.is_unspecified
    )
