"""Who may listen to a tenant: a person with a session who is a member there, as on the portal's pages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user

from naas.core.errors import NotFound, Refusal
from tenants.api.authentication import refuse_entry


class NotLoggedIn(Refusal):
    status = 401
    code = "not-logged-in"
    title = "Log in first"


@dataclass(frozen=True)
class Visitor:
    """A session that asks for the events of the tenant of this name."""

    session: str
    slug: str


@dataclass(frozen=True)
class Guest:
    """Who was let in: the person, and the tenant they may hear of."""

    person: int
    tenant: str


def enter(visitor: Visitor) -> Guest:
    """Raises `NotLoggedIn`; `NotFound`, also for a tenant of others; `Forbidden` as pages and API do."""
    session: Any = import_module(settings.SESSION_ENGINE).SessionStore(visitor.session)
    person: Any = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
    if not visitor.session or not person.is_authenticated:
        raise NotLoggedIn("there is no session")
    member = person.memberships.select_related("tenant", "user").filter(tenant__slug=visitor.slug).first()
    if member is None:
        raise NotFound(f"you are no member of {visitor.slug}")
    refuse_entry(member, session)
    return Guest(person.pk, member.tenant_id)


def turned_away(visitors: Collection[Visitor]) -> frozenset[Visitor]:
    """Those of them who may not listen any more."""
    return frozenset(visitor for visitor in visitors if not _may_enter(visitor))


def _may_enter(visitor: Visitor) -> bool:
    try:
        enter(visitor)
    except Refusal:
        return False
    return True
