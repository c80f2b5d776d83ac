"""What was ordered: product orders and their items (TMF622)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery

from naas.core.ids import new_id
from services.lifecycle import OPEN, OrderState
from services.models.catalogue import OfferingSize
from services.models.inventory import ServiceInstance
from tenants.models import TenantOwned

STATES = [(state.value, state.value) for state in OrderState]


class Action(models.TextChoices):
    ADD = "add", "Add"
    MODIFY = "modify", "Modify"
    DELETE = "delete", "Delete"


class ProductOrder(TenantOwned):
    """One order of one or more items. It fails, with a reason, when it is not done by `deadline`.

    One that has `starts_at` removes services, and waits until then: so long it can be undone.
    """

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "ord"), editable=False)
    state = models.CharField(max_length=24, choices=STATES, default=OrderState.ACKNOWLEDGED)
    reason = models.TextField(blank=True)
    external_id = models.CharField(max_length=64, blank=True, help_text="The customer's own reference.")
    note = models.CharField(max_length=500, blank=True)
    placed_by = models.CharField(max_length=120)
    retry_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="retries")
    placed_at = models.DateTimeField(auto_now_add=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    deadline = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-placed_at", "id"]
        indexes: ClassVar = [
            models.Index(
                fields=["deadline"], condition=models.Q(state__in=sorted(OPEN)), name="orders_open_by_deadline"
            ),
        ]

    def __str__(self) -> str:
        return self.id

    def told_as(self) -> tuple[str, str]:
        return "order", self.pk


class OrderItem(TenantOwned):
    """One thing to do to one instance: `generation` is the one that does it, 0 while the order waits.

    `spec` is what was ordered, its secrets encrypted. After a failure or a cancellation
    `compensation` is the generation that undoes it. Prices are those of the day of the order.
    """

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "itm"), editable=False)
    order = models.ForeignKey(ProductOrder, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    action = models.CharField(max_length=8, choices=Action)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.PROTECT, related_name="order_items")
    size = models.ForeignKey(OfferingSize, on_delete=models.PROTECT, related_name="+")
    spec = models.JSONField(null=True)
    generation = models.PositiveIntegerField()
    compensation = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=24, choices=STATES, default=OrderState.ACKNOWLEDGED)
    reason = models.TextField(blank=True)
    setup_price = models.DecimalField(max_digits=10, decimal_places=2)
    monthly_price = models.DecimalField(max_digits=10, decimal_places=2)
    hourly_price = models.DecimalField(max_digits=10, decimal_places=4)
    currency = models.CharField(max_length=3)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["order", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "position"], name="one_item_per_position_of_an_order"),
            models.UniqueConstraint(
                fields=["instance"],
                condition=models.Q(state__in=sorted(OPEN)),
                name="one_open_order_item_per_service",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}.{self.position}"


def with_ends(rows: QuerySet[ServiceInstance]) -> QuerySet[ServiceInstance]:
    """Each service with `terminates_at`, when its removal that waits begins, and `terminated_by`, the order of that."""
    waiting = OrderItem.unscoped.filter(instance=OuterRef("pk"), state=OrderState.PENDING)
    return rows.annotate(
        terminates_at=Subquery(waiting.values("order__starts_at")[:1]),
        terminated_by=Subquery(waiting.values("order")[:1]),
    )
