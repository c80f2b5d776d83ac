"""Calls that the SBC ends: both sides hear of it, each leaves one record that says why, and nothing stays behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.system.sbc.box import INSIDE, Box, Sipp, until

pytestmark = pytest.mark.system

CALLS, MANY = 40, 200


@pytest.fixture
def longest(box: Box) -> Iterator[int]:
    """Seconds after which every call is too long."""
    was = box.rpc("pv.shvGet", "longest_call")["value"]
    box.rpc("pv.shvSet", "longest_call", "int", 3)
    yield 3
    box.rpc("pv.shvSet", "longest_call", "int", was)


def place(box: Box, calls: int) -> list[Sipp]:
    """Calls at 100 a second, whose both ends wait to be told that they are over."""
    options = ("-p", "5060", "-m", str(calls))
    answering = box.sipp("carrier", "plain-answer", *options, "-mp", "30000")
    calling = box.sipp("pbx", "plain-ended", *options, "-r", "100", "-s", "+4940222", f"{INSIDE}.1:5060")
    return [calling, answering]


def assert_ended(box: Box, sipps: list[Sipp], calls: int, cause: str) -> None:
    """Both ends of all of these calls were told, and nothing of them is left but one record each."""
    assert [process.wait(30) for process in sipps] == [0, 0], box.said()
    until(lambda: len(box.records()) == calls)
    assert Counter(record["cause"] for record in box.records()) == {cause: calls}
    assert len({record["id"] for record in box.records()}) == calls
    assert_nothing_is_left(box)


def assert_nothing_is_left(box: Box) -> None:
    until(lambda: box.counted() == {})
    assert box.rpc("dlg.stats_active")["all"] == 0
    assert box.media_calls() == 0
    until(lambda: box.rpc("dlg.list") == [])
    assert box.redis(1).keys("dialog*") == []
    assert box.redis(2).keys("*") == []


def shown(box: Box) -> list[dict[str, Any]]:
    done = box.program("calls")
    assert done.returncode == 0, done.stderr
    calls: list[dict[str, Any]] = json.loads(done.stdout)["calls"]
    return calls


def end(box: Box, id: str) -> tuple[int, str]:
    done = box.program("end-call", id)
    return done.returncode, done.stdout.strip()


def test_calls_that_last_too_long_are_ended(box: Box, longest: int) -> None:
    assert_ended(box, place(box, CALLS), CALLS, "limit")
    for record in box.records():
        assert longest - 1.1 <= (record["ended"] - record["answered"]) / 1000 <= longest + 2


def test_a_call_is_ended_on_request_once(box: Box) -> None:
    sipps = place(box, 3)
    until(lambda: [bool(call["answered"]) for call in shown(box)] == [True] * 3)
    calls = shown(box)
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(partial(end, box), [call["id"] for call in calls for _ in range(2)]))
    assert sorted(status for status, _ in done) == [0, 0, 0, 1, 1, 1]
    assert_ended(box, sipps, 3, "ended-by-tenant")
    assert {call["id"] for call in calls} == {record["id"] for record in box.records()}


def test_a_call_that_rings_is_cancelled_on_request(box: Box) -> None:
    ringing = box.sipp("carrier", "ring", "-p", "5060", "-m", "1")
    calling = box.sipp("pbx", "refused-487", "-p", "5060", "-m", "1", "-s", "+4940222", f"{INSIDE}.1:5060")
    until(lambda: [call["answered"] for call in shown(box)] == [None])
    assert end(box, shown(box)[0]["id"]) == (0, "")
    assert [calling.wait(10), ringing.wait(10)] == [0, 0], box.said()
    record = box.record()
    assert (record["code"], record["cause"]) == (487, "ended-by-tenant")
    assert_nothing_is_left(box)


def test_what_does_not_stand_cannot_be_ended(box: Box) -> None:
    for unknown in ("1700000000123-12-34", "nobody", "1-2-3-4"):
        assert end(box, unknown) == (1, f"there is no call {unknown}")


def test_many_calls_are_ended_at_once_whatever_both_sides_answer_meanwhile(box: Box) -> None:
    """The engine is asked twice to end each."""
    sipps = place(box, MANY)
    until(lambda: [bool(call["answered"]) for call in shown(box)] == [True] * MANY, 20)
    dialogs = [call["id"].split("-")[1:] for call in shown(box)]
    with ThreadPoolExecutor(4) as pool:
        done = Counter(pool.map(partial(end_dialog, box), [dialog for dialog in dialogs for _ in range(2)]))
    assert done == {True: MANY, False: MANY}
    assert [process.wait(30) for process in sipps] == [0, 0], box.said()
    until(lambda: len(box.records()) == MANY)
    assert_nothing_is_left(box)


def end_dialog(box: Box, dialog: list[str]) -> bool:
    box.rpc("htable.sets", "ending", ":".join(dialog), "ended-by-tenant")
    try:
        box.rpc("dlg.end_dlg", *map(int, dialog))
    except AssertionError:  # it has ended, or is being ended
        return False
    return True
