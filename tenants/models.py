"""Who: people, tenants, what each may do, and the trail of what they did.

Rows are written by `tenants.verbs` alone. A row of a tenant has no `objects`: it is reached
through `tenants.scope`, and code of the provider or the platform that must look across
tenants says `unscoped`, which a test allows in listed modules only. Nothing of a tenant is ever deleted by deleting
the tenant: a tenant that has done anything stays, and is suspended (decision 11).
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import BigIntegerField, Func, Q
from django.db.models.functions import Lower
from django.utils import timezone

from naas.core.ids import new_id
from tenants.actor import ActorKind, Role
from worker.errors import NaasError


def tenant_id() -> str:
    return new_id("ten")


def invitation_id() -> str:
    return new_id("inv")


def token_id() -> str:
    return new_id("tok")


class TenantStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"


ROLES = [(role.value, role.value.capitalize()) for role in Role]
ACTOR_KINDS = [(kind.value, kind.value.capitalize()) for kind in ActorKind]


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person, who logs in by e-mail address. `is_staff` is the provider's staff; customers are members of tenants."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField("provider staff", default=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        ordering = ("email",)
        constraints = (
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_is_written_in_lower_case"),
        )

    def __str__(self) -> str:
        return self.email


class Tenant(models.Model):
    """A customer of the provider."""

    id = models.CharField(primary_key=True, max_length=16, default=tenant_id, editable=False)
    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=40)
    status = models.CharField(max_length=12, choices=TenantStatus, default=TenantStatus.ACTIVE)
    #: Members see nothing of the tenant until they have a second factor. Programs with a token are not asked.
    needs_second_factor = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.UniqueConstraint(fields=("slug",), name="tenant_slug_is_unique"),
            models.CheckConstraint(condition=Q(status__in=TenantStatus.values), name="tenant_status_is_known"),
        )

    def __str__(self) -> str:
        return self.name

    def told_as(self) -> tuple[str, str]:
        """The topic and the id under which pages are told that it changed."""
        return "tenant", self.pk


class TenantOwned(models.Model):
    """A row that belongs to one tenant, which cannot be deleted while the row exists."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")

    unscoped: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        default_manager_name = "unscoped"
        base_manager_name = "unscoped"

    def told_as(self) -> tuple[str, str]:
        """The topic and the id under which pages are told that it changed (`tenants.changes`)."""
        return self._meta.model_name or "", str(self.pk or "")


class Membership(TenantOwned):
    """A person's role in a tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=ROLES)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = "member"
        ordering = ("user__email",)
        constraints = (
            models.UniqueConstraint(fields=("tenant", "user"), name="user_is_member_of_a_tenant_once"),
            models.CheckConstraint(condition=Q(role__in=list(Role)), name="membership_role_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"


class Invitation(TenantOwned):
    """A role in a tenant, offered to whoever reads the mail at an address. Only the digest of its code is kept.

    It is open until it is accepted, withdrawn, or its time is over. Of an address one is open at a time.
    """

    id = models.CharField(primary_key=True, max_length=20, default=invitation_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=12, choices=ROLES)
    digest = models.CharField(max_length=64, editable=False)
    invited_by = models.CharField(max_length=200)
    invited_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        ordering = ("-invited_at", "id")
        constraints = (
            models.UniqueConstraint(fields=("digest",), name="invitation_digest_is_unique"),
            models.UniqueConstraint(
                fields=("tenant", "email"),
                condition=Q(accepted_at__isnull=True, withdrawn_at__isnull=True),
                name="one_open_invitation_per_address_and_tenant",
            ),
            models.CheckConstraint(condition=Q(role__in=list(Role)), name="invitation_role_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant}"


class SingleSignOn(TenantOwned):
    """Where a tenant's people log in: its OpenID provider. `sealed` is the client's secret, encrypted.

    New people are let in with `role` (empty: nobody is), by an address in a domain that is both wanted and confirmed.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True, related_name="single_sign_on")
    issuer = models.CharField(max_length=200)
    client_id = models.CharField(max_length=200)
    sealed = models.TextField(editable=False)
    domains = models.JSONField(default=list)
    confirmed = models.JSONField(default=list, editable=False)
    role = models.CharField(max_length=12, choices=ROLES, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantOwned.Meta):
        verbose_name = "single sign-on"

    def __str__(self) -> str:
        return f"{self.issuer} for {self.tenant}"


