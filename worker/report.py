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


_REPORT = TypeAdapter(Report)
_BEAT = TypeAdapter(Beat)
_ASK = TypeAdapter(Ask)
_ANSWER = TypeAdapter(Answer)

T = TypeVar("T")


def _read(adapter: TypeAdapter[T], document: object, what: str) -> T:
    try:
        return adapter.validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
        raise PermanentError(f"{what} is malformed at {fields}") from None
