"""Services over HTTP: what stands, what happened to it, and what it answers when asked.

Changing or deleting one here is short for an order of one item, and answers with that order.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import Invalid, Problem
from services import inquiries, orders
from services.api import filters, read, write
from services.api.orders import answer
from services.entry import ItemRequest
from services.healing import heal
from services.models import Action, Inquiry, Revision, ServiceEvent, ServiceInstance, with_ends
from tenants.actor import Role
from tenants.api.base import ScopedViewSet

#: The longest that `Prefer: wait` holds an answer back, in seconds.
LONGEST_WAIT = 20
GRACE = OpenApiParameter("grace", int, description=write.GRACE)
#: Where a problem of an order's only item lies, seen from that order.
ONLY_ITEM = "items[0]"


@extend_schema(tags=["services"])
class Services(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Your network functions."""

    model = ServiceInstance
    filterset_class = filters.ServiceFilter
    ordering_fields = ("name", "created_at", "activated_at", "state", "health")

    def get_queryset(self) -> QuerySet[ServiceInstance]:
        rows = super().get_queryset()
        return with_ends(rows.select_related("size")) if self.action == "list" else read.with_state(rows)

    def get_serializer_class(self) -> Any:
        return read.ServiceSummary if self.action == "list" else read.ServiceJson

    @extend_schema(
        request=write.ServiceBody, responses={202: read.OrderJson}, summary="Order a change; the answer is the order"
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        service = self.get_object()
        body = write.ServiceBody(data=request.data)
        body.is_valid(raise_exception=True)
        return self._order(ItemRequest(action=Action.MODIFY, service=service.pk, **body.validated_data))

    @extend_schema(
        responses={202: read.OrderJson},
        parameters=[GRACE],
        summary="Order the removal; the answer is the order",
    )
    def destroy(self, request: Request, pk: str) -> Response:
        """Begins at once, or after `grace`: until then the service runs on, and cancelling the order undoes it."""
        item = ItemRequest(action=Action.DELETE, service=self.get_object().pk)
        return self._order(item, grace=grace_of(request))

    @extend_schema(
        request=None, responses={202: read.ServiceJson}, summary="Tell the PoP once more what should stand there"
    )
    def heal(self, request: Request, pk: str) -> Response:
        """What differs there is repaired. A PoP does so by itself as well; this asks for it now."""
        service = self.get_object()
        for deployment in service.deployments.select_related("instance", "pop"):
            heal(actor=self.actor, deployment=deployment)
        return Response(read.ServiceJson(self.get_object()).data, status=status.HTTP_202_ACCEPTED)

    def _order(self, item: ItemRequest, grace: timedelta | None = None) -> Response:
        try:
            order = orders.place(actor=self.actor, items=[item], grace=grace)
        except Invalid as refused:
            raise Invalid(map(_seen_from_the_item, refused.problems)) from refused
        return answer(order, status.HTTP_202_ACCEPTED)


def _seen_from_the_item(problem: Problem) -> Problem:
    return Problem(problem.path.removeprefix(ONLY_ITEM).removeprefix("."), problem.message)


class OfService(ScopedViewSet):
    """A list that belongs to one service, which the address names."""

    @property
    def service(self) -> ServiceInstance:
        return self.scope.get(ServiceInstance, self.kwargs["service"])

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows if getattr(self, "swagger_fake_view", False) else rows.filter(instance=self.service)


@extend_schema(tags=["services"])
class Events(mixins.ListModelMixin, OfService):
    """What happened to a service. Newest first."""

    model = ServiceEvent
    serializer_class = read.EventJson
    filterset_class = filters.EventFilter
    ordering_fields = ("at",)


@extend_schema(tags=["services"])
class Generations(mixins.ListModelMixin, OfService):
    """What was wanted of a service, one after another: each can be gone back to. Newest first."""

    model = Revision
    serializer_class = read.GenerationJson
    ordering_fields = ("generation",)

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("size")


PREFER = OpenApiParameter(
    "Prefer", str, OpenApiParameter.HEADER, description=f"`wait=N` (RFC 7240): up to {LONGEST_WAIT} seconds."
)


@extend_schema(tags=["services"])
class Inquiries(mixins.ListModelMixin, mixins.RetrieveModelMixin, OfService):
    """The looking glass: questions put to a running service, and their answers."""

    model = Inquiry
    writes = Role.VIEWER
    serializer_class = read.InquiryJson
    filterset_class = filters.InquiryFilter
    ordering_fields = ("asked_at",)
    # It waits for a PoP; a question asked twice does no harm.
    idempotent_atomic = False

    @extend_schema(
        request=write.InquiryBody,
        responses={201: read.InquiryJson, 202: read.InquiryJson},
        parameters=[PREFER],
        summary="Ask a running service",
    )
    def create(self, request: Request, service: str) -> Response:
        """Answers 201 with the answer, or 202 with an inquiry to look at later."""
        wait = preferred_wait(request)
        instance = self.service
        body = write.InquiryBody(data=request.data)
        body.is_valid(raise_exception=True)
        inquiry = inquiries.awaited(
            inquiries.ask(actor=self.actor, instance=instance, **body.validated_data), self.scope, wait
        )
        waiting = inquiry.state == Inquiry.State.OPEN
        headers = {"Location": f"/api/v1/services/{instance.pk}/inquiries/{inquiry.pk}"}
        if wait:
            headers["Preference-Applied"] = f"wait={wait}"
        return Response(
            read.InquiryJson(inquiry).data,
            status=status.HTTP_202_ACCEPTED if waiting else status.HTTP_201_CREATED,
            headers=headers,
        )


def grace_of(request: Request) -> timedelta | None:
    """What `?grace=` says. Raises `Invalid`, also for any other parameter: nothing is removed by a misunderstanding."""
    if unknown := sorted(set(request.query_params) - {"grace"}):
        raise Invalid(Problem(name[:64], "there is no such parameter; there is: grace") for name in unknown)
    said = request.query_params.getlist("grace")
    if not said:
        return None
    if len(said) > 1 or not re.fullmatch("[0-9]{1,7}", said[0]) or int(said[0]) > write.MOST_GRACE:
        raise Invalid([Problem("grace", f"a number of seconds, at most {write.MOST_GRACE}")])
    return timedelta(seconds=int(said[0]))


def preferred_wait(request: Request) -> int:
    """Seconds that `Prefer` allows us to wait. What it says besides is ignored (RFC 7240)."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})\"?", request.headers.get("Prefer", ""), re.IGNORECASE)
    return min(int(found[1]), LONGEST_WAIT) if found else 0
