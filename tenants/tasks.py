"""What the core does for tenants without being asked."""

from __future__ import annotations

from celery import shared_task

from tenants.api import idempotency


@shared_task(name="tenants.forget")
def forget() -> None:
    """Delete answers to idempotency keys that are no longer kept."""
    idempotency.forget()
