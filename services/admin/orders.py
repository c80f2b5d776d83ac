"""Pages over orders and their items. Orders are changed by `services.orders` alone."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import shorten

from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from services import orders
from services.admin.progress import steps_table
from services.lifecycle import ENDED, OPEN, OrderState
from services.models import Deployment, OrderItem, ProductOrder
from services.secrets import mask
from tenants import looks
from tenants.console import BY_TENANT, Console, Table, acting_for, asks, page_of

#: States of orders of which something was lost that can be tried again.
LOST = (OrderState.FAILED, OrderState.CANCELLED, OrderState.PARTIAL)
UNSTOPPABLE = ENDED | {OrderState.PENDING_CANCELLATION}


def price(item: OrderItem) -> str:
    setup = f", {item.setup_price} once" if item.setup_price else ""
    return f"{item.monthly_price} {item.currency} a month{setup}"


@admin.register(ProductOrder)
class OrderPage(Console):
    about = "What customers ordered. An order that is not done by its deadline fails with a reason and is undone."
    empty = "Nobody has ordered anything yet."
    list_display = ("id", "tenant", "standing", "item_count", "why", "placed_by", "placed", "duration")
    list_select_related = ("tenant",)
    list_filter = ("state", BY_TENANT)
    search_fields = ("id", "external_id", "note", "placed_by", "tenant__name", "items__instance__name")
    date_hierarchy = "placed_at"
    fieldsets = (
        (
            "Order",
            {
                "fields": (
                    ("id", "tenant"),
                    ("standing", "reason"),
                    ("placed_by", "placed"),
                    ("deadline_in", "completed"),
                    "begins",
                    ("duration", "note"),
                    ("external_id", "retry_of"),
                    "retries_shown",
                )
            },
        ),
    )
    actions_detail = ("cancel", "retry")
    actions = ("cancel_selected", "retry_selected")
    on_tenant = "Orders"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProductOrder]:
        rows: QuerySet[ProductOrder] = super().get_queryset(request).annotate(items_count=Count("items"))
        return rows

    def is_live(self, row: ProductOrder) -> bool:
        return row.state in OPEN

    @admin.display(description="State", ordering="state")
    def standing(self, order: ProductOrder) -> str:
        return looks.badge(order.state)

    @admin.display(description="Items", ordering="items_count")
    def item_count(self, order: ProductOrder) -> int:
        count: int = order.items_count  # type: ignore[attr-defined]  # annotated
        return count

    @admin.display(description="Reason")
    def why(self, order: ProductOrder) -> str:
        return shorten(order.reason, 80) or looks.NOTHING

    placed = looks.moment("placed_at", "Placed")
    deadline_in = looks.moment("deadline", "Deadline")
    begins = looks.moment("starts_at", "Waits until", never="it did not wait")
    completed = looks.moment("completed_at", "Ended", never="not yet")

    @admin.display(description="Took")
    def duration(self, order: ProductOrder) -> str:
        if order.completed_at is None:
            return looks.NOTHING
        return looks.took((order.completed_at - order.placed_at).total_seconds() * 1000)

    @admin.display(description="Tried again by", empty_value="-")
    def retries_shown(self, order: ProductOrder) -> str:
        return looks.lines([looks.link(again) for again in order.retries.all()])

    def tables(self, request: HttpRequest, row: ProductOrder) -> Iterable[Table]:
        items = row.items.select_related("instance", "instance__pop", "size").prefetch_related(
            Prefetch("instance__deployments", Deployment.unscoped.prefetch_related("steps"))
        )
        yield Table(
            "Items",
            ("Item", "Action", "Service", "Kind", "PoP", "Size", "Price", "State", "Reason"),
            [
                (
                    looks.link(item, item.position + 1),
                    item.get_action_display(),
                    looks.link(item.instance, item.instance.name),
                    item.instance.kind,
                    looks.link(item.instance.pop),
                    item.size.size,
                    price(item),
                    looks.badge(item.state),
                    item.reason or "-",
                )
                for item in items
            ],
            "This order has no items.",
        )
        for item in items:
            yield from item_steps(item)

    def has_cancel_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda order: order.state not in UNSTOPPABLE)

    def has_retry_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, object_id, lambda order: order.state in LOST)

    @asks(
        title="Cancel order",
        question="What it has done so far is undone; items that are complete stay as they are.",
        icon="cancel",
        allowed="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, order: ProductOrder) -> str:
        orders.cancel(actor=acting_for(request, order.tenant), order=order)
        return f"Order {order} is being cancelled; what it did is being undone."

    @asks(
        title="Retry order",
        question="What failed or was cancelled of it is ordered again, as a new order of the same customer.",
        icon="replay",
        allowed="retry",
    )
    def retry(self, request: HttpRequest, order: ProductOrder) -> str:
        again = orders.retry(actor=acting_for(request, order.tenant), order=order)
        return f"Order {again} tries again what order {order} lost."

    @admin.action(description="Cancel")
    def cancel_selected(self, request: HttpRequest, rows: QuerySet[ProductOrder]) -> None:
        self.carry_out(
            request, rows.select_related("tenant"), lambda order: OrderPage.cancel.verb(self, request, order)
        )

    @admin.action(description="Retry")
    def retry_selected(self, request: HttpRequest, rows: QuerySet[ProductOrder]) -> None:
        self.carry_out(request, rows.select_related("tenant"), lambda order: OrderPage.retry.verb(self, request, order))


def item_steps(item: OrderItem) -> Iterable[Table]:
    """What the PoP did for an item, and for undoing it."""
    generations = {item.generation: f"Steps for {item.instance.name}"}
    if item.compensation is not None:
        generations[item.compensation] = f"Steps to undo it for {item.instance.name}"
    for deployment in item.instance.deployments.all():
        for generation, title in generations.items():
            yield steps_table(
                title,
                [step for step in deployment.steps.all() if step.generation == generation],
                about=f"Generation {generation} at PoP {deployment.pop_id}.",
                more=page_of(deployment),
            )


@admin.register(OrderItem)
class ItemPage(Console):
    about = "The single things that were ordered: to add, modify or delete one service."
    empty = "Nobody has ordered anything yet."
    list_display = ("__str__", "tenant", "action", "service", "standing", "cost", "reason")
    list_select_related = ("tenant", "instance", "order")
    list_filter = ("state", "action", BY_TENANT)
    search_fields = ("id", "order__id", "instance__name", "instance__id")
    fieldsets = (
        ("Item", {"fields": (("id", "order"), ("action", "service"), ("standing", "reason"), "completed_at")}),
        (
            "Price on the day of the order",
            {"fields": (("setup_price", "monthly_price"), ("hourly_price", "currency"))},
        ),
        ("What was ordered", {"fields": (("size", "generation"), "compensation", "wanted")}),
    )

    def is_live(self, row: OrderItem) -> bool:
        return row.state in OPEN

    @admin.display(description="State", ordering="state")
    def standing(self, item: OrderItem) -> str:
        return looks.badge(item.state)

    @admin.display(description="Service", ordering="instance__name")
    def service(self, item: OrderItem) -> str:
        return looks.link(item.instance, item.instance.name)

    @admin.display(description="Price", ordering="monthly_price")
    def cost(self, item: OrderItem) -> str:
        return price(item)

    @admin.display(description="Spec, secrets masked", empty_value="none: a removal")
    def wanted(self, item: OrderItem) -> str | None:
        return None if item.spec is None else looks.document(mask(item.spec))

    def tables(self, request: HttpRequest, row: OrderItem) -> Iterable[Table]:
        yield from item_steps(row)
