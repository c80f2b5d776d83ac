"""The verbs of carts: services that a person configures one after the other, to order them together.

A cart is a person's own, within a tenant, and reserves nothing: what is in it may have become impossible by the
time it is ordered, and then that says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from naas.core.errors import Conflict, Forbidden, Invalid, Problem
from services.design import parse
from services.entry import ItemRequest
from services.models import Action, CartItem, Pop
from services.orders import MOST_ITEMS
from services.registry import kind_named
from services.secrets import keep, protect, reveal
from tenants import scope
from tenants.actor import Actor, Role

#: How long something lies in a cart untouched.
KEPT = timedelta(days=14)


def items(actor: Actor) -> QuerySet[CartItem]:
    """What the person has in the cart, in the order in which it was put there."""
    rows: QuerySet[CartItem] = scope.of(actor).all(CartItem).filter(user=actor.user_id)
    return rows.filter(changed_at__gt=timezone.now() - KEPT)


def request_of(item: CartItem) -> ItemRequest:
    """The item as it will be ordered, with its secrets."""
    return ItemRequest(
        action=Action.ADD, kind=item.kind, pop=item.pop_id, name=item.name, size=item.size, spec=reveal(item.spec)
    )


@transaction.atomic
def put(*, actor: Actor, request: ItemRequest, replaces: CartItem | None = None) -> CartItem:
    """Put a service into the cart, or another in the place of one. A secret that is masked stays as it was there.

    Raises `Invalid` where the request is not one of its own accord; whether it can be had is found by a preview.
    """
    actor.require(Role.OPERATOR)
    if actor.user_id is None:
        raise Forbidden("only a person has a cart")
    if request.kind is None or request.pop is None or not request.name or request.spec is None:
        raise Invalid([Problem("name", "kind, PoP, name and spec are needed")])
    if replaces is None and items(actor).count() >= MOST_ITEMS:
        raise Conflict(f"an order has at most {MOST_ITEMS} services; order what is in the cart first")
    spec = parse(kind_named(request.kind), with_secrets(request.spec, replaces))
    row = replaces or CartItem(tenant=actor.tenant, user_id=actor.user_id)
    row.kind, row.pop, row.name = request.kind, Pop.objects.get(pk=request.pop), request.name
    row.size, row.spec = request.size or "S", protect(spec)
    row.save()
    return row


def with_secrets(spec: Any, of: CartItem | None) -> Any:
    """A spec whose masked secrets are those that the item has. Raises `Invalid` for a mask that hides nothing."""
    wanted, problems = keep(spec, of.spec if of else None)
    if problems:
        raise Invalid(problems)
    return wanted


@transaction.atomic
def take_out(*, actor: Actor, ids: Iterable[str]) -> None:
    """Take these out of the person's cart. What is not in it is no matter."""
    actor.require(Role.OPERATOR)
    scope.of(actor).all(CartItem).filter(user=actor.user_id, pk__in=list(ids)).delete()


def forget(now: datetime | None = None) -> None:
    """Empty the carts of what nobody touched for long."""
    CartItem.unscoped.filter(changed_at__lte=(now or timezone.now()) - KEPT).delete()
