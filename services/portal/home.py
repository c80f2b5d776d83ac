"""The first page: the tenant's network as a picture, and the same as a list; a drawer with what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, QuerySet

from services.lifecycle import UNDER_WAY, Health, OrderState, ServiceState
from services.models import Address, OrderItem, Pop, ProductOrder, Segment, ServiceInstance
from services.portal.blueprints import on_sale
from services.portal.ordering import price_of
from services.portal.tabs import ServicePage, tabs_of
from services.portal.topology import WORSE, Function, Net, Place, draw
from tenants.portal.page import Page

#: Services that are listed beside the picture; the rest is in the list of services.
MOST_LISTED = 500
#: Orders that are on their way and are shown.
LATEST = 5


class Home(Page):
    section = "home"
    title = "Overview"
    template = "portal/home.html"

    def context(self) -> Mapping[str, Any]:
        standing = self.scope.all(ServiceInstance).exclude(state=ServiceState.TERMINATED)
        services = list(standing.only("id", "name", "pop", "kind", "health", "health_reason", "state", "tenant"))
        nets = [
            Net(segment.pk, segment.name, segment.pop_id, segment.kind, segment.uni.name if segment.uni else "")
            for segment in self.scope.all(Segment).select_related("uni")
        ]
        pops = [Place(slug, name) for slug, name in Pop.objects.values_list("slug", "name")]
        picture = draw(pops, nets, self.functions(services))
        well = dict(standing.values_list("health").annotate(count=Count("pk")).order_by())
        ordered = sorted(services, key=lambda service: (-WORSE.index(Health(service.health)), service.name))
        return {
            "services": ordered[:MOST_LISTED],
            "count": len(services),
            "picture": picture.elements(),
            "is_grouped": picture.is_grouped,
            "healths": [(health.value, well.get(health, 0)) for health in WORSE if well.get(health)],
            "segments": bool(nets),
            "open_orders": self.scope.all(ProductOrder).filter(state__in=UNDER_WAY)[:LATEST],
            "endings": self.endings()[:LATEST],
            "more_endings": max(self.endings().count() - LATEST, 0),
            "blueprints": [] if services else on_sale(),
        }

    def endings(self) -> QuerySet[OrderItem]:
        """Removals that wait, the next one first."""
        waiting = self.scope.all(OrderItem).filter(state=OrderState.PENDING)
        return waiting.select_related("order", "instance").order_by("order__starts_at", "pk")

    def functions(self, services: list[ServiceInstance]) -> list[Function]:
        ports: dict[str, list[str]] = {}
        wired = self.scope.all(Address).exclude(instance__state=ServiceState.TERMINATED)
        for instance, segment in wired.order_by("pk").values_list("instance_id", "segment_id"):
            ports.setdefault(instance, []).append(segment)
        return [
            Function(s.pk, s.name, s.pop_id, s.kind, s.health, tuple(dict.fromkeys(ports.get(s.pk, ()))))
            for s in services
        ]


class Drawer(ServicePage):
    """What was chosen in the picture: a part of the page, or a page where there is no script."""

    tab = "service"
    template = "portal/drawer.html"

    def context(self) -> Mapping[str, Any]:
        service = self.service
        return {
            "addresses": service.addresses.select_related("segment"),
            "price": price_of(service.size),
            "pages": tabs_of(service.kind)[1:],
            "latest": service.events.all()[:3],
            "change": self.pending,
        }
