"""What an order costs. Pure.

Usage is billed by the hour and costs no more in a month than the monthly price.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Price:
    """Set-up once, and what running costs: by the hour, at most so much a month."""

    setup: Decimal
    hourly: Decimal
    monthly: Decimal
    currency: str = "EUR"

    def running(self, hours: Decimal) -> Decimal:
        """So many hours within one month."""
        return min(self.hourly * hours, self.monthly).quantize(CENT, ROUND_HALF_UP)

    def first_bill(self, now: datetime) -> Decimal:
        """Set-up and what runs from now to the end of the month."""
        return self.setup + self.running(hours_left(now))


@dataclass(frozen=True)
class Sum:
    """What several services cost together; `first` is the bill of what is left of this month."""

    setup: Decimal
    hourly: Decimal
    monthly: Decimal
    first: Decimal
    currency: str


def summed(prices: Sequence[Price], now: datetime) -> Sum:
    """What services with these prices cost together. Each month of each is capped by itself."""
    return Sum(
        setup=sum((price.setup for price in prices), Decimal(0)),
        hourly=sum((price.hourly for price in prices), Decimal(0)),
        monthly=sum((price.monthly for price in prices), Decimal(0)),
        first=sum((price.first_bill(now) for price in prices), Decimal(0)),
        currency=prices[0].currency if prices else "EUR",
    )


def hours_left(now: datetime) -> Decimal:
    """Hours to the end of the month."""
    days = calendar.monthrange(now.year, now.month)[1]
    end = now.replace(day=days, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return _hours(end - now)


@dataclass(frozen=True)
class Month:
    """What running cost in one month, which begins at `start`, or in as much of it as has passed."""

    start: datetime
    hours: Decimal
    amount: Decimal


def by_month(prices: Sequence[tuple[datetime, Price]], until: datetime) -> tuple[Month, ...]:
    """What running has cost month by month, each price from its moment on. The highest price caps its month."""
    months: dict[datetime, list[tuple[Decimal, Price]]] = {}
    ends = [since for since, _ in prices[1:]] + [until]
    for (since, price), end in zip(prices, ends, strict=True):
        begun = since
        while begun < min(end, until):
            month = begun.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            days = calendar.monthrange(month.year, month.month)[1]
            over = min(month + timedelta(days=days), end, until)
            months.setdefault(month, []).append((_hours(over - begun), price))
            begun = over
    return tuple(_month(start, parts) for start, parts in sorted(months.items()))


def _month(start: datetime, parts: Sequence[tuple[Decimal, Price]]) -> Month:
    cap = max(price.monthly for _, price in parts)
    used = sum((price.hourly * hours for hours, price in parts), Decimal(0))
    return Month(start, sum((hours for hours, _ in parts), Decimal(0)), min(used, cap).quantize(CENT, ROUND_HALF_UP))


def so_far(price: Price, since: datetime, until: datetime) -> Decimal:
    """What running has cost between two moments, each month capped by itself."""
    return sum((month.amount for month in by_month([(since, price)], until)), Decimal(0))


def _hours(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(seconds=1)) / 3600
