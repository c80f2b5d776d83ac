"""The one door to a tenant's rows.

`scope.of(actor).all(Order)` is the only way in which API, portal and verbs reach rows of
a tenant. What belongs to someone else is not there: the answer to asking for it is the
same as for what never existed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db import models

from naas.core.errors import NotFound
from tenants.actor import Actor
from tenants.models import Tenant, TenantOwned

M = TypeVar("M", bound=TenantOwned)


class NotTenantOwned(TypeError):
    """The model does not say which tenant its rows belong to: a bug in the caller."""


@dataclass(frozen=True)
class Scope:
    tenant: Tenant

    def all(self, model: type[M]) -> models.QuerySet[M]:
        """The tenant's rows of `model`. Raises `NotTenantOwned`."""
        if not issubclass(model, TenantOwned):
            raise NotTenantOwned(f"{model.__name__} does not belong to tenants")
        return model.unscoped.filter(tenant=self.tenant)

    def get(self, model: type[M], id: object) -> M:
        """The tenant's row with this primary key. Raises `NotFound`."""
        return pick(self.all(model), id)


def of(owner: Tenant | Actor) -> Scope:
    return Scope(owner.tenant if isinstance(owner, Actor) else owner)


def pick(rows: models.QuerySet[M], id: object) -> M:
    """The row of `rows` with this primary key. Raises `NotFound`, also for what cannot be a key."""
    try:
        row = rows.filter(pk=id).first()
    except (ValueError, TypeError):
        row = None
    if row is None:
        raise NotFound(f"no {rows.model._meta.verbose_name} with id {str(id)[:64]}")
    return row
