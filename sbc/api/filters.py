"""What lists of an SBC can be narrowed by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from sbc.models import CallRecord, Route, SourceRule, TestCall, Trunk
from tenants.api.filters import WholeNumber, YesNo


class TrunkFilter(django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    enabled = YesNo()

    class Meta:
        model = Trunk
        fields = ("side", "transport")


class RouteFilter(django_filters.FilterSet):  # type: ignore[misc]
    # By text: a choice field would tell foreign names from unknown ones.
    from_trunk = django_filters.CharFilter(field_name="from_trunk__name")
    to_trunk = django_filters.CharFilter(field_name="targets__trunk__name")
    enabled = YesNo()
    begins_with = django_filters.CharFilter(field_name="prefix", lookup_expr="startswith")

    class Meta:
        model = Route
        fields = ("prefix",)


class SourceRuleFilter(django_filters.FilterSet):  # type: ignore[misc]
    class Meta:
        model = SourceRule
        fields = ("side", "cidr")


class RecordFilter(django_filters.FilterSet):  # type: ignore[misc]
    since = django_filters.IsoDateTimeFilter(field_name="started", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="started", lookup_expr="lt")
    trunk = django_filters.CharFilter(method="of_trunk", help_text="On either side.")
    answered = YesNo(method="was_answered")
    code = WholeNumber(min_value=100, max_value=699)
    emergency = YesNo()
    longer_than = WholeNumber(method="lasted", min_value=0, max_value=10**6, help_text="Seconds from the answer.")
    mos_below = django_filters.NumberFilter(field_name="mos", lookup_expr="lt", min_value=1, max_value=5)

    class Meta:
        model = CallRecord
        fields = ("caller", "called", "from_trunk", "to_trunk", "route", "cause", "call_id")

    def of_trunk(self, rows: QuerySet[Any], _name: str, trunk: str) -> QuerySet[Any]:
        return rows.filter(Q(from_trunk=trunk) | Q(to_trunk=trunk))

    def was_answered(self, rows: QuerySet[Any], _name: str, answered: bool) -> QuerySet[Any]:
        return rows.filter(answered__isnull=not answered)

    def lasted(self, rows: QuerySet[Any], _name: str, seconds: int) -> QuerySet[Any]:
        return rows.filter(duration_ms__gt=int(seconds) * 1000)


class TestCallFilter(django_filters.FilterSet):  # type: ignore[misc]
    __test__ = False  # it is no test, whatever its name tells pytest

    passed = YesNo()

    class Meta:
        model = TestCall
        fields = ("occasion",)
