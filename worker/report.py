"""What a PoP tells the core: steps as they happen, conditions as they are found.

A report is a statement about one generation of one instance at one PoP. The core may
drop any of them: the next sweep brings the same facts again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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
        try:
            return _REPORT.validate_json(json.dumps(document), strict=True)
        except ValidationError as error:
            raise PermanentError(f"report is malformed: {error.error_count()} errors") from None


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
        try:
            return _BEAT.validate_json(json.dumps(document), strict=True)
        except ValidationError as error:
            raise PermanentError(f"heartbeat is malformed: {error.error_count()} errors") from None


_REPORT = TypeAdapter(Report)
_BEAT = TypeAdapter(Beat)
