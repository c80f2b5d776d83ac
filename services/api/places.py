"""What can be had, where, and whom to trust: offerings, PoPs, UNIs, segments, the certificate authority."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response

from services import certificates, segments
from services.api import filters, read, write
from services.models import Offering, Pop, PopStatus, Segment, Uni
from tenants.api.base import ScopedView, ScopedViewSet


class Shelf(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """A list that is the same for every tenant, and can be read only."""

    shelf: QuerySet[Any]

    def get_queryset(self) -> QuerySet[Any]:
        return self.shelf.all()


@extend_schema(tags=["offerings"])
class Offerings(Shelf):
    """What is sold: kinds of network functions with their spec's schema, sizes and prices."""

    shelf = read.with_prices(Offering.objects.all())
    serializer_class = read.OfferingJson
    filterset_class = filters.OfferingFilter
    ordering_fields = ("kind", "version")


@extend_schema(tags=["places"])
class Pops(Shelf):
    """Points of presence."""

    shelf = Pop.objects.exclude(status=PopStatus.PLANNED).prefetch_related("transports")
    serializer_class = read.PopJson
    filterset_class = filters.PopFilter
    ordering_fields = ("slug", "name")


@extend_schema(tags=["services"])
class TheAuthority(ScopedView):
    """The platform's certificate authority."""

    serializer_class = read.AuthorityJson

    @extend_schema(operation_id="authority", summary="Who issues certificates to services, for you to trust")
    def get(self, request: Request) -> Response:
        return Response(read.AuthorityJson(certificates.authority()).data)


@extend_schema(tags=["places"])
class Unis(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Your ports at the PoPs. The provider makes them."""

    model = Uni
    serializer_class = read.UniJson
    filterset_class = filters.UniFilter
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Uni]:
        return super().get_queryset().select_related("segment")


@extend_schema(tags=["segments"])
class Segments(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Your layer-2 domains, on which services have their ports."""

    model = Segment
    serializer_class = read.SegmentJson
    filterset_class = filters.SegmentFilter
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Segment]:
        return super().get_queryset().prefetch_related("prefixes")

    @extend_schema(request=write.SegmentBody, responses={201: read.SegmentJson}, summary="Make a segment")
    def create(self, request: Request) -> Response:
        segment = segments.create(actor=self.actor, request=write.SegmentBody(data=request.data).request())
        headers = {"Location": f"/api/v1/segments/{segment.pk}"}
        return Response(read.SegmentJson(segment).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(
        request=write.SegmentChange, responses=read.SegmentJson, summary="Rename a segment or change its prefixes"
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        wanted = write.SegmentChange(data=request.data)
        segment = self.get_object()
        wanted.is_valid(raise_exception=True)
        segments.change(actor=self.actor, segment=segment, **wanted.validated_data)
        return Response(read.SegmentJson(self.get_object()).data)

    @extend_schema(summary="Remove a segment that no service uses")
    def destroy(self, request: Request, pk: str) -> Response:
        segments.remove(actor=self.actor, segment=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
