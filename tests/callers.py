"""Someone who calls the API in a test, with a token made for it."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from tenants.actor import Actor, Role
from tenants.models import Tenant
from tenants.verbs import tokens


class Caller:
    """A client of `/api/v1/` with a token of this role. Answers are Django's test responses; `.json()` reads them."""

    def __init__(self, tenant: Tenant | None, role: Role = Role.OWNER) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers: dict[str, str] = {}
        if tenant is not None:
            issued = tokens.issue(actor=Actor.system(tenant, "a test"), name=f"test {role}", role=role)
            self.headers["Authorization"] = f"Bearer {issued.plaintext}"

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.client.delete(f"/api/v1/{path}", headers=self.headers | headers)

    def post(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> Any:
        named = {"Idempotency-Key": key} if key is not None else {}
        return self.raw("POST", path, json.dumps(body if body is not None else {}), **named, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.raw("PATCH", path, json.dumps(body), **headers)

    def raw(
        self, method: str, path: str, body: str | bytes, content_type: str = "application/json", **headers: str
    ) -> Any:
        return self.client.generic(
            method, f"/api/v1/{path}", body, content_type=content_type, headers=self.headers | headers
        )


def assert_problem(response: Any, status: int, code: str | None = None, path: str | None = None) -> dict[str, Any]:
    """The response is a problem of this status and, when given, of this code and with an error at this path."""
    assert response.status_code == status, response.content[:2000]
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:naas:problem:{problem['code']}"
    assert problem["title"]
    assert problem["instance"] == f"urn:naas:request:{response['X-Request-Id']}"
    if code is not None:
        assert problem["code"] == code, problem
    if path is not None:
        assert path in [error["path"] for error in problem.get("errors", [])], problem
    return problem
