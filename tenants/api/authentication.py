"""Who calls: a program with a token, or a person with a session. `request.auth` is the `Actor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from rest_framework import authentication, exceptions
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from naas.core.errors import Forbidden, Refusal
from tenants.actor import Actor, ActorKind, Role
from tenants.models import Membership, Tenant, TenantStatus, User
from tenants.verbs import tokens

SCHEME = "bearer"


@dataclass(frozen=True)
class Program:
    """What stands in `request.user` for a caller with a token."""

    token: str
    is_authenticated: bool = True
    is_staff: bool = False


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer naas_...`"""

    def authenticate(self, request: Request) -> tuple[Program, Actor] | None:
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME:
            return None
        token = tokens.find(presented.strip())
        if token is None:
            raise exceptions.AuthenticationFailed("the token is unknown, expired or revoked")
        refuse_suspended(token.tenant)
        tokens.note_use(token)
        return Program(token.id), Actor(
            tenant=token.tenant,
            role=Role(token.role),
            label=f"token {token.name} ({token.prefix})",
            kind=ActorKind.TOKEN,
            user_id=token.created_by_id,
            token_id=token.id,
            address=address_of(request),
            request_id=_request_id(request),
        )

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="naas"'


class SessionAuthentication(authentication.SessionAuthentication):
    """A logged-in person, in the tenant that `X-Tenant` names (id or slug) or in the only one they belong to."""

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        found: Any = super().authenticate(request)
        if found is None:
            return None
        user: User = found[0]
        member = _membership(user, request.headers.get("X-Tenant", ""))
        refuse_entry(member, request.session)
        return user, acting(member, request)


def acting(member: Membership, request: Request | HttpRequest) -> Actor:
    """A person who acts in a tenant by a session, in the API or on a page."""
    return Actor(
        tenant=member.tenant,
        role=Role(member.role),
        label=member.user.email,
        kind=ActorKind.USER,
        user_id=member.user_id,
        address=address_of(request),
        request_id=_request_id(request),
    )


class TenantUnclear(Refusal):
    """A person who belongs to several tenants did not say which one is meant."""

    code = "tenant-unclear"
    title = "Say which tenant you mean"


def _membership(user: User, wanted: str) -> Membership:
    members = user.memberships.select_related("tenant", "user")
    if wanted:
        member = members.filter(Q(tenant_id=wanted) | Q(tenant__slug=wanted)).first()
        if member is None:
            raise Forbidden("you are no member of the tenant that X-Tenant names")
        return member
    mine = list(members[:20])
    if not mine:
        raise Forbidden("you belong to no tenant; ask its owner to let you in")
    if len(mine) > 1:
        raise TenantUnclear(f"send the header X-Tenant with one of: {', '.join(m.tenant.slug for m in mine)}")
    return mine[0]


def refuse_suspended(tenant: Tenant) -> None:
    """Raises `Forbidden`."""
    if tenant.status == TenantStatus.SUSPENDED:
        raise Forbidden(f"{tenant.name} is suspended; ask the provider")


#: Under which a session keeps the tenant by whose single sign-on it was opened.
SIGNED_ON = "signed-on"


def refuse_entry(member: Membership, session: SessionBase) -> None:
    """Whatever keeps a member with this session out of the tenant: one door for pages, API and event streams.

    Raises `Forbidden`, and `FactorNeeded` where a second factor would help.
    """
    refuse_suspended(member.tenant)
    _refuse_elsewhere(member, session)
    _refuse_without_factor(member)


def _refuse_elsewhere(member: Membership, session: SessionBase) -> None:
    """A tenant's provider speaks for this tenant alone."""
    if session.get(SIGNED_ON) not in (None, member.tenant_id):
        raise Forbidden(
            f"you logged in by another company's single sign-on; log in with your password for {member.tenant.name}"
        )


class FactorNeeded(Forbidden):
    """The tenant lets in only who has a second factor, and this person has none yet."""

    code = "second-factor-needed"
    title = "This company asks for a second factor"


def _refuse_without_factor(member: Membership) -> None:
    if member.tenant.needs_second_factor and not has_factor(member.user):
        raise FactorNeeded(f"{member.tenant.name} lets in only who has a second factor; set one up at /account/")


def has_factor(person: User) -> bool:
    """Whether the person has a factor besides the password. Recovery codes are none: they stand in for one."""
    return bool(with_factor().filter(user=person).exists())


def with_factor() -> QuerySet[Any, Any]:
    """The ids of those who have one."""
    factors: QuerySet[Any] = Authenticator.objects.exclude(type=Authenticator.Type.RECOVERY_CODES)
    return factors.values("user")


def address_of(request: Request | HttpRequest) -> str:
    """Where the request came from, believing as many proxies as `NAAS_TRUSTED_PROXIES` says."""
    address: str = SimpleRateThrottle.get_ident(SimpleRateThrottle, request)  # type: ignore[arg-type]
    return address


def _request_id(request: Request | HttpRequest) -> str:
    return str(getattr(request, "id", ""))
