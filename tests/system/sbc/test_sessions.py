"""Session timers (RFC 4028), UPDATE and PRACK: who refreshes a call, who asks for it, and what a lapse does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.sbc import hiding
from tests.system.sbc.box import Box, until
from tests.system.sbc.calls import carried, tables
from tests.system.sbc.phone import Message, Phone, hang_up, phones

pytestmark = pytest.mark.system

#: Kamailio's state of a dialog that was answered and acknowledged.
STANDS = 4
ABLE = {"Supported": "timer"}


@pytest.fixture
def pair(box: Box) -> Iterator[tuple[Phone, Phone]]:
    with phones(box) as pair:
        yield pair


def load(box: Box, **trunks: dict[str, Any]) -> None:
    """Trunks with what is said of their timers: seconds to ask for, the least, whether one is required."""
    box.load(tables(), carried(**trunks))


def call(
    pair: tuple[Phone, Phone], asked: dict[str, str] | None = None, answered: dict[str, str] | None = None
) -> tuple[Message, Message]:
    """A call that stands: what the callee was asked and the caller answered."""
    caller, callee = pair
    caller.invite(headers=asked)
    invite = callee.asked("INVITE")
    callee.reply(invite, 200, callee.describe(), headers=answered)
    answer = caller.answer_to("INVITE")
    assert answer.code == 200, answer.start
    caller.acknowledge()
    callee.asked("ACK")
    return invite, answer


def left(box: Box) -> int:
    """Seconds that the one call that stands may last from when that was said."""
    (dialog,) = [dialog for dialog in box.rpc("dlg.list") if dialog["state"] == STANDS]
    return int(dialog["lifetime"])


def assert_both_are_told(pair: tuple[Phone, Phone], seconds: float) -> None:
    for phone in pair:
        phone.reply(phone.asked("BYE", seconds), 200)


def assert_ended(box: Box, cause: str) -> None:
    until(lambda: [record["cause"] for record in box.records()] == [cause])
    until(lambda: box.counted() == {})
    assert box.media_calls() == 0


def refresh(sender: Phone, receiver: Phone, method: str, seconds: int) -> tuple[Message, Message]:
    """A refresh by one end, as the other was asked it, and its answer."""
    body = sender.describe() if method == "INVITE" else ""
    sender.request(method, body, {**ABLE, "Session-Expires": f"{seconds};refresher=uac"})
    asked = receiver.asked(method)
    answer = receiver.describe() if method == "INVITE" else ""
    receiver.reply(asked, 200, answer, {"Session-Expires": f"{seconds};refresher=uac", "Require": "timer"})
    answered = sender.answer_to(method)
    if method == "INVITE":
        sender.acknowledge()
        receiver.asked("ACK")
    return asked, answered


def test_without_timers_a_call_lasts_as_long_as_it_may(box: Box, pair: tuple[Phone, Phone]) -> None:
    invite, answer = call(pair)
    assert "session-expires" not in {**invite.headers, **answer.headers}
    assert left(box) == box.engine.longest_call
    hang_up(*pair)


def test_a_timer_of_the_ends_passes_and_counts(box: Box, pair: tuple[Phone, Phone]) -> None:
    invite, answer = call(
        pair,
        ABLE | {"Session-Expires": "120", "Min-SE": "90"},
        {"Session-Expires": "110;refresher=uas", "Require": "timer"},
    )
    assert (invite.headers["session-expires"], invite.headers["min-se"]) == ("120", "90")
    assert (answer.headers["session-expires"], answer.headers["require"]) == ("110;refresher=uas", "timer")
    assert left(box) == 110
    hang_up(*pair)


@pytest.mark.parametrize("trunk", ["pbx", "carrier"])
def test_a_trunks_policy_asks_for_a_timer_where_an_end_can(box: Box, pair: tuple[Phone, Phone], trunk: str) -> None:
    load(box, **{trunk: {"timer": 300, "least_timer": 90}})
    invite, answer = call(pair, ABLE)
    assert invite.headers["session-expires"] == "300"
    assert (answer.headers["session-expires"], answer.headers["require"]) == ("300;refresher=uac", "timer")
    assert left(box) == 300
    hang_up(*pair)


def test_the_callee_refreshes_where_the_caller_cannot(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, carrier={"timer": 300, "least_timer": 90})
    call(pair, None, {"Session-Expires": "300;refresher=uas"})
    assert left(box) == 300
    hang_up(*pair)


def test_where_neither_end_can_there_is_no_timer(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, pbx={"timer": 300, "least_timer": 90})
    invite, answer = call(pair)
    assert invite.headers["session-expires"] == "300"
    assert "session-expires" not in answer.headers
    assert left(box) == box.engine.longest_call
    hang_up(*pair)


def test_the_shorter_of_two_policies_is_asked_for_but_none_below_the_least(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, pbx={"timer": 1800, "least_timer": 90}, carrier={"timer": 100, "least_timer": 600})
    assert call(pair, ABLE)[0].headers["session-expires"] == "600"
    hang_up(*pair)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_either_end_refreshes_a_call_and_else_it_is_ended(box: Box, pair: tuple[Phone, Phone], method: str) -> None:
    with hiding.hiding(box):
        caller, callee = pair
        load(box, pbx={"timer": 3})
        call(pair, ABLE)
        for sender, receiver in ((caller, callee), (callee, caller)):
            assert caller.hears_nothing(1.5), "it stands"
            asked, answered = refresh(sender, receiver, method, 3)
            assert asked.headers["session-expires"] == "3;refresher=uac"
            assert answered.headers["session-expires"] == "3;refresher=uac"
        assert caller.hears_nothing(1.5), "more than twice as long as it would have stood"
        assert_both_are_told(pair, 5)
        assert_ended(box, "session-expired")


def test_a_refresh_does_not_make_a_call_last_longer_than_any_may(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.rpc("pv.shvSet", "longest_call", "int", 4)
    try:
        call(pair)
        refresh(caller, callee, "UPDATE", 300)
        assert left(box) <= 4
        assert_both_are_told(pair, 8)
        assert_ended(box, "limit")
    finally:
        box.rpc("pv.shvSet", "longest_call", "int", box.engine.longest_call)


def test_a_timer_that_is_too_short_is_refused_with_the_shortest(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, pbx={"least_timer": 600})
    caller, callee = pair
    caller.invite(headers=ABLE | {"Session-Expires": "120"})
    refused = caller.answer_to("INVITE")
    assert (refused.code, refused.headers["min-se"]) == (422, "600")
    caller.acknowledge()
    assert call(pair, ABLE | {"Session-Expires": "600", "Min-SE": "600"})[0].headers["session-expires"] == "600"
    caller.request("UPDATE", "", ABLE | {"Session-Expires": "120"})
    refused = caller.answer_to("UPDATE")
    assert (refused.code, refused.headers["min-se"]) == (422, "600")
    hang_up(caller, callee)
    until(lambda: [record["cause"] for record in box.records()] == ["caller-hung-up"])


def test_a_422_of_the_callee_passes_with_what_it_says(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    caller.invite(headers=ABLE | {"Session-Expires": "120"})
    callee.reply(callee.asked("INVITE"), 422, headers={"Min-SE": "1000"})
    refused = caller.answer_to("INVITE")
    assert (refused.code, refused.headers["min-se"]) == (422, "1000")
    caller.acknowledge()


def test_a_trunk_that_must_have_timers_and_has_none_is_told_so(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, pbx={"timer": 300, "timer_required": True})
    caller, _ = pair
    caller.invite()
    refused = caller.answer_to("INVITE")
    assert (refused.code, refused.headers["require"]) == (421, "timer")
    caller.acknowledge()
    assert (box.record()["code"], box.record()["cause"]) == (421, "refused")
    until(lambda: box.counted() == {})


def test_a_callee_that_must_have_timers_and_has_none_gets_no_call(box: Box, pair: tuple[Phone, Phone]) -> None:
    load(box, carrier={"timer": 300, "timer_required": True})
    caller, callee = pair
    caller.invite()
    invite = callee.asked("INVITE")
    assert invite.headers["require"] == "timer"
    callee.reply(invite, 420, headers={"Unsupported": "timer"})
    refused = caller.answer_to("INVITE")
    assert refused.code == 480
    assert "unsupported" not in refused.headers
    caller.acknowledge()
    assert [attempt["code"] for attempt in box.record()["attempts"]] == [420]


def test_an_update_with_a_description_changes_media_both_ways(box: Box, pair: tuple[Phone, Phone]) -> None:
    with hiding.hiding(box):
        call(pair)
        for sender, receiver in (pair, pair[::-1]):
            sender.request("UPDATE", sender.describe(direction="sendonly"))
            asked = receiver.asked("UPDATE")
            assert "a=sendonly" in asked.body
            assert sender.host not in asked.body
            receiver.reply(asked, 200, receiver.describe(direction="recvonly"))
            answer = sender.answer_to("UPDATE")
            assert "a=recvonly" in answer.body
            assert receiver.host not in answer.body
        hang_up(*pair)


def test_provisional_answers_are_acknowledged_and_media_updated_before_the_call_stands(
    box: Box, pair: tuple[Phone, Phone]
) -> None:
    """RFC 3262 and, while it rings, RFC 3311."""
    with hiding.hiding(box):
        caller, callee = pair
        caller.invite(headers={"Supported": "100rel"})
        invite = callee.asked("INVITE")
        assert invite.headers["supported"] == "100rel"
        callee.reply(invite, 183, callee.describe(), {"Require": "100rel", "RSeq": "17"})
        progress = caller.rung(183)
        assert (progress.headers["require"], progress.headers["rseq"]) == ("100rel", "17")
        caller.request("PRACK", headers={"RAck": f"17 {caller.cseq} INVITE"})
        prack = callee.asked("PRACK")
        assert re.fullmatch(r"17 \d+ INVITE", prack.headers["rack"])
        callee.reply(prack, 200)
        assert caller.answer_to("PRACK").code == 200
        caller.request("UPDATE", caller.describe())
        update = callee.asked("UPDATE")
        callee.reply(update, 200, callee.describe())
        assert "m=audio" in caller.answer_to("UPDATE").body
        callee.reply(invite, 200)
        caller.cseq = 1
        assert caller.answer_to("INVITE").code == 200
        caller.acknowledge()
        callee.asked("ACK")
        caller.cseq = 3
        assert left(box) == box.engine.longest_call, "what rings is not refreshed"
        hang_up(caller, callee)
