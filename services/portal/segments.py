"""Segments: what services are attached to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import ValidationError

from naas.core.errors import Invalid, Problem
from services import segments
from services.api.write import SegmentBody
from services.models import Pop, PopStatus, Segment, SegmentKind, Uni
from services.portal.lists import pops_to_choose
from tenants.actor import Role
from tenants.api.problems import flatten
from tenants.portal.lists import Column, Empty, Filter, ListPage
from tenants.portal.page import Page


def _prefixes(segment: Segment) -> str:
    return ", ".join(prefix.cidr for prefix in segment.prefixes.all())


class Segments(ListPage):
    title = "Segments"
    section = "segments"
    model = Segment
    row = "portal/segments_row.html"
    follows = "segment"
    search = ("name", "prefixes__cidr")
    columns = (
        Column("Name", lambda segment: segment.name, "name"),
        Column("Kind", lambda segment: segment.kind, "kind"),
        Column("PoP", lambda segment: segment.pop_id, "pop"),
        Column("Prefixes", _prefixes),
        Column("MTU", lambda segment: segment.mtu, "mtu", figure=True),
        Column("Services", lambda segment: segment.users, "users", figure=True),
        Column("", lambda _segment: ""),
    )
    filters: ClassVar = (
        Filter("kind", "Kind", "kind", lambda _page: SegmentKind.choices),
        Filter("pop", "PoP", "pop", pops_to_choose),
    )
    empty = Empty(
        "network",
        "No segments yet",
        "A segment is a network at a PoP: at one of your ports, or between your services, whose ports are on it.",
        "Make a segment",
        "segment-new",
    )

    def rows(self) -> QuerySet[Segment]:
        rows = super().rows().select_related("uni").prefetch_related("prefixes")
        counted: QuerySet[Segment] = rows.annotate(users=Count("addresses__instance", distinct=True)).order_by("name")
        return counted


class New(Page):
    """Make a segment."""

    section = "segments"
    title = "New segment"
    template = "portal/segment_new.html"
    reads = Role.OPERATOR

    def context(self) -> Mapping[str, Any]:
        return self.form(())

    def form(self, problems: Sequence[Problem]) -> dict[str, Any]:
        typed = self.request.POST
        return {
            "typed": {name: typed.get(name, "") for name in ("name", "kind", "pop", "uni", "mtu", "prefixes")},
            "kinds": SegmentKind.choices,
            "pops": Pop.objects.filter(status=PopStatus.OPEN),
            "unis": self.scope.all(Uni).filter(segment=None),
            "said": _by_field(problems),
        }

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        typed = request.POST
        mtu = typed.get("mtu", "").strip()
        given = {
            "name": typed.get("name", "").strip(),
            "kind": typed.get("kind", ""),
            "pop": typed.get("pop") or None,
            "uni": typed.get("uni") or None,
            "prefixes": typed.get("prefixes", "").split(),
            **({"mtu": int(mtu) if mtu.isdecimal() else mtu} if mtu else {}),
        }
        try:
            made = segments.create(actor=self.actor, request=SegmentBody(data=given).request())
        except (Invalid, ValidationError) as refused:
            problems = refused.problems if isinstance(refused, Invalid) else tuple(flatten(refused.detail))
            return self.show(self.form(problems))
        self.say(f"Segment {made.name} is there.")
        return self.redirect("segments")


class Remove(Page):
    """Remove a segment on which nothing stands."""

    section = "segments"

    def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        del request
        self.scope.get(Segment, self.kwargs["id"])
        return self.redirect("segments")

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        del request
        segment = self.scope.get(Segment, self.kwargs["id"])
        segments.remove(actor=self.actor, segment=segment)
        self.say(f"Segment {segment.name} is removed.")
        return self.redirect("segments")


def _by_field(problems: Iterable[Problem]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for problem in problems:
        said.setdefault(problem.path.partition("[")[0] or "general", []).append(problem.message)
    return said
