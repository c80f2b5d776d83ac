"""What is sold and for how much: the one place that decides which offering and size an order means."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from naas.core.errors import Invalid, Problem
from services.kind import Kind
from services.models import Offering, OfferingSize, Size


@dataclass(frozen=True)
class Tariff:
    """The size and price an offering starts with; the provider changes them in the admin console."""

    vcpu: Decimal
    memory_mb: int
    port_rate_mbps: int
    setup: Decimal
    monthly: Decimal
    hourly: Decimal


#: What a kind costs that has no tariffs of its own. Half a core is enough for zebra and bgpd with some thousand
#: routes; a full table takes about 1 GiB.
USUAL_TARIFFS = {
    Size.S: Tariff(Decimal("0.5"), 256, 1_000, Decimal("0"), Decimal("29"), Decimal("0.0500")),
    Size.M: Tariff(Decimal("1"), 512, 2_500, Decimal("0"), Decimal("59"), Decimal("0.1000")),
    Size.L: Tariff(Decimal("2"), 2048, 10_000, Decimal("0"), Decimal("149"), Decimal("0.2500")),
}
#: An SBC carries 500 calls with their media on a core, and takes about 1 MiB for each.
OPENING_TARIFFS = {
    "sbc": {
        Size.S: Tariff(Decimal("1"), 1024, 1_000, Decimal("0"), Decimal("79"), Decimal("0.1300")),
        Size.M: Tariff(Decimal("2"), 2048, 2_500, Decimal("0"), Decimal("149"), Decimal("0.2500")),
        Size.L: Tariff(Decimal("4"), 4096, 10_000, Decimal("0"), Decimal("279"), Decimal("0.4700")),
    },
}


@transaction.atomic
def publish(kind: Kind) -> Offering:
    """Put the kind on sale at its present version; earlier versions go off sale, prices carry over.

    Doing it again changes nothing.
    """
    offering, new = Offering.objects.update_or_create(
        id=f"{kind.name}-v{kind.version}",
        defaults={
            "kind": kind.name,
            "version": kind.version,
            "name": kind.title,
            "description": kind.description,
            "schema": kind.spec.model_json_schema(),
        },
    )
    if new:
        _take_over_prices(offering)
        Offering.objects.filter(kind=kind.name, version__lt=kind.version).update(on_sale=False)
    return offering


def _take_over_prices(offering: Offering) -> None:
    before = Offering.objects.filter(kind=offering.kind, version__lt=offering.version).first()
    if before is not None:
        for size in before.sizes.all():
            size.pk, size.offering = None, offering
            size.save(force_insert=True)
        return
    OfferingSize.objects.bulk_create(
        OfferingSize(
            offering=offering,
            size=size,
            vcpu=tariff.vcpu,
            memory_mb=tariff.memory_mb,
            port_rate_mbps=tariff.port_rate_mbps,
            setup_price=tariff.setup,
            monthly_price=tariff.monthly,
            hourly_price=tariff.hourly,
        )
        for size, tariff in OPENING_TARIFFS.get(offering.kind, USUAL_TARIFFS).items()
    )


def size_on_sale(kind: str, size: str) -> OfferingSize:
    """The size of the kind's offering that is on sale. Raises `Invalid` at `size` or `kind`."""
    sizes = OfferingSize.objects.filter(offering__kind=kind, offering__on_sale=True).select_related("offering")
    by_name = {row.size: row for row in sizes}
    if not by_name:
        raise Invalid([Problem("kind", f"{kind!r} is not on sale")])
    if size not in by_name:
        raise Invalid([Problem("size", f"{kind} is sold as {', '.join(by_name)}, not {size!r}")])
    return by_name[size]
