"""Records of calls: each is kept once, whatever comes twice, and stays when the SBC has gone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from naas.core.errors import Forbidden
from sbc import records, testcalls
from sbc.models import CallRecord, TestCall
from services import inquiries, orders
from services.lifecycle import ServiceState
from services.models import Inquiry, Segment, ServiceInstance
from tenants.actor import Actor, ActorKind, Role
from tenants.models import Tenant
from tests.unit.conftest import found, session_border_controller
from tests.unit.test_sbc_tables import drained
from worker.broker import RECORDS_TAKEN, pop_queue
from worker.report import Answer, Condition, Phase, Record, Records, Status

ANSWERED: dict[str, Any] = {
    "id": "1700000000123-12-34",
    "call_id": "a@10.0.0.2",
    "call_id_out": "sealed",
    "started": 1_700_000_000_123,
    "answered": 1_700_000_002_500,
    "ended": 1_700_000_062_750,
    "caller": "+4930111",
    "called": "+4940222",
    "called_out": "040222",
    "from_trunk": "pbx",
    "to_trunk": "carrier",
    "route": "out",
    "emergency": False,
    "attempts": [{"trunk": "carrier", "uri": "sip:192.0.2.7", "code": 200}],
    "code": 200,
    "cause": "caller-hung-up",
    "codec": "PCMA",
    "srtp_in": True,
    "srtp_out": False,
    "quality": {
        "caller": {"mos": 4.29, "loss": 1, "jitter": 5, "round_trip": 80},
        "callee": {"mos": 4.1, "loss": 0.5, "jitter": 9, "round_trip": None},
    },
}
REFUSED = ANSWERED | {
    **dict.fromkeys(("answered", "call_id_out", "called_out", "to_trunk", "route", "codec")),
    "attempts": [],
    "code": 404,
    "cause": "no-route",
    "quality": {"caller": None, "callee": None},
}


def batch(sbc: ServiceInstance, *bodies: object, pop: str = "fra1") -> Records:
    made = (
        Record(f"{number}-0", str(body["id"]) if isinstance(body, dict) else f"key-{number}", json.dumps(body))
        for number, body in enumerate(bodies, start=1)
    )
    return Records(pop, sbc.pk, "sbc", tuple(made))


def test_a_record_is_kept_as_it_was_written(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, ANSWERED))
    row = CallRecord.unscoped.get()
    assert row.started == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert (row.setup_ms, row.duration_ms) == (2377, 60_250)
    assert (row.caller, row.called, row.called_out) == ("+4930111", "+4940222", "040222")
    assert (row.from_trunk, row.to_trunk, row.route, row.cause, row.code) == (
        "pbx",
        "carrier",
        "out",
        "caller-hung-up",
        200,
    )
    assert (row.mos, row.loss, row.jitter, row.round_trip) == (4.1, 1, 9, 80)
    assert row.attempts == ANSWERED["attempts"]
    assert row.quality == ANSWERED["quality"]


def test_what_nobody_reported_is_not_made_up(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, REFUSED))
    row = CallRecord.unscoped.get()
    unknown = (row.answered, row.setup_ms, row.duration_ms, row.mos, row.loss, row.jitter, row.round_trip, row.quality)
    assert unknown == (None,) * 8
    assert (row.to_trunk, row.codec) == ("", "")


def test_a_batch_that_comes_twice_is_kept_once_and_confirmed_twice(
    sbc: ServiceInstance, django_capture_on_commit_callbacks: Any
) -> None:
    drained(pop_queue("fra1"))
    again = batch(sbc, ANSWERED, ANSWERED | {"id": "other"})
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            records.take(again)
    assert CallRecord.unscoped.count() == 2
    assert [task for task, _ in drained(pop_queue("fra1"))] == [RECORDS_TAKEN] * 2


def test_a_batch_that_overlaps_adds_what_is_new(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, ANSWERED))
    records.take(batch(sbc, ANSWERED, REFUSED | {"id": "new"}))
    assert CallRecord.unscoped.count() == 2


@pytest.mark.parametrize(
    "body",
    [[], {}, "text", ANSWERED | {"started": None}, ANSWERED | {"started": 5}, ANSWERED | {"code": "200"}],
    ids=str,
)
def test_what_cannot_be_read_is_kept_as_it_came_and_holds_nobody_up(sbc: ServiceInstance, body: object) -> None:
    records.take(batch(sbc, {"id": "odd"} | body if isinstance(body, dict) else body, ANSWERED | {"id": "good"}))
    odd, good = CallRecord.unscoped.order_by("id")
    assert (odd.cause, bool(odd.raw), good.cause) == (records.UNREADABLE, True, "caller-hung-up")


def test_fields_that_come_later_are_no_hindrance(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, ANSWERED | {"invented": 1}))
    assert CallRecord.unscoped.get().cause == "caller-hung-up"


def test_the_platforms_own_test_calls_are_no_calls_of_the_tenant(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, ANSWERED | {"from_trunk": "probe:caller"}))
    assert not CallRecord.unscoped.exists()


def test_records_of_an_sbc_that_has_gone_are_taken_and_stay(sbc: ServiceInstance) -> None:
    ServiceInstance.unscoped.filter(pk=sbc.pk).update(state=ServiceState.TERMINATED)
    records.take(batch(sbc, ANSWERED))
    assert CallRecord.unscoped.count() == 1


def test_another_pop_has_no_records_of_this_sbc(sbc: ServiceInstance) -> None:
    records.take(batch(sbc, ANSWERED, pop="elsewhere"))
    assert not CallRecord.unscoped.exists()


# --- test calls ---

RESULT = {"passed": True, "message": "set up in 40 ms over UDP with RTP, MOS 4.4", "mos": 4.4}


def test_a_test_call_takes_over_what_its_inquiry_brings(actor: Actor, sbc: ServiceInstance) -> None:
    call = testcalls.make(actor=actor, instance=sbc, transport="tcp")
    assert testcalls.settle(call).passed is None
    assert call.inquiry is not None
    inquiries.take(Answer(call.inquiry.pk, sbc.pk, 0, json.dumps(RESULT)), pop="fra1")
    testcalls.sweep()
    settled = TestCall.unscoped.get(pk=call.pk)
    assert (settled.passed, settled.message, settled.result) == (True, RESULT["message"], RESULT)


@pytest.mark.parametrize("answer", [{"output": "Traceback"}, {"output": "[]"}, {"error": "the PoP is away"}], ids=str)
def test_a_test_call_that_said_nothing_has_neither_passed_nor_failed(
    actor: Actor, sbc: ServiceInstance, answer: dict[str, Any]
) -> None:
    call = testcalls.make(actor=actor, instance=sbc)
    inquiries.take(Answer(str(call.inquiry_id), sbc.pk, 1, **answer), pop="fra1")
    testcalls.sweep()
    settled = TestCall.unscoped.get(pk=call.pk)
    assert settled.passed is None
    assert settled.message


def test_a_test_call_is_placed_by_operators_only(tenant: Tenant, sbc: ServiceInstance) -> None:
    viewer = Actor(tenant=tenant, role=Role.VIEWER, label="viewer", kind=ActorKind.USER)
    with pytest.raises(Forbidden):
        testcalls.make(actor=viewer, instance=sbc)
    for question in ("lift", "end-call", "test-call"):
        with pytest.raises(Forbidden):
            inquiries.ask(actor=viewer, instance=sbc, question=question, arguments={})
    assert inquiries.ask(actor=viewer, instance=sbc, question="calls", arguments={})
    assert not Inquiry.unscoped.exclude(question="calls").exists()


def test_the_call_that_an_sbc_was_accepted_by_is_kept_for_good(actor: Actor, lan: Segment, core: Segment) -> None:
    order = orders.place(actor=actor, items=[session_border_controller()])
    orders.start(order_id=order.pk)
    instance = order.items.get().instance
    testcalls.sweep()
    assert not TestCall.unscoped.exists()
    for status, message in ((Status.TRUE, RESULT["message"]), (Status.FALSE, "later")):
        found(instance, Phase.CONVERGED, "", Condition("test-call", status, str(message), readiness=True))
        testcalls.sweep()
    (certificate,) = TestCall.unscoped.all()
    assert (certificate.occasion, certificate.passed, certificate.message) == ("acceptance", True, RESULT["message"])
