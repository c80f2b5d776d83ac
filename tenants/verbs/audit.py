"""The audit trail: who did what, from where. Written in the transaction of what it tells of.

Pages that are open are told of it (`tenants.changes`).
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from tenants import changes
from tenants.actor import Actor, ActorKind, Staff
from tenants.models import AuditEvent, Tenant, TenantOwned


def record(actor: Actor | Staff, verb: str, object: Model | None = None, /, **detail: Any) -> AuditEvent:
    """Write one line. `verb` is like "order.place"; `detail` is plain JSON and holds no secrets.

    What staff do to a row of a tenant is in that tenant's trail too.
    """
    event: AuditEvent = AuditEvent.unscoped.create(
        tenant=actor.tenant if isinstance(actor, Actor) else _tenant_of(object),
        actor=actor.label,
        actor_kind=actor.kind,
        actor_id=_id_of(actor),
        address=actor.address,
        request_id=actor.request_id,
        verb=verb,
        object_type=(object._meta.model_name or "") if object is not None else "",
        object_id=str(object.pk) if object is not None else "",
        detail=detail,
    )
    if event.tenant_id is not None:
        changes.note(event, topic="audit")
        if isinstance(object, Tenant | TenantOwned):
            changes.note(object)
    return event


def _id_of(actor: Actor | Staff) -> str:
    if isinstance(actor, Actor) and actor.kind is ActorKind.TOKEN:
        return actor.token_id or ""
    return str(actor.user_id or "")


def _tenant_of(object: Model | None) -> Tenant | None:
    if isinstance(object, Tenant):
        return object
    return getattr(object, "tenant", None)
