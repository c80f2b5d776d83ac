"""What the tenants' endpoints read and write as JSON."""

from __future__ import annotations

import unicodedata
from typing import Any

import django_filters
from rest_framework import serializers

from tenants.models import ROLES, ApiToken, AuditEvent, Membership, Tenant


def one_line(text: str) -> None:
    """Refuses what cannot be seen: it forges log lines, terminal output and the order of what is read."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            raise serializers.ValidationError(f"The character U+{ord(character):04X} is not allowed.")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members it does not know: a misspelt option must not be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self._writable()))):
            known = ", ".join(self._writable())
            raise serializers.ValidationError(
                {name[:64]: [f"There is no such field; there are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)

    def _writable(self) -> list[str]:
        return [name for name, field in self.fields.items() if not field.read_only]


class Text(serializers.CharField):
    """A string, and nothing that only looks like one: DRF would read 5 as "5"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A whole number: not "5", not 5.0, not true."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of several words. A refusal names them."""

    def to_internal_value(self, data: Any) -> Any:
        if str(data) not in self.choice_strings_to_values:
            raise serializers.ValidationError(f"Use one of: {', '.join(self.choice_strings_to_values)}.")
        return super().to_internal_value(data)


class TenantSummary(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = ("id", "name", "slug")


class Me(serializers.Serializer[Any]):
    """Who the credential says you are."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field called like an attribute of fields
    kind = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    tenant = TenantSummary()


class Member(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")

    class Meta:
        model = Membership
        fields = ("id", "email", "name", "role", "created_at")


class Token(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ("id", "name", "role", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at")


class TokenRequest(StrictSerializer):
    name = Text(max_length=100, validators=[one_line])
    role = Choice(choices=ROLES)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class IssuedToken(Token):
    """A token just made. `token` is shown this once."""

    token = serializers.CharField(help_text="Send it as `Authorization: Bearer ...`. It cannot be shown again.")

    class Meta(Token.Meta):
        fields = (*Token.Meta.fields, "token")  # type: ignore[assignment]


class Event(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "at",
            "actor",
            "actor_kind",
            "actor_id",
            "address",
            "request_id",
            "verb",
            "object_type",
            "object_id",
            "detail",
        )


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEvent
        fields = ("verb", "actor", "actor_kind", "object_type", "object_id", "request_id")


class AmountJson(serializers.Serializer[Any]):
    services = serializers.IntegerField()
    vcpu = serializers.FloatField()
    memory_mb = serializers.IntegerField(help_text="MiB")


class QuotaJson(serializers.Serializer[Any]):
    """The most you may have at once, and what you have."""

    limits = AmountJson()
    used = AmountJson()
