"""What lists can be narrowed by."""

from __future__ import annotations

import django_filters

from services.models import Inquiry, Offering, Pop, ProductOrder, Segment, ServiceEvent, ServiceInstance, Uni
from tenants.api.filters import WholeNumber, YesNo


class OfferingFilter(django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    version = WholeNumber()
    on_sale = YesNo()

    class Meta:
        model = Offering
        fields = ("kind",)


class PopFilter(django_filters.FilterSet):  # type: ignore[misc]
    class Meta:
        model = Pop
        fields = ("status", "country")


class UniFilter(django_filters.FilterSet):  # type: ignore[misc]
    pop = django_filters.CharFilter(field_name="pop_id")
    vlan = WholeNumber(min_value=1, max_value=4094)

    class Meta:
        model = Uni
        fields = ("name",)


class SegmentFilter(django_filters.FilterSet):  # type: ignore[misc]
    # By text: a choice field would tell foreign ids from unknown ones.
    pop = django_filters.CharFilter(field_name="pop_id")
    uni = django_filters.CharFilter(field_name="uni_id")

    class Meta:
        model = Segment
        fields = ("name", "kind")


class OrderFilter(django_filters.FilterSet):  # type: ignore[misc]
    service = django_filters.CharFilter(field_name="items__instance_id", distinct=True)
    since = django_filters.IsoDateTimeFilter(field_name="placed_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="placed_at", lookup_expr="lt")

    class Meta:
        model = ProductOrder
        fields = ("state", "external_id")


class ServiceFilter(django_filters.FilterSet):  # type: ignore[misc]
    pop = django_filters.CharFilter(field_name="pop_id")
    size = django_filters.CharFilter(field_name="size__size")

    class Meta:
        model = ServiceInstance
        fields = ("name", "kind", "state", "health")


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = ServiceEvent
        fields = ("type",)


class InquiryFilter(django_filters.FilterSet):  # type: ignore[misc]
    class Meta:
        model = Inquiry
        fields = ("question", "state")
