"""From rows to values: what should stand at each PoP for one instance.

Reads rows and writes none: addresses were taken and certificates issued when the order was
placed. The same rows always give the same values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from django.db.models import Q
from pydantic import ValidationError

from naas.core.errors import Invalid, Problem
from services import certificates
from services.addresses import PlacedPort, held
from services.kind import Context, Kind, Port, PortRequest, Spec, problems_of
from services.models import OfferingSize, Revision, Segment, ServiceInstance
from services.registry import kinds
from services.secrets import reveal, seed_of
from tenants import scope
from worker import topology
from worker.topology import DesiredState, Nic, Route, Wire, digest

MIB = 2**20
MBIT = 1_000_000


def design(instance: ServiceInstance) -> Mapping[str, DesiredState]:
    """The desired state of the instance's present generation, by the slug of each PoP.

    Raises `SpecError` when the kind cannot render the spec.
    """
    revision = Revision.unscoped.select_related("size").get(instance=instance, generation=instance.generation)
    if revision.spec is None:
        return {instance.pop_id: DesiredState(instance.pk, instance.generation)}
    kind = kinds()[instance.kind]
    spec = kind.spec.model_validate_json(json.dumps(reveal(revision.spec)))
    ports = placed_ports(instance, kind.ports(spec))
    return {instance.pop_id: compose(instance, kind, spec, revision.size, ports)}


def needs_of(instance: ServiceInstance, revision: Revision) -> tuple[tuple[PlacedPort, ...], tuple[str, ...]]:
    """The ports that a revision asks for and the names it wants certified; none when it is a removal."""
    if revision.spec is None:
        return (), ()
    kind = kinds()[instance.kind]
    spec = kind.spec.model_validate_json(json.dumps(reveal(revision.spec)))
    ports = placed_ports(instance, kind.ports(spec))
    return ports, certified_names(instance, kind, spec, revision.size, ports)


def placed_ports(instance: ServiceInstance, requests: Iterable[PortRequest]) -> tuple[PlacedPort, ...]:
    """Each port with the segment it means. Raises `Invalid` where there is no such segment at the PoP."""
    asked = tuple(requests)
    names = [request.segment for request in asked]
    rows = scope.of(instance.tenant).all(Segment).filter(Q(pk__in=names) | Q(name__in=names))
    found = tuple(rows.select_related("uni").prefetch_related("prefixes"))
    by_name = {segment.name: segment for segment in found} | {segment.pk: segment for segment in found}
    placed, problems = [], []
    for request in asked:
        segment = by_name.get(request.segment)
        path = f"{request.path}.segment"
        if segment is None:
            problems.append(Problem(path, f"you have no segment {request.segment!r}"))
        elif segment.pop_id != instance.pop_id:
            problems.append(
                Problem(path, f"segment {segment.name} is at PoP {segment.pop_id}, the service at {instance.pop_id}")
            )
        else:
            placed.append(PlacedPort(request, segment))
    if problems:
        raise Invalid(problems)
    return tuple(placed)


def parse(kind: Kind, document: object) -> Spec:
    """The spec that a JSON document means. Raises `Invalid` with the path of each wrong field."""
    try:
        return kind.spec.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise Invalid(problems_of(error, kind.spec)) from None


def wanted(instance: ServiceInstance) -> tuple[Spec, Context]:
    """The spec that is wanted of an instance now, and what its kind may know besides."""
    kind = kinds()[instance.kind]
    spec = kind.spec.model_validate_json(json.dumps(reveal(instance.spec)))
    return spec, context_of(instance, kind, spec, instance.size, placed_ports(instance, kind.ports(spec)))


def context_of(
    instance: ServiceInstance, kind: Kind, spec: Spec, size: OfferingSize, ports: tuple[PlacedPort, ...]
) -> Context:
    """What a kind may know of an instance on these ports."""
    context = _bare_context(instance, size, ports)
    return replace(context, certificate=certificates.held(instance, kind.certificate(spec, context)))


def certified_names(
    instance: ServiceInstance, kind: Kind, spec: Spec, size: OfferingSize, ports: tuple[PlacedPort, ...]
) -> tuple[str, ...]:
    """The names for which the platform is to issue a certificate; none when the spec wants none."""
    return kind.certificate(spec, _bare_context(instance, size, ports))


def _bare_context(instance: ServiceInstance, size: OfferingSize, ports: tuple[PlacedPort, ...]) -> Context:
    return Context(
        instance=instance.pk,
        name=instance.name,
        cpu=float(size.vcpu),
        memory=size.memory_mb * MIB,
        ports={
            port.request.key: Port(
                name=port.request.name,
                segment=port.segment.pk,
                addresses=held(instance, port),
                mtu=port.segment.mtu,
            )
            for port in ports
        },
        seed=seed_of(instance.seed),
    )


def compose(
    instance: ServiceInstance, kind: Kind, spec: Spec, size: OfferingSize, ports: tuple[PlacedPort, ...]
) -> DesiredState:
    """What should stand for this spec on these ports. Raises `SpecError` when the kind cannot render it."""
    context = context_of(instance, kind, spec, size, ports)
    vnfs = kind.render(spec, context)
    rate = size.port_rate_mbps * MBIT if size.port_rate_mbps else None
    return DesiredState(
        instance=instance.pk,
        generation=instance.generation,
        segments=tuple({port.segment.pk: _segment(port.segment) for port in ports}.values()),
        vnfs=vnfs,
        wires=tuple(
            Wire(
                vnf=port.request.vnf or vnfs[0].name,
                port=port.request.name,
                segment=port.segment.pk,
                addresses=context.ports[port.request.key].addresses,
                mac=_mac(instance.pk, port.request.key),
                routes=tuple(Route(destination, via) for destination, via in port.request.routes),
                rate_in=rate,
                rate_out=rate,
            )
            for port in ports
        ),
    )


def _segment(row: Segment) -> topology.Segment:
    uplink = Nic(row.uni.interface, row.uni.vlan) if row.uni else None
    return topology.Segment(id=row.pk, mtu=row.mtu, uplink=uplink)


def _mac(instance: str, port: str) -> str:
    """A locally administered address (IEEE 802, second bit) that stays the same when the wire is made anew."""
    octets = digest([instance, port])[:10]
    return "02:" + ":".join(octets[i : i + 2] for i in range(0, 10, 2))
