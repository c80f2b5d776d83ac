"""Asking an SBC what happens in it now, through the looking glass, and having it do something about that."""

from __future__ import annotations

import json
from typing import Any

from naas.core.errors import NotFound
from services import inquiries
from services.models import Inquiry, ServiceInstance
from tenants import scope
from tenants.actor import Actor
from worker.errors import TemporaryError

#: Characters of a program's output in a refusal.
EXCERPT = 300


def ask(*, actor: Actor, instance: ServiceInstance, question: str, wait: float, **arguments: Any) -> Inquiry:
    """The answered inquiry. Raises what `inquiries.ask` raises, and `TemporaryError` when no answer comes in time."""
    asked = inquiries.ask(actor=actor, instance=instance, question=question, arguments=arguments)
    inquiry = inquiries.awaited(asked, scope.of(actor), wait)
    if inquiry.state == Inquiry.State.OPEN:
        raise TemporaryError("the SBC has not answered yet; ask again in a moment", delay=2)
    if inquiry.error:
        raise TemporaryError(f"the SBC did not answer: {inquiry.error}", delay=5)
    return inquiry


def answer(*, actor: Actor, instance: ServiceInstance, question: str, wait: float, **arguments: Any) -> Any:
    """What the SBC says, as JSON. Raises what `ask` raises."""
    inquiry = ask(actor=actor, instance=instance, question=question, wait=wait, **arguments)
    try:
        return json.loads(inquiry.output)
    except ValueError:
        said = inquiry.output.strip()[-EXCERPT:]
        raise TemporaryError(f"the SBC cannot say: {said or f'status {inquiry.status}'}", delay=5) from None


def have(*, actor: Actor, instance: ServiceInstance, question: str, what: str, wait: float, **arguments: Any) -> None:
    """Have the SBC do something to what `what` names. Raises `NotFound` when it knows no such thing, as `ask` does."""
    inquiry = ask(actor=actor, instance=instance, question=question, wait=wait, **arguments)
    if inquiry.status:
        raise NotFound(inquiry.output.strip()[-EXCERPT:] or f"there is no {what}")
