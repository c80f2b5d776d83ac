"""Views that do on purpose what views do by mistake. For test_api_plumbing*.py."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError
from django.urls import include, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import Conflict
from tenants.api.base import ScopedView
from tenants.models import Tenant
from worker.errors import TemporaryError

FAULTS: dict[str, Exception] = {
    "bug": RuntimeError("the password is hunter2"),
    "busy": TemporaryError("the engine restarts", delay=2.5),
    "locked": OperationalError("database is locked"),
    "refused": Conflict("not now"),
}


class Inner(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=3)


class Nested(serializers.Serializer[Any]):
    items = Inner(many=True)
    numbers = serializers.ListField(child=serializers.IntegerField())


class Faulty(ScopedView):
    """Writes a row, then fails as its path says."""

    def post(self, request: Request, fault: str) -> Response:
        Tenant.objects.create(name=fault, slug=fault)
        raise FAULTS[fault]


class Count(ScopedView):
    """Writes a row and says how many there are."""

    def post(self, request: Request) -> Response:
        made = Tenant.objects.create(name="made", slug=f"made-{Tenant.objects.count()}")
        return Response({"slug": made.slug}, status=201, headers={"Location": f"/made/{made.slug}"})


class Check(ScopedView):
    def post(self, request: Request) -> Response:
        Nested(data=request.data).is_valid(raise_exception=True)
        return Response(status=204)


urlpatterns = [
    path("api/v1/faulty/<fault>", Faulty.as_view()),
    path("api/v1/count", Count.as_view()),
    path("api/v1/check", Check.as_view()),
    path("", include("naas.urls")),
]
handler400 = "tenants.api.problems.bad_request"
handler500 = "tenants.api.problems.server_error"
handler404 = "tenants.api.problems.not_found"
