"""Whom customers may trust: the platform's own authority, and the certificates it issued to services."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from services.models.inventory import ServiceInstance
from tenants.models import TenantOwned

#: There is one authority.
PLATFORM = "platform"


class Authority(models.Model):
    """The platform's certificate authority: its certificate in PEM, and its private key, encrypted."""

    name = models.CharField(primary_key=True, max_length=16, default=PLATFORM, editable=False)
    certificate = models.TextField()
    private_key = models.TextField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    not_after = models.DateTimeField()

    class Meta:
        verbose_name_plural = "authorities"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(name=PLATFORM), name="there_is_one_authority"),
        ]

    def __str__(self) -> str:
        return self.name


class Certificate(TenantOwned):
    """A certificate issued to an instance for `names` (DNS names and addresses, sorted, one a line).

    `chain` in PEM, the instance's own first; `private_key` in PEM, encrypted.
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(ServiceInstance, on_delete=models.CASCADE, related_name="certificates")
    names = models.TextField()
    chain = models.TextField()
    private_key = models.TextField(editable=False)
    issued_at = models.DateTimeField(auto_now_add=True)
    not_after = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["not_after"], name="certificates_by_their_end")]

    def __str__(self) -> str:
        return ", ".join(self.names.splitlines())
