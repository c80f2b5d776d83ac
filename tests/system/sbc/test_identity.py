"""Who calls is told to whom it may be told, and believed of whom it may be believed (RFC 3325)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from sbc.policy import CallerId
from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box
from tests.system.sbc.calls import CARRIER, PBX, carried, tables
from tests.system.sbc.phone import Message, Phone, hang_up, phones

pytestmark = pytest.mark.system

#: What the caller says of himself, besides +4930111 in From: a number and a name that his side vouches for.
ASSERTED = {"P-Asserted-Identity": f'"Secretname" <sip:+4930777@{INSIDE}.2>'}
PRIVATE = {"Privacy": "id"}
NUMBERS = ("4930111", "4930777")
#: What the other side never learns, whatever it may know of who calls.
SECRETS = ("secret", f"{INSIDE}.", "30111@10.")


@pytest.fixture
def pair(box: Box) -> Iterator[tuple[Phone, Phone]]:
    with phones(box) as both:
        yield both


def call(
    box: Box, pair: tuple[Phone, Phone], headers: dict[str, str], *, believed: bool = False, **carrier: Any
) -> Message:
    """The INVITE of a call from the PBX as the carrier sees it, the call having been played to its end."""
    trunks = (dataclasses.replace(PBX, trusted=believed), dataclasses.replace(CARRIER, **carrier))
    box.load(tables(*trunks), carried())
    caller, callee = pair
    box.capture()
    caller.invite(headers=headers)
    invite = callee.asked("INVITE")
    callee.reply(invite, 200, callee.describe(), {"P-Asserted-Identity": f"<sip:hidden@{OUTSIDE}.2>"})
    assert caller.answer_to("INVITE").code == 200
    caller.acknowledge()
    callee.asked("ACK")
    hang_up(caller, callee)
    files = box.captured()
    outside, inside = leaks.messages(files["carrier"]), leaks.messages(files["pbx"])
    assert leaks.leaks(outside, SECRETS) == set()
    assert leaks.leaks(inside, ("hidden", f"{OUTSIDE}.")) == set()
    if told(invite) == (NOBODY, None, "id"):
        assert leaks.leaks(outside, NUMBERS) == set()
    return invite


def told(invite: Message) -> tuple[str, str | None, str | None]:
    """From without its tag, P-Asserted-Identity and Privacy."""
    headers = invite.headers
    name = headers["from"].partition(";tag=")[0]
    return name, headers.get("p-asserted-identity"), headers.get("privacy")


ALICE = f'"Alice" <sip:+4930111@{OUTSIDE}.1>'
NOBODY = '"Anonymous" <sip:anonymous@anonymous.invalid>'
OTHER = f"<sip:+4930777@{OUTSIDE}.1>"


@pytest.mark.parametrize(
    ("believed", "carrier", "headers", "seen"),
    [
        (False, {}, ASSERTED, (ALICE, None, None)),
        (False, {"trusted": True}, ASSERTED, (ALICE, None, None)),
        (True, {}, ASSERTED, (ALICE, None, None)),
        (True, {"trusted": True}, ASSERTED, (ALICE, OTHER, None)),
        (True, {"trusted": True}, {"P-Asserted-Identity": "<tel:+4930777>"}, (ALICE, OTHER, None)),
        (True, {"trusted": True}, ASSERTED | PRIVATE, (ALICE, OTHER, "id")),
        (True, {}, ASSERTED | PRIVATE, (NOBODY, None, "id")),
        (True, {}, ASSERTED | {"Privacy": "header; user"}, (NOBODY, None, "id")),
        (True, {}, ASSERTED | {"Privacy": "none"}, (ALICE, None, None)),
        (True, {"caller_id": CallerId.ASSERTED}, ASSERTED, (ALICE, OTHER, None)),
        (True, {"caller_id": CallerId.ASSERTED}, ASSERTED | PRIVATE, (NOBODY, None, "id")),
        (False, {"caller_id": CallerId.ASSERTED}, ASSERTED, (ALICE, f"<sip:+4930111@{OUTSIDE}.1>", None)),
        (True, {"caller_id": CallerId.ANONYMOUS, "trusted": True}, ASSERTED, (NOBODY, None, "id")),
        (True, {"trusted": True}, {"P-Asserted-Identity": "<<sip:"}, (ALICE, None, None)),
    ],
)
def test_a_trunk_learns_of_who_calls_what_it_may(
    box: Box,
    pair: tuple[Phone, Phone],
    believed: bool,
    carrier: dict[str, Any],
    headers: dict[str, str],
    seen: tuple[str, str | None, str | None],
) -> None:
    assert told(call(box, pair, headers, believed=believed, **carrier)) == seen


def test_who_hides_in_from_is_named_to_trusted_trunks_alone(box: Box, pair: tuple[Phone, Phone]) -> None:
    hiding = {"From": f'"Anonymous" <sip:anonymous@anonymous.invalid>;tag={pair[0].tag}', **ASSERTED}
    assert told(call(box, pair, hiding, believed=True, trusted=True)) == (NOBODY, OTHER, "id")
    with phones(box) as others:
        hiding["From"] = f'"Anonymous" <sip:anonymous@anonymous.invalid>;tag={others[0].tag}'
        assert told(call(box, others, hiding, believed=True, caller_id=CallerId.ASSERTED)) == (NOBODY, None, "id")
