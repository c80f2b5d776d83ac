"""The pages of one service: what is wanted of it, what was found, what it costs, and what happened to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from services.bill import Month, Price, by_month
from services.healing import heal
from services.lifecycle import OrderState
from services.models import Action, Deployment, OrderItem, ServiceEvent, ServiceInstance
from services.portal.ordering import price_of
from services.portal.tabs import ServicePage
from services.secrets import mask
from tenants.portal.lists import Column, Empty, Filter, ListPage

#: Events that the overview shows.
LATEST = 8


class Service(ServicePage):
    tab = "service"
    template = "portal/service.html"

    def context(self) -> Mapping[str, Any]:
        service = self.service
        months = _months(service)
        deployments = list(service.deployments.select_related("pop"))
        conditions = [condition for deployment in deployments for condition in deployment.conditions]
        return {
            "deployments": deployments,
            "conditions": conditions,
            "agreement": _agreement(
                deployments, conditions, changing=self.pending is not None and self.pending.state != OrderState.PENDING
            ),
            "found": next((d.observed_generation for d in deployments if 0 < d.observed_generation < d.generation), 0),
            "addresses": service.addresses.select_related("segment"),
            "events": service.events.all()[:LATEST],
            "spec": json.dumps(mask(service.spec), indent=2),
            "price": price_of(service.size),
            "cost": sum((month.amount for month in months), Decimal(0)) if months else None,
        }


def _agreement(deployments: list[Deployment], conditions: list[dict[str, Any]], *, changing: bool) -> str:
    """Whether what was found is what is wanted: "changing", "behind", "differs" or "agrees"; empty where nothing is."""
    if not deployments:
        return ""
    if changing:
        return "changing"
    if any(deployment.observed_generation < deployment.generation for deployment in deployments):
        return "behind"
    return "differs" if any(condition["status"] == "false" for condition in conditions) else "agrees"


class Heal(ServicePage):
    """Asks the PoP to look again and to repair what differs."""

    tab = "service"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        return self.redirect("service", id=self.service.pk)

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        for deployment in self.service.deployments.select_related("instance", "pop"):
            heal(actor=self.actor, deployment=deployment)
        self.say("The PoP looks again, and repairs what differs from what is wanted.")
        return self.redirect("service", id=self.service.pk)


def _types(page: ListPage) -> list[tuple[str, str]]:
    assert isinstance(page, Events)
    found = page.service.events.order_by("type").values_list("type", flat=True).distinct()
    return [(type, type) for type in found]


class Events(ServicePage, ListPage):
    tab = "service-events"
    title = "Events"
    model = ServiceEvent
    template = "portal/service_list.html"
    row = "portal/events_row.html"
    follows = "service"
    search = ("message",)
    columns = (
        Column("When", lambda event: event.at.isoformat(), "at"),
        Column("Event", lambda event: event.type, "type"),
        Column("What happened", lambda event: event.message),
    )
    filters: ClassVar = (Filter("type", "Event", "type", _types),)
    empty = Empty("history", "Nothing has happened yet", "What a PoP does for this service and finds is listed here.")

    def rows(self) -> QuerySet[ServiceEvent]:
        return super().rows().filter(instance=self.service)


class Topology(ServicePage):
    """Where a service is wired: each port with its segment, its addresses and who else is there."""

    tab = "service-topology"
    template = "portal/service_topology.html"

    def context(self) -> Mapping[str, Any]:
        ports: dict[tuple[str, str], list[Any]] = {}
        for address in self.service.addresses.select_related("segment__uni", "segment").order_by("port", "pk"):
            ports.setdefault((address.port, address.segment_id), []).append(address)
        neighbours = self.neighbours({segment for _, segment in ports})
        return {
            "ports": [
                {
                    "name": port,
                    "segment": held[0].segment,
                    "addresses": held,
                    "neighbours": neighbours.get(segment, ()),
                }
                for (port, segment), held in ports.items()
            ]
        }

    def neighbours(self, segments: set[str]) -> dict[str, list[ServiceInstance]]:
        """The tenant's other services that stand on these segments, by segment."""
        others = self.scope.all(ServiceInstance).exclude(pk=self.service.pk).filter(addresses__segment__in=segments)
        on = others.values_list("addresses__segment", "pk").distinct()
        named = others.in_bulk()
        found: dict[str, list[ServiceInstance]] = {}
        for segment, other in on:
            found.setdefault(segment, []).append(named[other])
        return found


class Cost(ServicePage):
    """What a service has cost, month by month."""

    tab = "service-cost"
    template = "portal/service_cost.html"

    def context(self) -> Mapping[str, Any]:
        service, price = self.service, price_of(self.service.size)
        months = _months(service)
        done = service.order_items.filter(state=OrderState.COMPLETED)
        setup = done.aggregate(paid=Sum("setup_price"))["paid"] or Decimal(0)
        running = sum((month.amount for month in months), Decimal(0))
        return {
            "months": list(reversed(months)),
            "price": price,
            "setup": setup,
            "running": running,
            "total": setup + running,
        }


def _months(service: ServiceInstance) -> tuple[Month, ...]:
    """What running cost since it became active, at the prices of the orders that were carried out."""
    if service.activated_at is None:
        return ()
    rows = service.revisions.values_list("generation", "worked_at")
    worked = {generation: at for generation, at in rows if at is not None}
    items = service.order_items.filter(state=OrderState.COMPLETED).exclude(action=Action.DELETE)
    prices = [
        (max(worked[item.generation], service.activated_at), _price(item))
        for item in items.order_by("generation")
        if item.generation in worked
    ]
    if not prices or prices[0][0] > service.activated_at:
        prices.insert(0, (service.activated_at, prices[0][1] if prices else price_of(service.size)))
    return by_month(prices, service.terminated_at or timezone.now())


def _price(item: OrderItem) -> Price:
    return Price(item.setup_price, item.hourly_price, item.monthly_price, item.currency)
