"""Calls that the SBC ends: both sides hear of it, each leaves one record that says why, and nothing stays behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.sbc.box import INSIDE, Box, Sipp, until

pytestmark = pytest.mark.system

CALLS = 40


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
    assert box.counted() == {}
    assert box.rpc("dlg.stats_active")["all"] == 0
    assert box.media_calls() == 0
    until(lambda: box.rpc("dlg.list") == [])
    assert box.redis(1).keys("dialog*") == []
    assert box.redis(2).keys("*") == []


def test_calls_that_last_too_long_are_ended(box: Box, longest: int) -> None:
    assert_ended(box, place(box, CALLS), CALLS, "limit")
    for record in box.records():
        assert longest - 1.1 <= (record["ended"] - record["answered"]) / 1000 <= longest + 2
