"""What the core does for tenants without being asked."""

from __future__ import annotations

from celery import shared_task

from tenants import changes
from tenants.api import idempotency


@shared_task(name="tenants.forget")
def forget() -> None:
    """Delete answers to idempotency keys, and changes that pages were told of, which are no longer kept."""
    idempotency.forget()
    changes.forget()
