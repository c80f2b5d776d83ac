"""The last desired state of every instance here, on the PoP's own disk.

It is what lets a PoP heal without the core: the sealed bytes as they came, so that the disk
says no more than the broker did. It also fences (a lower generation is refused, and a
deletion stays behind as a tombstone for a week) and holds the one lock per instance.
It opens no envelope and decides nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from worker.errors import PermanentError, TemporaryError
from worker.report import Phase, Report

#: Seconds by which a clock that goes right may differ from itself: more means that somebody set it back.
CLOCK_JUMP = 30.0
#: Seconds for which a deleted instance's generation is remembered, and how often a message was attempted.
TOMBSTONE_LIFE, ATTEMPT_LIFE = 7 * 86400.0, 86400.0

#: Raise it with every change of the schema, together with what brings an older file up to it.
SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instance (
    name       TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    envelope   BLOB NOT NULL,
    segments   TEXT NOT NULL,      -- JSON list of the ids of the segments it wants
    deleted    INTEGER NOT NULL,
    accepted   REAL NOT NULL,
    phase      TEXT NOT NULL,
    report     TEXT NOT NULL,      -- JSON of the last report without its steps, '' before the first
    reported   INTEGER NOT NULL,   -- whether that report was handed to the broker
    found_at   REAL NOT NULL DEFAULT 0  -- when what it says was looked at
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (   -- since version 2
    message    TEXT PRIMARY KEY,   -- digest of the message
    count      INTEGER NOT NULL,
    at         REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Row:
    """What is kept of one instance. `report` is the last one written, `reported` whether the broker took it."""

    instance: str
    generation: int
    envelope: bytes
    deleted: bool
    accepted: float
    phase: Phase
    report: Report | None
    reported: bool

    @property
    def is_settled(self) -> bool:
        """Whether this is a deletion that was carried out."""
        return self.deleted and self.phase is Phase.GONE


T = TypeVar("T")


class Store:
    """`<state_dir>/pop.db`. Safe to use from several threads and processes; make one per process."""

    def __init__(self, state_dir: Path) -> None:
        self._dir = state_dir
        self._local = threading.local()

    # --- desired states ---------------------------------------------------------------

    def accept(
        self,
        instance: str,
        generation: int,
        envelope: bytes,
        *,
        deleted: bool = False,
        segments: tuple[str, ...] = (),
    ) -> bool:
        """Keep this desired state as the one in force, on disk before it returns. False when a newer one is.

        The same generation again is accepted: it is the same message, delivered twice.
        """
        row = (instance, generation, envelope, json.dumps(segments), deleted, time.time(), Phase.CONVERGING, "", True)

        def write(database: sqlite3.Connection) -> bool:
            changed = database.execute(
                """INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
                ON CONFLICT (name) DO UPDATE SET
                    phase = CASE WHEN excluded.generation = generation THEN phase ELSE excluded.phase END,
                    report = CASE WHEN excluded.generation = generation THEN report ELSE excluded.report END,
                    reported = CASE WHEN excluded.generation = generation THEN reported ELSE excluded.reported END,
                    found_at = CASE WHEN excluded.generation = generation THEN found_at ELSE 0 END,
                    generation = excluded.generation, envelope = excluded.envelope, segments = excluded.segments,
                    deleted = excluded.deleted, accepted = excluded.accepted
                WHERE excluded.generation >= generation""",
                row,
            )
            return changed.rowcount == 1

        return self._do(write)

    def row(self, instance: str) -> Row | None:
        return next(iter(self._rows("WHERE name = ?", instance)), None)

    def rows(self) -> tuple[Row, ...]:
        """Every instance, tombstones too, by name."""
        return self._rows("ORDER BY name")

    def generation(self, instance: str) -> int | None:
        """The generation in force, None when nothing is known of the instance."""
        found = self._do(
            lambda db: db.execute("SELECT generation FROM instance WHERE name = ?", (instance,)).fetchone()
        )
        return None if found is None else int(found[0])

    def generations(self) -> dict[str, int]:
        """The generation in force of every instance that is wanted."""
        return dict(
            self._do(lambda db: db.execute("SELECT name, generation FROM instance WHERE NOT deleted").fetchall())
        )

    def foreign_segments(self, instance: str) -> frozenset[str]:
        """The segments that other instances want, whether this one does or not."""
        query = "SELECT segments FROM instance WHERE name != ? AND segments != '[]'"
        rows = self._do(lambda db: db.execute(query, (instance,)).fetchall())
        return frozenset(id for (segments,) in rows for id in json.loads(segments))

    def prune(self, *, now: float | None = None) -> int:
        """Forget settled deletions older than a week, and attempts older than a day; says how many deletions."""
        now = time.time() if now is None else now
        self._do(lambda db: db.execute("DELETE FROM attempt WHERE at < ?", (now - ATTEMPT_LIFE,)))
        query = "DELETE FROM instance WHERE deleted AND phase = ? AND accepted < ?"
        return self._do(lambda db: db.execute(query, (Phase.GONE, now - TOMBSTONE_LIFE)).rowcount)

    # --- messages ---------------------------------------------------------------------

    def attempt(self, message: bytes) -> int:
        """Count another attempt at a message, on disk before it returns; says how many were counted."""
        query = """INSERT INTO attempt VALUES (?, 1, ?)
            ON CONFLICT (message) DO UPDATE SET count = count + 1, at = excluded.at RETURNING count"""
        values = (_digest(message), time.time())
        return int(self._do(lambda db: db.execute(query, values).fetchall())[0][0])

    def attempted(self, message: bytes) -> None:
        """The message was worked through: its attempts do not count any more."""
        self._do(lambda db: db.execute("DELETE FROM attempt WHERE message = ?", (_digest(message),)))

    # --- what was found ---------------------------------------------------------------

    def record(self, report: Report) -> bool:
        """Keep `report` as the last word on its instance; says whether it is new.

        Nothing is kept of a generation that is not in force any more, nor of a look that
        began before the one whose word is kept: two may look at once, and end in any order.
        """
        known = json.dumps(_lasting(report), sort_keys=True)

        def write(database: sqlite3.Connection) -> bool:
            # A look in the future is one from before the clock was set back.
            latest = "WHERE name = ? AND generation = ? AND (found_at <= ? OR found_at > ?)"
            which = (report.instance, report.generation, report.at, time.time() + CLOCK_JUMP)
            changed = database.execute(
                f"UPDATE instance SET phase = ?, report = ?, reported = 0 {latest} AND report != ?",  # noqa: S608
                (report.phase, known, *which, known),
            )
            database.execute(f"UPDATE instance SET found_at = ? {latest}", (report.at, *which))  # noqa: S608
            return changed.rowcount == 1

        return self._do(write)

    def mark_reported(self, report: Report) -> None:
        """Note that the broker took this report. A newer one stays unreported."""
        known = json.dumps(_lasting(report), sort_keys=True)
        query = "UPDATE instance SET reported = 1 WHERE name = ? AND report = ?"
        self._do(lambda db: db.execute(query, (report.instance, known)))

    # --- the lock ---------------------------------------------------------------------

    @contextmanager
    def lock(self, instance: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold the instance's lock; yields whether it is held (always true when waiting).

        It is a lock on one byte of one file (an open file description lock, fcntl(2)):
        no file per instance stays behind, it excludes threads as well as processes, and
        the kernel drops it when its holder dies. Two instances share a byte once in 2^62.
        """
        descriptor = os.open(self._prepared() / "locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _lock_byte(descriptor, instance, wait=wait)
        finally:
            os.close(descriptor)

    # --- SQLite -----------------------------------------------------------------------

    def _rows(self, where: str, *values: object) -> tuple[Row, ...]:
        columns = "name, generation, envelope, deleted, accepted, phase, report, reported, found_at"
        query = f"SELECT {columns} FROM instance {where}"  # noqa: S608
        return tuple(_row(found) for found in self._do(lambda db: db.execute(query, values).fetchall()))

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._database())
        except sqlite3.OperationalError as error:
            raise TemporaryError(f"the PoP's store {self._dir}/pop.db: {error}") from error
        except sqlite3.DatabaseError as error:
            raise PermanentError(f"the PoP's store {self._dir}/pop.db is damaged: {error}") from error

    def _database(self) -> sqlite3.Connection:
        """This thread's connection. One made before a fork is not used after it."""
        if getattr(self._local, "owner", None) != os.getpid():
            self._local.database = self._open()
            self._local.owner = os.getpid()
        database: sqlite3.Connection = self._local.database
        return database

    def _open(self) -> sqlite3.Connection:
        path = self._prepared() / "pop.db"
        self._dir.chmod(0o700)
        # Made first with its mode: SQLite gives its WAL files the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, timeout=10, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise PermanentError(f"{path} was written by another version of the worker (schema {version})")
        database.executescript(f"{_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};")
        return database

    def _prepared(self) -> Path:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._dir


def _digest(message: bytes) -> str:
    return hashlib.blake2b(message, digest_size=16).hexdigest()


def _lasting(report: Report) -> dict[str, Any]:
    """What a report says that stays true: neither its steps nor its time."""
    document = report.to_json()
    del document["steps"], document["at"]
    return document


def _row(found: tuple[str, int, bytes, int, float, str, str, int, float]) -> Row:
    instance, generation, envelope, deleted, accepted, phase, report, reported, at = found
    last = Report.from_json({**json.loads(report), "at": at}) if report else None
    return Row(instance, generation, envelope, bool(deleted), accepted, Phase(phase), last, bool(reported))


def _lock_byte(descriptor: int, instance: str, *, wait: bool) -> bool:
    offset = int.from_bytes(hashlib.blake2b(instance.encode(), digest_size=8).digest(), "big") >> 2
    # struct flock of 64-bit Linux: type, whence, start, length, pid (0 for this kind of lock).
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)
    except BlockingIOError:
        return False
    return True
