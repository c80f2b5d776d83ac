"""People as the provider handles them: accounts made, renamed, closed, given a new password, and tenants with an owner.

A password made here exists in one return value and nowhere else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from django.db import transaction

from naas.core.errors import Conflict, Invalid, Problem
from tenants.actor import Actor, Role, Staff
from tenants.models import Tenant, User
from tenants.verbs import audit, members

#: Bytes of randomness in a password made here.
PASSWORD_BYTES = 15


@dataclass(frozen=True)
class Account:
    """A person's account. `password` is there when it was just made, and cannot be had again."""

    user: User
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Opening:
    tenant: Tenant
    owner: Account


@transaction.atomic
def create(*, staff: Staff, email: str, name: str = "", is_staff: bool = False) -> Account:
    """Make an account. Raises `Invalid` when there is one of that address."""
    email = email.strip().lower()
    if User.objects.filter(email=email).exists():
        raise Invalid([Problem("email", f"there is an account of {email} already")])
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = User.objects.create_user(email, password, name=name, is_staff=is_staff)
    audit.record(staff, "user.create", user, email=email, is_staff=is_staff)
    return Account(user, password)


@transaction.atomic
def change(*, staff: Staff, user: User, name: str | None = None, is_active: bool | None = None) -> User:
    """Rename a person, close their account or open it again. Raises `Conflict` for one's own account."""
    if is_active is False and user.pk == staff.user_id:
        raise Conflict("you would lock yourself out; ask a colleague to close your account")
    user.name = user.name if name is None else name
    user.is_active = user.is_active if is_active is None else is_active
    user.save(update_fields=["name", "is_active"])
    audit.record(staff, "user.change", user, email=user.email, name=user.name, is_active=user.is_active)
    return user


@transaction.atomic
def renew_password(*, staff: Staff, user: User) -> Account:
    """Give a customer a new password, which ends their sessions. Raises `Conflict` for the provider's own people."""
    if user.is_staff:
        raise Conflict("the provider's people change their own password, or by `manage.py changepassword`")
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record(staff, "user.renew_password", user, email=user.email)
    return Account(user, password)


@transaction.atomic
def open_tenant_with_owner(*, staff: Staff, name: str, slug: str, email: str) -> Opening:
    """Make a tenant and let its first owner in, with a new account where they have none. Raises `Invalid`."""
    tenant = members.open_tenant(staff=staff, name=name, slug=slug)
    known = User.objects.filter(email=email.strip().lower()).first()
    owner = Account(known) if known else create(staff=staff, email=email)
    members.add(actor=staff.inside(tenant), user=owner.user, role=Role.OWNER)
    return Opening(tenant, owner)


@transaction.atomic
def ask_second_factor(*, actor: Actor, asked: bool) -> Tenant:
    """Let in only members who have a second factor, or everybody again. Programs are not asked. Raises `Forbidden`."""
    actor.require(Role.OWNER)
    tenant = Tenant.objects.select_for_update().get(pk=actor.tenant.pk)
    if tenant.needs_second_factor != asked:
        tenant.needs_second_factor = asked
        tenant.save(update_fields=["needs_second_factor"])
        audit.record(actor, "tenant.ask_second_factor", tenant, asked=asked)
    return tenant


@transaction.atomic
def rename_tenant(*, actor: Actor | Staff, tenant: Tenant, name: str) -> Tenant:
    """Give a tenant another name, as the provider or one of its owners. Raises `Forbidden`."""
    if isinstance(actor, Actor):
        actor.require(Role.OWNER)
    before, tenant.name = tenant.name, name
    tenant.save(update_fields=["name"])
    audit.record(actor, "tenant.rename", tenant, before=before, name=name)
    return tenant
