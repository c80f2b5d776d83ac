"""Single sign-on of a tenant: its provider says who someone is, and only for this tenant.

What the provider asserts opens no account by its address alone: an account is linked to a subject of the provider by
its person, who is logged in, or it was made for that subject, for an address in a domain that our own staff confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from naas.core.errors import Conflict, Forbidden, Invalid, NotFound, Problem
from tenants import scope
from tenants.actor import Actor, Role, Staff
from tenants.keys import vault
from tenants.models import Identity, Membership, SingleSignOn, Tenant, User
from tenants.verbs import audit, members

DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
MOST_DOMAINS = 20
#: What new people may be made as. Owners are made by owners.
ROLES = (Role.VIEWER, Role.OPERATOR)


@dataclass(frozen=True)
class Claims:
    """Who someone is, as a provider says in a token that was verified."""

    issuer: str
    subject: str
    email: str = ""
    is_verified: bool = False
    name: str = ""


@transaction.atomic
def configure(
    *, actor: Actor, issuer: str, client_id: str, secret: str, domains: Sequence[str] = (), role: str = ""
) -> SingleSignOn:
    """Set how the tenant's people sign on. An empty secret keeps the one there is, for the same issuer and client.

    Raises `Invalid` and `Forbidden`.
    """
    actor.require(Role.OWNER)
    issuer, client_id = issuer.strip().rstrip("/"), client_id.strip()
    known = scope.of(actor).all(SingleSignOn).select_for_update().first()
    is_same = known is not None and (known.issuer, known.client_id) == (issuer, client_id)
    wanted = [domain.strip().lower() for domain in domains]
    problems = [
        *_wrong_issuer(issuer),
        *([] if 1 <= len(client_id) <= 200 else [Problem("client_id", "give what the provider calls the client id")]),
        # A secret that was given for one provider is not shown to another.
        *(
            []
            if secret or is_same
            else [Problem("secret", "give the secret that belongs to this issuer and client id")]
        ),
        *(Problem("domains", f"{name!r} is no domain") for name in wanted if not DOMAIN.fullmatch(name)),
        *([Problem("domains", f"at most {MOST_DOMAINS}")] if len(wanted) > MOST_DOMAINS else []),
        *([] if role in ("", *ROLES) else [Problem("role", f"is one of {', '.join(ROLES)}, or empty")]),
    ]
    if problems:
        raise Invalid(problems)
    row = known or SingleSignOn(tenant=actor.tenant)
    row.issuer, row.client_id, row.domains, row.role = issuer, client_id, sorted(set(wanted)), role
    row.sealed = vault().encrypt(secret) if secret else row.sealed
    row.save()
    audit.record(actor, "signon.configure", row, issuer=issuer, client_id=client_id, domains=row.domains, role=role)
    return row


def _wrong_issuer(issuer: str) -> list[Problem]:
    try:
        parts = urlsplit(issuer)
        is_good = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return [Problem("issuer", "this is no address")]
    schemes = ("https", "http") if settings.NAAS_SSO_LOOPBACK else ("https",)
    if parts.scheme not in schemes or not is_good or len(issuer) > 200:
        return [Problem("issuer", "give the provider's address, such as https://login.example.com")]
    if parts.query or parts.fragment or parts.username or parts.password:
        return [Problem("issuer", "give the address alone, without user, query or fragment")]
    return []


@transaction.atomic
def switch_off(*, actor: Actor) -> None:
    """End single sign-on. Who is linked stays linked, for when it is set again. Raises `Forbidden`."""
    actor.require(Role.OWNER)
    row = scope.of(actor).all(SingleSignOn).first()
    if row is not None:
        audit.record(actor, "signon.switch_off", row, issuer=row.issuer)
        row.delete()


@transaction.atomic
def confirm(*, staff: Staff, tenant: Tenant, domain: str) -> SingleSignOn:
    """Say, after it was looked into, that a domain is the tenant's. Raises `NotFound`, `Invalid` and `Conflict`."""
    domain = domain.strip().lower()
    if not DOMAIN.fullmatch(domain):
        raise Invalid([Problem("domain", f"{domain!r} is no domain")])
    row: SingleSignOn | None = SingleSignOn.unscoped.select_for_update().filter(tenant=tenant).first()
    if row is None:
        raise NotFound(f"{tenant} has no single sign-on")
    others = SingleSignOn.unscoped.exclude(tenant=tenant)
    if any(domain in other.confirmed for other in others):
        raise Conflict(f"{domain} is confirmed for another tenant")
    row.confirmed = sorted({*row.confirmed, domain})
    row.save(update_fields=["confirmed"])
    audit.record(staff, "signon.confirm", row, domain=domain)
    return row


