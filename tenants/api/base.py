"""What every view of the API is made of."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import exceptions
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from tenants import converters, scope, wall
from tenants.actor import Actor, Role
from tenants.api import idempotency
from tenants.api.throttling import Strangers
from tenants.models import TenantOwned

M = TypeVar("M", bound=Model)

converters.register()


class ScopedView(GenericAPIView[Any]):
    """A view that acts for one tenant. Name the `model` of its list, and the roles if they are not the usual ones.
    `other_parameters` are those of a list that are neither filters nor pages.

    `self.actor` and `self.scope` are the only ways from a request to rows. Every POST may carry an
    `Idempotency-Key`.
    """

    reads: Role = Role.VIEWER
    writes: Role = Role.OPERATOR
    model: type[TenantOwned]
    filterset_class: Any = None
    ordering_fields: tuple[str, ...] = ()
    other_parameters: frozenset[str] = frozenset()
    idempotent_atomic = True

    @property
    def actor(self) -> Actor:
        actor = self.request.auth
        if not isinstance(actor, Actor):
            raise exceptions.NotAuthenticated
        return actor

    @property
    def scope(self) -> scope.Scope:
        return scope.of(self.actor)

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.model.unscoped.none()
        return self.scope.all(self.model)

    def get_object(self) -> Any:
        """The row that the address names. Raises `NotFound`."""
        row = scope.pick(self.get_queryset(), self.kwargs["pk"])
        self.check_object_permissions(self.request, row)
        return row

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        wall.narrow(self.actor.tenant)
        if request.method in ("POST", "PUT", "PATCH"):
            # Read here, so that no view takes a body that cannot be read for none.
            _ = request.data
        handler = getattr(self, "post", None)
        if request.method == "POST" and handler is not None:
            self.post = idempotency.with_key(self, request, handler)

    def perform_authentication(self, request: Request) -> None:
        """Count failures, so that guessing is held up."""
        try:
            super().perform_authentication(request)
        except exceptions.AuthenticationFailed:
            self._count_stranger(request)
            raise

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> Any:
        if request.auth is None:
            self._count_stranger(request)
        super().permission_denied(request, message=message, code=code)

    def _count_stranger(self, request: Request) -> None:
        throttle = Strangers()
        if not throttle.allow_request(request, self):
            raise exceptions.Throttled(throttle.wait())


class ScopedViewSet(ScopedView, GenericViewSet[Any]):
    """The same for a set of views."""
