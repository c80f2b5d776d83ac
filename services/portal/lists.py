"""Services and orders as lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.db.models import QuerySet

from services.lifecycle import Health, OrderState, ServiceState
from services.models import Action, Pop, ProductOrder, ServiceInstance, with_ends
from services.registry import kinds
from tenants.portal.lists import Column, Empty, Filter, ListPage
from tenants.wording import words


def _kinds(_page: ListPage) -> Iterable[tuple[str, str]]:
    return [(kind.name, kind.title) for kind in kinds().values()]


def pops_to_choose(_page: ListPage) -> Iterable[tuple[str, str]]:
    return [(pop.slug, pop.name) for pop in Pop.objects.only("slug", "name")]


class Services(ListPage):
    title = "Services"
    section = "services"
    model = ServiceInstance
    row = "portal/services_row.html"
    follows = "service"
    search = ("name", "id")
    columns = (
        Column("Name", lambda service: service.name, "name"),
        Column("Kind", lambda service: service.kind, "kind"),
        Column("PoP", lambda service: service.pop_id, "pop"),
        Column("Size", lambda service: service.size.size),
        Column("State", lambda service: service.state, "state"),
        Column("Health", lambda service: service.health, "health"),
        Column("Since", lambda service: service.activated_at, "activated_at"),
    )
    filters: ClassVar = (
        Filter("kind", "Kind", "kind", _kinds),
        Filter("pop", "PoP", "pop", pops_to_choose),
        Filter("health", "Health", "health", lambda _page: [(h.value, words(h)) for h in Health]),
        Filter("state", "State", "state", lambda _page: [(s.value, words(s)) for s in ServiceState]),
    )
    empty = Empty(
        "server",
        "No services yet",
        "A service is a router, a session border controller or the like at one of our points of presence.",
        "Order a service",
        "order-new",
    )

    def rows(self) -> QuerySet[ServiceInstance]:
        rows = with_ends(super().rows().select_related("size"))
        # What is gone is shown to who asks for it.
        return rows if self.request.GET.get("state") else rows.exclude(state=ServiceState.TERMINATED)


class Orders(ListPage):
    title = "Orders"
    section = "orders"
    model = ProductOrder
    row = "portal/orders_row.html"
    follows = "order"
    search = ("id", "external_id", "note", "items__instance__name")
    columns = (
        Column("Order", lambda order: order.pk),
        Column("Of", lambda order: "; ".join(f"{item.action} {item.instance.name}" for item in order.items.all())),
        Column("State", lambda order: order.state, "state"),
        Column("Placed", lambda order: order.placed_at, "placed_at"),
        Column("By", lambda order: order.placed_by, "placed_by"),
        Column("Reason", lambda order: order.reason),
    )
    filters: ClassVar = (
        Filter("state", "State", "state", lambda _page: [(s.value, words(s)) for s in OrderState]),
        Filter("does", "Does", "items__action", lambda _page: Action.choices),
        Filter("kind", "Kind", "items__instance__kind", _kinds),
    )
    empty = Empty("shopping-cart", "No orders yet", "What you order, change and remove is listed here, step by step.")

    def rows(self) -> QuerySet[ProductOrder]:
        return super().rows().prefetch_related("items__instance").distinct()
