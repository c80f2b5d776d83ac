"""What was measured of services: as series over HTTP, and as what Prometheus scrapes."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import Invalid, Problem
from services import samples
from services.api.services import OfService
from services.models import Sample
from services.samples import Range, Series
from services.tiers import parts_of
from tenants.api.base import ScopedView

#: What is measured, in words, and its unit.
MEASURED = {
    "port.in.bits": ("Traffic into the service by a port", "bit/s"),
    "port.out.bits": ("Traffic out of the service by a port", "bit/s"),
    "port.in.packets": ("Packets into the service by a port", "packets/s"),
    "port.out.packets": ("Packets out of the service by a port", "packets/s"),
    "port.in.errors": ("Damaged packets into the service by a port", "packets/s"),
    "port.out.errors": ("Damaged packets out of the service by a port", "packets/s"),
    "port.in.drops": ("Packets into the service that were dropped, as above the port's rate", "packets/s"),
    "port.out.drops": ("Packets out of the service that were dropped, as above the port's rate", "packets/s"),
    "cpu": ("Processor time that a network function takes", "cores"),
    "bgp.neighbours": ("BGP neighbours that are configured", ""),
    "bgp.neighbours.up": ("BGP neighbours that are established", ""),
    "routes": ("Routes in the routing table", ""),
    "calls.now": ("Calls that stand", ""),
    "calls.attempts": ("Calls that ended, however they did", "calls/s"),
    "calls.answered": ("Calls that ended and were answered", "calls/s"),
    "calls.failed": ("Calls that ended without an answer; also by cause", "calls/s"),
    "calls.ratio": ("Answered calls of all that ended (answer-seizure ratio)", "%"),
    "calls.mos": ("MOS of the end that hears worse, mean of the calls that ended", ""),
    "trunk.now": ("Calls that stand, from and to a trunk", ""),
    "trunk.attempts": ("Calls from and to a trunk that ended, however they did", "calls/s"),
    "trunk.answered": ("Calls from and to a trunk that ended and were answered", "calls/s"),
    "trunk.failed": ("Calls from and to a trunk that ended without an answer; also by cause", "calls/s"),
    "trunk.ratio": ("Answered calls of all from and to a trunk that ended (answer-seizure ratio)", "%"),
    "trunk.mos": ("MOS of the end that hears worse, mean of a trunk's calls that ended", ""),
    "memory": ("Memory that a network function takes", "bytes"),
}
PREFIX = "naas_service_"


class SeriesJson(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="What was measured, such as `port.in.bits`.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field of that name, no caption
        help_text="Of which part: a port, or a network function; empty for the service."
    )
    unit = serializers.CharField()
    points = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=4, max_length=4),
        help_text="Each the Unix second at which a step begins, and of that step least, mean and most.",
    )


class MetricsJson(serializers.Serializer[Any]):
    step = serializers.IntegerField(help_text="Seconds from one point to the next. Where nothing was measured none is.")
    series = SeriesJson(many=True)


PARAMETERS = [
    OpenApiParameter("name", str, description="Only series of this name."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="An hour before `to`, if not said."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Now, if not said."),
    OpenApiParameter(
        "step", int, description="Seconds from one point to the next; what suits the range, if not said. At least 10."
    ),
]


@extend_schema(tags=["services"])
class Metrics(OfService):
    """What was measured of a service: kept for a day by 10 seconds, a week by the minute, 13 months by the hour."""

    model = Sample
    serializer_class = MetricsJson
    pagination_class = None
    other_parameters = frozenset({"name", "from", "to", "step"})

    @extend_schema(parameters=PARAMETERS, responses=MetricsJson, summary="Series of a service")
    def retrieve(self, request: Request, service: str) -> Response:
        known = set(request.query_params) - self.other_parameters
        if known:
            raise Invalid(Problem(name, "there is no such parameter") for name in sorted(known))
        instance = self.service
        asked = Range.asked(
            _moment(request, "from"), _moment(request, "to"), _step(request), request.query_params.get("name", "")
        )
        found = samples.series(self.scope, instance, asked)
        return Response({"step": asked.step, "series": [series_json(one) for one in found]})


def series_json(one: Series) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label,
        "unit": MEASURED.get(one.name, ("", ""))[1],
        "points": [[int(at.timestamp()), f.least, f.mean, f.most] for at, f in one.points],
    }


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Invalid([Problem(name, "must be a moment with its zone, such as 2026-11-26T17:00:00Z")])
    return found


def _step(request: Request) -> int | None:
    text = request.query_params.get("step")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) >= 10):
        raise Invalid([Problem("step", "must be a number of seconds, at least 10")])
    return int(text)


# --- Prometheus -------------------------------------------------------------------------


class Exposition(BaseRenderer):
    """Text that is written already."""

    media_type = "text/plain"
    format = "txt"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        return data if isinstance(data, bytes) else str(data).encode()


@extend_schema(tags=["services"])
class Scrape(ScopedView):
    """What Prometheus scrapes of your services: the latest value of everything that is measured."""

    model = Sample
    pagination_class = None
    renderer_classes = (Exposition,)

    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR}, summary="The present values, in Prometheus' text format"
    )
    def get(self, request: Request) -> HttpResponse:
        return _scraped(self.scope.all(Sample))


def scrape_all(request: HttpRequest) -> HttpResponse:
    """The same of all tenants, for the provider's own Prometheus, which has the token `NAAS_PROMETHEUS_TOKEN`."""
    wanted = settings.NAAS_PROMETHEUS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Http404
    return _scraped(samples.of_all_tenants(), whose=True)


def _scraped(rows: QuerySet[Sample], *, whose: bool = False) -> HttpResponse:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Present(rows, whose=whose))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Present:
    """A Prometheus collector of what rows say."""

    def __init__(self, rows: QuerySet[Sample], *, whose: bool) -> None:
        self._rows = rows
        self._whose = whose

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for sample in samples.present(self._rows):
            service = sample.instance
            labels = [service.pk, service.name, service.kind, service.pop_id]
            labels += [service.tenant_id] if self._whose else []
            for key, value in sample.values.items():
                name, part = parts_of(key)
                family = families.setdefault(name, _family(name, whose=self._whose))
                family.add_metric([*labels, part], value)
        return iter(families.values())

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _family(name: str, *, whose: bool) -> GaugeMetricFamily:
    words, unit = MEASURED.get(name, (name, ""))
    labels = ["service", "name", "kind", "pop", *(["tenant"] if whose else []), "part"]
    return GaugeMetricFamily(PREFIX + name.replace(".", "_"), f"{words}, {unit}" if unit else words, labels=labels)
