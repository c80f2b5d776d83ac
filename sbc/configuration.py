"""The verbs of what is configured of an SBC: create, change and remove trunks, routes and source rules; emergency.

Each is one transaction: the document is checked against the rest, its row written, a line added to the audit trail,
and the next revision of the tables made of the entries that differ. What else is configured, however much, is not read.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from naas.core.errors import Conflict, Invalid, Problem
from sbc import tables
from sbc.documents import parse, read
from sbc.kind import compile
from sbc.kind.compile import Command, World
from sbc.kind.entries import Entry
from sbc.kind.security import EmergencySpec
from sbc.models import Emergency, Tables, Trunk
from sbc.sections.base import Place, R, S, Section
from sbc.sections.routes import missing_targets
from sbc.world import world_of
from services.lifecycle import ServiceState
from services.models import ServiceInstance
from services.secrets import protect
from tenants.actor import Actor, Role
from tenants.verbs import audit

#: Users of a document that a refusal names.
NAMED = 5


@transaction.atomic
def create(*, actor: Actor, instance: ServiceInstance, section: Section[S, R], document: object) -> R:
    """Add a document. Raises `Invalid` with paths, `Conflict` when the SBC has gone or holds no more of these."""
    state, here = _begin(actor, instance)
    spec = parse(section.spec, document)
    row = section.model(tenant=actor.tenant, instance=instance, name=section.name(spec))
    known = section.model.unscoped.filter(instance=instance)
    if known.filter(name=row.name).exists():
        raise Invalid([Problem("name", f"there is a {section.noun} {row.name} already")])
    if known.count() >= section.most:
        raise Conflict(f"an SBC has at most {section.most} of these; remove a {section.noun} first")
    tables.advance(state, here, _write(section, row, spec, here))
    audit.record(actor, f"{section.verb}.create", row, service=instance.pk, name=row.name)
    return row


@transaction.atomic
def change(*, actor: Actor, row: R, section: Section[S, R], document: object) -> R:
    """Put a document in the place of another of the same name; masked secrets stay. Raises what `create` raises."""
    state, here = _begin(actor, row.instance)
    row.refresh_from_db()
    spec = parse(section.spec, document, row.document)
    if section.name(spec) != row.name:
        raise Invalid([Problem("name", f"a {section.noun} keeps its name: remove it and create another")])
    tables.advance(state, here, _write(section, row, spec, here))
    audit.record(actor, f"{section.verb}.change", row, service=row.instance_id, name=row.name)
    return row


@transaction.atomic
def remove(*, actor: Actor, row: R, section: Section[S, R]) -> None:
    """Take a document away. Raises `Conflict`, naming those who need it."""
    state, here = _begin(actor, row.instance)
    if users := list(section.users(row)):
        shown = ", ".join(users[:NAMED]) + (f" and {len(users) - NAMED} more" if len(users) > NAMED else "")
        raise Conflict(f"{section.noun} {row.name} is used by {shown}; change or remove that first")
    place = section.place(row)
    before = section.entries(row.instance, place, here)
    audit.record(actor, f"{section.verb}.remove", row, service=row.instance_id, name=row.name)
    row.delete()
    tables.advance(state, here, compile.commands(before, section.entries(row.instance, place, here)))


@transaction.atomic
def set_emergency(*, actor: Actor, instance: ServiceInstance, document: object) -> Emergency:
    """Make these the emergency numbers and where they lead. Raises `Invalid`, `Conflict`."""
    state, here = _begin(actor, instance)
    spec = parse(EmergencySpec, document)
    named = [target.trunk for target in spec.targets]
    known = set(Trunk.unscoped.filter(instance=instance, name__in=named).values_list("name", flat=True))
    if problems := list(missing_targets(named, known)):
        raise Invalid(problems)
    row: Emergency = Emergency.unscoped.get_or_create(
        instance=instance, defaults={"tenant": actor.tenant, "document": protect(EmergencySpec())}
    )[0]
    before = compile.of_emergency(read(EmergencySpec, row.document))
    row.document = protect(spec)
    row.save()
    tables.advance(state, here, compile.commands(before, compile.of_emergency(spec)))
    audit.record(actor, "emergency.set", row, service=instance.pk, numbers=list(spec.numbers))
    return row


def _begin(actor: Actor, instance: ServiceInstance) -> tuple[Tables, World]:
    """What every verb starts with: the role, the lock, and the world in which entries are written."""
    actor.require(Role.OPERATOR)
    state = tables.locked(instance)
    instance.refresh_from_db()
    if instance.state == ServiceState.TERMINATED:
        raise Conflict(f"{instance.name} is terminated")
    return state, world_of(instance)


def _write(section: Section[S, R], row: R, spec: S, here: World) -> tuple[Command, ...]:
    """Write the row, and return what changes with it in the tables. Raises `Invalid`."""
    new = row.pk is None
    if problems := list(section.problems(row.instance, spec, here, None if new else row)):
        raise Invalid(problems)
    places = [] if new else [section.place(row)]
    for column, value in section.columns(row.instance, spec).items():
        setattr(row, column, value)
    row.document = protect(spec)
    places = list(dict.fromkeys([*places, section.place(row)]))
    before = _entries(section, row.instance, places, here)
    row.save()
    section.relate(row, spec)
    return compile.commands(before, _entries(section, row.instance, places, here))


def _entries(section: Section[S, R], instance: ServiceInstance, places: Iterable[Place], here: World) -> list[Entry]:
    return [entry for place in places for entry in section.entries(instance, place, here)]
