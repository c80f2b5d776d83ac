"""What happened to a service, in words for its people. The event log of open pages is `tenants.changes`."""

from __future__ import annotations

from django.utils import timezone

from services.models import ServiceEvent, ServiceInstance

#: Characters of a message that are kept.
MOST = 500


def note(instance: ServiceInstance, type: str, message: str) -> None:
    """Write that it happened now. `type` is like "health.degraded"."""
    ServiceEvent.unscoped.create(
        tenant_id=instance.tenant_id, instance=instance, at=timezone.now(), type=type, message=message[:MOST]
    )
