"""The cart: several services, each configured on a form of its own, planned and ordered as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from naas.core.errors import CapacityExceeded, Forbidden, Invalid, NotFound, Refusal
from services import cart, orders
from services.bill import Price, summed
from services.entry import ItemRequest
from services.models import CartItem, OfferingSize
from services.portal.ordering import Add, plan, price_of, shown, sizes_sold, without_defaults
from services.registry import kinds
from services.secrets import mask
from tenants.actor import Role
from tenants.portal.page import Page


@dataclass(frozen=True)
class Line:
    """A service in the cart, what it costs (None: it is not on sale any more), and what is wrong with it."""

    item: CartItem
    price: Price | None
    first: Decimal
    steps: int
    problems: Sequence[str] = ()


def requests(items: Sequence[CartItem]) -> list[ItemRequest]:
    """The items as they are ordered, without what would hold anyway."""
    found = []
    for item in items:
        request = cart.request_of(item)
        if kind := kinds().get(item.kind):
            request = replace(request, spec=without_defaults(kind.spec.model_json_schema(), request.spec))
        found.append(request)
    return found


class Cart(Page):
    section = "order"
    title = "Your order"
    template = "portal/cart.html"
    reads = Role.OPERATOR

    def context(self) -> Mapping[str, Any]:
        items = list(cart.items(self.actor).select_related("pop"))
        wanted = requests(items)
        found, refused = self.looked_at(wanted)
        sold = sizes_sold()
        lines = [
            line(
                item,
                sold.get((item.kind, item.size)),
                len(found[at].rehearsal.steps) if found else 0,
                _said(refused, at),
            )
            for at, item in enumerate(items)
        ]
        return {
            "lines": lines,
            "sum": summed([line.price for line in lines if line.price], timezone.now()),
            "general": _general(refused),
            "possible": bool(items) and refused is None,
            **shown(wanted),
        }

    def looked_at(self, wanted: Sequence[ItemRequest]) -> tuple[Sequence[orders.ItemPreview], Refusal | None]:
        """What all of it together would do, or why it cannot be had."""
        if not wanted:
            return (), None
        try:
            return orders.preview(actor=self.actor, items=wanted), None
        except Forbidden:
            raise
        except Refusal as refused:
            return (), refused

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        """Plan all of it, or empty the cart."""
        items = list(cart.items(self.actor))
        if request.POST.get("act") == "empty":
            cart.take_out(actor=self.actor, ids=[item.pk for item in items])
            self.say("The order is empty; nothing was ordered.")
            return self.redirect("order-new")
        wanted = requests(items)
        found, refused = self.looked_at(wanted)
        if refused or not found:
            return self.redirect("cart")
        return plan(self, wanted, found, taken=[item.pk for item in items])


class Edit(Add):
    """A service in the cart, on its form again."""

    def begin(self) -> None:
        self.edited = found = named(self)
        self.kwargs = {**self.kwargs, "kind": found.kind}
        super().begin()
        self.title = f"{found.name} in your order"

    def opening(self) -> dict[str, Any]:
        assert self.edited is not None
        opened: dict[str, Any] = without_defaults(self.schema, mask(self.edited.spec))
        return opened


class Remove(Page):
    """Takes one service out of the cart."""

    section = "order"
    reads = Role.OPERATOR

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        named(self)
        return self.redirect("cart")

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        item = named(self)
        cart.take_out(actor=self.actor, ids=[item.pk])
        self.say(f"{item.name} was taken out of the order.")
        return self.redirect("cart")


def named(page: Page) -> CartItem:
    """What the address names of the person's own cart. Raises `NotFound`."""
    found: CartItem | None = cart.items(page.actor).filter(pk=page.kwargs["id"]).first()
    if found is None:
        raise NotFound("this is not in your order")
    return found


def line(item: CartItem, size: OfferingSize | None, steps: int, problems: Sequence[str]) -> Line:
    price = price_of(size) if size else None
    return Line(item, price, price.first_bill(timezone.now()) if price else Decimal(0), steps, problems)


def _said(refused: Refusal | None, at: int) -> list[str]:
    """What was said of the item at this position."""
    if not isinstance(refused, Invalid):
        return []
    start = f"items[{at}]"
    return [
        f"{problem.path.removeprefix(start).removeprefix('.')}: {problem.message}".removeprefix(": ")
        for problem in refused.problems
        if problem.path == start or problem.path.startswith(f"{start}.")
    ]


def _general(refused: Refusal | None) -> list[str]:
    """What was said of the order as a whole."""
    if refused is None:
        return []
    if isinstance(refused, Invalid):
        return [problem.message for problem in refused.problems if not problem.path.startswith("items[")]
    more = "; all services of the order are counted together" if isinstance(refused, CapacityExceeded) else ""
    return [f"{refused.title}: {refused.detail}{more}"]
