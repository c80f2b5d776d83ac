"""The page of one order: every step as it happens, what went wrong, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from services import orders
from services.api.read import steps_of
from services.lifecycle import OPEN, OrderState
from services.models import DeploymentStep, OrderItem, ProductOrder
from tenants.portal.page import Page
from worker.report import StepState

#: Steps of which it is told how long such a one usually takes.
LATELY = 300
#: Orders of which something can be tried again.
LOST = frozenset({OrderState.FAILED, OrderState.CANCELLED, OrderState.PARTIAL})


class Order(Page):
    section = "orders"
    template = "portal/order.html"

    def context(self) -> Mapping[str, Any]:
        order = self.scope.get(ProductOrder, self.kwargs["id"])
        listed = list(self.items(order))
        usual = self.usual({item.instance.kind for item in listed}) if order.state in OPEN else {}
        items = [(item, _progress(item, usual)) for item in listed]
        return {
            "title": f"Order {order.pk}",
            "order": order,
            "items": items,
            "is_open": order.state in OPEN,
            "waits": order.state == OrderState.PENDING,
            # A removal that was undone was not lost.
            "can_retry": order.state in LOST
            and not (order.starts_at and order.state == OrderState.CANCELLED)
            and any(item.state in LOST for item, _ in items),
            "retries": self.scope.all(ProductOrder).filter(retry_of=order),
        }

    def usual(self, kinds: set[str]) -> dict[tuple[str, str], float]:
        """How long each action took lately with services of these kinds: medians in milliseconds."""
        done = self.scope.all(DeploymentStep).filter(state=StepState.DONE, duration_ms__isnull=False)
        lately = done.filter(deployment__instance__kind__in=kinds).order_by("-started_at")
        took: dict[tuple[str, str], list[float]] = {}
        for step in lately.select_related("deployment__instance")[:LATELY]:
            took.setdefault((step.deployment.instance.kind, step.action), []).append(step.duration_ms or 0.0)
        return {key: median(durations) for key, durations in took.items()}

    def items(self, order: ProductOrder) -> QuerySet[OrderItem]:
        rows: QuerySet[OrderItem] = order.items.select_related("instance", "size")
        return rows.prefetch_related("instance__deployments__steps")


def _progress(item: OrderItem, usual: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """The steps of an item, and how many of them are done, in hundredths."""
    steps = steps_of(item)
    for step in steps:
        if step.state == StepState.RUNNING:
            step.usual = usual.get((item.instance.kind, step.action))  # type: ignore[attr-defined]  # for the template
    mine = [step for step in steps if step.generation == item.generation]
    total = max((step.total for step in mine), default=0)
    done = sum(1 for step in mine if step.state == StepState.DONE)
    whole = item.state == OrderState.COMPLETED
    return {
        "steps": [step for step in steps if step.generation == item.generation],
        "undone": [step for step in steps if step.generation != item.generation],
        "percent": 100 if whole else round(100 * done / total) if total else 0,
        "took": sum(step.duration_ms or 0 for step in mine),
    }


class Cancel(Page):
    """Stop an order that is on its way, and undo what it has done."""

    section = "orders"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        self.scope.get(ProductOrder, self.kwargs["id"])
        return self.redirect("order", id=self.kwargs["id"])

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        order = self.scope.get(ProductOrder, self.kwargs["id"])
        waited = order.state == OrderState.PENDING
        order = orders.cancel(actor=self.actor, order=order)
        services = list(order.items.values_list("instance", "instance__name"))
        if waited:
            self.say(f"Nothing is removed: {', '.join(name for _, name in services)}.")
        else:
            self.say("The order is being cancelled; what it has done is undone.")
        if waited and len(services) == 1:
            return self.redirect("service", id=services[0][0])
        return self.redirect("order", id=order.pk)


class Hasten(Cancel):
    """Have an order that waits begin now."""

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        order = orders.hasten(actor=self.actor, order=self.scope.get(ProductOrder, self.kwargs["id"]))
        self.say("The removal begins now.")
        return self.redirect("order", id=order.pk)


class Retry(Cancel):
    """Order again what failed."""

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        again = orders.retry(actor=self.actor, order=self.scope.get(ProductOrder, self.kwargs["id"]))
        self.say("It is tried again, as a new order.")
        return self.redirect("order", id=again.pk)
