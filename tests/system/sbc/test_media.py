"""Media pass as they must, encrypted as each side wants them, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sbc.kind.entries import Srtp
from tests.system.sbc.box import OUTSIDE, Box, until
from tests.system.sbc.calls import carried, tables
from tests.system.sbc.hiding import hiding
from tests.system.sbc.phone import Message, Phone, connect, hang_up, phones
from tests.system.sbc.rtp import EVENT, PCMA, Stream, exchange

pytestmark = pytest.mark.system

#: Half a second of speech.
SOME = 25
#: Longer than the relay takes to settle on the source of a stream, which is 3 to 4 s.
LEARNED = 220


@pytest.fixture
def pair(box: Box) -> Iterator[tuple[Phone, Phone]]:
    with phones(box) as both:
        yield both


def refused(caller: Phone, code: int, offer: str) -> None:
    caller.invite(body=offer)
    assert caller.answer_to("INVITE").code == code
    caller.acknowledge()


def crypto(message: Message) -> bool:
    return "a=crypto:" in message.body


def assert_both_hear(caller: Phone, callee: Phone, packets: int = SOME) -> None:
    before = [phone.media.heard.total() for phone in (caller, callee)]
    exchange([caller.media, callee.media], packets)
    heard = [phone.media.heard.total() - was for phone, was in zip((caller, callee), before, strict=True)]
    assert heard == [packets, packets]


def test_media_and_digits_pass_both_ways_unchanged(pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    connect(caller, callee)
    assert_both_hear(caller, callee)
    digit = bytes([5, 0x8A, 0, 160])
    caller.media.send(digit, EVENT)
    time.sleep(0.1)
    callee.media.listen()
    assert callee.media.heard == {PCMA: SOME, EVENT: 1}
    assert callee.media.bodies[-1] == digit
    hang_up(caller, callee)


def test_early_media_are_heard_before_the_call_is_answered(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    with hiding(box):
        caller.invite()
        invite = callee.asked("INVITE")
        callee.reply(invite, 183, callee.describe())
        while (progress := caller.receive()).code != 183:
            assert progress.code == 100
        caller.media.towards(progress.body)
        exchange([callee.media], SOME)
        caller.media.listen()
        assert caller.media.heard.total() == SOME
        callee.reply(invite, 200, callee.describe())
        assert caller.answer_to("INVITE").code == 200
        caller.acknowledge()
        callee.asked("ACK")
        assert_both_hear(caller, callee)
        hang_up(caller, callee)


@pytest.mark.parametrize("srtp", [False, True], ids=["rtp", "srtp"])
def test_a_call_is_held_and_resumed_from_either_side(box: Box, pair: tuple[Phone, Phone], srtp: bool) -> None:
    caller, callee = pair
    box.load(tables(), carried(pbx={"srtp": Srtp.REQUIRED if srtp else Srtp.OFF}))
    with hiding(box):
        connect(caller, callee, caller.describe(srtp=srtp))
        assert_both_hear(caller, callee)
        for holder, held, encrypted in ((caller, callee, srtp), (callee, caller, False)):
            offered, _ = renegotiate(holder, held, encrypted, "sendonly", "recvonly", held_srtp=srtp and held is caller)
            assert "a=sendonly" in offered.body
            before = held.media.heard.total()
            exchange([holder.media], SOME)
            held.media.listen()
            assert held.media.heard.total() == before + SOME, "music on hold passes"
            renegotiate(holder, held, encrypted, "sendrecv", "sendrecv", held_srtp=srtp and held is caller)
            assert_both_hear(caller, callee)
        hang_up(caller, callee)
    assert caller.media.spoiled == callee.media.spoiled == 0


def renegotiate(
    asking: Phone, asked: Phone, srtp: bool, offered: str, answered: str, *, held_srtp: bool
) -> tuple[Message, Message]:
    """A re-INVITE and its answer, as they arrived."""
    asking.request("INVITE", asking.describe(srtp=srtp, direction=offered))
    invite = asked.asked("INVITE")
    asked.media.towards(invite.body)
    asked.reply(invite, 200, asked.describe(srtp=held_srtp, direction=answered))
    answer = asking.answer_to("INVITE")
    assert answer.code == 200
    asking.acknowledge()
    asked.asked("ACK")
    return invite, answer


def test_the_relay_writes_down_a_call_that_is_answered_and_none_that_rings(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    before = set(box.redis(2).keys())
    caller.invite()
    invite = callee.asked("INVITE")
    assert set(box.redis(2).keys()) <= before
    callee.reply(invite, 200, callee.describe())
    assert caller.answer_to("INVITE").code == 200
    assert len(set(box.redis(2).keys()) - before) == 1
    caller.acknowledge()
    callee.asked("ACK")
    hang_up(caller, callee)
    until(lambda: set(box.redis(2).keys()) <= before)


@pytest.fixture
def stranger(box: Box) -> Iterator[Stream]:
    """Somebody on the carrier's side who is not the callee."""
    stream = Stream(box.namespace("carrier"), f"{OUTSIDE}.7", 30000)
    yield stream
    stream.close()


