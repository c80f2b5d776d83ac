"""What a PoP tells the core: steps as they happen, conditions as they are found.

A report is a statement about one generation of one instance at one PoP. The core may
drop any of them: the next sweep brings the same facts again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from worker.errors import PermanentError


class Status(StrEnum):
    """Truth of a condition, as in Kubernetes' API conventions."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Condition:
    """One thing that is checked, e.g. type "DaemonsAlive", with a `message` for people when it does not hold.

    `readiness` says whether the instance counts as converged without it.
    """

    type: str
    status: Status
    message: str = ""
    readiness: bool = False


class Phase(StrEnum):
    """How far an instance is at a PoP."""

    CONVERGING = "converging"
    CONVERGED = "converged"
    PARKED = "parked"
    GONE = "gone"


class StepState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class StepReport:
    """One step of a plan, by its place in it. `started_at` in Unix seconds, `duration` in seconds.

    `run` tells apart the plans that one generation took (a retry, a repair).
    """

    run: str
    position: int
    total: int
    action: str
    subject: str
    reason: str
    state: StepState
    started_at: float
    duration: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Report:
    pop: str
    instance: str
    generation: int
    phase: Phase
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    steps: tuple[StepReport, ...] = ()
    at: float = 0.0

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _REPORT.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Report:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_REPORT, document, "report")


@dataclass(frozen=True)
class Beat:
    """The PoP's heartbeat: it lives, and this is every instance it keeps and what generation each has reached."""

    pop: str
    at: float
    instances: tuple[tuple[str, int, Phase], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _BEAT.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Beat:
        return _read(_BEAT, document, "heartbeat")


@dataclass(frozen=True)
class Ask:
    """A command to run in a container of an instance, for a looking glass. `timeout` in seconds."""

    id: str
    instance: str
    vnf: str
    container: str
    command: tuple[str, ...]
    timeout: float

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _ASK.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Ask:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_ASK, document, "question")


@dataclass(frozen=True)
class Answer:
    """What came of an `Ask`: exit status and output, or `error` in words when it could not be run."""

    id: str
    instance: str
    status: int | None = None
    output: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _ANSWER.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Answer:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_ANSWER, document, "answer")


@dataclass(frozen=True)
class TableChange:
    """Takes the tables of a VNF's database from revision `base` to `revision`: all of `commands` or none.

    A command is a Redis command that writes ("HSET", "HDEL", "SADD", "SREM", "DEL") and its arguments. With `base`
    None the commands are all there is: what was in the tables before is removed first.
    """

    instance: str
    vnf: str
    base: int | None
    revision: int
    commands: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _TABLE_CHANGE.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> TableChange:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_TABLE_CHANGE, document, "change of tables")


@dataclass(frozen=True)
class TablesAt:
    """The revision that the tables of a VNF's database have; 0 when they are empty. `at` in Unix seconds.

    `reason` says why a change was refused, when it was: the same one again would be refused again.
    """

    pop: str
    instance: str
    vnf: str
    revision: int
    at: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _TABLES_AT.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> TablesAt:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_TABLES_AT, document, "revision of tables")


@dataclass(frozen=True)
class Record:
    """Something that happened in a VNF, as it wrote it down. `id` is its place in the VNF's stream, `key` is its
    alone for ever, by which a second copy is known; `body` is JSON whose form the kind knows."""

    id: str
    key: str
    body: str


@dataclass(frozen=True)
class Records:
    """Some of a VNF's records, oldest first. They come again until the core answers with `RecordsTaken`."""

    pop: str
    instance: str
    vnf: str
    records: tuple[Record, ...]

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _RECORDS.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Records:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_RECORDS, document, "records")


@dataclass(frozen=True)
class RecordsTaken:
    """The core has all records of this VNF up to and with `upto`; the PoP may forget them."""

    instance: str
    vnf: str
    upto: str

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = _RECORDS_TAKEN.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> RecordsTaken:
        """Read what `to_json` wrote. Raises `PermanentError`."""
        return _read(_RECORDS_TAKEN, document, "receipt of records")


_REPORT = TypeAdapter(Report)
_BEAT = TypeAdapter(Beat)
_ASK = TypeAdapter(Ask)
_ANSWER = TypeAdapter(Answer)
_TABLE_CHANGE = TypeAdapter(TableChange)
_TABLES_AT = TypeAdapter(TablesAt)
_RECORDS = TypeAdapter(Records)
_RECORDS_TAKEN = TypeAdapter(RecordsTaken)

T = TypeVar("T")


def _read(adapter: TypeAdapter[T], document: object, what: str) -> T:
    try:
        return adapter.validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
        raise PermanentError(f"{what} is malformed at {fields}") from None
