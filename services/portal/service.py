"""The pages of one service: what is wanted of it, what was found, what it costs, and what happened to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from services.bill import so_far
from services.healing import heal
from services.models import Deployment, ServiceEvent
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
        price, until = price_of(service.size), service.terminated_at or timezone.now()
        deployments = list(service.deployments.select_related("pop"))
        conditions = [condition for deployment in deployments for condition in deployment.conditions]
        return {
            "deployments": deployments,
            "conditions": conditions,
            "agreement": _agreement(deployments, conditions),
            "addresses": service.addresses.select_related("segment"),
            "events": service.events.all()[:LATEST],
            "spec": json.dumps(mask(service.spec), indent=2),
            "price": price,
            "cost": so_far(price, service.activated_at, until) if service.activated_at else None,
        }


def _agreement(deployments: list[Deployment], conditions: list[dict[str, Any]]) -> str:
    """Whether what was found is what is wanted: "behind", "differs" or "agrees"; empty where nothing is wanted."""
    if not deployments:
        return ""
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
