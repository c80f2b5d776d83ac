"""A trunk that asks for a password within a call is answered by the SBC, and the other side learns nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.sbc import leaks
from tests.system.sbc.box import Box, until
from tests.system.sbc.calls import carried, tables
from tests.system.sbc.digest import challenge, is_proved
from tests.system.sbc.phone import Message, Phone, phones

pytestmark = pytest.mark.system

USER, PASSWORD, REALM = "line-1", "correct horse, battery", "carrier.example"
ASKS = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}


@pytest.fixture
def pair(box: Box) -> Iterator[tuple[Phone, Phone]]:
    box.load(tables(), carried(carrier={"user": USER, "password": PASSWORD}))
    with phones(box) as both:
        yield both


def number(message: Message) -> int:
    return int(message.headers["cseq"].split()[0])


def connect(caller: Phone, callee: Phone) -> None:
    caller.invite()
    callee.reply(callee.asked("INVITE"), 200, callee.describe())
    assert caller.answer_to("INVITE").code == 200
    caller.acknowledge()
    callee.asked("ACK")


def asked_and_proved(carrier: Phone, method: str, code: int) -> Message:
    """The request as it comes again, with the password, after it was asked for one."""
    first = carrier.asked(method)
    carrier.reply(first, code, headers={ASKS[code]: challenge(REALM)})
    if method == "INVITE":
        assert number(carrier.asked("ACK")) == number(first)
    second = carrier.asked(method)
    assert is_proved(second, REALM, USER, PASSWORD)
    return second


def nothing_was_seen(box: Box, pbx: Phone) -> None:
    texts = leaks.messages(box.captured()["pbx"])
    assert leaks.leaks(texts, (USER, REALM, PASSWORD, "nonce1", "Authenticate", "Authorization")) == set()
    assert not any(message.code in ASKS for message in pbx.seen)
    until(lambda: box.counted() == {})


@pytest.mark.parametrize("code", ASKS)
def test_every_request_to_a_called_trunk_is_proved_by_the_sbc(box: Box, pair: tuple[Phone, Phone], code: int) -> None:
    caller, callee = pair
    box.capture()
    connect(caller, callee)
    seen = number(callee.seen[-1])
    for method in ("INVITE", "UPDATE", "INVITE", "BYE"):
        caller.request(method, caller.describe() if method == "INVITE" else "")
        second = asked_and_proved(callee, method, code)
        assert number(second) > seen, "numbers grow within a dialog"
        seen = number(second)
        callee.reply(second, 200, callee.describe() if method == "INVITE" else "")
        answer = caller.answer_to(method)
        assert (answer.code, number(answer)) == (200, caller.cseq)
        if method == "INVITE":
            caller.acknowledge()
            assert number(callee.asked("ACK")) == seen
    nothing_was_seen(box, caller)
    assert box.record()["cause"] == "caller-hung-up"


def test_a_challenge_in_vain_is_a_refusal_and_the_call_goes_on(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.capture()
    connect(caller, callee)
    caller.request("INVITE", caller.describe())
    second = asked_and_proved(callee, "INVITE", 401)
    callee.reply(second, 401, headers={ASKS[401]: challenge(REALM)})
    assert caller.answer_to("INVITE").code == 403
    caller.acknowledge()
    caller.request("BYE")
    while (bye := callee.asked("BYE")).headers["cseq"].split()[1] != "BYE":
        pass
    callee.reply(bye, 200)
    assert caller.answer_to("BYE").code == 200
    nothing_was_seen(box, caller)


def test_a_calling_trunk_that_challenges_is_answered_as_well(box: Box, pair: tuple[Phone, Phone]) -> None:
    callee, caller = pair
    box.capture()
    connect(caller, callee)
    callee.request("UPDATE")
    callee_answered = asked_and_proved(caller, "UPDATE", 401)
    caller.reply(callee_answered, 200)
    assert callee.answer_to("UPDATE").code == 200
    callee.request("BYE")
    caller.reply(asked_and_proved(caller, "BYE", 407), 200)
    assert callee.answer_to("BYE").code == 200
    nothing_was_seen(box, callee)


def test_numbers_still_grow_when_signalling_was_killed_meanwhile(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    connect(caller, callee)
    caller.request("UPDATE")
    proved = asked_and_proved(callee, "UPDATE", 401)
    callee.reply(proved, 200)
    assert caller.answer_to("UPDATE").code == 200
    until(lambda: box.redis(1).keys("dialog_vars:entry::*:cseq_diff") != [])
    box.kill("kamailio")
    box.restart("kamailio")
    until(box.answers)
    caller.request("BYE")
    bye = callee.asked("BYE")
    assert number(bye) > number(proved)
    callee.reply(bye, 200)
    answer = caller.answer_to("BYE")
    assert (answer.code, number(answer)) == (200, caller.cseq)
    until(lambda: box.counted() == {})
