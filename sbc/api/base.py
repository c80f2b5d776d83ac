"""What every view of an SBC is made of."""

from __future__ import annotations

from naas.core.errors import NotFound
from sbc.kind import KIND
from services.api.services import OfService
from services.models import ServiceInstance


class OfSbc(OfService):
    """Something of one SBC, which the address names. A service of another kind has none of it."""

    @property
    def service(self) -> ServiceInstance:
        instance = super().service
        if instance.kind != KIND.name:
            raise NotFound(f"{instance.name} is no {KIND.title.lower()}")
        return instance
