"""What a person has configured and not ordered yet."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.conf import settings
from django.db import models

from naas.core.ids import new_id
from services.models.places import Pop
from tenants.models import TenantOwned


class CartItem(TenantOwned):
    """A service that a person is about to order for a tenant: its spec as services keep theirs, secrets encrypted."""

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "crt"), editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=32)
    pop = models.ForeignKey(Pop, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=64)
    size = models.CharField(max_length=1)
    spec = models.JSONField()
    added_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["added_at", "id"]
        indexes: ClassVar = [models.Index(fields=["changed_at"], name="cart_items_by_age")]

    def __str__(self) -> str:
        return self.name
