"""The page of one service: what is wanted of it, what was found, and what one can ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.models import ServiceInstance
from tenants.portal.page import Page


class Service(Page):
    section = "services"
    template = "portal/service.html"

    def context(self) -> Mapping[str, Any]:
        service = self.scope.get(ServiceInstance, self.kwargs["id"])
        return {
            "title": service.name,
            "service": service,
            "deployments": service.deployments.select_related("pop"),
            "addresses": service.addresses.select_related("segment"),
            "events": service.events.all()[:20],
        }
