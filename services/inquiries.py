"""The looking glass: a customer asks a running service, its PoP runs the command, the answer comes back as a row."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from pydantic import ValidationError

from naas.core.errors import Conflict, Invalid, Problem
from services.dispatch import send_ask
from services.kind import problems_of
from services.lifecycle import ServiceState
from services.models import Inquiry, ServiceInstance
from services.registry import kinds
from tenants import changes, scope
from tenants.actor import Actor, Role
from tenants.verbs import audit
from worker.errors import PermanentError
from worker.report import Answer, Ask

#: Characters of output that are kept.
MOST_OUTPUT = 200_000
#: Seconds between two looks for an answer.
LOOK_EVERY = 0.05


@transaction.atomic
def ask(*, actor: Actor, instance: ServiceInstance, question: str, arguments: Mapping[str, Any]) -> Inquiry:
    """Put a question. Raises `Invalid` for a question the kind does not know or wrong arguments, `Conflict`."""
    actor.require(Role.VIEWER)
    known = kinds()[instance.kind].questions
    if question not in known:
        raise Invalid([Problem("question", f"{instance.kind} answers: {', '.join(sorted(known)) or 'none'}")])
    if instance.state != ServiceState.ACTIVE:
        raise Conflict(f"{instance.name} is {instance.state}; only an active service answers")
    asked = known[question]
    actor.require(Role.OPERATOR if asked.changes else Role.VIEWER)
    try:
        values = asked.arguments.model_validate_json(json.dumps(arguments))
    except ValidationError as error:
        problems = problems_of(error, asked.arguments)
        raise Invalid(problem.under("arguments") for problem in problems) from None
    inquiry: Inquiry = Inquiry.unscoped.create(
        tenant=actor.tenant,
        instance=instance,
        question=question,
        arguments=values.model_dump(mode="json"),
        asked_by=actor.label,
    )
    if asked.changes:
        audit.record(actor, "service.ask", instance, question=question, arguments=inquiry.arguments)
    message = Ask(
        id=inquiry.pk,
        instance=instance.pk,
        vnf=asked.vnf,
        container=asked.container,
        command=asked.command(values),
        timeout=asked.timeout,
    )
    transaction.on_commit(partial(_send, inquiry, message))
    return inquiry


def awaited(inquiry: Inquiry, rows: scope.Scope, wait: float) -> Inquiry:
    """The inquiry as it is when answered, or after `wait` seconds."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        inquiry = rows.get(Inquiry, inquiry.pk)
        if inquiry.state != Inquiry.State.OPEN:
            break
        time.sleep(LOOK_EVERY)
    return inquiry


def _send(inquiry: Inquiry, message: Ask) -> None:
    try:
        send_ask(inquiry.instance.pop, message)
    except PermanentError as error:
        now = timezone.now()
        with transaction.atomic():
            Inquiry.unscoped.filter(pk=inquiry.pk).update(state=Inquiry.State.FAILED, error=str(error), answered_at=now)
            changes.note(inquiry)


@transaction.atomic
def take(answer: Answer, *, pop: str) -> None:
    """Take down an answer, unless the inquiry was answered or is not of this PoP."""
    inquiry = Inquiry.unscoped.filter(
        pk=answer.id, instance=answer.instance, instance__pop=pop, state=Inquiry.State.OPEN
    ).first()
    if inquiry is None:
        return
    inquiry.state = Inquiry.State.FAILED if answer.error else Inquiry.State.ANSWERED
    inquiry.status, inquiry.output, inquiry.error = answer.status, answer.output[:MOST_OUTPUT], answer.error
    inquiry.answered_at = timezone.now()
    inquiry.save(update_fields=["state", "status", "output", "error", "answered_at"])
    changes.note(inquiry)