def test_what_a_stranger_sends_is_not_passed_on(pair: tuple[Phone, Phone], stranger: Stream) -> None:
    caller, callee = pair
    connect(caller, callee)
    assert_both_hear(caller, callee, LEARNED)
    stranger.peer = callee.media.peer
    exchange([stranger, caller.media, callee.media], SOME)
    assert caller.media.heard.total() == callee.media.heard.total() == LEARNED + SOME
    assert stranger.heard.total() == 0
    hang_up(caller, callee)


def test_a_stranger_who_speaks_first_does_not_get_the_call(pair: tuple[Phone, Phone], stranger: Stream) -> None:
    caller, callee = pair
    connect(caller, callee)
    stranger.peer = callee.media.peer
    exchange([stranger], SOME)
    exchange([caller.media, callee.media, stranger], LEARNED)
    assert stranger.heard.total() <= 1
    assert callee.media.heard.total() >= LEARNED - 1
    heard = caller.media.heard.total()
    exchange([stranger, callee.media], SOME)
    caller.media.listen()
    assert caller.media.heard.total() == heard + SOME
    hang_up(caller, callee)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        (Srtp.REQUIRED, Srtp.OFF),
        (Srtp.OFF, Srtp.REQUIRED),
        (Srtp.REQUIRED, Srtp.REQUIRED),
        (Srtp.OPTIONAL, Srtp.OPTIONAL),
    ],
)
def test_each_side_has_the_encryption_it_wants(
    box: Box, pair: tuple[Phone, Phone], inside: Srtp, outside: Srtp
) -> None:
    caller, callee = pair
    box.load(tables(), carried(pbx={"srtp": inside}, carrier={"srtp": outside}))
    offer = caller.describe(srtp=inside is not Srtp.OFF)
    profile = "RTP/AVP" if outside is Srtp.OPTIONAL else ""
    invite, answered = connect(
        caller, callee, offer, lambda: callee.describe(srtp=outside is not Srtp.OFF, profile=profile)
    )
    assert (crypto(answered), crypto(invite)) == (inside is not Srtp.OFF, outside is not Srtp.OFF)
    assert_both_hear(caller, callee)
    assert caller.media.spoiled == callee.media.spoiled == 0
    hang_up(caller, callee)
    record = box.record()
    assert (record["srtp_in"], record["srtp_out"]) == (inside is not Srtp.OFF, outside is not Srtp.OFF)


def test_encrypted_media_go_on_when_their_sequence_numbers_go_round(box: Box, pair: tuple[Phone, Phone]) -> None:
    """After 22 minutes of speech; SRTP counts how often (RFC 3711, 3.3.1)."""
    caller, callee = pair
    box.load(tables(), carried(pbx={"srtp": Srtp.REQUIRED}))
    connect(caller, callee, caller.describe(srtp=True))
    caller.media.sequence = callee.media.sequence = 0x10000 - SOME // 2
    assert_both_hear(caller, callee)
    hang_up(caller, callee)
    assert caller.media.spoiled == callee.media.spoiled == 0


