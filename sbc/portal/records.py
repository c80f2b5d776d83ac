"""Records of calls: searched, narrowed, exported, and each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db.models import Avg, Count, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from naas.core.errors import NotFound
from sbc.models import CallRecord, Trunk
from sbc.portal.documents import MOST_CHOICES, OfSbc
from tenants.portal.lists import Column, Empty, Filter, ListPage

#: Times that can be chosen, by hours back from now.
SPANS = (("1", "last hour"), ("24", "last 24 hours"), ("168", "last 7 days"), ("744", "last 31 days"))


def _trunks(page: ListPage) -> Iterable[tuple[str, str]]:
    assert isinstance(page, OfSbc)
    names = page.scope.all(Trunk).filter(instance=page.service).order_by("name").values_list("name", flat=True)
    return [(name, name) for name in names[:MOST_CHOICES]]


def _causes(page: ListPage) -> Iterable[tuple[str, str]]:
    assert isinstance(page, OfSbc)
    found = page.service.call_records.order_by("cause").values_list("cause", flat=True).distinct()
    return [(cause, cause.replace("-", " ")) for cause in found]


def _answered(_page: ListPage) -> Iterable[tuple[str, str]]:
    return [("False", "answered"), ("True", "not answered")]


def _moment(text: str) -> datetime | None:
    """A moment as a browser's field gives it, which is meant in UTC; None for what is none."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return timezone.make_aware(found) if found and timezone.is_naive(found) else found


class Records(OfSbc, ListPage):
    title = "Call records"
    tab = "sbc-records"
    template = "portal/sbc/records.html"
    model = CallRecord
    follows = "callrecord"
    row = "portal/sbc/records_row.html"
    search = ("caller", "called", "called_out", "call_id", "from_trunk", "to_trunk")
    columns = (
        Column("Started", lambda call: call.started.isoformat(), "started"),
        Column("Caller", lambda call: call.caller, "caller"),
        Column("Called", lambda call: call.called, "called"),
        Column("From", lambda call: call.from_trunk, "from_trunk"),
        Column("To", lambda call: call.to_trunk, "to_trunk"),
        Column("Route", lambda call: call.route),
        Column("Seconds", lambda call: call.duration_ms / 1000 if call.duration_ms is not None else None, "duration_ms",
               figure=True),
        Column("Cause", lambda call: call.cause, "cause"),
        Column("Code", lambda call: call.code, "code", figure=True),
        Column("MOS", lambda call: call.mos, "mos", figure=True),
    )  # fmt: skip
    filters: ClassVar = (
        Filter("from", "From", "from_trunk", _trunks),
        Filter("to", "To", "to_trunk", _trunks),
        Filter("cause", "Cause", "cause", _causes),
        Filter("hours", "Time", "started__gte", lambda _page: SPANS),
        Filter("answered", "Answered", "answered__isnull", _answered),
        Filter("seconds", "At least seconds", "duration_ms__gte"),
        Filter("mos", "Quality", "mos__lt", lambda _page: [("3.6", "MOS below 3.6"), ("4.0", "MOS below 4.0")]),
    )
    empty = Empty(
        "phone-call",
        "No calls yet",
        "Every call, and every attempt that was refused, is listed here once it ended.",
    )

    def rows(self) -> QuerySet[CallRecord]:
        rows = super().rows().filter(instance=self.service)
        for name, lookup in (("since", "started__gte"), ("until", "started__lt")):
            if at := _moment(self.request.GET.get(name, "")):
                rows = rows.filter(**{lookup: at})
        return rows

    def narrowed(self, narrowing: Filter, chosen: str) -> Any:
        if narrowing.name == "hours":
            return timezone.now() - timedelta(hours=int(chosen))
        if narrowing.name == "answered":
            return chosen == "True"
        if narrowing.name == "seconds":
            return round(1000 * float(chosen))
        return chosen

    def context(self) -> Mapping[str, Any]:
        totals = (
            self.found()
            .order_by()
            .aggregate(
                calls=Count("pk"),
                answered=Count("pk", filter=Q(answered__isnull=False)),
                talked=Sum("duration_ms"),
                mos=Avg("mos"),
            )
        )
        share = round(100 * totals["answered"] / totals["calls"], 1) if totals["calls"] else None
        return {**super().context(), "totals": totals, "ratio": share}


class Record(OfSbc):
    tab = "sbc-records"
    template = "portal/sbc/record.html"

    def context(self) -> Mapping[str, Any]:
        number = self.kwargs["record"]
        found = self.scope.all(CallRecord).filter(instance=self.service, pk=number).first()
        if found is None:
            raise NotFound(f"{self.service.name} has no record {number}")
        quality = found.quality or {}
        return {
            "title": f"Call of {found.caller or 'unknown'} to {found.called}",
            "call": found,
            "ends": [(end, quality.get(end)) for end in ("caller", "callee")],
        }
