"""Neither side of the SBC learns anything of the other from the messages it sees."""

from __future__ import annotations

import re

import pytest

from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box
from tests.system.sbc.calls import CALL, call

pytestmark = pytest.mark.system

SECRETS = ("secret", "inside.example", "deep.", f"{INSIDE}.", f"{INSIDE}.2")
HIDDEN = ("hidden", "outside.example", f"{OUTSIDE}.", f"{OUTSIDE}.2")


def assert_nothing_leaks(box: Box) -> None:
    files = box.captured()
    outside, inside = (leaks.messages(files[side]) for side in ("carrier", "pbx"))
    assert outside and inside
    assert leaks.leaks(outside, SECRETS) == set()
    assert leaks.leaks(inside, HIDDEN) == set()


def test_the_search_finds_what_is_there_plainly_encoded_and_as_bytes() -> None:
    found = leaks.leaks(
        [b"x=MTAuMTEuMC4y; y=3130 3131; sip:10.11.0.2", b"Via: aaZsecretZZ"], ["10.11.0.2", "secret", "not"]
    )
    assert found == {"10.11.0.2", "secret"}
    assert leaks.leaks([b"branch=ABAsLAAg"], ["10.11.0.2"]) == set()
    assert leaks.leaks([b"contact=0a0b0002"], ["10.11.0.2"]) == {"10.11.0.2"}


@pytest.mark.parametrize("scenario", list(CALL))
def test_a_call_outwards_shows_neither_side_the_other(box: Box, scenario: str) -> None:
    box.capture()
    call(box, "pbx", "carrier", *CALL[scenario])
    assert_nothing_leaks(box)


def test_a_call_inwards_shows_neither_side_the_other(box: Box) -> None:
    box.capture()
    call(box, "carrier", "pbx", "call", "answer")
    files = box.captured()
    # The roles are swapped: the caller, who says `secret`, is outside now.
    assert leaks.leaks(leaks.messages(files["pbx"]), ("secret", "inside.example", f"{OUTSIDE}.")) == set()
    assert leaks.leaks(leaks.messages(files["carrier"]), ("hidden", f"{INSIDE}.")) == set()


def test_one_known_address_does_not_unravel_the_others(box: Box) -> None:
    box.capture()
    for _ in range(2):
        call(box, "pbx", "carrier", "call", "answer")
    outside = leaks.messages(box.captured()["carrier"])
    contacts = sorted({match for text in outside for match in re.findall(rb"Contact: <sip:([\w-]{40,})@", text)})
    assert len(contacts) >= 2, "every call has a contact of its own"
    known = f"sip:secretuser@{INSIDE}.2:5060".encode()
    for skipped in range(24):
        table = leaks.substitution(contacts[0][skipped:], known)
        assert leaks.leaks([leaks.read_with(table, contacts[1])], SECRETS) == set()
    streams = [leaks.decoded(contact) for contact in contacts[:2]]
    shared = sum(a == b for a, b in zip(*streams, strict=False))
    assert shared < len(streams[0]) / 8, "no keystream is used twice"
