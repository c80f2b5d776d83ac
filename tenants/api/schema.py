"""The OpenAPI description: what each operation takes in its headers, and what refusals look like."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from tenants.api.idempotency import HEADER, VISIBLE
from tenants.api.problems import CONTENT_TYPE


class ProblemPath(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="Where, as in `items[0].spec.name`.")
    message = serializers.CharField()


class ProblemDetails(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="The same as in `type`, for programs.")
    instance = serializers.CharField(help_text="The request; quote it when you report a fault.")
    detail = serializers.CharField(required=False)
    errors = ProblemPath(many=True, required=False)  # type: ignore[assignment]


TENANT = OpenApiParameter(
    "X-Tenant", str, OpenApiParameter.HEADER, description="Id or slug of the tenant, for people who belong to several."
)
KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "pattern": f"^{VISIBLE}$", "maxLength": 255},
    OpenApiParameter.HEADER,
    description="The same key and body again gets the same answer, for 24 hours.",
)
REFUSALS = {
    "400": "What was asked is not valid.",
    "401": "The credential is missing or not good.",
    "403": "The role does not allow this.",
    "404": "There is no such thing.",
    "409": "Not possible in the present state.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "422": "The idempotency key was used for another request.",
    "429": "Too many requests.",
}
#: Refusals that take a request body, or a path with an id, to happen.
WITH_BODY = frozenset({"409", "413", "415", "422"})


class Schema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        return [TENANT, KEY] if self.method == "POST" else [TENANT]

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, meaning in REFUSALS.items():
            if self._may_answer(status) and status not in bodies:
                answer = OpenApiResponse(ProblemDetails, meaning)
                bodies[status] = self._get_response_for_code(answer, status, [CONTENT_TYPE])  # type: ignore[no-untyped-call]
        return bodies

    def _may_answer(self, status: str) -> bool:
        if status == "404":
            return "{" in self.path
        return self.method in ("POST", "PATCH", "PUT", "DELETE") or status not in WITH_BODY


class Token(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token made under /api/v1/tokens: naas_..."}


class Session(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
