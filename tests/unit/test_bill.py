"""What an order costs: by the hour, and no more in a month than its monthly price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from services.bill import Price, by_month, hours_left, so_far

PRICE = Price(Decimal(10), Decimal("0.05"), Decimal(29))


def test_a_month_is_capped_and_an_hour_is_not() -> None:
    assert PRICE.running(Decimal(10)) == Decimal("0.50")
    assert PRICE.running(Decimal(720)) == Decimal("29.00")


def test_the_first_bill_is_set_up_and_what_is_left_of_the_month() -> None:
    assert PRICE.first_bill(datetime(2026, 11, 1, tzinfo=UTC)) == Decimal("39.00")
    assert PRICE.first_bill(datetime(2026, 11, 30, 14, tzinfo=UTC)) == Decimal("10.50")
    assert hours_left(datetime(2026, 12, 31, 23, tzinfo=UTC)) == 1


def test_each_month_is_capped_by_itself() -> None:
    begun = datetime(2026, 10, 31, 14, tzinfo=UTC)
    assert so_far(PRICE, begun, datetime(2026, 12, 1, 10, tzinfo=UTC)) == Decimal("0.50") + 29 + Decimal("0.50")
    assert so_far(PRICE, begun, begun) == 0


def test_what_changes_its_price_within_a_month_costs_both_and_no_more_than_the_higher() -> None:
    dearer = Price(Decimal(0), Decimal("0.10"), Decimal(58))
    begun, changed = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 10, tzinfo=UTC)
    (november,) = by_month([(begun, PRICE), (changed, dearer)], datetime(2026, 11, 1, 15, tzinfo=UTC))
    assert (november.hours, november.amount) == (Decimal(15), Decimal("1.00"))
    november, december = by_month([(begun, PRICE), (changed, dearer)], datetime(2026, 12, 1, 1, tzinfo=UTC))
    assert (november.amount, december.amount) == (Decimal(58), Decimal("0.10"))
