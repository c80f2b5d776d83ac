"""How much may stand: the tenant's quota and the room at each PoP. The one place that says no to more."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.db.models import Count, QuerySet, Sum

from naas.core.errors import CapacityExceeded, QuotaExceeded
from services.lifecycle import ServiceState
from services.models import OfferingSize, Pop, PopStatus, ServiceInstance
from tenants import wall
from tenants.models import Tenant
from tenants.verbs.quotas import Amount, limits


def usage(tenant: Tenant) -> Amount:
    """What the tenant's living services take together (`settings.NAAS_QUOTA_USAGE`)."""
    return _sum(_living().filter(tenant=tenant))


def check_limits(tenant: Tenant, pops: Iterable[Pop]) -> None:
    """Raises `QuotaExceeded` or `CapacityExceeded`, with the figures, when what stands now is too much.

    Called inside the transaction that adds, which is then rolled back.
    """
    has, may = usage(tenant), limits(tenant)
    for what, used, most, unit in (
        ("services", has.services, may.services, ""),
        ("vCPU", has.vcpu, may.vcpu, ""),
        ("memory", has.memory_mb, may.memory_mb, " MiB"),
    ):
        if used > most:
            raise QuotaExceeded(
                f"this would take {used}{unit} of {what}, and your quota is {most}{unit}; "
                "delete a service, order a smaller size, or ask your provider for more"
            )
    for pop in pops:
        _check_room(pop)


def _check_room(pop: Pop) -> None:
    with wall.lifted():
        taken = _sum(_living().filter(pop=pop))
    if taken.vcpu > pop.vcpu_capacity or taken.memory_mb > pop.memory_capacity_mb:
        raise CapacityExceeded(f"PoP {pop.slug} has no room for this; order a smaller size or choose another PoP")


def pops_with_room(size: OfferingSize) -> list[Pop]:
    """The open PoPs at which one more of this size could stand."""
    with wall.lifted():
        taken = {
            row["pop"]: Amount(0, row["vcpu"], row["memory_mb"])
            for row in _living()
            .order_by()
            .values("pop")
            .annotate(vcpu=Sum("size__vcpu"), memory_mb=Sum("size__memory_mb"))
        }
    return [
        pop
        for pop in Pop.objects.filter(status=PopStatus.OPEN)
        if taken.get(pop.pk, Amount()).vcpu + size.vcpu <= pop.vcpu_capacity
        and taken.get(pop.pk, Amount()).memory_mb + size.memory_mb <= pop.memory_capacity_mb
    ]


def _living() -> QuerySet[ServiceInstance]:
    return ServiceInstance.unscoped.exclude(state=ServiceState.TERMINATED)


def _sum(services: QuerySet[ServiceInstance]) -> Amount:
    total = services.order_by().aggregate(
        services=Count("pk"), vcpu=Sum("size__vcpu"), memory_mb=Sum("size__memory_mb")
    )
    return Amount(total["services"], total["vcpu"] or Decimal(0), total["memory_mb"] or 0)
