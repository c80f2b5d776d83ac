"""What was measured of a service, as charts, and the same figures as tables for who cannot see charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from services import samples
from services.portal.tabs import ServicePage
from services.samples import Range, Series
from services.tiers import merged

#: How far one can look back, and in what steps.
RANGES = {
    "1h": ("1 hour", timedelta(hours=1), 10),
    "24h": ("24 hours", timedelta(days=1), 300),
    "7d": ("7 days", timedelta(days=7), 3600),
    "13m": ("13 months", timedelta(days=396), 86400),
}


@dataclass(frozen=True)
class Chart:
    """What belongs on one pair of axes: series whose names are given, each with the words for its legend."""

    title: str
    unit: str
    names: Mapping[str, str]


#: Why calls fail, as an SBC tells it.
CAUSES = ("no_answer", "busy", "refused", "failed", "cancelled", "limit", "no_route")

CHARTS = (
    Chart("Traffic", "bit/s", {"port.in.bits": "in", "port.out.bits": "out"}),
    Chart("Packets", "packets/s", {"port.in.packets": "in", "port.out.packets": "out"}),
    Chart(
        "Errors and drops",
        "packets/s",
        {
            "port.in.drops": "dropped in",
            "port.out.drops": "dropped out",
            "port.in.errors": "damaged in",
            "port.out.errors": "damaged out",
        },
    ),
    Chart("BGP neighbours", "", {"bgp.neighbours.up": "established", "bgp.neighbours": "configured"}),
    Chart("Routes", "", {"routes": ""}),
    Chart("Calls now", "", {"calls.now": "all", "trunk.now": ""}),
    Chart(
        "Calls that ended",
        "calls/s",
        {"calls.attempts": "all", "calls.answered": "answered", "calls.failed": "failed"},
    ),
    Chart("Calls that failed", "calls/s", {f"calls.failed.{cause}": cause.replace("_", " ") for cause in CAUSES}),
    Chart("Answer-seizure ratio", "%", {"calls.ratio": "all", "trunk.ratio": ""}),
    Chart("MOS", "", {"calls.mos": "all", "trunk.mos": ""}),
    Chart("Calls by trunk", "calls/s", {"trunk.attempts": ""}),
    Chart("Answered by trunk", "calls/s", {"trunk.answered": ""}),
    Chart(
        "Failed by trunk",
        "calls/s",
        {"trunk.failed": "", **{f"trunk.failed.{cause}": cause.replace("_", " ") for cause in CAUSES}},
    ),
    Chart("Processor", "cores", {"cpu": ""}),
    Chart("Memory", "bytes", {"memory": ""}),
)
#: Names that some chart has; the others get one each.
CHARTED = frozenset(name for chart in CHARTS for name in chart.names)


class Metrics(ServicePage):
    tab = "service-metrics"
    template = "portal/service_metrics.html"

    def context(self) -> Mapping[str, Any]:
        chosen = self.request.GET.get("range", "1h")
        chosen = chosen if chosen in RANGES else "1h"
        _, length, step = RANGES[chosen]
        now = timezone.now()
        wanted = Range.asked(now - length, now, step, now=now)
        found = samples.series(self.scope, self.service, wanted, now)
        charts = (*CHARTS, *(Chart(name, "", {name: ""}) for name in samples.names(found) if name not in CHARTED))
        return {
            "ranges": [(key, words) for key, (words, _, _) in RANGES.items()],
            "chosen": chosen,
            "charts": [shown for chart in charts if (shown := _shown(chart, found))],
            "span": {"from": int(wanted.since.timestamp()), "to": int(wanted.until.timestamp()), "step": wanted.step},
        }


def _shown(chart: Chart, found: tuple[Series, ...]) -> dict[str, Any] | None:
    """A chart as the page has it: points for the script, sums for the table. None without anything to show."""
    lines = [one for one in found if one.name in chart.names]
    if not lines:
        return None
    return {
        "title": chart.title,
        "unit": chart.unit,
        "id": (id := "chart-" + chart.title.lower().replace(" ", "-").replace(".", "-")),
        "data_id": f"{id}-data",
        "data": {
            "unit": chart.unit,
            "series": [
                {
                    "title": _words(chart, one),
                    "points": [[int(at.timestamp()), f.least, f.mean, f.most] for at, f in one.points],
                }
                for one in lines
            ],
        },
        "rows": [
            {"title": _words(chart, one), "last": one.points[-1][1].mean, "of_all": merged(f for _, f in one.points)}
            for one in lines
        ],
    }


def _words(chart: Chart, one: Series) -> str:
    return " ".join(part for part in (one.label, chart.names[one.name]) if part) or chart.title
