"""Asking an SBC what happens in it now, through the looking glass, and having it do something about that."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from naas.core.errors import Conflict, NotFound
from services import inquiries
from services.models import Inquiry, ServiceInstance
from tenants import scope
from tenants.actor import Actor
from worker.errors import TemporaryError

#: Characters of a program's output in a refusal.
EXCERPT = 300
#: Seconds in which one looks once more for an answer.
ONE_LOOK = 0.01


def ask(*, actor: Actor, instance: ServiceInstance, question: str, wait: float, **arguments: Any) -> Inquiry:
    """The answered inquiry. Raises what `inquiries.ask` raises, and `TemporaryError` when no answer comes in time."""
    asked = inquiries.ask(actor=actor, instance=instance, question=question, arguments=arguments)
    inquiry = inquiries.awaited(asked, scope.of(actor), wait)
    if inquiry.state == Inquiry.State.OPEN:
        raise TemporaryError("the SBC has not answered yet; ask again in a moment", delay=2)
    if inquiry.error:
        raise TemporaryError(f"the SBC did not answer: {inquiry.error}", delay=5)
    return inquiry


def answers(
    *, actor: Actor, instance: ServiceInstance, questions: Mapping[str, Mapping[str, Any]], wait: float
) -> dict[str, Any]:
    """What the SBC says to each question, as JSON; None for what it does not say within `wait` seconds in all.

    All are asked before the first answer is waited for.
    """
    deadline = time.monotonic() + wait
    try:
        asked = {
            name: inquiries.ask(actor=actor, instance=instance, question=name, arguments=arguments)
            for name, arguments in questions.items()
        }
    except Conflict:  # it is not active
        return dict.fromkeys(questions)
    rows = scope.of(actor)
    return {
        name: _said(inquiries.awaited(inquiry, rows, max(deadline - time.monotonic(), ONE_LOOK)))
        for name, inquiry in asked.items()
    }


def _said(inquiry: Inquiry) -> Any:
    if inquiry.state != Inquiry.State.ANSWERED or inquiry.status:
        return None
    try:
        return json.loads(inquiry.output)
    except ValueError:
        return None


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
