"""What was wanted of a service one after another: compared, and gone back to."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from naas.core.errors import NotFound
from services import orders
from services.entry import ItemRequest
from services.models import Action, OrderItem, Revision
from services.portal.ordering import plan
from services.portal.tabs import ServicePage
from services.secrets import distinguish, mask

#: Lines around a difference.
AROUND = 3


@dataclass(frozen=True)
class Line:
    """A line of a comparison: "+" there now, "-" there before, " " in both, "@" where lines are left out."""

    sign: str
    text: str


@dataclass(frozen=True)
class Generation:
    """A generation and the order that brought it, where there was one."""

    revision: Revision
    item: OrderItem | None
    wanted_now: bool

    @property
    def can_be_reverted_to(self) -> bool:
        return self.revision.spec is not None and not self.wanted_now


class History(ServicePage):
    tab = "service-history"
    template = "portal/history.html"

    def context(self) -> Mapping[str, Any]:
        revisions = list(self.service.revisions.select_related("size").order_by("-generation"))
        items = {item.generation: item for item in self.service.order_items.select_related("order")}
        generations = [
            Generation(revision, items.get(revision.generation), revision.generation == self.service.generation)
            for revision in revisions
        ]
        after = self._chosen(revisions, "to", 0)
        before = self._chosen(revisions, "from", min(1, len(revisions) - 1))
        return {
            "title": f"History of {self.service.name}",
            "generations": generations,
            "before": before,
            "after": after,
            "lines": list(compare(before, after)) if before != after else [],
            "document": json.dumps(mask(after.spec), indent=2) if after.spec else "",
        }

    def _chosen(self, revisions: list[Revision], name: str, otherwise: int) -> Revision:
        asked = self.request.GET.get(name)
        if not asked:
            return revisions[otherwise]
        found = [revision for revision in revisions if str(revision.generation) == asked]
        if not found:
            raise NotFound(f"{self.service.name} has no generation {asked}")
        return found[0]


class Revert(ServicePage):
    """The plan of going back to a generation."""

    tab = "service-history"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        return self.redirect("service-history", id=self.service.pk)

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        asked = request.POST.get("generation", "")
        generation = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
        items = [ItemRequest(action=Action.MODIFY, service=self.service.pk, revert_to=generation)]
        return plan(self, items, orders.preview(actor=self.actor, items=items))


def compare(before: Revision, after: Revision) -> Iterator[Line]:
    """The lines in which two generations differ, each with what is around it. A secret that changed says so."""
    names: dict[str, str] = {}
    old, new = _lines(before, names), _lines(after, names)
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    end = 0
    for group in matcher.get_grouped_opcodes(AROUND):
        if group[0][1] > end or end:
            yield Line("@", "")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (Line(" ", text) for text in old[i1:i2])
                continue
            yield from (Line("-", text) for text in old[i1:i2])
            yield from (Line("+", text) for text in new[j1:j2])
        end = group[-1][2]
    if 0 < end < len(old):
        yield Line("@", "")


def _lines(revision: Revision, names: dict[str, str]) -> list[str]:
    document = {"size": revision.size.size, "spec": distinguish(revision.spec, names)}
    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
