"""What is sold: offerings, one per kind and version of its spec, with sizes and prices."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Size(models.TextChoices):
    S = "S", "Small"
    M = "M", "Medium"
    L = "L", "Large"


class Offering(models.Model):
    """A product offering (TMF620): a kind of network function at one version of its spec."""

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    kind = models.CharField(max_length=32)
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    description = models.TextField(blank=True)
    schema = models.JSONField(help_text="JSON Schema of the spec at this version.")
    on_sale = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["kind", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "version"], name="one_offering_per_kind_and_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class OfferingSize(models.Model):
    """How large an offering can be had, and what that costs.

    `vcpu` in cores, `memory_mb` in MiB, `port_rate_mbps` in Mbit/s each way (empty: not limited).
    Prices are in `currency`; the hourly price is what usage is billed by, the monthly one is its cap.
    """

    offering = models.ForeignKey(Offering, on_delete=models.CASCADE, related_name="sizes")
    size = models.CharField(max_length=1, choices=Size)
    vcpu = models.DecimalField(max_digits=5, decimal_places=2)
    memory_mb = models.PositiveIntegerField()
    port_rate_mbps = models.PositiveIntegerField(null=True, blank=True)
    setup_price = models.DecimalField(max_digits=10, decimal_places=2)
    monthly_price = models.DecimalField(max_digits=10, decimal_places=2)
    hourly_price = models.DecimalField(max_digits=10, decimal_places=4)
    currency = models.CharField(max_length=3, default="EUR")

    class Meta:
        ordering: ClassVar = ["offering", "vcpu"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["offering", "size"], name="one_price_per_offering_and_size"),
            models.CheckConstraint(
                condition=models.Q(setup_price__gte=0, monthly_price__gte=0, hourly_price__gte=0),
                name="prices_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.offering_id} {self.size}"
