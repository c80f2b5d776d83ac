"""What a tenant configures of an SBC: trunks, routes, source rules, emergency numbers.

Each row is a document (`sbc.kind`) as JSON, its secrets encrypted, and beside it in columns what it is found
by and what may not be there twice.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from services.models import ServiceInstance
from tenants.models import TenantOwned


class Named(TenantOwned):
    """A document of one SBC, known by its name."""

    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="%(class)ss")
    name = models.CharField(max_length=32)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantOwned.Meta):
        abstract = True
        ordering: ClassVar = ["instance", "name"]

    def __str__(self) -> str:
        return self.name

    def told_as(self) -> tuple[str, str]:
        """Pages show those of one SBC."""
        return self._meta.model_name or "", self.instance_id


class Trunk(Named):
    """A trunk (`sbc.kind.trunk.TrunkSpec`). `user` is the name by which it proves itself, if it does."""

    side = models.CharField(max_length=15)
    transport = models.CharField(max_length=3)
    enabled = models.BooleanField()
    user = models.CharField(max_length=64, null=True)
    named = models.BooleanField("reached by a name", default=False)

    class Meta(Named.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "name"], name="one_trunk_per_name_and_sbc"),
            models.UniqueConstraint(fields=["instance", "user"], name="one_trunk_per_user_and_sbc"),
        ]


class TrunkSource(TenantOwned):
    """A prefix from which calls of a trunk come."""

    trunk = models.ForeignKey(Trunk, on_delete=models.CASCADE, related_name="sources")
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="+")
    cidr = models.CharField(max_length=43)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "cidr"], name="one_trunk_per_source_and_sbc"),
        ]

    def __str__(self) -> str:
        return self.cidr


class Route(Named):
    """A route (`sbc.kind.route.RouteSpec`). Without a prefix it has a pattern."""

    from_trunk = models.ForeignKey(Trunk, on_delete=models.PROTECT, null=True, related_name="routes")
    prefix = models.CharField(max_length=33, null=True)
    order = models.PositiveIntegerField()
    enabled = models.BooleanField()

    class Meta(Named.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "name"], name="one_route_per_name_and_sbc"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["instance", "from_trunk", "prefix"], name="routes_by_place"),
        ]


class RouteTarget(TenantOwned):
    """A trunk to which a route may lead; it cannot be removed meanwhile."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    trunk = models.ForeignKey(Trunk, on_delete=models.PROTECT, related_name="targeted_by")

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["route", "trunk"], name="one_target_per_trunk_and_route"),
        ]

    def __str__(self) -> str:
        return f"{self.route_id} to {self.trunk_id}"


class SourceRule(Named):
    """A source rule (`sbc.kind.security.SourceRule`). An empty side is every side."""

    cidr = models.CharField(max_length=43)
    side = models.CharField(max_length=15, blank=True)

    class Meta(Named.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "name"], name="one_source_rule_per_name_and_sbc"),
            models.UniqueConstraint(fields=["instance", "cidr", "side"], name="one_source_rule_per_prefix_and_side"),
        ]


class Emergency(TenantOwned):
    """Emergency numbers and where they lead (`sbc.kind.security.EmergencySpec`)."""

    instance = models.OneToOneField(ServiceInstance, on_delete=models.CASCADE, related_name="emergency")
    document = models.JSONField()
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "emergency numbers"

    def __str__(self) -> str:
        return f"emergency numbers of {self.instance_id}"

    def told_as(self) -> tuple[str, str]:
        return "emergency", self.instance_id
