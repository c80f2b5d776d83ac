"""Which role an endpoint takes. Verbs ask again: this only answers sooner, before a body is read."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from tenants.actor import Actor, Role


class ByRole(BasePermission):
    """A view's `reads` and `writes` name the role each takes: viewer and operator unless it says otherwise."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, Actor):
            return False
        safe = request.method in SAFE_METHODS
        request.auth.require(getattr(view, "reads", Role.VIEWER) if safe else getattr(view, "writes", Role.OPERATOR))
        return True
