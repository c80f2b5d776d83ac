"""The demo's customer: its account, the REST API as it sees it, its premises, and orders followed to their end."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts import environment
from scripts.commands import run
from scripts.console import print_plain, step
from scripts.errors import SetupError
from scripts.place import Place
from scripts.up import FIRST_POP, manage

POP = FIRST_POP
#: Seconds within which an order must be done.
ORDER_PATIENCE = 180
POLL = 0.2
OPEN_ORDER = {"acknowledged", "pending", "held", "inProgress", "assessingCancellation", "pendingCancellation"}

Json = dict[str, Any]


class DemoFailed(SetupError):
    """The demo cannot go on, or what it ordered does not work."""


@dataclass(frozen=True)
class Account:
    """The customer that `manage.py demo_tenant` made."""

    email: str
    token: str
    site_url: str
    unis: Mapping[str, Json]


class Api:
    """The REST API as the demo's tenant sees it. Refusals become `DemoFailed` with the API's own words."""

    def __init__(self, account: Account) -> None:
        self._client = httpx.Client(
            base_url=f"{account.site_url}/api/v1/",
            headers={"Authorization": f"Bearer {account.token}"},
            timeout=30,
        )

    def get(self, path: str, **filters: str) -> Json:
        return self._ask("GET", path, params=filters)

    def post(self, path: str, body: Json, **headers: str) -> Json:
        key = {"Idempotency-Key": secrets.token_hex(16)}
        return self._ask("POST", path, json=body, headers=key | headers)

    def find(self, path: str, **filters: str) -> list[Json]:
        found: list[Json] = self.get(path, **filters)["results"]
        return found

    def _ask(self, method: str, path: str, **options: Any) -> Json:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise DemoFailed(
                f"{method} {self._client.base_url}{path}: {error}. Is the platform up? (make up)"
            ) from error
        if answer.is_error:
            raise DemoFailed(f"{method} {answer.url} was refused: {_problem(answer)}")
        document: Json = answer.json()
        return document


def _problem(answer: httpx.Response) -> str:
    """The problem details (RFC 9457) as one line for people."""
    try:
        document = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
    fields = "; ".join(f"{e.get('path', '')}: {e.get('message', '')}" for e in document.get("errors", ()))
    return f"{document.get('title', answer.status_code)}: {fields or document.get('detail', '')}"


# --- account and premises -------------------------------------------------------------


def open_account(place: Place) -> Account:
    with step("Demo tenant") as running:
        document = json.loads(manage(place, "demo_tenant", "--json", "--pop", POP))
        _keep(token_file(place), document["token"])
        if document["password"]:
            _keep(login_file(place), f"{document['email']} {document['password']}")
        running.outcome = f"{document['tenant']}, {document['email']}"
    port = environment.read(place.env_file).get("NAAS_WEB_PORT", str(environment.WEB_PORT))
    return Account(
        email=document["email"],
        token=document["token"],
        site_url=f"http://localhost:{port}",
        unis={uni["name"]: uni for uni in document["unis"]},
    )


def token_file(place: Place) -> Path:
    return place.var / "demo-token"


def login_file(place: Place) -> Path:
    return place.var / "demo-login"


def _keep(file: Path, text: str) -> None:
    """Keep a secret where the person finds it again, readable for its owner alone."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text + "\n")


def make_segments(api: Api, wanted: Collection[Json]) -> int:
    """Make those that are missing; how many that were."""
    there = {segment["name"] for segment in api.find("segments", limit="200")}
    missing = [segment for segment in wanted if segment["name"] not in there]
    for segment in missing:
        api.post("segments", segment)
    return len(missing)


def access(account: Account, name: str, uni: str, *prefixes: str) -> Json:
    """A segment at a UNI, to be made."""
    return {"name": name, "pop": POP, "kind": "access", "uni": account.unis[uni]["id"], "prefixes": list(prefixes)}


def lab(place: Place, *arguments: str) -> str:
    return run(place.python, "-m", "worker.lab", *arguments, cwd=place.repo)


# --- orders ---------------------------------------------------------------------------


def find_service(api: Api, name: str) -> Json | None:
    found = api.find("services", name=name)
    return next((service for service in found if service["state"] != "terminated"), None)


def order_under_way(api: Api, names: Collection[str]) -> Json | None:
    """The order that makes services of these names, if there is one that has not ended."""
    for order in api.find("orders"):
        if order["state"] in OPEN_ORDER and {_service_name(item) for item in order["items"]} & set(names):
            return order
    return None


def complete(api: Api, order: Json) -> None:
    """Follow an order to its good end."""
    with step("Order") as running:
        ended = follow(api, order)
        running.outcome = f"{ended['id']} {ended['state']}"
    if ended["state"] != "completed":
        raise DemoFailed(f"order {ended['id']} ended as {ended['state']}: {_reasons(ended)}")


def follow(api: Api, order: Json) -> Json:
    """Print the order's steps as they end; the order when nothing more will happen to it."""
    shown: set[tuple[str, str, int]] = set()
    deadline = time.monotonic() + ORDER_PATIENCE
    while True:
        order = api.get(f"orders/{order['id']}")
        for line in _news(order, shown):
            print_plain(line)
        if order["state"] not in OPEN_ORDER:
            return order
        if time.monotonic() > deadline:
            raise DemoFailed(f"order {order['id']} is still {order['state']} after {ORDER_PATIENCE} s")
        time.sleep(POLL)


def _news(order: Json, shown: set[tuple[str, str, int]]) -> Iterator[str]:
    for item in order["items"]:
        for each in item["steps"]:
            key = (item["id"], each["run"], each["position"])
            if each["state"] == "running" or key in shown:
                continue
            shown.add(key)
            yield _step_line(_service_name(item), each)


def _step_line(service: str, each: Json) -> str:
    place = f"{each['position'] + 1}/{each['total']}"
    line = f"  {service:8} {place:>5}  {each['action']:16} {each['subject']:28} {each['duration_ms'] or 0:6.0f} ms"
    return line if each["state"] == "done" else f"{line}  {each['state']}: {each['message']}"


def _service_name(item: Json) -> str:
    name: str = (item.get("service") or {}).get("name", "")
    return name


def _reasons(order: Json) -> str:
    reasons = [f"{_service_name(item)}: {item.get('reason') or item['state']}" for item in order["items"]]
    return "; ".join(reasons)


def await_working(api: Api, name: str, patience: float) -> Json:
    """The service, once it is active and everything it checks about itself holds."""
    deadline = time.monotonic() + patience
    with step(name) as running:
        while True:
            service = find_service(api, name)
            if service is None:
                raise DemoFailed(f"{name} is gone")
            service = api.get(f"services/{service['id']}")
            # Readiness alone comes first; what it checks while it runs is found a moment later.
            checked = [c for c in service["conditions"] if not c["readiness"]]
            if checked and service["state"] == "active" and service["health"] == "healthy":
                running.outcome = f"{service['id']}: {', '.join(c['type'] for c in checked)}"
                return service
            if time.monotonic() > deadline:
                reason = service["health_reason"] or "its PoP has not said why"
                raise DemoFailed(f"{name} is {service['state']}, {service['health']}: {reason}")
            time.sleep(POLL)
