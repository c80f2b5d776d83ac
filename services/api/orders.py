"""Orders over HTTP: place, preview, follow, hasten, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response

from services import orders
from services.api import filters, read, write
from services.models import ProductOrder
from tenants.api.base import ScopedView, ScopedViewSet


@extend_schema(tags=["orders"])
class Orders(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Your orders. One order's detail shows every step as its PoP takes it."""

    model = ProductOrder
    filterset_class = filters.OrderFilter
    ordering_fields = ("placed_at", "deadline", "state")

    def get_queryset(self) -> QuerySet[ProductOrder]:
        rows = super().get_queryset()
        return read.with_items(rows) if self.action == "list" else read.with_steps(rows)

    def get_serializer_class(self) -> Any:
        return read.OrderSummary if self.action == "list" else read.OrderJson

    @extend_schema(request=write.OrderBody, responses={201: read.OrderJson}, summary="Place an order")
    def create(self, request: Request) -> Response:
        body = write.OrderBody(data=request.data)
        items = body.requests()
        return self._made(orders.place(actor=self.actor, items=items, **body.options()))

    @extend_schema(request=None, responses=read.OrderJson, summary="Stop an order and undo what it has done so far")
    def cancel(self, request: Request, pk: str) -> Response:
        orders.cancel(actor=self.actor, order=self.get_object())
        return Response(read.OrderJson(self.get_object()).data)

    @extend_schema(request=None, responses=read.OrderJson, summary="Have a removal that waits begin now")
    def hasten(self, request: Request, pk: str) -> Response:
        orders.hasten(actor=self.actor, order=self.get_object())
        return Response(read.OrderJson(self.get_object()).data)

    @extend_schema(request=None, responses={201: read.OrderJson}, summary="Order again what failed or was cancelled")
    def retry(self, request: Request, pk: str) -> Response:
        return self._made(orders.retry(actor=self.actor, order=self.get_object()))

    def _made(self, order: ProductOrder) -> Response:
        return answer(order, status.HTTP_201_CREATED)


def answer(order: ProductOrder, status: int) -> Response:
    """The order as JSON, and where to follow it."""
    return Response(read.OrderJson(order).data, status=status, headers={"Location": f"/api/v1/orders/{order.pk}"})


@extend_schema(tags=["orders"])
class Preview(ScopedView):
    """What an order would do. Refused for the same reasons for which the order would be."""

    serializer_class = read.PreviewJson

    @extend_schema(
        request=write.ItemsBody,
        responses={200: read.PreviewJson},
        operation_id="orders_preview",
        summary="Steps, interruptions and prices of an order, without placing it",
    )
    def post(self, request: Request) -> Response:
        items = write.ItemsBody(data=request.data).requests()
        return Response(read.PreviewJson(_summed(orders.preview(actor=self.actor, items=items))).data)


def _summed(items: Sequence[orders.ItemPreview]) -> dict[str, Any]:
    return {
        "items": items,
        "setup": sum(item.setup for item in items),
        "monthly_difference": sum(item.monthly_after - item.monthly_before for item in items),
        "hourly_difference": sum(item.hourly_after - item.hourly_before for item in items),
    }