@transaction.atomic
def link(*, actor: Actor, claims: Claims) -> Identity:
    """Link the account of who is logged in to a subject of the provider. Raises `Conflict` and `Forbidden`."""
    person = User.objects.get(pk=actor.user_id or 0)
    if person.is_staff:
        raise Forbidden("accounts of the provider's people are not opened by single sign-on")
    known = scope.of(actor).all(Identity)
    taken = known.filter(issuer=claims.issuer, subject=claims.subject).first()
    if taken is not None and taken.user_id != person.pk:
        raise Conflict("who logged in at the provider is linked to another account here")
    if taken is not None:
        return taken
    known.filter(user=person, issuer=claims.issuer).delete()
    made: Identity = Identity.unscoped.create(
        tenant=actor.tenant, user=person, issuer=claims.issuer, subject=claims.subject
    )
    audit.record(actor, "signon.link", made, email=person.email, issuer=claims.issuer, subject=claims.subject)
    return made


@transaction.atomic
def admit(*, sign_on: SingleSignOn, claims: Claims) -> Membership:
    """Whom the tenant's provider lets in with these claims. Raises `Forbidden`, with what they can do."""
    known = scope.of(sign_on.tenant).all(Identity).select_related("user")
    found = known.filter(issuer=claims.issuer, subject=claims.subject).first()
    person = found.user if found is not None else _newcomer(sign_on, claims)
    member = person.memberships.select_related("tenant", "user").filter(tenant=sign_on.tenant).first()
    if member is None or person.is_staff or not person.is_active:
        raise Forbidden(f"your account is not, or not any more, one of {sign_on.tenant}; ask its owner")
    return member


def _newcomer(sign_on: SingleSignOn, claims: Claims) -> User:
    tenant, email = sign_on.tenant, claims.email.strip().lower()
    if User.objects.filter(email=email).exists() or not sign_on.role:
        raise Forbidden(
            f"nobody here is linked to you at {claims.issuer}; log in with your password first and link your account, "
            f"or ask the owner of {tenant} for an invitation"
        )
    domain = email.rpartition("@")[2]
    if not claims.is_verified or domain not in {*sign_on.domains} & {*sign_on.confirmed} or not _is_address(email):
        raise Forbidden(f"{tenant} lets in nobody new with this address; ask its owner for an invitation")
    person = User.objects.create_user(email, None, name=claims.name.strip()[:100])
    host = Staff("single sign-on", user_id=person.pk).inside(tenant)
    members.add(actor=host, user=person, role=Role(sign_on.role))
    made = Identity.unscoped.create(tenant=tenant, user=person, issuer=claims.issuer, subject=claims.subject)
    audit.record(host, "signon.join", made, email=email, issuer=claims.issuer, subject=claims.subject)
    return person


def _is_address(email: str) -> bool:
    try:
        validate_email(email)
    except ValidationError:
        return False
    return True


@transaction.atomic
def renew() -> int:
    """Put the secrets of all providers under the first key; how many. Raises `UnreadableSecret`."""
    rows = list(SingleSignOn.unscoped.select_for_update())
    for row in rows:
        row.sealed = vault().renew(row.sealed)
        row.save(update_fields=["sealed"])
    return len(rows)
