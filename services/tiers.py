"""How samples are kept and how they grow coarser with age: the tiers, and the arithmetic between them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import mul
from typing import Any


@dataclass(frozen=True)
class Tier:
    """Samples of `width` seconds each, kept for so long."""

    width: int
    kept: timedelta


RAW = Tier(10, timedelta(days=1))
MINUTES = Tier(60, timedelta(days=7))
HOURS = Tier(3600, timedelta(days=396))
#: For a look at all 13 months: of hours that would be 9,500 rows.
QUARTERS = Tier(21600, timedelta(days=396))
#: From fine to coarse. Each is made of the one before it.
TIERS = (RAW, MINUTES, HOURS, QUARTERS)
#: Points of a series that are wanted where nobody says how many, and that there are at most.
USUAL_POINTS, MOST_POINTS = 400, 5000
#: Steps that people can read on an axis, in seconds.
STEPS = (10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured over some time: the least, the mean and the most, and of how many samples."""

    least: float
    mean: float
    most: float
    count: int = 1

    @classmethod
    def read(cls, stored: Any) -> Figure:
        """As a row has it: a number, or four of them."""
        return cls(*stored) if isinstance(stored, list) else cls(stored, stored, stored)

    def stored(self) -> list[float]:
        return [_short(self.least), _short(self.mean), _short(self.most), self.count]


def merged(figures: Iterable[Figure]) -> Figure:
    """One figure for the time of all of them; every sample counts the same."""
    known = list(figures)
    if len(known) == 1:
        return known[0]
    count = sum(figure.count for figure in known)
    return Figure(
        min(figure.least for figure in known),
        math.fsum(figure.mean * figure.count for figure in known) / count,
        max(figure.most for figure in known),
        count,
    )


def read_all(stored: Sequence[Any]) -> Figure:
    """One figure for what several rows keep, as `merged` of them. Charts read ten thousand, so few objects are made."""
    if len(stored) == 1:
        return Figure.read(stored[0])
    least, means, most, counts = zip(
        *(one if isinstance(one, list) else (one, one, one, 1) for one in stored), strict=True
    )
    count = sum(counts)
    return Figure(min(least), math.fsum(map(mul, means, counts)) / count, max(most), count)


def rolled(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What the values of several rows come to in a coarser one, each series by itself."""
    found: dict[str, list[Any]] = {}
    for values in rows:
        for key, stored in values.items():
            found.setdefault(key, []).append(stored)
    return {key: read_all(several).stored() for key, several in found.items()}


def start_of(moment: datetime, width: int) -> datetime:
    """When the bucket of this width that holds the moment begins. Buckets begin at whole multiples since 1970."""
    return datetime.fromtimestamp(int(moment.timestamp()) // width * width, UTC)


def step_for(since: datetime, until: datetime, now: datetime) -> int:
    """The step at which a range is well seen: not finer than what is kept of its beginning."""
    length = (until - since).total_seconds()
    finest = tier_for(since, now).width
    fitting = (step for step in STEPS if step >= finest and length / step <= USUAL_POINTS)
    return next(fitting, STEPS[-1])


def tier_for(since: datetime, now: datetime) -> Tier:
    """The finest tier that still has what was measured then."""
    return next((tier for tier in TIERS if now - since <= tier.kept), HOURS)


def sources(step: int, since: datetime, now: datetime) -> tuple[Tier, ...]:
    """The tiers from which a series is made, the coarse first: where it ends, for it lags behind, the finer go on."""
    coarsest = max((tier for tier in TIERS if tier.width <= step), key=lambda tier: tier.width, default=RAW)
    needed = tier_for(since, now)
    first = max(coarsest, needed, key=lambda tier: tier.width) if needed.width > coarsest.width else coarsest
    return tuple(tier for tier in reversed(TIERS) if tier.width <= first.width)


def key_of(name: str, label: str) -> str:
    """Under what a row keeps a value."""
    return f"{name}/{label}" if label else name


def parts_of(key: str) -> tuple[str, str]:
    """Name and label of what a row keeps under this."""
    name, _, label = key.partition("/")
    return name, label


def _short(value: float) -> float:
    """With six digits that count: more are noise, and take room."""
    return float(f"{value:.6g}")
