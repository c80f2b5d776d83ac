"""Neither side of the SBC learns anything of the other from the messages it sees."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import string
import time

import pytest

from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box
from tests.system.sbc.calls import CALL, IN, call, tables
from tests.system.sbc.hiding import WORDS, hiding
from tests.system.sbc.phone import Phone, hang_up
from tests.system.sbc.test_guarding import PASSWORD, REMOTE, WITH_REMOTE, credentials

pytestmark = pytest.mark.system


def test_the_search_finds_what_is_there_plainly_encoded_and_as_bytes() -> None:
    found = leaks.leaks(
        [b"x=MTAuMTEuMC4y; y=3130 3131; sip:10.11.0.2", b"Via: aaZsecretZZ"], ["10.11.0.2", "secret", "not"]
    )
    assert found == {"10.11.0.2", "secret"}
    assert leaks.leaks([b"branch=ABAsLAAg"], ["10.11.0.2"]) == set()
    assert leaks.leaks([b"contact=0a0b0002"], ["10.11.0.2"]) == {"10.11.0.2"}


def test_a_mapping_is_learned_from_one_known_value_where_there_is_one() -> None:
    """The attack finds out what it is made for: a fixed substitution, and a keystream that is used twice."""
    known, secret = b"sip:secretuser@10.11.0.2:5060", b"sip:secretuser@10.11.0.9:5060;x=secretuser@"
    plain = string.ascii_letters + string.digits + "+/"
    shifted = str.maketrans(plain, plain[7:] + plain[:7])
    fixed = [
        base64.b64encode(text).decode().translate(shifted).replace("+", "-").replace("/", "_")
        for text in (known, secret)
    ]
    assert leaks.learned([text.encode() for text in fixed], [known], ["secret", "nobody"]).keys() == {"secret"}
    stream = hashlib.sha512(b"key").digest()
    twice = [bytes(12) + bytes(a ^ b for a, b in zip(text, stream, strict=False)) for text in (known, secret)]
    sealed = [base64.urlsafe_b64encode(text).rstrip(b"=") for text in twice]
    assert leaks.learned(sealed, [known], ["10.11.0.", "nobody"]).keys() == {"10.11.0."}
    fresh = [base64.urlsafe_b64encode(hashlib.sha256(text).digest()) for text in (known, secret)]
    assert leaks.learned(fresh, [known], ["secret", "10.11.0."]) == {}


@pytest.mark.parametrize("scenario", list(CALL))
def test_a_call_outwards_shows_neither_side_the_other(box: Box, scenario: str) -> None:
    with hiding(box):
        call(box, "pbx", "carrier", *CALL[scenario])


def test_a_call_inwards_shows_neither_side_the_other(box: Box) -> None:
    # The roles are swapped: the caller, who says `secret`, is outside now.
    with hiding(box, {"pbx": ("hidden", f"{INSIDE}."), "carrier": ("secret", "inside.example", f"{OUTSIDE}.")}):
        call(box, "carrier", "pbx", "call", "answer")


def test_a_caller_who_proves_itself_by_password_shows_nothing_of_that(box: Box) -> None:
    box.load(tables(REMOTE, routes=(dataclasses.replace(IN, trunk="remote"),)), WITH_REMOTE)
    time.sleep(1.0)  # in which every source is judged anew
    host = box.newcomer("carrier")
    words = WORDS | {"carrier": (*WORDS["carrier"], "remote", "nonce", "response", "sbc.example")}
    with hiding(box, words):
        caller, callee = Phone(box, "carrier", host, media=31000), Phone(box, "pbx")
        try:
            caller.invite("+4930111")
            challenge = caller.answer_to("INVITE")
            assert challenge.code == 407
            caller.acknowledge()
            [nonce] = re.findall(r'nonce="([^"]+)"', challenge.headers["proxy-authenticate"])
            proof = credentials("remote", PASSWORD, nonce, "INVITE", caller.target)
            caller.request("INVITE", caller.describe(), {"Proxy-Authorization": proof})
            callee.reply(callee.asked("INVITE"), 200, callee.describe())
            assert caller.answer_to("INVITE").code == 200
            caller.acknowledge()
            callee.asked("ACK")
            hang_up(caller, callee)
        finally:
            caller.close()
            callee.close()


def test_every_call_has_sealed_values_of_its_own(box: Box) -> None:
    box.capture()
    for _ in range(2):
        call(box, "pbx", "carrier", "call", "answer")
    outside = leaks.messages(box.captured()["carrier"])
    contacts = sorted({match for text in outside for match in re.findall(rb"Contact: <sip:([\w-]{40,})@", text)})
    assert len(contacts) >= 2, "every call has a contact of its own"
    streams = [leaks.decoded(contact) for contact in contacts[:2]]
    shared = sum(a == b for a, b in zip(*streams, strict=False))
    assert shared < len(streams[0]) / 8, "no keystream is used twice"
