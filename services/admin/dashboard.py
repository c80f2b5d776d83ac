"""The console's first page: what there is, what is on its way, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F
from django.http import HttpRequest

from services.admin.places import sign_of_life, with_use
from services.lifecycle import OPEN, Health, OrderState, ServiceState
from services.models import Deployment, Pop, ProductOrder, ServiceInstance
from tenants import looks
from tenants.console import Table, list_of
from tenants.models import Tenant, TenantStatus

#: Rows of each of the page's tables.
MOST = 8


@dataclass(frozen=True)
class Figure:
    """A number at the top of the page, what it counts, and where those are listed."""

    title: str
    value: int
    note: str
    address: str


def show(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the first page shows (`settings.UNFOLD["DASHBOARD_CALLBACK"]`)."""
    del request
    return context | {"figures": tuple(_figures()), "tables": tuple(_tables())}


def _figures() -> Iterable[Figure]:
    living = ServiceInstance.unscoped.exclude(state=ServiceState.TERMINATED)
    unwell = living.filter(health__in=(Health.DEGRADED, Health.DOWN)).count()
    flying = ProductOrder.unscoped.filter(state__in=OPEN).count()
    failed = ProductOrder.unscoped.filter(state__in=(OrderState.FAILED, OrderState.PARTIAL)).count()
    behind = _behind().count()
    yield Figure("Services", living.count(), f"{unwell} not well", list_of(ServiceInstance))
    yield Figure("Orders in flight", flying, f"{failed} failed so far", list_of(ProductOrder))
    yield Figure("Deployments behind", behind, "found is not yet as wanted", list_of(Deployment, behind=1))
    yield Figure(
        "Customers",
        Tenant.objects.filter(status=TenantStatus.ACTIVE).count(),
        f"{Tenant.objects.filter(status=TenantStatus.SUSPENDED).count()} suspended",
        list_of(Tenant),
    )


def _tables() -> Iterable[Table]:
    yield _orders()
    yield _deployments()
    yield _pops()
    yield _by("Services by state", "state")
    yield _by("Services by health", "health")


def _behind() -> Any:
    return Deployment.unscoped.filter(observed_generation__lt=F("generation"))


def _orders() -> Table:
    flying = ProductOrder.unscoped.filter(state__in=OPEN).select_related("tenant")
    return Table(
        "Orders in flight",
        ("Order", "Customer", "State", "Placed", "Deadline"),
        [
            (looks.link(o), looks.link(o.tenant), looks.badge(o.state), looks.ago(o.placed_at), looks.ago(o.deadline))
            for o in flying[:MOST]
        ],
        "No order is on its way.",
        more=list_of(ProductOrder),
    )


def _deployments() -> Table:
    return Table(
        "Deployments behind",
        ("Service", "PoP", "Phase", "Found of wanted", "Reason"),
        [
            (
                looks.link(d, d.instance.name),
                looks.link(d.pop),
                looks.badge(d.phase),
                f"{d.observed_generation} of {d.generation}",
                d.reason or "-",
            )
            for d in _behind().select_related("instance", "pop")[:MOST]
        ],
        "Everything stands as wanted.",
        more=list_of(Deployment, behind=1),
    )


def _pops() -> Table:
    return Table(
        "PoPs",
        ("PoP", "Status", "Worker", "Services", "Sold vCPU", "Sold memory"),
        [
            (
                looks.link(pop, pop.name or pop.slug),
                looks.badge(pop.status),
                sign_of_life(pop),
                pop.living,
                looks.share(float(pop.vcpu_used), float(pop.vcpu_capacity), "vCPU"),
                looks.share(pop.memory_used, pop.memory_capacity_mb, "MiB"),
            )
            for pop in with_use(Pop.objects.all())
        ],
        "There are no PoPs yet. Enrol the first host with manage.py enroll_pop.",
        more=list_of(Pop),
    )


def _by(title: str, field: str) -> Table:
    """Services counted by one of their fields. The ended ones are counted among the states only."""
    services = ServiceInstance.unscoped.all()
    if field != "state":
        services = services.exclude(state=ServiceState.TERMINATED)
    counts = services.order_by(field).values_list(field).annotate(count=Count("pk"))
    return Table(
        title,
        ("What", "How many"),
        [
            (looks.badge(value), looks.anchor(list_of(ServiceInstance, **{f"{field}__exact": value}), count))
            for value, count in counts
        ],
        "There are no services yet.",
    )
