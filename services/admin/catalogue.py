"""Pages over offerings and their prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from services import pricing
from services.models import Offering, OfferingSize
from tenants import looks
from tenants.console import Console, staff_of


class Sizes(TabularInline):  # type: ignore[misc]  # untyped library
    model = OfferingSize
    extra = 0
    can_delete = False
    fields = ("name", "vcpu", "memory", "rate", *pricing.PRICES, "currency")
    readonly_fields = ("name", "vcpu", "memory", "rate", "currency")
    verbose_name_plural = "Sizes and prices"
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return Console._is_staff(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return Console._is_staff(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OfferingSize]:
        rows: QuerySet[OfferingSize] = super().get_queryset(request).select_related("offering")
        return rows

    @admin.display(description="Size")
    def name(self, size: OfferingSize) -> str:
        return size.get_size_display()

    @admin.display(description="Memory")
    def memory(self, size: OfferingSize) -> str:
        return f"{size.memory_mb} MiB"

    @admin.display(description="Port rate")
    def rate(self, size: OfferingSize) -> str:
        return f"{size.port_rate_mbps} Mbit/s" if size.port_rate_mbps else "not limited"


@admin.register(Offering)
class OfferingPage(Console):
    about = (
        "What customers can order. Offerings come from the kinds of this installation "
        "(manage.py publish_offerings); here they go on and off sale and get their prices."
    )
    empty = "Nothing is on offer yet. Run manage.py publish_offerings."
    editable = ("on_sale",)
    list_display = ("name", "kind", "version", "sale", "size_count", "created")
    list_filter = ("on_sale", "kind")
    search_fields = ("name", "kind", "id")
    fieldsets = (
        ("Offering", {"fields": ("name", "kind", "version", "description", "on_sale")}),
        ("What can be said of it", {"fields": ("schema_shown",), "classes": ("collapse",)}),
    )
    inlines = (Sizes,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Offering]:
        rows: QuerySet[Offering] = super().get_queryset(request).annotate(sizes_count=Count("sizes"))
        return rows

    @admin.display(description="Sale", ordering="on_sale")
    def sale(self, offering: Offering) -> str:
        return looks.badge("open", "On sale") if offering.on_sale else looks.badge("closed", "Not on sale")

    @admin.display(description="Sizes", ordering="sizes_count")
    def size_count(self, offering: Any) -> int:
        count: int = offering.sizes_count
        return count

    created = looks.moment("created_at", "Published")

    @admin.display(description="JSON Schema of the spec")
    def schema_shown(self, offering: Offering) -> str:
        return looks.document(offering.schema)

    def write(self, request: HttpRequest, row: Offering, changes: Mapping[str, Any]) -> None:
        pricing.set_on_sale(staff=staff_of(request), offering=row, on_sale=changes["on_sale"])

    def write_related(self, request: HttpRequest, formset: Any) -> None:
        for form in formset.forms:
            prices = {name: form.cleaned_data[name] for name in form.changed_data if name in pricing.PRICES}
            if prices:
                pricing.set_prices(staff=staff_of(request), size=form.instance, prices=prices)
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []


@admin.register(OfferingSize)
class SizePage(Console):
    about = "Every size of every offering with its prices: set-up once, then by the hour, at most the monthly price."
    empty = "Nothing is on offer yet. Run manage.py publish_offerings."
    editable = pricing.PRICES
    list_display = ("title", "vcpu", "memory_mb", "port_rate_mbps", *pricing.PRICES, "currency", "standing")
    list_select_related = ("offering",)
    list_filter = ("size", "offering__on_sale")
    search_fields = ("offering__name", "offering__kind")
    fieldsets = (
        ("Size", {"fields": ("offering", "size", "vcpu", "memory_mb", "port_rate_mbps")}),
        (
            "Prices",
            {
                "fields": (*pricing.PRICES, "currency"),
                "description": "They hold from the next order on; services that stand keep the prices of their order.",
            },
        ),
    )

    @admin.display(description="Size", ordering="offering")
    def title(self, size: OfferingSize) -> str:
        return f"{size.offering.name} v{size.offering.version}, {size.get_size_display().lower()}"

    @admin.display(description="Sale")
    def standing(self, size: OfferingSize) -> str:
        return looks.badge("open", "On sale") if size.offering.on_sale else looks.badge("closed", "Not on sale")

    def write(self, request: HttpRequest, row: OfferingSize, changes: Mapping[str, Any]) -> None:
        pricing.set_prices(staff=staff_of(request), size=row, prices=changes)
