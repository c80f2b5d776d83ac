"""What is on sale and for how much, as the provider decides. Orders keep the prices of their day."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.db import transaction

from naas.core.errors import Invalid, Problem
from services.models import Offering, OfferingSize
from tenants.actor import Staff
from tenants.verbs import audit

PRICES = ("setup_price", "monthly_price", "hourly_price")


@transaction.atomic
def set_on_sale(*, staff: Staff, offering: Offering, on_sale: bool) -> Offering:
    """Sell an offering, or stop selling it; what stands of it stays."""
    offering.on_sale = on_sale
    offering.save(update_fields=["on_sale"])
    audit.record(staff, "offering.sell" if on_sale else "offering.withdraw", offering)
    return offering


@transaction.atomic
def set_prices(*, staff: Staff, size: OfferingSize, prices: Mapping[str, Decimal]) -> OfferingSize:
    """Ask other prices for a size from the next order on. Raises `Invalid`."""
    problems = [Problem(name, "this is not a price") for name in sorted(set(prices) - set(PRICES))]
    problems += [Problem(name, "a price is not negative") for name, price in prices.items() if price < 0]
    if problems:
        raise Invalid(problems)
    size = OfferingSize.objects.select_for_update().get(pk=size.pk)
    changes = {name: f"{getattr(size, name)} -> {price}" for name, price in prices.items()}
    for name, price in prices.items():
        setattr(size, name, price)
    size.save(update_fields=list(prices))
    audit.record(staff, "offering.price", size, offering=size.offering_id, size=size.size, **changes)
    return size
