"""What happened: a record of every call, and the test calls. They stay when the SBC has gone."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.db import models

from naas.core.ids import new_id
from services.models import Inquiry, ServiceInstance
from tenants.models import TenantOwned


class CallRecord(TenantOwned):
    """One call, or one attempt of a trunk that was refused (CDR). Only ever added to.

    `key` is the one that the SBC gave it, by which a second copy is known. Durations in milliseconds: `setup_ms`
    until the answer, `duration_ms` from there to the end. `mos`, `loss` (percent), `jitter` and `round_trip` (ms)
    are those of the end that heard worse, None where no end reported; `quality` has both. `raw` is what could
    not be read.
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="call_records")
    key = models.CharField(max_length=128)
    call_id = models.CharField(max_length=255, blank=True)
    call_id_out = models.CharField(max_length=255, blank=True)
    started = models.DateTimeField()
    answered = models.DateTimeField(null=True)
    ended = models.DateTimeField(null=True)
    setup_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveBigIntegerField(null=True)
    caller = models.CharField(max_length=128, blank=True)
    called = models.CharField(max_length=128, blank=True)
    called_out = models.CharField(max_length=128, blank=True)
    from_trunk = models.CharField(max_length=32, blank=True)
    to_trunk = models.CharField(max_length=32, blank=True)
    route = models.CharField(max_length=32, blank=True)
    emergency = models.BooleanField(default=False)
    attempts = models.JSONField(default=list)
    code = models.PositiveSmallIntegerField(null=True)
    cause = models.CharField(max_length=32)
    codec = models.CharField(max_length=32, blank=True)
    srtp_in = models.BooleanField(null=True)
    srtp_out = models.BooleanField(null=True)
    mos = models.FloatField(null=True)
    loss = models.FloatField(null=True)
    jitter = models.FloatField(null=True)
    round_trip = models.FloatField(null=True)
    quality = models.JSONField(null=True)
    raw = models.TextField(blank=True)
    received_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-started", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "key"], name="one_record_per_key_and_sbc"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["instance", "-started"], name="records_by_start"),
            models.Index(fields=["instance", "from_trunk", "-started"], name="records_by_from_trunk"),
            models.Index(fields=["instance", "to_trunk", "-started"], name="records_by_to_trunk"),
        ]

    def __str__(self) -> str:
        return f"{self.caller} to {self.called}"


class TestCall(TenantOwned):
    """A test call. The one of `acceptance` is the SBC's birth certificate: it was waited for before it was active.

    `result` is what the probe printed. One that was asked for has an inquiry, which brings it.
    """

    __test__ = False  # it is no test, whatever its name tells pytest

    class Occasion(models.TextChoices):
        ACCEPTANCE = "acceptance", "Acceptance"
        REQUEST = "request", "On request"

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "tcl"), editable=False)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="test_calls")
    occasion = models.CharField(max_length=12, choices=Occasion)
    inquiry = models.OneToOneField(Inquiry, on_delete=models.CASCADE, null=True, related_name="test_call")
    generation = models.PositiveIntegerField()
    passed = models.BooleanField(null=True)
    message = models.CharField(max_length=500, blank=True)
    result = models.JSONField(null=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=120)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-made_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["instance"],
                condition=models.Q(occasion="acceptance"),
                name="one_birth_certificate_per_sbc",
            ),
        ]

    def __str__(self) -> str:
        return f"test call of {self.instance_id}"

    def told_as(self) -> tuple[str, str]:
        return "testcall", self.instance_id
