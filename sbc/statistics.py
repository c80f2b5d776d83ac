"""What the records of an SBC say about each trunk over time: calls, how many were answered, why not, how they sounded.

All figures are counted by the database. Quantiles come from histograms, so they are exact to half a step of
`STEPS` and cost the same however many calls there were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Round, TruncDay, TruncHour

from sbc.models import CallRecord

#: Width of one step of a histogram, in the unit of what is measured: MOS, percent, milliseconds.
STEPS: Mapping[str, float] = {"mos": 0.05, "loss": 0.1, "jitter": 0.5, "round_trip": 1.0}
QUANTILES = (5, 50, 95)


class Direction(StrEnum):
    """Seen from the SBC: calls that came from a trunk, or that went to it."""

    FROM = "from"
    TO = "to"

    @property
    def column(self) -> str:
        return f"{self}_trunk"


class Interval(StrEnum):
    ALL = "all"
    HOUR = "hour"
    DAY = "day"


TRUNCATED = {Interval.HOUR: TruncHour, Interval.DAY: TruncDay}


@dataclass(frozen=True)
class Figures:
    """One trunk in one direction and interval. `quality` has quantiles by percent; what nobody reported is left out."""

    trunk: str
    direction: Direction
    start: datetime | None
    calls: int
    answered: int
    duration_ms: int
    causes: Mapping[str, int]
    quality: Mapping[str, Mapping[int, float]]

    @property
    def answer_seizure_ratio(self) -> float | None:
        """Answered calls of all, in percent (ITU-T E.411); None without calls."""
        return round(100 * self.answered / self.calls, 2) if self.calls else None


def figures(rows: QuerySet[CallRecord], interval: Interval) -> Iterator[Figures]:
    """By trunk, direction and time, in this order."""
    for direction in Direction:
        yield from _figures(rows.exclude(**{direction.column: ""}), direction, interval)


def _figures(rows: QuerySet[CallRecord], direction: Direction, interval: Interval) -> Iterator[Figures]:
    groups = [direction.column]
    if interval is not Interval.ALL:
        rows = rows.annotate(start=TRUNCATED[interval]("started"))
        groups.append("start")
    grouped = rows.order_by().values(*groups)
    causes, quality = _causes(grouped, groups), _quality(grouped, groups)
    counted = grouped.annotate(
        calls=Count("pk"), answered_calls=Count("pk", filter=Q(answered__isnull=False)), talked=Sum("duration_ms")
    )
    for found in counted.order_by(*groups):
        group = _group(found, groups)
        yield Figures(
            trunk=found[direction.column],
            direction=direction,
            start=found.get("start"),
            calls=found["calls"],
            answered=found["answered_calls"],
            duration_ms=found["talked"] or 0,
            causes=causes[group],
            quality=quality[group],
        )


Group = tuple[Any, ...]


def _group(found: Mapping[str, Any], groups: list[str]) -> Group:
    return tuple(found[name] for name in groups)


def _causes(grouped: QuerySet[Any, Any], groups: list[str]) -> Mapping[Group, dict[str, int]]:
    """How often each cause ended a call."""
    found: dict[Group, dict[str, int]] = defaultdict(dict)
    for row in grouped.values(*groups, "cause").annotate(calls=Count("pk")).order_by("cause"):
        found[_group(row, groups)][row["cause"]] = row["calls"]
    return found


def _quality(grouped: QuerySet[Any, Any], groups: list[str]) -> Mapping[Group, dict[str, dict[int, float]]]:
    found: dict[Group, dict[str, dict[int, float]]] = defaultdict(dict)
    for name, step in STEPS.items():
        histograms: dict[Group, list[tuple[int, int]]] = defaultdict(list)
        reported = grouped.filter(**{f"{name}__isnull": False})
        stepped = reported.annotate(step=Round(F(name) / step)).values(*groups, "step")
        for row in stepped.annotate(calls=Count("pk")).order_by("step"):
            histograms[_group(row, groups)].append((int(row["step"]), row["calls"]))
        for group, histogram in histograms.items():
            found[group][name] = {percent: round(at * step, 2) for percent, at in quantiles(histogram)}
    return found


def quantiles(histogram: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """For each of `QUANTILES` the step in which it lies; the histogram has steps in ascending order, with counts."""
    steps = list(histogram)
    total = sum(count for _, count in steps)
    for percent in QUANTILES:
        left = total * percent / 100
        for step, count in steps:
            left -= count
            if left <= 0:
                yield percent, step
                break
