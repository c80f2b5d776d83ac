"""Takes down the records of calls that SBCs send, each once, and tells the PoP what it may forget.

A batch comes again until its receipt arrives, so none is lost; the key of a record is unique, so none is doubled.
One that cannot be read is kept as it came, for it would hold up those behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sbc.kind import KIND
from sbc.kind.probe import CALLER
from sbc.models import CallRecord
from services import dispatch
from services.models import Pop, ServiceInstance
from tenants import changes
from worker.errors import PermanentError
from worker.report import Record, Records, RecordsTaken

log = logging.getLogger(__name__)

#: The cause of a record that could not be read.
UNREADABLE = "unreadable"
#: The range of moments that are believed, in ms: from 2000 to 2100.
Moment = Annotated[int, Field(ge=946_684_800_000, le=4_102_444_800_000)]


class Heard(BaseModel):
    """What one end heard: MOS, loss in percent, jitter and round trip in ms."""

    model_config = ConfigDict(frozen=True)

    mos: float | None = None
    loss: float | None = None
    jitter: float | None = None
    round_trip: float | None = None


class BothEnds(BaseModel):
    model_config = ConfigDict(frozen=True)

    caller: Heard | None = None
    callee: Heard | None = None


class Attempt(BaseModel):
    model_config = ConfigDict(frozen=True)

    trunk: str
    uri: str
    code: int


class Body(BaseModel):
    """A record as the engine writes it. Moments in ms Unix time; null is what did not happen or was not told."""

    model_config = ConfigDict(frozen=True)

    call_id: str = ""
    call_id_out: str | None = None
    started: Moment
    answered: Moment | None = None
    ended: Moment | None = None
    caller: str = ""
    called: str = ""
    called_out: str | None = None
    from_trunk: str = ""
    to_trunk: str | None = None
    route: str | None = None
    emergency: bool = False
    attempts: tuple[Attempt, ...] = ()
    code: Annotated[int, Field(ge=0, le=999)] | None = None
    cause: str
    codec: str | None = None
    srtp_in: bool | None = None
    srtp_out: bool | None = None
    quality: BothEnds = BothEnds()


def take(records: Records) -> None:
    """Take down a batch, and send its receipt once that is committed."""
    instance = ServiceInstance.unscoped.filter(pk=records.instance, pop=records.pop, kind=KIND.name).first()
    if instance is None or not records.records:
        return
    rows = (row_of(instance, record) for record in records.records)
    with transaction.atomic():
        CallRecord.unscoped.bulk_create((row for row in rows if row.from_trunk != CALLER), ignore_conflicts=True)
        changes.note(instance, topic="callrecord")
        taken = RecordsTaken(records.instance, records.vnf, records.records[-1].id)
        transaction.on_commit(partial(_send, instance.pop, taken))


def _send(pop: Pop, taken: RecordsTaken) -> None:
    try:
        dispatch.send_records_taken(pop, taken)
    except PermanentError as error:
        log.warning("PoP %s is not told that its records are taken: %s", pop.slug, error)


def row_of(instance: ServiceInstance, record: Record) -> CallRecord:
    """A record as it is kept, not yet written."""
    now = timezone.now()
    of_all = {"tenant_id": instance.tenant_id, "instance": instance, "key": record.key[:128], "received_at": now}
    try:
        body = Body.model_validate_json(record.body, strict=True)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
        log.error("record %s of %s cannot be read at %s", record.key, instance.pk, wrong)
        return CallRecord(**of_all, started=now, cause=UNREADABLE, raw=record.body)
    return CallRecord(**of_all, **_columns(body))


def _columns(body: Body) -> dict[str, Any]:
    ends = [end for end in (body.quality.caller, body.quality.callee) if end is not None]
    return {
        "call_id": body.call_id[:255],
        "call_id_out": (body.call_id_out or "")[:255],
        "started": _at(body.started),
        "answered": _at(body.answered) if body.answered else None,
        "ended": _at(body.ended) if body.ended else None,
        "setup_ms": _between(body.started, body.answered),
        "duration_ms": _between(body.answered, body.ended),
        "caller": body.caller[:128],
        "called": body.called[:128],
        "called_out": (body.called_out or "")[:128],
        "from_trunk": body.from_trunk[:32],
        "to_trunk": (body.to_trunk or "")[:32],
        "route": (body.route or "")[:32],
        "emergency": body.emergency,
        "attempts": [attempt.model_dump() for attempt in body.attempts],
        "code": body.code,
        "cause": body.cause[:32],
        "codec": (body.codec or "")[:32],
        "srtp_in": body.srtp_in,
        "srtp_out": body.srtp_out,
        "mos": _worst(min, (end.mos for end in ends)),
        "loss": _worst(max, (end.loss for end in ends)),
        "jitter": _worst(max, (end.jitter for end in ends)),
        "round_trip": _worst(max, (end.round_trip for end in ends)),
        "quality": body.quality.model_dump() if ends else None,
    }


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _between(start: int | None, end: int | None) -> int | None:
    """Milliseconds; a clock that was set back in between makes them 0."""
    return None if start is None or end is None else max(end - start, 0)


def _worst(choose: Callable[..., float | None], values: Iterable[float | None]) -> float | None:
    return choose((value for value in values if value is not None), default=None)
