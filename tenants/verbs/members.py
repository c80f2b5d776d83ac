"""Tenants and their people: opened and suspended by the provider, staffed by their owners."""

from __future__ import annotations

from django.db import transaction

from naas.core.errors import Conflict, Invalid, Problem
from tenants import scope
from tenants.actor import Actor, Role, Staff
from tenants.models import Identity, Membership, Quota, Tenant, TenantStatus, User
from tenants.verbs import audit


@transaction.atomic
def open_tenant(*, staff: Staff, name: str, slug: str) -> Tenant:
    """Make a tenant with the default quota. Raises `Invalid` when the slug is taken."""
    if Tenant.objects.filter(slug=slug).exists():
        raise Invalid([Problem("slug", f"there is a tenant {slug!r} already")])
    tenant = Tenant.objects.create(name=name, slug=slug)
    Quota.unscoped.create(tenant=tenant)
    audit.record(staff, "tenant.open", tenant, name=name, slug=slug)
    return tenant


@transaction.atomic
def set_status(*, staff: Staff, tenant: Tenant, status: TenantStatus) -> Tenant:
    """Suspend a tenant, which ends its access and leaves its services running, or let it in again."""
    tenant.status = status
    tenant.save(update_fields=["status"])
    audit.record(staff, f"tenant.{'suspend' if status == TenantStatus.SUSPENDED else 'resume'}", tenant)
    return tenant


@transaction.atomic
def add(*, actor: Actor, user: User, role: Role) -> Membership:
    """Let a person into the actor's tenant, or change the role of one who is. Raises `Conflict` and `Forbidden`."""
    actor.require(Role.OWNER)
    members = scope.of(actor).all(Membership).select_for_update()
    known = members.filter(user=user).first()
    if known is None:
        member: Membership = Membership.unscoped.create(tenant=actor.tenant, user=user, role=role)
        audit.record(actor, "member.add", member, email=user.email, role=role)
        return member
    if role is not Role.OWNER:
        _refuse_last_owner(actor, known)
    known.role = role
    known.save(update_fields=["role"])
    audit.record(actor, "member.change", known, email=user.email, role=role)
    return known


@transaction.atomic
def remove(*, actor: Actor, id: int) -> None:
    """Take a person out of the actor's tenant. Raises `Conflict`, `NotFound` and `Forbidden`."""
    actor.require(Role.OWNER)
    member = scope.of(actor).get(Membership, id)
    _refuse_last_owner(actor, member)
    audit.record(actor, "member.remove", member, email=member.user.email)
    scope.of(actor).all(Identity).filter(user=member.user).delete()
    member.delete()


def _refuse_last_owner(actor: Actor, member: Membership) -> None:
    owners = scope.of(actor).all(Membership).select_for_update().filter(role=Role.OWNER)
    if member.role == Role.OWNER and not owners.exclude(pk=member.pk).exists():
        raise Conflict(f"{member.user.email} is the last owner of {actor.tenant}; make someone else an owner first")
