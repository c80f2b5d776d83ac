"""What a call leaves behind: one record, exact, whatever happens to the call or to the daemons."""

from __future__ import annotations

import time

import pytest

from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, until
from tests.system.sbc.calls import CALL, call, carried, tables
from tests.system.sbc.phone import Phone, hang_up
from tests.system.sbc.test_calls import DEAF, MORE, SECOND, first_then, idle, refused

pytestmark = pytest.mark.system


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def test_an_answered_call_is_recorded_to_the_millisecond_with_both_legs(box: Box) -> None:
    box.capture()
    before = milliseconds()
    call(box, "pbx", "carrier", "call", "answer", number="040222")
    after = milliseconds()
    record = box.record()
    inside, outside = (leaks.messages(file)[0].decode() for file in box.captured().values())
    assert f"Call-ID: {record.pop('call_id')}\r\n" in inside
    assert f"Call-ID: {record.pop('call_id_out')}\r\n" in outside
    started, answered, ended = (record.pop(name) for name in ("started", "answered", "ended"))
    assert before <= started <= answered - 100 <= ended - 400 <= after
    assert record.pop("id").startswith(f"{started}-")
    assert record == {
        "caller": "+4930111",
        "called": "+4940222",
        "called_out": "+4940222",
        "from_trunk": "pbx",
        "to_trunk": "carrier",
        "route": "out",
        "emergency": False,
        "attempts": [{"trunk": "carrier", "uri": f"sip:{OUTSIDE}.2:5060", "code": 200}],
        "code": 200,
        "cause": "caller-hung-up",
        "codec": "PCMA",
        "srtp_in": False,
        "srtp_out": False,
        "quality": {"caller": None, "callee": None},
    }


@pytest.mark.parametrize(
    ("scenario", "code", "cause"),
    [
        ("cleared", 200, "callee-hung-up"),
        ("cancel", 487, "cancelled"),
        ("busy", 486, "busy"),
        ("moved", 480, "refused"),
    ],
)
def test_a_record_says_who_ended_the_call_or_why_there_was_none(box: Box, scenario: str, code: int, cause: str) -> None:
    call(box, "pbx", "carrier", *CALL[scenario])
    record = box.record()
    assert (record["code"], record["cause"], len(box.records())) == (code, cause, 1), box.said()


def test_every_target_that_was_tried_is_in_the_record_with_what_it_said(box: Box) -> None:
    box.load(tables(DEAF, SECOND, routes=(first_then("deaf", "second", "carrier", timeout=1),)), MORE)
    refusing = box.sipp("carrier", "unavailable", "-p", "5060", "-m", "1", at=f"{OUTSIDE}.3")
    call(box, "pbx", "carrier", "call", "answer")
    refusing.wait(5)
    record = box.record()
    tried = [(attempt["trunk"], attempt["code"]) for attempt in record["attempts"]]
    assert tried == [("deaf", 408), ("second", 503), ("carrier", 200)]
    assert (record["to_trunk"], record["cause"]) == ("carrier", "caller-hung-up")


def test_a_call_that_was_not_taken_is_recorded(box: Box) -> None:
    box.load(tables(routes=()), carried())
    assert refused(box, "refused-404").wait(10) == 0
    record = box.record()
    assert (record["code"], record["cause"], record["route"], record["attempts"]) == (404, "no-route", None, [])
    assert (record["from_trunk"], record["to_trunk"], record["answered"]) == ("pbx", None, None)


def test_a_call_above_a_limit_is_recorded(box: Box) -> None:
    until(lambda: idle(box))
    box.load(tables(), carried(pbx={"most_calls": 1}))
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "1")
    first = box.sipp("pbx", "plain-call", "-p", "5060", "-s", "+4940222", "-m", "1", "-d", "1500", f"{INSIDE}.1:5060")
    until(lambda: box.counter("pbx") == 1)
    second = box.sipp("pbx", "refused-503", "-p", "5061", "-s", "+4940222", "-m", "1", f"{INSIDE}.1:5060",
                      at=f"{INSIDE}.3")  # fmt: skip
    assert [process.wait(15) for process in (second, first, answering)] == [0, 0, 0], box.said()
    until(lambda: len(box.records()) == 2)
    assert [(record["code"], record["cause"]) for record in box.records()] == [(503, "limit"), (200, "caller-hung-up")]


def test_a_call_that_ends_while_the_store_is_away_is_recorded_afterwards(box: Box) -> None:
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "20")
    caller = box.sipp("pbx", "plain-call", "-p", "5060", "-m", "20", "-r", "50", "-s", "+4940222", "-d", "3000",
                      f"{INSIDE}.1:5060")  # fmt: skip
    until(lambda: box.counter("*") == 20)
    box.kill("redis")
    assert [caller.wait(20), answering.wait(20)] == [0, 0], box.said()
    box.restart("redis")
    until(lambda: len(box.records()) >= 20)
    assert {record["cause"] for record in box.records()} == {"caller-hung-up"}
    assert len({record["id"] for record in box.records()}) == 20
    until(lambda: box.redis(1).keys("dialog:entry:*") == [])
    assert idle(box)
    # Whoever found the store away asks it again after a second (`disable_time`), and refuses calls until then.
    time.sleep(1.2)


def test_a_call_that_was_answered_while_the_store_was_away_is_kept_once_it_is_back(box: Box) -> None:
    caller, callee = Phone(box, "pbx"), Phone(box, "carrier")
    try:
        caller.invite(body=caller.describe())
        invite = callee.asked("INVITE")
        box.kill("redis")
        callee.reply(invite, 200, callee.describe())
        assert caller.answer_to("INVITE").code == 200
        caller.acknowledge()
        callee.asked("ACK")
        box.restart("redis")
        until(lambda: box.redis(1).keys("dialog_vars:entry:*:call") != [])
        [row] = box.redis(1).keys("dialog:entry:*")
        assert box.redis(1).hget(row, "state") == "4"
        hang_up(caller, callee)
        assert box.record()["cause"] == "caller-hung-up"
        assert box.redis(1).keys() == []
    finally:
        caller.close()
        callee.close()
