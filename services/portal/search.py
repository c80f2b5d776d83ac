"""One place to find everything by a word: pages, actions, and what the tenant has. Ctrl-K opens it over any page.

What there is to find is said by the functions in `settings.NAAS_PORTAL_SEARCH`, each with the page and the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from services.lifecycle import ServiceState
from services.models import ProductOrder, Segment, ServiceInstance
from services.registry import kinds
from tenants.actor import Role
from tenants.models import TenantOwned
from tenants.portal.page import Page

#: Of each sort so many are listed.
MOST = 8
#: Characters that are looked for.
LONGEST = 100

T = TypeVar("T", bound=TenantOwned)


@dataclass(frozen=True)
class Hit:
    """Something that was found: what it is called, what it is, an icon, and where it leads."""

    title: str
    what: str
    icon: str
    url: str


class Search(Page):
    title = "Search"
    template = "portal/search.html"

    def context(self) -> Mapping[str, Any]:
        words = self.request.GET.get("q", "")[:LONGEST].split()
        finders: list[Callable[[Page, Sequence[str]], Iterable[Hit]]] = [
            import_string(name) for name in settings.NAAS_PORTAL_SEARCH
        ]
        return {"hits": [hit for find in finders for hit in find(self, words)]}


def pages(page: Page, words: Sequence[str]) -> Iterator[Hit]:
    """Pages of the sidebar, and what can be ordered."""
    role = page.actor.role
    for title, icon, _, name in settings.NAAS_PORTAL_NAVIGATION:
        if role.covers(Role(settings.NAAS_PORTAL_ROLES.get(name, Role.VIEWER))) and holds(title, words):
            yield Hit(title, "page", icon, page.url(name))
    if role.covers(Role.OPERATOR):
        for kind in kinds().values():
            if holds(f"order {kind.title} {kind.name}", words):
                yield Hit(f"Order: {kind.title}", "action", "plus", page.url("order-add", kind=kind.name))
        if holds("make a segment new", words):
            yield Hit("Make a segment", "action", "plus", page.url("segment-new"))


def objects(page: Page, words: Sequence[str]) -> Iterator[Hit]:
    """Services, segments and orders."""
    if not words:
        return
    living = page.scope.all(ServiceInstance).exclude(state=ServiceState.TERMINATED)
    for service in matching(living, words, "name", "id", "kind"):
        yield Hit(service.name, f"{service.kind} at {service.pop_id}", "server", page.url("service", id=service.pk))
    for segment in matching(page.scope.all(Segment), words, "name", "id", "prefixes__cidr"):
        yield Hit(segment.name, f"segment at {segment.pop_id}", "network", f"{page.url('segments')}?q={segment.name}")
    for order in matching(page.scope.all(ProductOrder), words, "id", "note", "external_id"):
        yield Hit(order.pk, f"order, {order.state}", "shopping-cart", page.url("order", id=order.pk))


def holds(text: str, words: Sequence[str]) -> bool:
    return all(word.lower() in text.lower() for word in words)


def matching(rows: QuerySet[T], words: Sequence[str], *fields: str) -> list[T]:
    """The first of the rows that have each of the words in one of the fields."""
    for word in words:
        rows = rows.filter(Q(*((f"{field}__icontains", word) for field in fields), _connector=Q.OR))
    return list(rows.distinct()[:MOST])
