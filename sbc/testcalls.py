"""Test calls: made on request through the looking glass, and the one that an SBC was accepted by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from sbc.kind import KIND
from sbc.models import TestCall
from services import inquiries
from services.models import OPEN_INQUIRY, Inquiry, ServiceInstance
from tenants import changes
from tenants.actor import Actor
from worker.report import Status

#: The looking glass's question, and the condition that the PoP's own test calls report.
QUESTION = CONDITION = "test-call"
PLATFORM = "platform"
#: What a condition says of a call, as `Verdict.message` of `sbc.probe.call` writes it.
MEASURED = re.compile(
    r"set up in (?P<setup>\d+) ms over (?P<transport>[A-Z]+) with (?P<media>S?RTP)"
    r"(, MOS ((?P<mos>[\d.]+)|not known))?(, loss (?P<loss>[\d.]+) %)?(, jitter (?P<jitter>[\d.]+) ms)?"
)


@transaction.atomic
def make(*, actor: Actor, instance: ServiceInstance, **how: Any) -> TestCall:
    """Place a test call. Raises what `inquiries.ask` raises."""
    asked = inquiries.ask(actor=actor, instance=instance, question=QUESTION, arguments=how)
    call: TestCall = TestCall.unscoped.create(
        tenant=actor.tenant,
        instance=instance,
        occasion=TestCall.Occasion.REQUEST,
        inquiry=asked,
        generation=instance.generation,
        made_at=timezone.now(),
        made_by=actor.label,
    )
    return call


def settle(call: TestCall) -> TestCall:
    """Take over what the inquiry of a test call has brought. Doing it twice does no harm."""
    inquiry = call.inquiry
    if inquiry is None or inquiry.state == OPEN_INQUIRY or call.message:
        return call
    call.passed, call.message, call.result = _outcome(inquiry)
    with transaction.atomic():
        call.save(update_fields=["passed", "message", "result"])
        changes.note(call)
    return call


def _outcome(inquiry: Inquiry) -> tuple[bool | None, str, Any]:
    """Whether the call passed (None: nobody knows), a sentence, and what was measured."""
    if inquiry.error:
        return None, inquiry.error[:500], None
    try:
        result = json.loads(inquiry.output)
        return bool(result["passed"]), str(result["message"])[:500], result
    except (ValueError, KeyError, TypeError):
        return None, f"the probe ended with status {inquiry.status} and said nothing that can be read", None


def measured(message: str) -> dict[str, Any]:
    """What the message of a condition says was measured, by the names that results have. Nothing when it says none."""
    found = MEASURED.search(message)
    if found is None:
        return {}
    numbers = {name: float(found[name]) for name in ("setup", "mos", "loss", "jitter") if found[name] is not None}
    return {"transport": found["transport"].lower(), "srtp": found["media"] == "SRTP", **numbers}


def sweep() -> None:
    """Settle what was answered, and give each new SBC its birth certificate."""
    answered = TestCall.unscoped.filter(message="", inquiry__isnull=False).exclude(inquiry__state=OPEN_INQUIRY)
    for call in answered.select_related("inquiry"):
        settle(call)
    born = ServiceInstance.unscoped.filter(kind=KIND.name, birth_certificate__isnull=False)
    for instance in born.exclude(test_calls__occasion=TestCall.Occasion.ACCEPTANCE):
        _certify(instance, instance.birth_certificate)


def sweep_one(instance: ServiceInstance) -> None:
    """Give an SBC its birth certificate as soon as it is asked for."""
    if instance.birth_certificate is not None:
        _certify(instance, instance.birth_certificate)


def _certify(instance: ServiceInstance, certificate: Mapping[str, Any]) -> None:
    """List the call among the conditions that the instance was found active with."""
    found = next((c for c in certificate["conditions"] if c["type"] == CONDITION), None)
    if found is None:
        return
    TestCall.unscoped.get_or_create(
        instance=instance,
        occasion=TestCall.Occasion.ACCEPTANCE,
        defaults={
            "tenant_id": instance.tenant_id,
            "generation": certificate["generation"],
            "passed": found["status"] == Status.TRUE,
            "message": found["message"][:500],
            "result": measured(found["message"]) or None,
            "made_at": datetime.fromisoformat(certificate["at"]),
            "made_by": PLATFORM,
        },
    )
