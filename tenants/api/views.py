"""The tenants' endpoints: who am I, tokens, members, audit trail, quota."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actor import Role
from tenants.api import serializers as json
from tenants.api.base import ScopedView, ScopedViewSet
from tenants.models import ApiToken, AuditEvent, Membership
from tenants.verbs import quotas, tokens


@extend_schema(tags=["you"])
class MeView(ScopedView):
    serializer_class = json.Me

    @extend_schema(operation_id="me", summary="Who this credential says you are")
    def get(self, request: Request) -> Response:
        return Response(json.Me(self.actor).data)


@extend_schema(tags=["you"])
class QuotaView(ScopedView):
    serializer_class = json.QuotaJson

    @extend_schema(operation_id="quota", summary="The most you may have, and what you have")
    def get(self, request: Request) -> Response:
        tenant = self.actor.tenant
        return Response(json.QuotaJson({"limits": quotas.limits(tenant), "used": quotas.usage(tenant)}).data)


@extend_schema(tags=["tokens"])
class Tokens(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """API tokens. Only owners see and change them."""

    model = ApiToken
    reads = writes = Role.OWNER
    serializer_class = json.Token
    ordering_fields = ("name", "created_at", "expires_at", "last_used_at")

    @extend_schema(
        request=json.TokenRequest, responses={201: json.IssuedToken}, summary="Make a token; it is shown once"
    )
    def create(self, request: Request) -> Response:
        wanted = json.TokenRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        asked: dict[str, Any] = wanted.validated_data
        issued = tokens.issue(actor=self.actor, **asked | {"role": Role(asked["role"])})
        shown = json.Token(issued.token).data | {"token": issued.plaintext}
        return Response(shown, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Revoke a token; again is success")
    def destroy(self, request: Request, pk: str) -> Response:
        tokens.revoke(actor=self.actor, id=pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["you"])
class Members(mixins.ListModelMixin, ScopedViewSet):
    model = Membership
    serializer_class = json.Member
    ordering_fields = ("user__email", "role", "created_at")

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("user")


@extend_schema(tags=["audit"])
class Audit(mixins.ListModelMixin, ScopedViewSet):
    """Who did what, when and from where. Newest first."""

    model = AuditEvent
    reads = Role.OPERATOR
    serializer_class = json.Event
    filterset_class = json.EventFilter
    ordering_fields = ("at",)
