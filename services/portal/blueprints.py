"""From a blueprint of a kind to a plan: a few answers, the segments that are made of them, and one order.

Segments cost nothing and are made when the plan is; planning again finds them. What is refused leaves none behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import ValidationError

from naas.core.errors import Forbidden, Invalid, NotFound, Problem, Refusal
from services import orders, segments
from services.api.write import SegmentBody
from services.entry import ItemRequest
from services.kind import Asked, Blueprint, Draft, Kind, Net, SpecError
from services.models import Action, Offering, OfferingSize, Pop, PopStatus, Segment, SegmentKind, Uni
from services.portal.ordering import plan, price_of
from services.registry import kinds
from tenants.actor import Role
from tenants.api.problems import flatten
from tenants.portal.page import Page


def on_sale() -> list[Blueprint]:
    """The blueprints of every kind that can be ordered."""
    sold = set(Offering.objects.filter(on_sale=True).values_list("kind", flat=True))
    return [blueprint for kind in kinds().values() if kind.name in sold for blueprint in kind.blueprints]


class FromBlueprint(Page):
    section = "order"
    template = "portal/blueprint.html"
    reads = Role.OPERATOR

    def found(self) -> tuple[Kind, Blueprint]:
        name = self.kwargs["blueprint"]
        sold = {blueprint.name for blueprint in on_sale()}
        for kind in kinds().values():
            for blueprint in kind.blueprints:
                if blueprint.name == name and name in sold:
                    return kind, blueprint
        raise NotFound(f"{name} is not on sale")

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        kind, blueprint = self.found()
        return self.form(kind, blueprint, {ask.name: ask.proposal for ask in blueprint.asks}, ())

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        kind, blueprint = self.found()
        answers = {ask.name: request.POST.get(ask.name, "").strip() for ask in blueprint.asks}
        missing = [ask.name for ask in blueprint.asks if ask.of != "uni" and not answers[ask.name]]
        if missing:
            return self.form(kind, blueprint, answers, [Problem(name, "is needed") for name in missing])
        try:
            return self.planned(kind, blueprint.draw(answers))
        except Forbidden:
            raise
        except SpecError as wrong:
            return self.form(kind, blueprint, answers, wrong.problems)
        except ValidationError as refused:
            return self.form(kind, blueprint, answers, tuple(flatten(refused.detail)))
        except Refusal as refused:
            said = refused.problems if isinstance(refused, Invalid) else (Problem("", refused.detail),)
            return self.form(kind, blueprint, answers, said)

    def planned(self, kind: Kind, draft: Draft) -> HttpResponse:
        """The plan of the order, its segments made; nothing is made when any of it is refused."""
        typed = self.request.POST
        items = [
            ItemRequest(
                action=Action.ADD,
                kind=kind.name,
                pop=typed.get("pop") or None,
                name=name,
                size=typed.get("size") or "S",
                spec=spec,
            )
            for name, spec in draft.services.items()
        ]
        with transaction.atomic():
            for net in draft.nets:
                self.make(net)
            found = orders.preview(actor=self.actor, items=items)
        return plan(self, items, found)

    def make(self, net: Net) -> None:
        """Make the segment, unless it is there already as it would be made. Raises `Invalid`."""
        there = self.scope.all(Segment).filter(name=net.name, uni=net.uni or None, kind=_kind_of(net)).first()
        pop = self.request.POST.get("pop")
        if there and there.pop_id == pop and [prefix.cidr for prefix in there.prefixes.all()] == [net.prefix]:
            return
        given = {
            "name": net.name,
            "kind": _kind_of(net),
            "pop": pop,
            "uni": net.uni or None,
            "prefixes": [net.prefix],
        }
        try:
            segments.create(actor=self.actor, request=SegmentBody(data=given).request())
        except Invalid as refused:
            raise Invalid(Problem("", f"segment {net.name}: {p.message}") for p in refused.problems) from None

    def form(
        self, kind: Kind, blueprint: Blueprint, answers: Mapping[str, str], problems: Sequence[Problem]
    ) -> HttpResponse:
        sizes = OfferingSize.objects.filter(offering__kind=kind.name, offering__on_sale=True).order_by("vcpu")
        known = {ask.name for ask in blueprint.asks}
        return self.show(
            {
                "title": blueprint.title,
                "blueprint": blueprint,
                "fields": [(ask, answers[ask.name], _said(ask, problems)) for ask in blueprint.asks],
                "general": [f"{p.path}: {p.message}".lstrip(": ") for p in problems if p.path not in known],
                "pops": Pop.objects.filter(status=PopStatus.OPEN),
                "unis": self.scope.all(Uni),
                "sizes": [(size, price_of(size)) for size in sizes],
                "typed": {"pop": self.request.POST.get("pop", ""), "size": self.request.POST.get("size", "S")},
            }
        )


def _kind_of(net: Net) -> SegmentKind:
    return SegmentKind.ACCESS if net.uni else SegmentKind.TRANSPORT if net.transport else SegmentKind.PRIVATE


def _said(ask: Asked, problems: Sequence[Problem]) -> str:
    return "; ".join(problem.message for problem in problems if problem.path == ask.name)
