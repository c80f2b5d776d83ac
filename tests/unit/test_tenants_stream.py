"""The event streams: who is let in, who is told what, and what becomes of clients that are slow or were away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.test import Client

from naas.core.errors import Forbidden, NotFound
from tenants import changes
from tenants.actor import Actor, Role
from tenants.api.authentication import SIGNED_ON, FactorNeeded
from tenants.changes import Told
from tenants.models import Membership, Tenant, TenantStatus, User
from tenants.stream import app, door, hub
from tenants.stream.app import Events
from tenants.stream.door import NotLoggedIn, Visitor
from tenants.stream.hub import Hub, Stream
from tenants.verbs import members

# --- the door -----------------------------------------------------------------------------


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.objects.create(name="Globex", slug="globex")


def visitor(tenant: Tenant, role: Role = Role.VIEWER, slug: str = "") -> Visitor:
    """A logged-in member of `tenant`, who asks for the events of `slug`."""
    user = User.objects.create_user(f"{role}@{tenant.slug}.example", "correct horse battery")
    members.add(actor=Actor.system(tenant, "a test"), user=user, role=role)
    browser = Client()
    browser.force_login(user)
    return Visitor(browser.cookies["sessionid"].value, slug or tenant.slug)


@pytest.mark.parametrize("role", list(Role))
def test_every_member_may_listen(acme: Tenant, role: Role) -> None:
    assert door.enter(visitor(acme, role)).tenant == acme.pk


def test_another_tenants_events_are_not_there(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(NotFound):
        door.enter(visitor(globex, Role.OWNER, slug="acme"))


def test_who_is_not_logged_in_hears_nothing(acme: Tenant) -> None:
    for session in ("", "guessed"):
        with pytest.raises(NotLoggedIn):
            door.enter(Visitor(session, "acme"))


def test_of_a_suspended_tenant_nothing_is_heard(acme: Tenant) -> None:
    asking = visitor(acme)
    Tenant.objects.update(status=TenantStatus.SUSPENDED)
    with pytest.raises(Forbidden):
        door.enter(asking)


def test_a_stream_opens_to_a_session_where_pages_do(acme: Tenant) -> None:
    asking = visitor(acme)
    Tenant.objects.update(needs_second_factor=True)
    with pytest.raises(FactorNeeded):
        door.enter(asking)
    Tenant.objects.update(needs_second_factor=False)
    session = SessionStore(asking.session)
    session[SIGNED_ON] = "ten-another"
    session.save()
    assert door.turned_away([asking]) == {asking}, "another tenant's provider speaks for that one alone"
    session[SIGNED_ON] = acme.pk
    session.save()
    assert door.enter(asking).tenant == acme.pk


def test_who_is_no_member_any_more_or_may_not_log_in_is_turned_away(acme: Tenant) -> None:
    gone, closed, member = visitor(acme), visitor(acme, Role.OPERATOR), visitor(acme, Role.OWNER)
    Membership.unscoped.filter(role=Role.VIEWER).delete()
    User.objects.filter(email="operator@acme.example").update(is_active=False)
    assert door.turned_away([gone, closed, member]) == {gone, closed}


def test_a_changed_password_ends_the_stream(acme: Tenant) -> None:
    asking = visitor(acme)
    user = User.objects.get()
    user.set_password("another long password")
    user.save()
    assert door.turned_away([asking]) == {asking}


# --- the hub ------------------------------------------------------------------------------


class Memory:
    """An event log as PostgreSQL keeps it: what is written may appear later, in another order."""

    def __init__(self) -> None:
        self.rows: list[Told] = []
        self.next = 10
        self.oldest = 0

    def write(self, tenant: str, object: str, position: int | None = None) -> None:
        self.rows.append(Told(len(self.rows) + 1, tenant, "order", object, self.next if position is None else position))

    def pass_by(self) -> None:
        self.next += 1

    async def position(self) -> int:
        return self.next

    async def since(self, start: int, tenant: str, most: int | None) -> Sequence[Told]:
        return [row for row in self.rows if row.position >= start and tenant in ("", row.tenant)][:most]

    async def reaches_back(self, tenant: str, start: int) -> bool:
        return start >= self.oldest


async def _nobody(_visitors: Collection[Visitor]) -> frozenset[Visitor]:
    return frozenset()


def listening(tenant: str = "a", person: int = 1) -> Stream:
    return Stream(Visitor(f"session-{person}", tenant), person, tenant)


def heard(stream: Stream) -> list[tuple[str, Any]]:
    """What waits for a client: each event and its data."""
    found = []
    while not stream.queue.empty():
        part = stream.queue.get_nowait()
        if part is None:
            found.append(("end", None))
            continue
        lines = dict(line.split(": ", 1) for line in part.decode().strip().splitlines())
        found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_change_reaches_all_streams_of_its_tenant_and_no_other() -> None:
    async def story() -> None:
        log = Memory()
        told = Hub(log, _nobody)
        first, second, other = listening(), listening(person=2), listening("b")
        await told.look()
        for stream in (first, second, other):
            await told.open(stream, None)
        log.write("a", "ord-1")
        log.write("a", "ord-1")
        log.pass_by()
        await told.look()
        assert heard(first) == heard(second) == [("hello", ""), ("change", [["order", "ord-1"]])]
        assert heard(other) == [("hello", "")]

    asyncio.run(story())


def test_what_appears_late_is_told_and_nothing_is_told_twice() -> None:
    async def story() -> None:
        log, stream = Memory(), listening()
        told = Hub(log, _nobody)
        await told.look()
        await told.open(stream, None)
        log.write("a", "ord-2", position=11)  # while transaction 10 is under way
        await told.look()
        await told.look()
        log.write("a", "ord-1", position=10)
        log.next = 12
        await told.look()
        await told.look()
        assert heard(stream)[1:] == [("change", [["order", "ord-2"]]), ("change", [["order", "ord-1"]])]

    asyncio.run(story())


def test_who_comes_again_is_told_what_was_missed() -> None:
    async def story() -> None:
        log, stream = Memory(), listening()
        for number in range(3):
            log.write("a", f"ord-{number}")
            log.write("b", "ord-x")
            log.pass_by()
        await Hub(log, _nobody).open(stream, 11)
        assert heard(stream) == [("hello", [["order", "ord-1"], ["order", "ord-2"]])]

    asyncio.run(story())


@pytest.mark.parametrize("since", [1, 10**15])
def test_who_was_away_too_long_or_comes_from_another_log_looks_at_everything(since: int) -> None:
    async def story() -> None:
        log, stream = Memory(), listening()
        log.oldest = 5
        await Hub(log, _nobody).open(stream, since)
        assert heard(stream) == [("resync", "")]

    asyncio.run(story())


def test_who_missed_very_much_looks_at_everything() -> None:
    async def story() -> None:
        log, stream = Memory(), listening()
        for number in range(hub.MOST_MISSED + 1):
            log.write("a", f"ord-{number}")
        await Hub(log, _nobody).open(stream, 10)
        assert heard(stream) == [("resync", "")]

    asyncio.run(story())


def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up() -> None:
    async def story() -> None:
        log, slow, quick = Memory(), listening(), listening(person=2)
        told = Hub(log, _nobody)
        await told.look()
        await told.open(slow, None)
        await told.open(quick, None)
        for number in range(hub.MOST_WAITING + 5):
            log.write("a", f"ord-{number}")
            log.pass_by()
            await told.look()
            assert heard(quick)
        assert heard(slow) == [("end", None)]

    asyncio.run(story())


# --- over HTTP ----------------------------------------------------------------------------


class Caller:
    """A client of the application, without a socket between them."""

    def __init__(self, events: Events, path: str, query: str = "", **headers: str) -> None:
        self.parts: list[bytes] = []
        self.status = 0
        self.left = asyncio.Event()
        listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": listed}
        self.task = asyncio.create_task(events(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.parts.append(message.get("body", b""))

    @property
    def text(self) -> str:
        return b"".join(self.parts).decode()

    async def saw(self, text: str) -> None:
        for _ in range(200):
            if text in self.text:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{text!r} is not in {self.text!r}")


@pytest.fixture
def events(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The threads that ask the database do so within the test's transaction."""
    ours = connections["default"]
    ours.inc_thread_sharing()

    def within(ask: Any, *arguments: Any, **named: Any) -> Any:
        connections["default"] = ours
        return ask(*arguments, **named)

    monkeypatch.setattr(app, "_fresh", within)
    yield
    ours.dec_thread_sharing()


