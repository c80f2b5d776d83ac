"""The ASGI application of the event streams, `/t/<tenant>/events`, and nothing else.

Bare, because a stream is little more than a queue, and a thousand of them share one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar
from urllib.parse import parse_qs

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from redis.asyncio import Redis
from redis.exceptions import RedisError

from naas.core.errors import NotFound, Refusal
from tenants import changes
from tenants.changes import Told
from tenants.stream import door
from tenants.stream.door import Guest, Visitor
from tenants.stream.hub import Hub, Stream

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

ADDRESS = re.compile(r"/t/([-a-zA-Z0-9_]+)/events")
#: Milliseconds after which a browser that lost the stream comes again by itself.
RETRY = b"retry: 2000\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class TooMany(Refusal):
    status = 429
    code = "too-many-streams"
    title = "Too many pages listen already"


class Busy(Refusal):
    status = 503
    code = "busy"
    title = "The database does not answer"


class Threads:
    """Runs what asks the database outside the loop. Few at a time: each holds a connection."""

    def __init__(self, most: int = 2) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="database")

    async def run(self, ask: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: _fresh(ask, *arguments, **named))


def _fresh(ask: Callable[..., T], *arguments: Any, **named: Any) -> T:
    close_old_connections()
    try:
        return ask(*arguments, **named)
    finally:
        close_old_connections()


class DatabaseLog:
    """The event log, read in threads."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def position(self) -> int:
        return await self._threads.run(changes.position)

    async def since(self, start: int, tenant: str, most: int | None) -> Sequence[Told]:
        return await self._threads.run(changes.since, start, tenant=tenant, most=most)

    async def reaches_back(self, tenant: str, start: int) -> bool:
        return await self._threads.run(changes.reaches_back, tenant, start)


class Events:
    """The application. Uvicorn calls it; its hub lives from start-up to shut-down."""

    def __init__(self) -> None:
        self._threads = Threads()
        self.hub = Hub(DatabaseLog(self._threads), self._turned_away)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                stream, since = await self._admit(scope)
            except Refusal as refused:
                await _refuse(refused, send)
                return
            await self._serve(stream, since, receive, send)

    # --- one stream ---------------------------------------------------------------------

    async def _admit(self, scope: Scope) -> tuple[Stream, int | None]:
        found = ADDRESS.fullmatch(scope["path"])
        if found is None or scope["method"] != "GET":
            raise NotFound("here are event streams only")
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        visitor = Visitor(_session(headers.get(b"cookie", "")), found[1])
        try:
            guest: Guest = await self._threads.run(door.enter, visitor)
        except DatabaseError as error:
            raise Busy(str(error)) from error
        if self.hub.of_person(guest.person) >= settings.NAAS_STREAMS_PER_PERSON:
            raise TooMany(f"at most {settings.NAAS_STREAMS_PER_PERSON} of one person")
        since = headers.get(b"last-event-id") or parse_qs(scope["query_string"].decode("latin-1")).get("since", [""])[0]
        return Stream(visitor, guest.person, guest.tenant), _position(since)

    async def _serve(self, stream: Stream, since: int | None, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(stream, since, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hub.close(stream)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, stream: Stream, since: int | None, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        try:
            await self.hub.open(stream, since)
        except DatabaseError as error:
            log.warning("a stream ends before it began: %s", error)
            stream.end()
        while (part := await stream.queue.get()) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    # --- the life of all ----------------------------------------------------------------

    async def _turned_away(self, visitors: Collection[Visitor]) -> frozenset[Visitor]:
        return await self._threads.run(door.turned_away, visitors)

    async def _live(self, receive: Receive, send: Send) -> None:
        tasks: list[asyncio.Task[None]] = []
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self._listen())]
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in tasks:
                    task.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _listen(self) -> None:
        """Be woken by those who write. Without Redis the hub looks by itself, every other second."""
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with (
                    Redis.from_url(settings.REDIS_URL, health_check_interval=10) as redis,
                    redis.pubsub() as told,
                ):
                    await told.subscribe(changes.CHANNEL)
                    async for _ in told.listen():
                        self.hub.wake()
            await asyncio.sleep(1)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(refused: Refusal, send: Send) -> None:
    document = {"type": f"urn:naas:problem:{refused.code}", "title": refused.title, "detail": refused.detail}
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document | {"status": refused.status}).encode()})


def _session(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return found.value if found else ""


def _position(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
