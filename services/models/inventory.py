"""What stands: service instances, the history of their specs, and how far each PoP has come with them."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import ClassVar

from django.db import models

from naas.core.ids import new_id
from services.lifecycle import Health, ServiceState
from services.models.catalogue import OfferingSize
from services.models.places import Pop, Segment
from tenants.models import TenantOwned
from worker.report import Phase, StepState


def choices(enum: type[StrEnum]) -> list[tuple[str, str]]:
    return [(member.value, member.value) for member in enum]


class ServiceInstance(TenantOwned):
    """A network function that a tenant has, from its order to its end.

    `generation` counts what was wanted of it; `spec` is what is wanted now, its secrets encrypted. `seed` is what
    its other secrets are derived from (see `services.kind.Context`), encrypted. `birth_certificate` is what its PoP
    found when it became active for the first time: time, generation, conditions.
    """

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "svc"), editable=False)
    pop = models.ForeignKey(Pop, on_delete=models.PROTECT, related_name="services")
    kind = models.CharField(max_length=32)
    name = models.CharField(max_length=64)
    size = models.ForeignKey(OfferingSize, on_delete=models.PROTECT, related_name="+")
    spec = models.JSONField()
    seed = models.TextField(editable=False)
    generation = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=20, choices=choices(ServiceState), default=ServiceState.FEASIBILITY_CHECKED)
    health = models.CharField(max_length=10, choices=choices(Health), default=Health.UNKNOWN)
    health_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    terminated_at = models.DateTimeField(null=True, blank=True)
    birth_certificate = models.JSONField(null=True, blank=True, editable=False)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-created_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=~models.Q(state=ServiceState.TERMINATED),
                name="one_living_service_per_name_and_tenant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def told_as(self) -> tuple[str, str]:
        return "service", self.pk


class Revision(TenantOwned):
    """One generation of an instance: what was wanted (no spec: its removal) and whether it was found working."""

    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="revisions")
    generation = models.PositiveIntegerField()
    spec = models.JSONField(null=True)
    size = models.ForeignKey(OfferingSize, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    worked_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["instance", "-generation"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "generation"], name="one_revision_per_generation"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} generation {self.generation}"


class Address(TenantOwned):
    """An address held by a port of an instance, by its `PortRequest.key`. The platform chose the `automatic` ones."""

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="addresses")
    value = models.GenericIPAddressField()
    prefix_length = models.PositiveSmallIntegerField()
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="addresses")
    port = models.CharField(max_length=48)
    automatic = models.BooleanField(default=False)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["id"]
        verbose_name_plural = "addresses"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["segment", "value"], name="one_owner_per_address_in_a_segment"),
        ]

    def __str__(self) -> str:
        return f"{self.value}/{self.prefix_length}"


class Deployment(TenantOwned):
    """An instance at a PoP: the generation wanted there and the one last found there.

    `conditions` is the list of `worker.report.Condition` that the PoP last reported.
    """

    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="deployments")
    pop = models.ForeignKey(Pop, on_delete=models.PROTECT, related_name="deployments")
    generation = models.PositiveIntegerField()
    observed_generation = models.PositiveIntegerField(default=0)
    phase = models.CharField(max_length=12, choices=choices(Phase), default=Phase.CONVERGING)
    reason = models.TextField(blank=True)
    conditions = models.JSONField(default=list)
    sent_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["instance", "pop"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "pop"], name="one_deployment_per_instance_and_pop"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["sent_at"],
                condition=models.Q(observed_generation__lt=models.F("generation")),
                name="deployments_behind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} at {self.pop_id}"

    def told_as(self) -> tuple[str, str]:
        return "service", self.instance_id


class DeploymentStep(TenantOwned):
    """One step that a PoP took for one generation, as it reported it. Durations in milliseconds."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="steps")
    generation = models.PositiveIntegerField()
    run = models.CharField(max_length=32)
    position = models.PositiveSmallIntegerField()
    total = models.PositiveSmallIntegerField()
    action = models.CharField(max_length=32)
    subject = models.CharField(max_length=120)
    reason = models.CharField(max_length=300)
    state = models.CharField(max_length=8, choices=choices(StepState))
    started_at = models.DateTimeField()
    duration_ms = models.FloatField(null=True)
    message = models.TextField(blank=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["started_at", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["deployment", "generation", "run", "position"], name="one_row_per_step_of_a_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class ServiceEvent(TenantOwned):
    """Something that happened to an instance, for its owner to read. Only ever added to."""

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    type = models.CharField(max_length=32)
    message = models.CharField(max_length=500)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.message


#: The state of an inquiry that waits for its answer.
OPEN_INQUIRY = "open"


class Inquiry(TenantOwned):
    """A question put to a running service through the looking glass, and what it answered."""

    class State(models.TextChoices):
        OPEN = OPEN_INQUIRY, "Waiting for the PoP"
        ANSWERED = "answered", "Answered"
        FAILED = "failed", "Failed"

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "inq"), editable=False)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="inquiries")
    question = models.CharField(max_length=32)
    arguments = models.JSONField(default=dict)
    asked_at = models.DateTimeField(auto_now_add=True)
    asked_by = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    status = models.IntegerField(null=True, help_text="Exit status of the command.")
    output = models.TextField(blank=True)
    error = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-asked_at", "id"]
        verbose_name_plural = "inquiries"

    def __str__(self) -> str:
        return f"{self.question} of {self.instance_id}"
