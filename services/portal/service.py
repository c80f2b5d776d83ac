"""The page of one service: what is wanted of it, what was found, what it costs, and how it came to be so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from services.bill import so_far
from services.portal.ordering import price_of
from services.portal.tabs import ServicePage
from services.secrets import mask

#: Events and generations that are shown.
LATEST = 20


class Service(ServicePage):
    tab = "service"
    template = "portal/service.html"

    def context(self) -> Mapping[str, Any]:
        service = self.service
        price, until = price_of(service.size), service.terminated_at or timezone.now()
        deployments = list(service.deployments.select_related("pop"))
        return {
            "deployments": deployments,
            "conditions": [condition for deployment in deployments for condition in deployment.conditions],
            "behind": any(deployment.observed_generation < deployment.generation for deployment in deployments),
            "addresses": service.addresses.select_related("segment"),
            "events": service.events.all()[:LATEST],
            "revisions": service.revisions.select_related("size").order_by("-generation")[:LATEST],
            "spec": json.dumps(mask(service.spec), indent=2),
            "price": price,
            "cost": so_far(price, service.activated_at, until) if service.activated_at else None,
        }