class Identity(TenantOwned):
    """Who a person is at a tenant's provider. It opens their account for this tenant alone."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=("tenant", "issuer", "subject"), name="subject_is_one_person_of_a_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class ApiToken(TenantOwned):
    """A key for programs. `prefix` may be shown; the whole is shown once, and only its digest is kept."""

    id = models.CharField(primary_key=True, max_length=16, default=token_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="tokens")
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=12, choices=ROLES)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        verbose_name = "token"
        ordering = ("-created_at", "id")
        constraints = (
            models.UniqueConstraint(fields=("digest",), name="token_digest_is_unique"),
            models.CheckConstraint(condition=Q(role__in=list(Role)), name="token_role_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class Quota(TenantOwned):
    """The most a tenant may have at once. `memory_mb` in MiB."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True, related_name="quota")
    services = models.PositiveIntegerField(default=20)
    vcpu = models.PositiveIntegerField(default=40)
    memory_mb = models.PositiveIntegerField(default=40960)

    class Meta(TenantOwned.Meta):
        verbose_name = "quota"

    def __str__(self) -> str:
        return f"quota of {self.tenant}"


class AppendOnly(NaasError):
    """Someone tried to change what must stay as it was written: a bug, or worse."""


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **_values: object) -> NoReturn:
        raise AppendOnly("the audit trail is append-only")

    def delete(self) -> NoReturn:
        raise AppendOnly("the audit trail is append-only")


class AuditEvent(TenantOwned):
    """Who did what, when and from where. Written once; the database refuses to change it (a trigger).

    `tenant` is None for what the provider did to no tenant in particular. `detail` holds no secrets.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # wider than its base
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(default=timezone.now, editable=False)
    actor = models.CharField(max_length=200)
    actor_kind = models.CharField(max_length=8, choices=ACTOR_KINDS)
    actor_id = models.CharField(max_length=32, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    verb = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    unscoped: ClassVar[models.Manager[AuditEvent]] = models.Manager.from_queryset(AuditQuerySet)()

    class Meta(TenantOwned.Meta):
        verbose_name = "audit event"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("tenant", "-id"), name="audit_of_a_tenant"),
            models.Index(fields=("object_type", "object_id"), name="audit_of_an_object"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.verb} {self.object_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("the audit trail is append-only")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise AppendOnly("the audit trail is append-only")


class IdempotencyRecord(TenantOwned):
    """A POST that named a key, and its answer once there is one. `fingerprint` covers method, path and body.

    Without `status` the request is in flight, or its process died: after `tenants.api.idempotency.LEASE` it may
    be taken over.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    path = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(default=timezone.now)
    attempt = models.CharField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.TextField(blank=True)
    headers = models.JSONField(default=dict, blank=True)

    class Meta(TenantOwned.Meta):
        verbose_name = "idempotency record"
        indexes = (models.Index(fields=("created_at",), name="idempotency_by_age"),)
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "key", "path"), name="idempotency_key_is_used_once_per_tenant_and_path"
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} on {self.path}"


class CurrentTransaction(Func):
    """The transaction that writes a row, where the database numbers them."""

    arity = 0
    output_field = BigIntegerField()

    def as_postgresql(self, *_args: Any, **_kwargs: Any) -> tuple[str, tuple[str | int, ...]]:
        return "pg_current_xact_id()::text::bigint", ()

    def as_sqlite(self, *_args: Any, **_kwargs: Any) -> tuple[str, tuple[str | int, ...]]:
        return "0", ()


class Change(TenantOwned):
    """That something of a tenant changed, for the pages that show it: a topic and which one, no contents."""

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=32)
    about = models.CharField(max_length=64, blank=True)
    made = models.DateTimeField(default=timezone.now, editable=False)
    transaction = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta(TenantOwned.Meta):
        ordering = ("id",)
        indexes = (
            models.Index(fields=("transaction", "id"), name="changes_by_transaction"),
            models.Index(fields=("tenant", "id"), name="changes_of_a_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.about}"
