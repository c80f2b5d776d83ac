"""API tokens: made, looked up, revoked. The plaintext exists in one return value and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from naas.core.crypto import new_token_secret, token_digest
from naas.core.errors import Invalid, Problem
from naas.core.ids import new_id
from tenants import scope
from tenants.actor import Actor, Role
from tenants.models import ApiToken
from tenants.verbs import audit

#: What every token starts with, so that scanners for leaked secrets find it.
MARK = "naas"
#: `last_used_at` is written at most this often: a write per request would queue them all on one row.
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Issued:
    """A token just made. `plaintext` cannot be had again."""

    token: ApiToken
    plaintext: str = field(repr=False)


@transaction.atomic
def issue(*, actor: Actor, name: str, role: Role, expires_at: datetime | None = None) -> Issued:
    """Make a token for the actor's tenant. Raises `Invalid` and `Forbidden`."""
    actor.require(Role.OWNER)
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid([Problem("expires_at", "this is in the past")])
    prefix = new_id("x")[2:10]
    plaintext = f"{MARK}_{prefix}_{new_token_secret()}"
    token = ApiToken.unscoped.create(
        tenant=actor.tenant,
        name=name,
        role=role,
        prefix=prefix,
        digest=token_digest(plaintext),
        created_by_id=actor.user_id,
        expires_at=expires_at,
    )
    audit.record(actor, "token.issue", token, name=name, role=role, prefix=prefix)
    return Issued(token, plaintext)


@transaction.atomic
def revoke(*, actor: Actor, id: str) -> None:
    """End a token now. One that is revoked already stays so, which is success. Raises `NotFound` and `Forbidden`."""
    actor.require(Role.OWNER)
    token = scope.of(actor).get(ApiToken, id)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit.record(actor, "token.revoke", token, name=token.name, prefix=token.prefix)


def find(plaintext: str) -> ApiToken | None:
    """The token that this is, if it is good now.

    It is looked up by digest: how long that takes tells nothing about any token's plaintext.
    """
    now = timezone.now()
    good = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    tokens = ApiToken.unscoped.select_related("tenant").filter(good, revoked_at__isnull=True)
    return tokens.filter(digest=token_digest(plaintext)).first()


def note_use(token: ApiToken) -> None:
    """Keep when the token was last used, to the minute."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
        ApiToken.unscoped.filter(pk=token.pk).update(last_used_at=now)
