"""How much a tenant may have, and how much of it is in use.

What is in use is known to the layer that sells (`settings.NAAS_QUOTA_USAGE` names its
function); this one keeps the limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from tenants.actor import Staff
from tenants.models import Quota, Tenant
from tenants.verbs import audit


@dataclass(frozen=True)
class Amount:
    """So many services with so many vCPU and MiB together."""

    services: int = 0
    vcpu: Decimal = Decimal(0)
    memory_mb: int = 0


def limits(tenant: Tenant) -> Amount:
    """The most the tenant may have at once."""
    quota = Quota.unscoped.filter(tenant=tenant).first() or Quota(tenant=tenant)
    return Amount(quota.services, Decimal(quota.vcpu), quota.memory_mb)


def usage(tenant: Tenant) -> Amount:
    """What the tenant has now. Nothing, where nothing is sold."""
    if settings.NAAS_QUOTA_USAGE is None:
        return Amount()
    count: Callable[[Tenant], Amount] = import_string(settings.NAAS_QUOTA_USAGE)
    return count(tenant)


@transaction.atomic
def set_limits(*, staff: Staff, tenant: Tenant, limits: Amount) -> Quota:
    """Give the tenant other limits. What it has beyond them stays; it cannot order more."""
    quota: Quota
    quota, _ = Quota.unscoped.update_or_create(
        tenant=tenant,
        defaults={"services": limits.services, "vcpu": int(limits.vcpu), "memory_mb": limits.memory_mb},
    )
    audit.record(staff, "quota.set", quota, services=limits.services, vcpu=int(limits.vcpu), memory_mb=limits.memory_mb)
    return quota
