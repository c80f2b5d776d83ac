"""Event streams by the platform's own processes: prompt, for members only, complete across a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.platform import EVENTS, FRONT, WEB, Platform, wait_for

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform(sites=())
    try:
        platform.start()
        platform.run(EVENTS)
        wait_for(lambda: httpx.get(f"{site(platform)}/t/nobody/events").status_code == 401, "the streams' process")
        yield platform
    finally:
        platform.close()


@pytest.fixture(scope="module")
def session(platform: Platform) -> str:
    return platform.run_inside("tests.session", platform.tenant).strip()


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: object


def site(platform: Platform) -> str:
    return str(platform.client.base_url).removesuffix("/api/v1/")


@contextmanager
def listening(platform: Platform, session: str, since: str = "", tenant: str = "") -> Iterator[Iterator[Event]]:
    """What a page would hear, event by event."""
    address = f"{site(platform)}/t/{tenant or platform.tenant}/events"
    headers = {"Last-Event-ID": since} if since else {}
    with (
        httpx.Client(cookies={"sessionid": session}, timeout=20) as client,
        client.stream("GET", address, headers=headers) as answer,
    ):
        answer.raise_for_status()
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "event" in found:
            yield Event(found["id"], found["event"], json.loads(found["data"]))
            found = {}


def told_of(events: Iterator[Event], topic: str) -> tuple[Event, float]:
    for event in events:
        if event.name in ("hello", "change") and any(pair[0] == topic for pair in event.data or ()):  # type: ignore[attr-defined]
            return event, time.monotonic()
    raise AssertionError(f"the stream ended without a word of {topic}")


def test_what_changes_is_told_at_once(platform: Platform, session: str) -> None:
    with listening(platform, session) as events:
        assert next(events).name == "hello"
        platform.segment("first", "private", ["10.71.0.0/24"])
        asked = time.monotonic()
        _, heard = told_of(events, "segment")
        assert heard - asked < 1


def test_a_stranger_and_a_member_of_another_tenant_hear_nothing(platform: Platform, session: str) -> None:
    for cookie, tenant, status in (("", platform.tenant, 401), (session, "another", 404)):
        with pytest.raises(httpx.HTTPStatusError) as refused, listening(platform, cookie, tenant=tenant):
            pass
        assert refused.value.response.status_code == status


def test_nothing_is_lost_while_the_process_of_the_streams_is_killed(platform: Platform, session: str) -> None:
    with listening(platform, session) as events:
        last = next(events).id
        platform.kill(EVENTS)
        with pytest.raises(httpx.TransportError):
            list(events)
    made = platform.segment("meanwhile", "private", ["10.72.0.0/24"])
    platform.run(EVENTS)
    with wait_for(lambda: _again(platform, session, last), "the stream again") as events:
        event, _ = told_of(events, "segment")
        assert event.name == "hello"
        assert ["segment", made["id"]] in event.data  # type: ignore[operator]


def _again(platform: Platform, session: str, last: str) -> object:
    """The stream once it is there again: entered, because a refusal is seen only then."""
    try:
        with listening(platform, session, last):
            return listening(platform, session, last)
    except httpx.HTTPError:
        return None


def test_pages_are_back_when_the_front_or_the_web_process_was_killed(platform: Platform) -> None:
    for name in (FRONT, WEB):
        platform.restart(name)
        wait_for(lambda: _is_well(platform), f"an answer after {name} was killed")


def _is_well(platform: Platform) -> bool:
    try:
        return httpx.get(f"{site(platform)}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False


def test_the_address_of_a_caller_is_told_right_through_the_front(platform: Platform) -> None:
    headers = {"X-Forwarded-For": "192.0.2.7"}
    prefixes = ["10.73.0.0/24"]
    body = {"name": "addressed", "pop": platform.pop, "kind": "private", "prefixes": prefixes}
    platform.post("segments", body, **headers)
    found = platform.rows("SELECT address FROM tenants_auditevent WHERE verb = 'segment.create' ORDER BY id DESC")
    assert found[0][0] == "127.0.0.1"
