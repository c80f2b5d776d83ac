"""What every request passes: an id, the policy browsers are told, and the limit of its size."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tenants import logs, wall
from tenants.api import problems

Handler = Callable[[HttpRequest], HttpResponseBase]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestId:
    """Takes the caller's `X-Request-Id` when it is harmless, else makes one; answers and log lines carry it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-Id", "")
        request.id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)  # type: ignore[attr-defined]
        mark = logs.request_id.set(request.id)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            logs.request_id.reset(mark)
        response["X-Request-Id"] = request.id  # type: ignore[attr-defined]
        return response


class Wall:
    """Takes down what a view of the API put up around its tenant (`tenants.wall`), however the view ended."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            wall.widen()


class ContentSecurityPolicy(CSPMiddleware):  # type: ignore[misc]  # untyped library
    """django-csp, with a policy of its own for the admin console."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path_info.startswith("/admin/"):
            response._csp_config = settings.NAAS_ADMIN_CSP  # type: ignore[attr-defined]
        guarded: HttpResponseBase = super().process_response(request, response)
        return guarded


class BodyLimit:
    """Refuses a body that says it is too large, before anything reads it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        declared = request.META.get("CONTENT_LENGTH") or "0"
        if declared.isdecimal() and int(declared) > limit:
            return problems.plain(
                request, 413, "too-large", "The request is too large", f"at most {limit} bytes are read"
            )
        return self.get_response(request)
