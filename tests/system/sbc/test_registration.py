"""The SBC registers with trunks, stays registered, and proves itself by password wherever it is asked to."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sbc.kind.entries import Calls, Registration, trunk_entries
from sbc.policy import Address, Route, Target, Trunk
from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, until
from tests.system.sbc.calls import CALLS, OUT, carried, tables
from tests.system.sbc.digest import challenge, credentials, is_proved
from tests.system.sbc.peer import Peer
from tests.system.sbc.phone import Message, Phone, hang_up, phones

pytestmark = pytest.mark.system

USER, PASSWORD, REALM = "line-1", "correct horse, battery", "registrar.example"
AT = f"sip:{OUTSIDE}.7:5060"
CONTACT = f"sip:{USER}@{OUTSIDE}.1:5060"
TRUNK = Trunk("line", (f"{OUTSIDE}.7/32",), (Address(AT),), side="outside", contact=USER)
REGISTERED = Registration(f"sip:{REALM}", f"sip:{USER}@{REALM}", CONTACT, 3600, (AT,))
REGISTERING = dataclasses.replace(
    CALLS["carrier"],
    host=REALM,
    user=USER,
    password=PASSWORD,
    registration=REGISTERED,
)


class Registrar(Peer):
    """Asks for the password of the one user it knows, and keeps his contact for so many seconds."""

    password, realm, expires = PASSWORD, REALM, 1800

    def reply(self, request: Message) -> tuple[int, dict[str, str]]:
        if request.method != "REGISTER":
            return super().reply(request)
        if not credentials(request):
            return 401, {"WWW-Authenticate": challenge(self.realm)}
        if not is_proved(request, self.realm, USER, self.password):
            return 403, {}
        return 200, {"Contact": f"{request.headers['contact'].partition(';')[0]};expires={self.expires}"}


@contextmanager
def registrar(box: Box, last: int = 7, **codes: int) -> Iterator[Registrar]:
    opened = Registrar(box, "carrier", last, **codes)
    try:
        yield opened
    finally:
        opened.close()


def load(box: Box, calls: Calls = REGISTERING, trunk: Trunk = TRUNK) -> None:
    there = Route("there", (Target("line"),), trunk="pbx")
    back = Route("back", (Target("pbx"),), trunk="line")
    box.load(tables(trunk, routes=(there, back)), carried() | {"line": calls})


def state(box: Box) -> dict[str, Any]:
    done = box.program("trunks", "--trunk", "line")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["trunks"]
    return dict(found["registration"])


def condition(box: Box) -> tuple[str, str]:
    (found,) = [item for item in json.loads(box.program("health").stdout) if item["type"] == "TrunksRegistered"]
    return found["status"], found["message"]


def test_the_sbc_registers_with_its_password_and_says_so(box: Box) -> None:
    with registrar(box) as there:
        load(box)
        until(lambda: state(box)["state"] == "registered")
        first, second = there.asked("REGISTER")
        assert first.start == second.start == f"REGISTER sip:{REALM} SIP/2.0"
        assert second.headers["contact"].startswith(f"<{CONTACT}>;expires=3600")
        assert second.headers["to"] == f"<sip:{USER}@{REALM}>"
        assert int(second.headers["cseq"].split()[0]) == int(first.headers["cseq"].split()[0]) + 1
    now = 1000 * time.time()
    shown = state(box)
    assert shown["until"] - now == pytest.approx(1_800_000, abs=20_000)
    assert (shown["code"], shown["tries"]) == (200, 0)
    assert condition(box) == ("true", "")


def test_a_registration_is_refreshed_before_it_ends_and_outlives_the_kill_of_signalling(box: Box) -> None:
    with registrar(box) as there:
        there.expires = 10
        load(box)
        until(lambda: state(box)["state"] == "registered")
        since, first = state(box)["since"], time.monotonic()
        box.kill("kamailio")
        box.restart("kamailio")
        until(box.answers)
        assert state(box)["state"] == "registered"
        there.wait_for("REGISTER", 2, seconds=10)
        assert time.monotonic() - first < 10
        until(lambda: state(box)["tries"] == 0)
        assert (state(box)["state"], state(box)["since"]) == ("registered", since)


def test_a_changed_password_takes_force_without_a_restart(box: Box) -> None:
    wrong = dataclasses.replace(REGISTERING, password="wrong horse")
    with registrar(box) as there:
        load(box, wrong)
        until(lambda: state(box)["code"] == 403)
        assert state(box)["state"] == "refused"
        assert condition(box) == ("false", "not registered with trunk line (answer 403)")
        started, changed = box.rpc("core.uptime")["up_since"], time.monotonic()
        box.put(trunk_entries(TRUNK, REGISTERING))
        until(lambda: len(there.asked("REGISTER", changed)) == 2, 1)
        until(lambda: state(box)["state"] == "registered")
        assert box.rpc("core.uptime")["up_since"] == started


def test_a_challenge_of_another_realm_is_not_answered(box: Box) -> None:
    with registrar(box) as there:
        there.realm = "elsewhere.example"
        load(box, dataclasses.replace(REGISTERING, realm=REALM))
        until(lambda: state(box)["code"] == 401)
        time.sleep(0.3)
        assert len(there.asked("REGISTER")) == 1


def test_a_registrar_that_is_silent_is_named(box: Box) -> None:
    load(box)
    until(lambda: state(box)["tries"] == 1)
    assert condition(box) == ("true", ""), "there was no time yet"
    until(lambda: condition(box) == ("false", "not registered with trunk line (no answer)"))


def test_a_call_from_the_registrar_to_the_contact_is_one_of_the_trunk_for_the_number_in_to(box: Box) -> None:
    load(box)
    caller, callee = Phone(box, "carrier", 7, media=31000), Phone(box, "pbx")
    try:
        caller.target, caller.local = f"sip:{USER}@{OUTSIDE}.1", f"<sip:+4930111@{REALM}>;tag={caller.tag}"
        caller.remote = f"<sip:+4940222@{REALM}>"
        caller.request("INVITE", caller.describe())
        invite = callee.asked("INVITE")
        assert invite.start.startswith("INVITE sip:+4940222@")
        callee.reply(invite, 486)
        assert caller.answer_to("INVITE").code == 486
        caller.acknowledge()
        until(lambda: [record["from_trunk"] for record in box.records()] == ["line"])
    finally:
        caller.close()
        callee.close()


# --- a registration that is no longer wanted ---


def farewells(there: Registrar) -> list[Message]:
    """The requests that take the contact away, proved by the password."""
    ended = [asked for asked in there.asked("REGISTER") if asked.headers["contact"].endswith(";expires=0")]
    return [asked for asked in ended if is_proved(asked, REALM, USER, PASSWORD)]


def remove(box: Box, calls: Calls = REGISTERING) -> None:
    box.put((), instead_of=trunk_entries(TRUNK, calls))


def test_a_trunk_that_is_removed_is_unregistered_and_one_that_comes_back_is_registered(box: Box) -> None:
    with registrar(box) as there:
        load(box)
        until(lambda: state(box)["state"] == "registered")
        remove(box)
        until(lambda: len(farewells(there)) == 1)
        assert farewells(there)[0].headers["contact"].startswith(f"<{CONTACT}>")
        assert farewells(there)[0].headers["expires"] == "0"
        until(lambda: box.redis().exists("live:bound") == 0)
        back = time.monotonic()
        box.put(trunk_entries(TRUNK, REGISTERING))
        until(lambda: len(there.asked("REGISTER", back)) == 2)
        until(lambda: state(box)["state"] == "registered")
        assert len(farewells(there)) == 1


def test_it_is_unregistered_also_when_signalling_and_registrar_were_away(box: Box) -> None:
    with registrar(box):
        load(box)
        until(lambda: state(box)["state"] == "registered")
    box.kill("kamailio")
    remove(box)
    box.restart("kamailio")
    until(box.answers)
    until(lambda: [kept.split()[2] for kept in box.redis().hvals("live:bound")] == ["1"])
    with registrar(box) as there:
        until(lambda: len(farewells(there)) == 1, 40)
        until(lambda: box.redis().exists("live:bound") == 0)


def test_a_changed_trunk_is_unregistered_where_its_contact_is_another_and_not_otherwise(box: Box) -> None:
    with registrar(box) as there:
        load(box)
        until(lambda: state(box)["state"] == "registered")
        longer = dataclasses.replace(REGISTERING, registration=dataclasses.replace(REGISTERED, expires=7200))
        box.put(trunk_entries(TRUNK, longer))
        until(lambda: [kept.split()[3] for kept in box.redis().hvals("live:bound")] == ["7200"])
        assert farewells(there) == []
        moved = dataclasses.replace(REGISTERED, contact=CONTACT.replace(USER, "line-2"))
        box.put(trunk_entries(TRUNK, dataclasses.replace(REGISTERING, registration=moved)))
        until(lambda: len(farewells(there)) == 1)
        assert farewells(there)[0].headers["contact"].startswith(f"<{CONTACT}>")
        until(lambda: state(box)["state"] == "registered")
        assert len(farewells(there)) == 1


# --- calls to a trunk that asks for a password ---

TO_CARRIER = (OUT,)
WITH_PASSWORD = {"user": USER, "password": PASSWORD}


@pytest.mark.parametrize(
    ("code", "asks", "answers"),
    [(401, "WWW-Authenticate", "authorization"), (407, "Proxy-Authenticate", "proxy-authorization")],
)
@pytest.mark.parametrize("realm", ["", REALM], ids=["any-realm", "its-realm"])
def test_a_challenged_call_is_placed_again_with_the_password(
    box: Box, code: int, asks: str, answers: str, realm: str
) -> None:
    box.load(tables(routes=TO_CARRIER), carried(carrier=WITH_PASSWORD | {"realm": realm}))
    with phones(box) as (caller, callee):
        caller.invite()
        first = callee.asked("INVITE")
        callee.reply(first, code, headers={asks: challenge(REALM)})
        callee.remote = ""
        callee.asked("ACK")
        second = callee.asked("INVITE")
        assert answers in second.headers
        assert is_proved(second, REALM, USER, PASSWORD)
        assert int(second.headers["cseq"].split()[0]) > int(first.headers["cseq"].split()[0])
        callee.reply(second, 200, callee.describe())
        assert caller.answer_to("INVITE").code == 200
        caller.acknowledge()
        ack = callee.asked("ACK")
        assert ack.headers["cseq"].split()[0] == second.headers["cseq"].split()[0]
        hang_up(caller, callee)
    assert [(attempt["trunk"], attempt["code"]) for attempt in box.record()["attempts"]] == [("carrier", 200)]


@pytest.mark.parametrize("realm", ["", "elsewhere.example"], ids=["wrong-password", "other-realm"])
def test_a_call_that_is_challenged_in_vain_ends(box: Box, realm: str) -> None:
    box.load(tables(routes=TO_CARRIER), carried(carrier=WITH_PASSWORD | {"realm": realm}))
    with phones(box) as (caller, callee):
        caller.invite()
        for _ in range(1 if realm else 2):
            callee.remote = ""
            callee.reply(callee.asked("INVITE"), 401, headers={"WWW-Authenticate": challenge(REALM)})
            callee.asked("ACK")
        assert caller.answer_to("INVITE").code == 403
        caller.acknowledge()
        assert callee.hears_nothing()


def test_neither_registering_nor_a_password_shows_anything(box: Box) -> None:
    box.capture()
    with registrar(box):
        load(box)
        until(lambda: state(box)["state"] == "registered")
    files = box.captured()
    outside, within = (leaks.messages(files[side]) for side in ("carrier", "pbx"))
    assert any(text.startswith(b"REGISTER") for text in outside)
    assert leaks.leaks(outside, (f"{INSIDE}.", f"{INSIDE}.1", "kamailio", "hide-", PASSWORD)) == set()
    assert not any(text.startswith((b"REGISTER", b"SIP/2.0 2")) for text in within)
    assert leaks.leaks(within, (f"{OUTSIDE}.", f"{OUTSIDE}.1", USER, REALM, PASSWORD)) == set()
    assert PASSWORD not in box.logs("kamailio") + box.program("trunks").stdout + box.program("health").stdout
