"""What was measured of services, in tiers (see `services.tiers`)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from services.models.inventory import ServiceInstance
from tenants.models import TenantOwned


class Sample(TenantOwned):
    """All that was measured of an instance in the `width` seconds from `start`.

    `values` has by `name/label` a number, or in the coarser tiers [least, mean, most, how many]. `rolled`: the next
    tier has it, or there is none.
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="samples", db_index=False)
    width = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    values = models.JSONField()
    rolled = models.BooleanField(default=False)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["instance", "width", "start"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "width", "start"], name="one_sample_per_instance_and_time"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["width", "start"], name="samples_by_age"),
            models.Index(fields=["width", "start"], condition=models.Q(rolled=False), name="samples_to_roll"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} at {self.start:%Y-%m-%d %H:%M:%S}"
