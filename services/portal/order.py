"""The page of one order: every step as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.models import ProductOrder
from tenants.portal.page import Page


class Order(Page):
    section = "orders"
    template = "portal/order.html"

    def context(self) -> Mapping[str, Any]:
        order = self.scope.get(ProductOrder, self.kwargs["id"])
        return {
            "title": f"Order {order.pk}",
            "order": order,
            "items": order.items.select_related("instance", "size"),
        }
