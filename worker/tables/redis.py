"""The Redis of a VNF, reached by its socket in a volume. The only importer of redis.

Its functions `stage` and `change` come with the VNF's image (see `sbc/kind/image/redis/lib/tables.lua`); records are
a stream. Each connection is to the socket that was there when it was opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from worker.errors import PermanentError, TemporaryError
from worker.report import Record, TableChange
from worker.runtime.files import socket_in
from worker.tables.base import place
from worker.topology import Database

RECORDS = "records"
REVISION = "revision"
#: Commands in one part of a snapshot. Redis is busy with a part for some 20 ms, and answers others in between.
PART = 2_000


class RedisTables:
    """The database in the volume at `folder`. `timeout` is how many seconds an answer may take."""

    def __init__(self, folder: Path, database: Database, *, timeout: float = 10.0) -> None:
        self._folder = folder
        self._database = database
        self._timeout = timeout
        self._open = ExitStack()
        self._connected: Redis | None = None

    def revision(self) -> int:
        with self._translated() as redis:
            return _revision(redis.get(REVISION) or "0")

    def apply(self, change: TableChange) -> int:
        if change.base is not None:
            return self._change(str(change.base), change.revision, change.commands)
        for start in range(0, max(len(change.commands), 1), PART):
            self._stage("" if start else "first", change.commands[start : start + PART])
        return self._change("", change.revision, ())

    def records(self, after: str, most: int) -> tuple[Record, ...]:
        with self._translated() as redis:
            found = redis.xrange(RECORDS, f"({after}" if after else "-", "+", count=most)
        return tuple(_record(id, fields) for id, fields in found)

    def forget(self, upto: str) -> None:
        milliseconds, number = place(upto)
        with self._translated() as redis:
            redis.xtrim(RECORDS, minid=f"{milliseconds}-{number + 1}", approximate=False)

    def close(self) -> None:
        self._connected = None
        self._open.close()

    # --- inside ---

    def _stage(self, part: str, commands: tuple[tuple[str, ...], ...]) -> None:
        with self._translated() as redis:
            redis.fcall("stage", 0, part, json.dumps(commands))

    def _change(self, base: str, revision: int, commands: tuple[tuple[str, ...], ...]) -> int:
        with self._translated() as redis:
            return _revision(redis.fcall("change", 0, base, str(revision), json.dumps(commands)))

    @contextmanager
    def _translated(self) -> Iterator[Any]:
        """The connection. After an error it is closed, and the next use finds the socket that is there then."""
        try:
            yield self._connected or self._connect()
        except BusyLoadingError as error:
            raise TemporaryError(f"the database of the VNF reads its data: {error}", delay=1) from error
        except ResponseError as error:
            raise PermanentError(f"the database of the VNF refuses: {error}") from error
        except (RedisError, OSError) as error:
            self.close()
            raise TemporaryError(f"the database of the VNF does not answer: {error}", delay=1) from error

    def _connect(self) -> Redis:
        path = self._open.enter_context(socket_in(self._folder, self._database.socket))
        client = Redis(
            unix_socket_path=path,
            password=self._database.password,
            decode_responses=True,
            encoding_errors="replace",
            socket_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )
        self._open.callback(client.close)
        self._connected = client
        return client


def _revision(said: object) -> int:
    text = str(said)
    if not text.isdecimal():
        raise PermanentError(f"the database of the VNF has {text[:64]!r} for a revision")
    return int(text)


def _record(id: str, fields: dict[str, str]) -> Record:
    """One without a key of its own is known by its place. Raises `PermanentError` when it has none."""
    place(id)
    return Record(id, fields.get("key", id), fields.get("body", ""))
