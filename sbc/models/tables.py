"""How far an SBC's tables at its PoP have come: the revision that is wanted and the one found there."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from services.models import ServiceInstance
from tenants.models import TenantOwned


class Tables(TenantOwned):
    """The tables of one SBC. `world` is a digest of what of its spec they were written with.

    `generation` is the one of the spec that was looked at for it. `found` is what the PoP said last, None before it
    said anything; `reason` why it refused what was sent last, if it did.
    """

    instance = models.OneToOneField(ServiceInstance, on_delete=models.CASCADE, primary_key=True, related_name="tables")
    wanted = models.PositiveBigIntegerField(default=0)
    found = models.PositiveBigIntegerField(null=True)
    generation = models.PositiveIntegerField(default=0)
    world = models.CharField(max_length=16, blank=True)
    changed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    found_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "tables"

    def __str__(self) -> str:
        return f"tables of {self.instance_id}"


class TableLog(TenantOwned):
    """What led to a revision from the one before: its commands as JSON, encrypted, because passwords are in them.

    None are written down for a revision that is reached from no other: then all tables are sent.
    """

    id = models.BigAutoField(primary_key=True)
    tables = models.ForeignKey(Tables, on_delete=models.CASCADE, related_name="log")
    revision = models.PositiveBigIntegerField()
    commands = models.TextField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["tables", "revision"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tables", "revision"], name="one_change_per_revision"),
        ]

    def __str__(self) -> str:
        return f"revision {self.revision} of {self.tables_id}"
