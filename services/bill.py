"""What an order costs. Pure.

Usage is billed by the hour and costs no more in a month than the monthly price.
"""

from __future__ import annotations

import calendar
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


def hours_left(now: datetime) -> Decimal:
    """Hours to the end of the month."""
    days = calendar.monthrange(now.year, now.month)[1]
    end = now.replace(day=days, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return _hours(end - now)


def so_far(price: Price, since: datetime, until: datetime) -> Decimal:
    """What running has cost between two moments, each month capped by itself."""
    total, begun = Decimal(0), since
    while begun < until:
        days = calendar.monthrange(begun.year, begun.month)[1]
        end = begun.replace(day=days, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        total += price.running(_hours(min(end, until) - begun))
        begun = end
    return total


def _hours(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(seconds=1)) / 3600
