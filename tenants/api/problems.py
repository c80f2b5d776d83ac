"""Refusals as RFC 9457 problem details.

Every answer of the API that is not a success has this shape: `type`, `title`, `status`,
`detail`, `instance`, `code` for programs, and `errors` with a field path and a message each.
Nothing internal is ever told: what was not foreseen is a 500 that names the request, whose
traceback is in the log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

from naas.core.errors import Problem, Refusal
from worker.errors import TemporaryError

CONTENT_TYPE = "application/problem+json"

HOW_TO_SAY_WHO = exceptions.ErrorDetail("send a token as `Authorization: Bearer naas_...`, or log in at /login/")

#: Code and title of the refusals that DRF and Django raise.
NAMED: dict[type[Exception], tuple[str, str]] = {
    exceptions.ParseError: ("malformed", "The request body cannot be read"),
    exceptions.NotAuthenticated: ("not-authenticated", "Say who you are"),
    exceptions.AuthenticationFailed: ("not-authenticated", "This is not a valid credential"),
    exceptions.PermissionDenied: ("forbidden", "This is not allowed"),
    exceptions.NotFound: ("not-found", "Not found"),
    exceptions.MethodNotAllowed: ("method-not-allowed", "This cannot be done here"),
    exceptions.NotAcceptable: ("not-acceptable", "No answer in this form"),
    exceptions.UnsupportedMediaType: ("unsupported-media-type", "The API reads application/json"),
    exceptions.Throttled: ("throttled", "Too many requests"),
}


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. None for what was not foreseen: it becomes a logged 500."""
    request = context["request"]
    match error:
        case Refusal():
            return _answer(request, error.status, error.code, error.title, error.detail, error.problems)
        case Http404():
            error = exceptions.NotFound()
        case PermissionDenied():
            error = exceptions.PermissionDenied()
        case exceptions.NotAuthenticated():
            error.detail = HOW_TO_SAY_WHO
        case TemporaryError():
            return _unavailable(request, str(error), error.delay)
        case OperationalError():
            return _unavailable(request, "the database is busy", 1)
    if isinstance(error, exceptions.ValidationError):
        problems = tuple(flatten(error.detail))
        detail = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems)
        return _answer(request, 400, "invalid", "Some fields are not valid", detail, problems)
    if isinstance(error, exceptions.APIException):
        code, title = NAMED.get(type(error), ("refused", "The request was refused"))
        return _answer(request, error.status_code, code, title, str(error.detail), headers=_headers(error))
    return None


def document(
    request: Any, status: int, code: str, title: str, detail: str = "", problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """The problem as JSON."""
    body: dict[str, Any] = {
        "type": f"urn:naas:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "instance": f"urn:naas:request:{getattr(request, 'id', '')}",
    }
    if detail:
        body["detail"] = detail
    if problems:
        body["errors"] = [{"path": problem.path, "message": problem.message} for problem in problems]
    return body


def flatten(detail: Any, path: str = "") -> Iterator[Problem]:
    """DRF's nested error details as problems with paths such as `items[0].spec.name`."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from flatten(value, _join(path, key))
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping | Sequence) and not isinstance(value, str)
            yield from flatten(value, f"{path}[{index}]" if nested else path)
    else:
        yield Problem(path, str(detail))


def _join(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if key == api_settings.NON_FIELD_ERRORS_KEY:
        return path
    return f"{path}.{key}" if path else str(key)


def _answer(
    request: Any,
    status: int,
    code: str,
    title: str,
    detail: str = "",
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = document(request, status, code, title, detail, problems)
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return headers


def _unavailable(request: Any, detail: str, delay: float) -> Response:
    headers = {"Retry-After": str(math.ceil(delay))}
    return _answer(request, 503, "unavailable", "Not possible at the moment", detail, headers=headers)


# --- what is refused before a view of the API is reached --------------------------------


def plain(request: HttpRequest, status: int, code: str, title: str, detail: str = "") -> HttpResponse:
    """The same answer without DRF."""
    return JsonResponse(document(request, status, code, title, detail), status=status, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return plain(request, HTTPStatus.BAD_REQUEST, "malformed", "The request cannot be read")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return plain(request, HTTPStatus.FORBIDDEN, "forbidden", "This is not allowed")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return plain(request, HTTPStatus.NOT_FOUND, "not-found", "Not found", "the API has no such address: see /api/docs/")


def server_error(request: HttpRequest) -> HttpResponse:
    if not _is_api(request):
        return defaults.server_error(request)
    detail = "the fault is ours; quote the instance when you report it"
    return plain(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong here", detail)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
