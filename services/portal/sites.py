"""The tenant's sites: its ports (UNIs) at PoPs, each with the segment on it."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet

from services.models import Uni
from services.portal.lists import pops_to_choose
from tenants.portal.lists import Column, Empty, Filter, ListPage


def segment_on(uni: Uni) -> str:
    segment = getattr(uni, "segment", None)
    return segment.name if segment else ""


class Sites(ListPage):
    title = "Sites"
    section = "sites"
    model = Uni
    row = "portal/sites_row.html"
    follows = "segment"
    search = ("name", "interface", "segment__name")
    columns = (
        Column("Site", lambda uni: uni.name, "name"),
        Column("PoP", lambda uni: uni.pop_id, "pop"),
        Column("Interface", lambda uni: uni.interface, "interface"),
        Column("VLAN", lambda uni: uni.vlan, "vlan", figure=True),
        Column("MTU", lambda uni: uni.mtu, "mtu", figure=True),
        Column("Segment", segment_on, "segment__name"),
        Column("Since", lambda uni: uni.created_at.isoformat(), "created_at"),
    )
    filters: ClassVar = (
        Filter("pop", "PoP", "pop", pops_to_choose),
        Filter(
            "used", "Segment", "segment__isnull", lambda _page: [("yes", "with a segment"), ("no", "without a segment")]
        ),
    )
    empty = Empty(
        "building",
        "No sites yet",
        "A site is your port at a point of presence (UNI). Your provider connects it; then you make a segment on it.",
    )

    def rows(self) -> QuerySet[Uni]:
        return super().rows().select_related("segment")

    def narrowed(self, narrowing: Filter, chosen: str) -> object:
        return chosen == "no" if narrowing.name == "used" else chosen
