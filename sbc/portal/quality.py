"""How calls went, by trunk: how many, how many were answered, why not, and how they sounded, over time and in sum."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from sbc.models import CallRecord, Trunk
from sbc.portal.documents import MOST_CHOICES, OfSbc
from sbc.statistics import Direction, Figures, Interval, figures
from services.tiers import Figure, merged

#: How far one can look back, and by what time records are counted together.
RANGES = {
    "24h": ("24 hours", timedelta(days=1), Interval.HOUR, 3600),
    "7d": ("7 days", timedelta(days=7), Interval.HOUR, 3600),
    "31d": ("31 days", timedelta(days=31), Interval.DAY, 86400),
}
WORDS = {Direction.FROM: "from", Direction.TO: "to"}
#: How calls end that went as those in them wanted.
AS_WANTED = frozenset(("caller-hung-up", "callee-hung-up", "ended-by-tenant"))
#: Causes that have a line of their own, the most frequent.
MOST_CAUSES = 6
SPREAD = "median, with what 5 and 95 of 100 calls stayed below"
#: A point of a chart: least, middle, most; None where there is nothing to tell.
Point = tuple[float, float, float]


class Quality(OfSbc):
    tab = "sbc-quality"
    title = "Quality"
    template = "portal/sbc/quality.html"

    def context(self) -> Mapping[str, Any]:
        chosen = self.request.GET.get("range", "24h")
        chosen = chosen if chosen in RANGES else "24h"
        _, length, interval, step = RANGES[chosen]
        now = timezone.now()
        rows = self.scope.all(CallRecord).filter(instance=self.service, started__gte=now - length)
        trunk = self.request.GET.get("trunk", "")
        if trunk:
            rows = rows.filter(Q(from_trunk=trunk) | Q(to_trunk=trunk))
        names = self.scope.all(Trunk).filter(instance=self.service).order_by("name").values_list("name", flat=True)
        trunks = list(names[:MOST_CHOICES])
        found = list(figures(rows, interval))
        charts = (
            _chart("Calls", "", "by the time they began", found, lambda f: (f.calls, f.calls, f.calls)),
            _chart("Answered", "%", "of all calls", found, _answered),
            _failures(found, step),
            _chart("MOS", "", SPREAD, found, lambda f: _quantiles(f, "mos")),
            _chart("Loss", "%", SPREAD, found, lambda f: _quantiles(f, "loss")),
            _chart("Jitter", "ms", SPREAD, found, lambda f: _quantiles(f, "jitter")),
        )
        until = int(now.timestamp())
        sums = list(figures(rows, Interval.ALL))
        return {
            "trunks": trunks,
            "trunk": trunk,
            "failures": _failed(sums),
            "ranges": [(key, words) for key, (words, *_) in RANGES.items()],
            "chosen": chosen,
            "charts": [chart for chart in charts if chart],
            "span": {"from": until - int(length.total_seconds()), "to": until, "step": step},
            "sums": [_sum(each) for each in sums],
        }


def _failures(found: Iterable[Figures], step: int) -> dict[str, Any] | None:
    """How many calls failed, a series for each cause, with a nought where none did. None when all went well."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for each in found:
        # Each call has a trunk that it came from, and is counted there.
        if each.direction is Direction.FROM and each.start is not None:
            for cause, calls in _of_failures(each):
                counts[cause][int(each.start.timestamp())] += calls
    starts = {start for of_cause in counts.values() for start in of_cause}
    if not starts:
        return None
    times = range(min(starts), int(timezone.now().timestamp()) + 1, step)
    lines = {
        cause.replace("-", " "): [(at, (count, count, count)) for at in times for count in (float(counts[cause][at]),)]
        for cause in sorted(counts, key=lambda cause: -counts[cause].total())[:MOST_CAUSES]
    }
    return _drawn("Failures", "", "calls, by cause", lines)


def _of_failures(found: Figures) -> Iterator[tuple[str, int]]:
    return ((cause, calls) for cause, calls in found.causes.items() if cause not in AS_WANTED)


def _failed(sums: Iterable[Figures]) -> list[dict[str, Any]]:
    """How many calls failed by each cause, and what share of all that is, the most frequent first."""
    of_all = [each for each in sums if each.direction is Direction.FROM]
    calls = sum(each.calls for each in of_all)
    counts: Counter[str] = Counter()
    for each in of_all:
        counts.update(dict(_of_failures(each)))
    return [{"cause": cause, "calls": n, "share": 100 * n / calls} for cause, n in counts.most_common()]


def _answered(found: Figures) -> Point | None:
    share = found.answer_seizure_ratio
    return None if share is None else (share, share, share)


def _quantiles(found: Figures, name: str) -> Point | None:
    at = found.quality.get(name)
    return (at[5], at[50], at[95]) if at else None


def _chart(
    title: str, unit: str, says: str, found: Iterable[Figures], point: Callable[[Figures], Point | None]
) -> dict[str, Any] | None:
    """A chart as the page has it, a series for each trunk and direction. None without anything to show."""
    lines: dict[str, list[tuple[int, Point]]] = {}
    for each in found:
        value = point(each)
        if value is not None and each.start is not None:
            lines.setdefault(f"{WORDS[each.direction]} {each.trunk}", []).append((int(each.start.timestamp()), value))
    return _drawn(title, unit, says, lines) if lines else None


def _drawn(title: str, unit: str, says: str, lines: Mapping[str, list[tuple[int, Point]]]) -> dict[str, Any]:
    name = f"chart-{title.lower()}"
    return {
        "title": title,
        "unit": unit,
        "says": says,
        "id": name,
        "data_id": f"{name}-data",
        "data": {
            "unit": unit,
            "series": [
                {"title": line, "points": [[at, *value] for at, value in points]} for line, points in lines.items()
            ],
        },
        "rows": [
            {"title": line, "last": points[-1][1][1], "of_all": merged(Figure(*value) for _, value in points)}
            for line, points in lines.items()
        ],
    }


def _sum(found: Figures) -> dict[str, Any]:
    causes = sorted(found.causes.items(), key=lambda cause: -cause[1])
    return {
        "who": f"{WORDS[found.direction]} {found.trunk}",
        "calls": found.calls,
        "ratio": found.answer_seizure_ratio,
        "talked": found.duration_ms,
        "mos": found.quality.get("mos", {}).get(50),
        "causes": causes,
    }
