"""Calls of which nobody is heard any more: ended by the SBC, which says whether that was its own doing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.sbc.box import Box, until
from tests.system.sbc.calls import carried, tables
from tests.system.sbc.phone import Phone, connect, hang_up, phones
from tests.system.sbc.rtp import exchange

pytestmark = pytest.mark.system

#: Seconds after which a call is silent here.
SILENT = 4
CONTAINERS = ("kamailio", "rtpengine", "redis")


@pytest.fixture(scope="module")
def standing() -> Iterator[Box]:
    box = Box(media_timeout=SILENT)
    try:
        box.start()
        yield box
    finally:
        box.close()


@pytest.fixture
def box(standing: Box) -> Box:
    standing.load(tables(), carried())
    return standing


@pytest.fixture
def pair(box: Box) -> Iterator[tuple[Phone, Phone]]:
    with phones(box) as pair:
        yield pair


def talk(pair: tuple[Phone, Phone], seconds: float) -> None:
    exchange([phone.media for phone in pair], round(seconds * 50))


def assert_both_are_told(pair: tuple[Phone, Phone]) -> None:
    for phone in pair:
        phone.reply(phone.asked("BYE", SILENT + 12), 200)


def assert_recorded(box: Box, cause: str) -> None:
    until(lambda: [record["cause"] for record in box.records()] == [cause])
    until(lambda: box.counted() == {})
    until(lambda: box.media_calls() == 0)
    until(lambda: box.redis().exists("live:media") == 0)


def restart(box: Box) -> None:
    """All containers are killed and started in the order in which the PoP starts them."""
    for container in CONTAINERS:
        box.kill(container)
    for container in reversed(CONTAINERS):
        box.restart(container)
    until(box.answers)


def test_a_call_that_falls_silent_is_ended_and_says_so(box: Box, pair: tuple[Phone, Phone]) -> None:
    until(lambda: box.rpc("core.uptime")["uptime"] > SILENT + 12, SILENT + 15)
    connect(*pair)
    talk(pair, 1)
    assert_both_are_told(pair)
    assert_recorded(box, "media-timeout")
    record = box.record()
    assert SILENT <= (record["ended"] - record["answered"]) / 1000 < SILENT + 8


def test_a_call_of_which_one_side_is_heard_stands(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    connect(caller, callee)
    exchange([caller.media], (SILENT + 4) * 50)
    assert box.records() == []
    hang_up(caller, callee)
    assert_recorded(box, "caller-hung-up")


def test_a_call_on_hold_is_not_silent(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    connect(caller, callee)
    talk(pair, 0.5)
    caller.request("INVITE", caller.describe(direction="inactive"))
    callee.reply(callee.asked("INVITE"), 200, callee.describe(direction="inactive"))
    assert caller.answer_to("INVITE").code == 200
    caller.acknowledge()
    callee.asked("ACK")
    assert caller.hears_nothing(SILENT + 5)
    hang_up(caller, callee)
    assert_recorded(box, "caller-hung-up")


def test_a_call_whose_ends_did_not_come_back_after_a_kill_was_interrupted(box: Box, pair: tuple[Phone, Phone]) -> None:
    connect(*pair)
    talk(pair, 3)
    restart(box)
    assert_both_are_told(pair)
    assert_recorded(box, "interrupted")


def test_a_call_whose_ends_talk_on_after_a_kill_stands(box: Box, pair: tuple[Phone, Phone]) -> None:
    connect(*pair)
    talk(pair, 3)
    restart(box)
    until(lambda: box.counter("*") == 1)
    talk(pair, SILENT + 5)
    hang_up(*pair)
    assert_recorded(box, "caller-hung-up")
