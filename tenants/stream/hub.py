"""Reads the event log once and passes it on to all open streams. Knows nothing of HTTP, and of the database only what
it is given as functions.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tenants.changes import Told, objects
from tenants.stream.door import Visitor

log = logging.getLogger(__name__)

#: Messages that may wait for one client. One that is slower is dropped, and catches up when it comes again.
MOST_WAITING = 32
#: Objects of which a client that comes again is told one by one; of more it is told to look at everything.
MOST_MISSED = 500
#: Seconds between two looks when nobody wakes us.
LOOK_EVERY = 2.0
#: Seconds between two looks at least: what happens at once is told at once.
LOOK_PAUSE = 0.02
#: Seconds between two signs of life to a client.
BEAT_EVERY = 15.0
#: Seconds between two looks at whether those who listen still may.
CHECK_EVERY = 30.0


class Log(Protocol):
    """The event log, awaited. See `tenants.changes`."""

    async def position(self) -> int: ...
    async def since(self, start: int, tenant: str, most: int | None) -> Sequence[Told]: ...
    async def reaches_back(self, tenant: str, start: int) -> bool: ...


def message(event: str, position: int, data: object = "") -> bytes:
    """One event as it goes over the wire; from its id on a client that comes again has seen nothing."""
    return f"id: {position}\nevent: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


@dataclass(eq=False)
class Stream:
    """One open answer. None in its queue is the end."""

    visitor: Visitor
    person: int
    tenant: str
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    lost: bool = False

    def put(self, part: bytes) -> None:
        """A client that does not keep up is lost: what it was not told it asks for when it comes again."""
        if self.lost:
            return
        try:
            self.queue.put_nowait(part)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        self.lost = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    """All open streams. `run` it beside them."""

    def __init__(self, log: Log, turned_away: Callable[[Collection[Visitor]], Awaitable[frozenset[Visitor]]]) -> None:
        self._log = log
        self._turned_away = turned_away
        self._streams: dict[str, set[Stream]] = defaultdict(set)
        self._woken = asyncio.Event()
        self._position = 0
        self._seen: frozenset[int] = frozenset()

    def wake(self) -> None:
        """There may be something in the log."""
        self._woken.set()

    def streams(self) -> tuple[Stream, ...]:
        return tuple(stream for streams in self._streams.values() for stream in streams)

    def of_person(self, person: int) -> int:
        return sum(stream.person == person for stream in self.streams())

    async def open(self, stream: Stream, since: int | None) -> None:
        """From now on it is told what changes; first what it missed, if it was there before."""
        self._streams[stream.tenant].add(stream)
        stream.put(await self._first(stream, since))

    def close(self, stream: Stream) -> None:
        streams = self._streams[stream.tenant]
        streams.discard(stream)
        if not streams:
            del self._streams[stream.tenant]

    async def _first(self, stream: Stream, since: int | None) -> bytes:
        position = await self._log.position()
        if since is None:
            return message("hello", position)
        if since > position or not await self._log.reaches_back(stream.tenant, since):
            return message("resync", position)
        missed = await self._log.since(since, stream.tenant, MOST_MISSED + 1)
        return message("resync", position) if len(missed) > MOST_MISSED else message("hello", position, objects(missed))

    # --- what goes on all the time ------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled. A database that does not answer is asked again."""
        await asyncio.gather(self._follow(), self._beat(), self._check())

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("the event log cannot be read; trying again")
                await asyncio.sleep(1)
            await asyncio.sleep(LOOK_PAUSE)
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK_EVERY)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Read what is new, and pass it on."""
        self._woken.clear()
        position = await self._log.position()
        if not self._position:
            self._position = position
        found = await self._log.since(self._position, "", None)
        new = [change for change in found if change.id not in self._seen]
        self._seen = frozenset(change.id for change in found if change.position >= position)
        self._position = position
        for tenant, changes in _by_tenant(new).items():
            self._tell(self._streams.get(tenant, ()), message("change", position, objects(changes)))

    def _tell(self, streams: Iterable[Stream], part: bytes) -> None:
        for stream in tuple(streams):
            stream.put(part)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            self._tell(self.streams(), message("beat", self._position))

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY)
            try:
                gone = await self._turned_away({stream.visitor for stream in self.streams()})
            except Exception:
                log.exception("who may listen cannot be read; trying again")
                continue
            for stream in self.streams():
                if stream.visitor in gone:
                    stream.end()


def _by_tenant(changes: Iterable[Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = defaultdict(list)
    for change in changes:
        found[change.tenant].append(change)
    return found