def test_a_member_follows_what_happens_and_catches_up(
    events: None, acme: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = f"sessionid={visitor(acme).session}"
    changes.note(acme)
    start = changes.since(0, tenant=acme.pk)[-1].position
    # As it is once the test's own transaction is over, and with it those that others began before.
    monkeypatch.setattr(changes, "position", lambda: start + 1)
    told = f'["tenant","{acme.pk}"]'

    async def story() -> None:
        application = Events()
        fresh = Caller(application, "/t/acme/events", cookie=cookie)
        await fresh.saw('event: hello\ndata: ""')
        again = Caller(application, "/t/acme/events", cookie=cookie, last_event_id=str(start))
        await again.saw(told)
        first = Caller(application, "/t/acme/events", f"since={start}", cookie=cookie)
        await first.saw(told)
        assert len(application.hub.streams()) == 3
        settings.NAAS_STREAMS_PER_PERSON = 3
        one_more = Caller(application, "/t/acme/events", cookie=cookie)
        await one_more.task
        assert one_more.status == 429
        for caller in (fresh, again, first):
            caller.left.set()
            await caller.task
        assert application.hub.streams() == ()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "status"), [("/t/globex/events", 404), ("/t/acme/orders/", 404), ("/t/acme/events", 200)]
)
def test_a_stream_is_found_at_ones_own_tenant_only(
    events: None, acme: Tenant, globex: Tenant, path: str, status: int
) -> None:
    cookie = f"sessionid={visitor(acme).session}; other=1"

    async def story() -> None:
        caller = Caller(Events(), path, cookie=cookie)
        await caller.saw("retry" if status == 200 else "here are" if "orders" in path else "no member")
        caller.left.set()
        await caller.task
        assert caller.status == status

    asyncio.run(story())


def test_a_stranger_is_refused(events: None, acme: Tenant) -> None:
    async def story() -> None:
        for cookie in ("", "sessionid=guessed", "=;;\x00", "sessionid="):
            caller = Caller(Events(), "/t/acme/events", cookie=cookie)
            await caller.task
            assert caller.status == 401
            assert json.loads(caller.text)["type"] == "urn:naas:problem:not-logged-in"

    asyncio.run(story())
