"""Where services can stand: PoPs, their transports, the customers' ports (UNIs) and segments."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from naas.core.ids import new_id
from tenants.models import TenantOwned

slug_alphabet = RegexValidator(r"^[a-z0-9][a-z0-9-]{0,15}$", "Use up to 16 of a-z, 0-9 and '-'.")


class PopStatus(models.TextChoices):
    PLANNED = "planned", "Planned: not sold yet"
    OPEN = "open", "Open: takes orders"
    MAINTENANCE = "maintenance", "Maintenance: takes no new services"
    CLOSED = "closed", "Closed"


class Pop(models.Model):
    """A point of presence: the place whose worker runs VNFs. Capacity in vCPU and MiB.

    `public_identity` holds the keys its reports are checked with; without one it is not enrolled.
    """

    slug = models.CharField(primary_key=True, max_length=16, validators=[slug_alphabet])
    name = models.CharField(max_length=80)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2.")
    latitude = models.DecimalField(max_digits=8, decimal_places=5, null=True, blank=True)
    longitude = models.DecimalField(max_digits=8, decimal_places=5, null=True, blank=True)
    status = models.CharField(max_length=12, choices=PopStatus, default=PopStatus.PLANNED)
    vcpu_capacity = models.DecimalField(max_digits=7, decimal_places=2, default=0)
    memory_capacity_mb = models.PositiveIntegerField(default=0)
    public_identity = models.JSONField(null=True, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["slug"]
        verbose_name = "PoP"
        verbose_name_plural = "PoPs"

    def __str__(self) -> str:
        return self.slug


class Transport(models.Model):
    """An underlay by which a PoP reaches others: the provider's MPLS, an internet uplink."""

    class Medium(models.TextChoices):
        INTERNET = "internet", "Internet"
        MPLS = "mpls", "MPLS"
        ETHERNET = "ethernet", "Ethernet"

    pop = models.ForeignKey(Pop, on_delete=models.CASCADE, related_name="transports")
    name = models.CharField(max_length=32)
    medium = models.CharField(max_length=10, choices=Medium)
    address = models.GenericIPAddressField(null=True, blank=True, help_text="The PoP's own address on it.")
    mtu = models.PositiveIntegerField(default=1500)

    class Meta:
        ordering: ClassVar = ["pop", "name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["pop", "name"], name="one_transport_per_name_and_pop")]

    def __str__(self) -> str:
        return f"{self.pop_id} {self.name}"


class Uni(TenantOwned):
    """A user network interface (MEF 10): the customer's port at a PoP, an interface of the PoP's host."""

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "uni"), editable=False)
    pop = models.ForeignKey(Pop, on_delete=models.PROTECT, related_name="unis")
    name = models.CharField(max_length=64)
    interface = models.CharField(max_length=15, validators=[RegexValidator(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$")])
    vlan = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(4094)]
    )
    mtu = models.PositiveIntegerField(default=1500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["name"]
        verbose_name = "UNI"
        verbose_name_plural = "UNIs"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="one_uni_per_name_and_tenant"),
            models.UniqueConstraint(fields=["pop", "interface", "vlan"], name="one_uni_per_tagged_interface"),
            models.UniqueConstraint(
                fields=["pop", "interface"],
                condition=models.Q(vlan__isnull=True),
                name="one_uni_per_untagged_interface",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SegmentKind(models.TextChoices):
    ACCESS = "access", "Access: at a UNI"
    PRIVATE = "private", "Private: between services at a PoP"
    TRANSPORT = "transport", "Transport: carries traffic between services"


class Segment(TenantOwned):
    """A layer-2 domain of a tenant at a PoP. An access segment is the attachment circuit of a UNI."""

    id = models.CharField(primary_key=True, max_length=20, default=partial(new_id, "seg"), editable=False)
    pop = models.ForeignKey(Pop, on_delete=models.PROTECT, related_name="segments")
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, choices=SegmentKind, default=SegmentKind.PRIVATE)
    uni = models.OneToOneField(Uni, on_delete=models.PROTECT, null=True, blank=True, related_name="segment")
    mtu = models.PositiveIntegerField(default=1500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="one_segment_per_name_and_tenant"),
            models.CheckConstraint(
                condition=models.Q(kind=SegmentKind.ACCESS, uni__isnull=False)
                | (~models.Q(kind=SegmentKind.ACCESS) & models.Q(uni__isnull=True)),
                name="an_access_segment_and_no_other_has_a_uni",
            ),
            models.CheckConstraint(
                condition=models.Q(mtu__gte=1280, mtu__lte=9216), name="segment_mtu_from_1280_to_9216"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Prefix(TenantOwned):
    """An address range of a segment, canonical CIDR. Ranges of one tenant never overlap; those of two may."""

    id = models.BigAutoField(primary_key=True)
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="prefixes")
    cidr = models.CharField(max_length=43)

    class Meta(TenantOwned.Meta):
        ordering: ClassVar = ["id"]
        verbose_name_plural = "prefixes"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "cidr"], name="one_segment_per_prefix_and_tenant"),
        ]

    def __str__(self) -> str:
        return self.cidr
