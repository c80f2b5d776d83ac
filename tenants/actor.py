"""Who acts, for whom and with which role. Verbs take an `Actor`, never a request or a user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from naas.core.errors import Forbidden

if TYPE_CHECKING:
    from tenants.models import Tenant


class Role(StrEnum):
    """What an actor may do in a tenant. Each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def covers(self, needed: Role) -> bool:
        return self.rank >= needed.rank


class ActorKind(StrEnum):
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a word
    SYSTEM = "system"


@dataclass(frozen=True)
class Actor:
    """Someone acting in a tenant. `label` is what the audit trail shows; `address` is where the request came from."""

    tenant: Tenant
    role: Role
    label: str
    kind: ActorKind
    user_id: int | None = None
    token_id: str | None = None
    address: str | None = None
    request_id: str = ""

    def require(self, role: Role) -> None:
        """Raises `Forbidden` when the actor's role does not cover `role`."""
        if not self.role.covers(role):
            raise Forbidden(f"this takes the role {role}; {self.label} has the role {self.role}")

    @classmethod
    def system(cls, tenant: Tenant, label: str = "platform") -> Actor:
        """The platform itself, acting for a tenant: a sweep, a compensation, a command line."""
        return cls(tenant=tenant, role=Role.OWNER, label=label, kind=ActorKind.SYSTEM)


@dataclass(frozen=True)
class Staff:
    """One of the provider's people (or its command line), acting on tenants from outside of them."""

    label: str
    user_id: int | None = None
    address: str | None = None
    request_id: str = ""

    @property
    def kind(self) -> ActorKind:
        return ActorKind.SYSTEM if self.user_id is None else ActorKind.USER

    def inside(self, tenant: Tenant) -> Actor:
        """The same person acting inside a tenant; the trail says that it was the provider."""
        return Actor(
            tenant=tenant,
            role=Role.OWNER,
            label=f"{self.label} (provider)",
            kind=self.kind,
            user_id=self.user_id,
            address=self.address,
            request_id=self.request_id,
        )
