"""Records of calls over HTTP, as JSON in pages or all as CSV, and what they say about each trunk."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from naas.core.errors import Invalid, Problem
from sbc.api import filters
from sbc.api.base import OfSbc
from sbc.api.live import QualityJson
from sbc.models import CallRecord
from sbc.statistics import Direction, Interval, figures
from tenants.api.pagination import Pages
from tenants.api.serializers import Choice

#: The longest time that statistics are made of at once.
LONGEST_SPAN = timedelta(days=31)
USUAL_SPAN = timedelta(days=1)
ROWS = 2000

#: What a spreadsheet would take for a formula: a caller's name is chosen by strangers. Numbers in E.164 are none.
FORMULA = re.compile(r"[=@\t\r]|[+-](?![0-9.]*$)")


class AttemptJson(serializers.Serializer[Any]):
    trunk = serializers.CharField()
    uri = serializers.CharField()
    code = serializers.IntegerField()


class RecordJson(serializers.ModelSerializer[CallRecord]):
    """A call (CDR). Durations in milliseconds; empty or null is what did not happen or was not reported."""

    service = serializers.CharField(source="instance_id")
    attempts = AttemptJson(many=True)
    quality = QualityJson(allow_null=True)

    class Meta:
        model = CallRecord
        fields = (
            *("id", "service", "key", "call_id", "call_id_out", "started", "answered", "ended"),
            *("setup_ms", "duration_ms", "caller", "called", "called_out", "from_trunk", "to_trunk", "route"),
            *("emergency", "attempts", "code", "cause", "codec", "srtp_in", "srtp_out"),
            *("mos", "loss", "jitter", "round_trip", "quality"),
        )


class TotalsJson(serializers.Serializer[Any]):
    """Of all records that the filters leave, not of the page alone."""

    calls = serializers.IntegerField()
    answered = serializers.IntegerField()
    duration_ms = serializers.IntegerField()


class PagesWithTotals(Pages):
    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        self.totals = queryset.order_by().aggregate(
            calls=Count("pk"), answered=Count("pk", filter=Q(answered__isnull=False)), duration_ms=Sum("duration_ms")
        )
        return super().paginate_queryset(queryset, request, view)

    def get_count(self, queryset: Any) -> int:
        return int(self.totals["calls"])

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        totals = self.totals | {"duration_ms": self.totals["duration_ms"] or 0}
        response.data = {"count": response.data.pop("count"), "totals": totals} | response.data
        return response

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        described = super().get_paginated_response_schema(schema)
        described["properties"]["totals"] = {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in TotalsJson().fields},
        }
        return described


class Csv(BaseRenderer):
    """A name for what `Records` streams itself."""

    media_type = "text/csv"
    format = "csv"


@extend_schema(tags=["sbc"])
class Records(mixins.ListModelMixin, mixins.RetrieveModelMixin, OfSbc):
    """Every call, and every attempt of a trunk that was refused. They stay when the SBC has gone."""

    model = CallRecord
    serializer_class = RecordJson
    filterset_class = filters.RecordFilter
    pagination_class = PagesWithTotals
    renderer_classes = (JSONRenderer, Csv)
    other_parameters = frozenset({"format"})
    ordering_fields = ("started", "ended", "duration_ms", "setup_ms", "caller", "called", "cause", "mos")

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=["json", "csv"])],
        responses={(200, "application/json"): RecordJson(many=True), (200, "text/csv"): OpenApiTypes.STR},
        summary="Records of calls; as CSV all of them at once",
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if request.accepted_renderer.format != Csv.format:
            return super().list(request, *args, **kwargs)
        rows = self.filter_queryset(self.get_queryset())
        name = f"{kwargs['service']}-calls.csv"
        return StreamingHttpResponse(
            csv_lines(rows), content_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'}
        )


class Line:
    """What `csv.writer` writes to: gives each line back."""

    def write(self, text: str) -> str:
        return text


#: Columns of the CSV: those of JSON that are no structures.
COLUMNS = tuple(name for name in RecordJson.Meta.fields if name not in ("service", "attempts", "quality"))


def csv_lines(rows: QuerySet[CallRecord]) -> Iterator[str]:
    """The records as lines of CSV (RFC 4180), the first with the names of the columns."""
    writer = csv.writer(Line())
    yield writer.writerow(COLUMNS)
    for row in rows.values_list(*COLUMNS).iterator(ROWS):
        yield writer.writerow(map(_cell, row))


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case str() if FORMULA.match(value):
            return f"'{value}"
    return str(value)


# --- statistics -------------------------------------------------------------------------


class QuantilesJson(serializers.Serializer[Any]):
    """Of the end that heard worse; a value below which so many percent of the calls lie."""

    p5 = serializers.FloatField()
    p50 = serializers.FloatField()
    p95 = serializers.FloatField()


class HeardInAllJson(serializers.Serializer[Any]):
    mos = QuantilesJson(required=False)
    loss = QuantilesJson(required=False, help_text="Percent")
    jitter = QuantilesJson(required=False, help_text="Milliseconds")
    round_trip = QuantilesJson(required=False, help_text="Milliseconds")


class FiguresJson(serializers.Serializer[Any]):
    trunk = serializers.CharField()
    direction = serializers.ChoiceField(choices=[direction.value for direction in Direction])
    start = serializers.DateTimeField(allow_null=True, help_text="Of the interval.")
    calls = serializers.IntegerField()
    answered = serializers.IntegerField()
    answer_seizure_ratio = serializers.FloatField(allow_null=True, help_text="Percent")
    duration_ms = serializers.IntegerField()
    causes = serializers.DictField(child=serializers.IntegerField(), help_text="How many calls ended by each cause.")
    quality = serializers.SerializerMethodField(help_text="What no end reported is left out.")

    @extend_schema_field(HeardInAllJson)
    def get_quality(self, found: Any) -> Any:
        return {name: {f"p{p}": at for p, at in quantiles.items()} for name, quantiles in found.quality.items()}


class StatisticsJson(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    interval = serializers.ChoiceField(choices=[interval.value for interval in Interval])
    results = FiguresJson(many=True)


class StatisticsQuery(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    interval = Choice(choices=[interval.value for interval in Interval], default=Interval.ALL.value)
    trunk = serializers.CharField(required=False, max_length=32)


@extend_schema(tags=["sbc"])
class Statistics(OfSbc):
    """What records say about each trunk: calls, answer-seizure ratio, causes, quality."""

    model = CallRecord
    serializer_class = StatisticsJson
    pagination_class = None
    filterset_class = None

    @extend_schema(
        parameters=[StatisticsQuery],
        responses=StatisticsJson,
        summary="Figures by trunk, direction and time; without `since` of the last day",
        operation_id="sbc_statistics",
    )
    def retrieve(self, request: Request, service: str) -> Response:
        asked = self._asked(request)
        rows = self.get_queryset().filter(started__gte=asked["since"], started__lt=asked["until"])
        found: Iterable[Any] = figures(rows, Interval(asked["interval"]))
        if trunk := asked.get("trunk"):
            found = (each for each in found if each.trunk == trunk)
        return Response(StatisticsJson(asked | {"results": list(found)}).data)

    def _asked(self, request: Request) -> dict[str, Any]:
        if unknown := sorted(set(request.query_params) - set(StatisticsQuery().fields)):
            raise Invalid(Problem(name[:64], "there is no such parameter") for name in unknown)
        query = StatisticsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked: dict[str, Any] = dict(query.validated_data)
        asked.setdefault("until", timezone.now())
        asked.setdefault("since", asked["until"] - USUAL_SPAN)
        if not timedelta(0) < asked["until"] - asked["since"] <= LONGEST_SPAN:
            raise Invalid([Problem("since", f"must lie before until, by at most {LONGEST_SPAN.days} days")])
        return asked
