"""What the provider alone says of its network: PoPs, their transports, and the ports (UNIs) handed to customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model

from naas.core.errors import Conflict, Invalid, Problem
from services.models import Pop, Segment, Transport, Uni
from tenants.actor import Staff
from tenants.models import Tenant
from tenants.verbs import audit

#: What is said of a PoP here. Its keys come by enrolment, its last sign of life from itself.
POP_FACTS = (
    "name",
    "city",
    "country",
    "latitude",
    "longitude",
    "status",
    "vcpu_capacity",
    "memory_capacity_mb",
)
TRANSPORT_FACTS = ("name", "medium", "address", "mtu")
UNI_FACTS = ("name", "interface", "vlan", "mtu")


@transaction.atomic
def open_pop(*, staff: Staff, slug: str, facts: Mapping[str, Any]) -> Pop:
    """Make a PoP known before its host is enrolled. Raises `Invalid`."""
    pop = Pop(slug=slug)
    _write(staff, "pop.open", pop, facts, POP_FACTS)
    return pop


@transaction.atomic
def change_pop(*, staff: Staff, pop: Pop, facts: Mapping[str, Any]) -> Pop:
    """Say otherwise of a PoP. What stands there stays, also beyond a lowered capacity. Raises `Invalid`."""
    pop = Pop.objects.select_for_update().get(pk=pop.pk)
    _write(staff, "pop.change", pop, facts, POP_FACTS)
    return pop


@transaction.atomic
def add_transport(*, staff: Staff, pop: Pop, facts: Mapping[str, Any]) -> Transport:
    """Raises `Invalid`."""
    transport = Transport(pop=pop)
    _write(staff, "transport.add", transport, facts, TRANSPORT_FACTS)
    return transport


@transaction.atomic
def change_transport(*, staff: Staff, transport: Transport, facts: Mapping[str, Any]) -> Transport:
    """Raises `Invalid`."""
    transport = Transport.objects.select_for_update().get(pk=transport.pk)
    _write(staff, "transport.change", transport, facts, TRANSPORT_FACTS)
    return transport


@transaction.atomic
def remove_transport(*, staff: Staff, transport: Transport) -> None:
    audit.record(staff, "transport.remove", transport, pop=transport.pop_id, name=transport.name)
    transport.delete()


@transaction.atomic
def add_uni(*, staff: Staff, tenant: Tenant, pop: Pop, facts: Mapping[str, Any]) -> Uni:
    """Hand a port of a PoP to a customer. Raises `Invalid`, also when the port is someone's."""
    uni = Uni(tenant=tenant, pop=pop)
    _write(staff, "uni.add", uni, facts, UNI_FACTS)
    return uni


@transaction.atomic
def change_uni(*, staff: Staff, uni: Uni, facts: Mapping[str, Any]) -> Uni:
    """Say otherwise of a port. Raises `Invalid`, and `Conflict` when what a segment stands on would change."""
    uni = Uni.unscoped.select_for_update().get(pk=uni.pk)
    segment = Segment.unscoped.filter(uni=uni).first()
    fixed = sorted({"interface", "vlan"} & {name for name, value in facts.items() if getattr(uni, name) != value})
    if segment is not None and fixed:
        raise Conflict(f"segment {segment.name} stands on this port; its {' and '.join(fixed)} cannot change meanwhile")
    if segment is not None and facts.get("mtu", uni.mtu) < segment.mtu:
        raise Invalid([Problem("mtu", f"segment {segment.name} on this port has an MTU of {segment.mtu}")])
    _write(staff, "uni.change", uni, facts, UNI_FACTS)
    return uni


@transaction.atomic
def remove_uni(*, staff: Staff, uni: Uni) -> None:
    """Take a port back. Raises `Conflict` while a segment stands on it."""
    segment = Segment.unscoped.filter(uni=uni).first()
    if segment is not None:
        raise Conflict(f"segment {segment.name} of {uni.tenant} stands on this port; it must be removed first")
    audit.record(staff, "uni.remove", uni, name=uni.name, pop=uni.pop_id, interface=uni.interface)
    uni.delete()


def _write(staff: Staff, verb: str, row: Model, facts: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Set the facts, check the row, save it and leave the audit row that says what they were before."""
    unknown = sorted(set(facts) - set(allowed))
    if unknown:
        raise Invalid(Problem(name, "this is not the provider's to say") for name in unknown)
    new = row._state.adding
    before = {} if new else {name: getattr(row, name) for name in facts}
    for name, value in facts.items():
        setattr(row, name, value)
    try:
        row.full_clean()
    except ValidationError as error:
        raise Invalid(
            Problem(_path(name), text) for name, texts in error.message_dict.items() for text in texts
        ) from error
    row.save(force_insert=new, update_fields=None if new else list(facts))
    changes = {name: f"{before[name]} -> {value}" if name in before else str(value) for name, value in facts.items()}
    audit.record(staff, verb, row, **changes)


def _path(name: str) -> str:
    return "" if name == "__all__" else name