def test_encryption_that_is_optional_may_be_declined(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.load(tables(), carried(pbx={"srtp": Srtp.OPTIONAL}, carrier={"srtp": Srtp.OPTIONAL}))
    invite, answered = connect(caller, callee)
    assert crypto(invite) and "RTP/AVP" in invite.body
    assert not crypto(answered)
    assert_both_hear(caller, callee)
    hang_up(caller, callee)
    assert (box.record()["srtp_in"], box.record()["srtp_out"]) == (False, False)


def test_encryption_that_is_required_and_missing_is_refused(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, _ = pair
    box.load(tables(), carried(pbx={"srtp": Srtp.REQUIRED}))
    refused(caller, 488, caller.describe())
    assert (box.record()["code"], box.record()["cause"]) == (488, "refused")


def test_encryption_that_is_off_and_demanded_is_refused(pair: tuple[Phone, Phone]) -> None:
    caller, _ = pair
    refused(caller, 488, caller.describe(srtp=True))


def test_a_callee_that_declines_required_encryption_gets_no_call(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.load(tables(), carried(carrier={"srtp": Srtp.REQUIRED}))
    caller.invite()
    callee.reply(callee.asked("INVITE"), 200, callee.describe())
    answered = caller.answer_to("INVITE")
    caller.acknowledge()
    assert answered.body == ""
    for phone in pair:
        phone.reply(phone.asked("BYE"), 200)
    assert box.record()["cause"] == "failed"


def test_only_allowed_codecs_pass_in_the_order_of_the_trunk(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.load(tables(), carried(carrier={"codecs": ("PCMU", "PCMA")}))
    invite, _ = connect(caller, callee, caller.describe("G722", "PCMA", "PCMU", "telephone-event"))
    assert invite.codecs == ["PCMU", "PCMA", "telephone-event"]
    assert_both_hear(caller, callee)
    hang_up(caller, callee)


def test_the_codecs_of_the_calling_trunk_are_kept_to_as_well(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, callee = pair
    box.load(tables(), carried(pbx={"codecs": ("PCMA",)}))
    invite, _ = connect(caller, callee, caller.describe("PCMU", "PCMA"))
    assert invite.codecs == ["PCMA"]
    hang_up(caller, callee)


def test_a_call_without_a_common_codec_is_refused(box: Box, pair: tuple[Phone, Phone]) -> None:
    caller, _ = pair
    box.load(tables(), carried(carrier={"codecs": ("G729", "G722")}))
    refused(caller, 488, caller.describe("PCMA", "telephone-event"))
    record = box.record()
    assert (record["code"], record["cause"], record["attempts"][0]["code"]) == (488, "refused", 488)


@pytest.mark.parametrize(("offered", "answered"), [("PCMA", "opus"), ("opus", "PCMA"), ("G722", "PCMU")])
def test_media_are_translated_where_a_trunk_allows_it(
    box: Box, pair: tuple[Phone, Phone], offered: str, answered: str
) -> None:
    caller, callee = pair
    box.load(tables(), carried(carrier={"codecs": (answered,), "transcode": True}))
    invite, answer = connect(
        caller,
        callee,
        caller.describe(offered, "telephone-event"),
        lambda: callee.describe(answered, "telephone-event"),
    )
    assert invite.codecs[0] == answered and offered not in invite.codecs
    assert answer.codecs[0] == offered
    types = {"PCMU": 0, "PCMA": 8, "G722": 9, "opus": 96}
    caller.media.payload, callee.media.payload = types[offered], types[answered]
    if "opus" not in (offered, answered):
        exchange([caller.media, callee.media], 2 * SOME)
        assert callee.media.heard[types[answered]] > SOME
        assert caller.media.heard[types[offered]] > SOME
    else:
        speaker, listener = (caller, callee) if answered == "opus" else (callee, caller)
        exchange([speaker.media], 2 * SOME)
        listener.media.listen()
        assert listener.media.heard[96] > SOME
    hang_up(caller, callee)
