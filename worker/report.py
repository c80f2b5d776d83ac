"""What a PoP tells the core: steps as they happen, conditions as they are found.

A report is a statement about one generation of one instance at one PoP. The core may
drop any of them: the next sweep brings the same facts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.message import Message


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
class Report(Message, what="report"):
    pop: str
    instance: str
    generation: int
    phase: Phase
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    steps: tuple[StepReport, ...] = ()
    at: float = 0.0


@dataclass(frozen=True)
class Beat(Message, what="heartbeat"):
    """The PoP's heartbeat: it lives, and this is every instance it keeps and what generation each has reached."""

    pop: str
    at: float
    instances: tuple[tuple[str, int, Phase], ...] = ()


@dataclass(frozen=True)
class Ask(Message, what="question"):
    """A command to run in a container of an instance, for a looking glass. `timeout` in seconds."""

    id: str
    instance: str
    vnf: str
    container: str
    command: tuple[str, ...]
    timeout: float


@dataclass(frozen=True)
class Answer(Message, what="answer"):
    """What came of an `Ask`: exit status and output, or `error` in words when it could not be run."""

    id: str
    instance: str
    status: int | None = None
    output: str = ""
    error: str = ""


@dataclass(frozen=True)
class TableChange(Message, what="change of tables"):
    """Takes the tables of a VNF's database from revision `base` to `revision`: all of `commands` or none.

    A command is a Redis command that writes ("HSET", "HDEL", "SADD", "SREM", "DEL") and its arguments. With `base`
    None the commands are all there is: what was in the tables before is removed first.
    """

    instance: str
    vnf: str
    base: int | None
    revision: int
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TablesAt(Message, what="revision of tables"):
    """The revision that the tables of a VNF's database have; 0 when they are empty. `at` in Unix seconds.

    `reason` says why a change was refused, when it was: the same one again would be refused again.
    """

    pop: str
    instance: str
    vnf: str
    revision: int
    at: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """Something that happened in a VNF, as it wrote it down. `id` is its place in the VNF's stream, `key` is its
    alone for ever, by which a second copy is known; `body` is JSON whose form the kind knows."""

    id: str
    key: str
    body: str


@dataclass(frozen=True)
class Records(Message, what="records"):
    """Some of a VNF's records, oldest first. They come again until the core answers with `RecordsTaken`."""

    pop: str
    instance: str
    vnf: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class RecordsTaken(Message, what="receipt of records"):
    """The core has all records of this VNF up to and with `upto`; the PoP may forget them."""

    instance: str
    vnf: str
    upto: str
