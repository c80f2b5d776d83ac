"""Whoever is not known hears nothing, whoever misbehaves is not heard, and trunks notice none of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sbc.kind.render import Guard
from sbc.policy import Action, SourceRule, Tables, Trunk
from tests.system.sbc.box import OUTSIDE, OUTSIDE6, Box, run, until
from tests.system.sbc.calls import CALLS, call, carried, tables
from tests.system.sbc.wire import Wire, code, wire

pytestmark = pytest.mark.system

METHODS = (
    "OPTIONS",
    "INVITE",
    "REGISTER",
    "SUBSCRIBE",
    "MESSAGE",
    "NOTIFY",
    "INFO",
    "UPDATE",
    "BYE",
    "CANCEL",
    "REFER",
)
#: Seconds after which every source is judged anew: a judgement holds for half a second.
JUDGED_ANEW = 0.6
FAR_TAG = "To: <sip:100@sbc>;tag=abc"
#: A trunk on the carrier's side that proves itself by password, from wherever it is.
REMOTE = Trunk("remote", (), side="outside", by_password=True)
PASSWORD = "correct horse battery"
WITH_REMOTE = carried() | {
    "remote": dataclasses.replace(CALLS["carrier"], user="remote", password=PASSWORD, realm="sbc.example")
}


@pytest.fixture(scope="module")
def standing() -> Iterator[Box]:
    box = Box(guard=Guard(rate=20, burst=40, trusted_rate=100, ban=60, failures=5, within=30))
    try:
        box.start()
        yield box
    finally:
        box.close()


@pytest.fixture
def box(standing: Box) -> Iterator[Box]:
    """An SBC that holds nothing against anybody."""
    standing.load(tables(), carried())
    yield standing
    for ban in bans(standing):
        standing.rpc("guard.lift", ban)
    time.sleep(JUDGED_ANEW)


def bans(box: Box) -> dict[str, str]:
    """The reason of each banned address, as the program says it."""
    return {ban["address"]: ban["reason"] for ban in json.loads(box.program("bans").stdout)}


def is_banned(box: Box, host: int) -> bool:
    return f"{OUTSIDE}.{host}" in bans(box)


@contextmanager
def limits(box: Box, **changes: int) -> Iterator[None]:
    """The SBC with other limits for a while."""
    try:
        box.rpc("guard.limits", *dataclasses.astuple(dataclasses.replace(box.engine.guard, **changes)))
        yield
    finally:
        box.rpc("guard.limits", *dataclasses.astuple(box.engine.guard))


def reload(box: Box, wanted: Tables) -> None:
    box.load(wanted, WITH_REMOTE)
    time.sleep(JUDGED_ANEW)


# --- strangers ------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["", FAR_TAG], ids=["initial", "within-a-call"])
def test_a_stranger_hears_nothing_whatever_it_asks(box: Box, to: str) -> None:
    headers = (to,) if to else ()
    # Nobody is banned, so that each of these is looked at.
    with limits(box, ban=0), wire(box, "carrier", box.newcomer("carrier")) as stranger:
        assert stranger.codes((stranger.request(method, "100", *headers) for method in METHODS), 0.5) == []


def test_a_stranger_hears_nothing_of_what_is_wrong_with_its_message(box: Box) -> None:
    with wire(box, "carrier", box.newcomer("carrier")) as stranger:
        wrong = [
            stranger.request("OPTIONS", "100", "X-Long: " + "x" * 20_000),
            stranger.request("OPTIONS", "100", "Max-Forwards: 0"),
            stranger.request("OPTIONS", "100", "CSeq: x OPTIONS"),
            b"OPTIONS sip:100 SIP/2.0\r\n\r\n",
        ]
        assert stranger.codes(wrong, 0.5) == []


def test_a_trunk_is_answered_and_told_what_is_wrong(box: Box) -> None:
    with wire(box, "carrier", 2) as trunk:
        assert trunk.ask(trunk.request("OPTIONS")) == 200
        assert trunk.ask(trunk.request("REGISTER")) == 405
        assert trunk.ask(trunk.request("OPTIONS", "100", "X-Long: " + "x" * 20_000)) == 513
        assert trunk.ask(trunk.request("OPTIONS", "100", "Max-Forwards: 0")) == 483
        assert trunk.ask(trunk.request("BYE", "100", FAR_TAG)) == 481


def test_a_password_is_asked_for_only_where_a_trunk_has_one(box: Box) -> None:
    with wire(box, "carrier", box.newcomer("carrier")) as stranger:
        assert stranger.ask(stranger.request("INVITE")) is None
        reload(box, tables(REMOTE))
        assert stranger.ask(stranger.request("INVITE")) == 407
        assert stranger.ask(stranger.request("REGISTER")) == 401
        assert stranger.codes([stranger.request("BYE", "100", FAR_TAG), stranger.request("ACK")], 0.3) == []


# --- source rules ---------------------------------------------------------------------------


def test_a_rule_is_in_force_within_a_second_and_the_longest_prefix_decides(box: Box) -> None:
    wide, narrow = SourceRule(f"{OUTSIDE}.0/24", Action.DENY), SourceRule(f"{OUTSIDE}.2/32", Action.ALLOW, "outside")
    with wire(box, "carrier", 2) as trunk:
        for rules, answer in (((wide,), None), ((wide, narrow), 200), ((wide,), None), ((), 200)):
            box.load(dataclasses.replace(tables(), rules=rules), carried())
            time.sleep(1.0)
            assert trunk.ask(trunk.request("OPTIONS"), 0.3) == answer


# --- limits and bans ------------------------------------------------------------------------


def test_the_limit_of_messages_is_exact(box: Box) -> None:
    """The trunk's limit is 100 a second, and as many at once."""
    with wire(box, "carrier", 2) as trunk:
        started = time.monotonic()
        for _ in range(300):
            trunk.send(trunk.request("OPTIONS"))
        answered = list(trunk.heard(1.0))
        took = time.monotonic() - started - 1.0
    assert 100 <= len(answered) <= 101 + 100 * (took + 0.1)
    assert not is_banned(box, 2), "a trunk is limited, not banned"


def test_who_is_no_trunk_and_too_fast_is_banned(box: Box) -> None:
    reload(box, tables(REMOTE))
    host = box.newcomer("carrier")
    # So many failures are allowed that it is the rate, and nothing else.
    with limits(box, failures=1000), wire(box, "carrier", host) as source:
        answered = source.codes([source.request("OPTIONS") for _ in range(60)], 0.5)
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "rate", 2)
    assert set(answered) == {407}
    assert len(answered) <= 45


def test_a_stranger_is_banned_and_a_digest_trunk_makes_it_one_who_is_asked(box: Box) -> None:
    host = box.newcomer("carrier")
    with wire(box, "carrier", host) as stranger:
        stranger.send(stranger.request("OPTIONS"))
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "stranger", 2)
        reload(box, tables(REMOTE))
        assert stranger.ask(stranger.request("OPTIONS")) == 407
    assert not is_banned(box, host)


def test_malformed_messages_are_counted_and_end_in_a_ban(box: Box) -> None:
    reload(box, tables(REMOTE))
    host = box.newcomer("carrier")
    with wire(box, "carrier", host) as source:
        assert source.ask(source.request("OPTIONS")) == 407
        for _ in range(4):
            source.send(source.request("OPTIONS").replace(b"CSeq", b"XSeq"))
        assert source.ask(source.request("OPTIONS")) == 407
        source.send(source.request("OPTIONS", "100", "X-Long: " + "x" * 20_000))
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "malformed", 2)


def test_a_scanner_that_says_so_is_banned_at_once(box: Box) -> None:
    host = ban(box)
    assert bans(box)[f"{OUTSIDE}.{host}"] == "scanner"


@pytest.mark.parametrize(
    ("agent", "caller"),
    [
        ("VaxSIPUserAgent/3.5", "<sip:200@pbx.example>;tag=7d01"),
        ("Smapper 2", '"Siwar Smap" <sip:siwar@pbx.example>;tag=8f0131323334zz'),
        ("Yealink SIP-T46U 108.86", "<sip:200@pbx.example>;tag=3962107131"),
        ("Linphone Desktop/5.2", "<sip:200@pbx.example>;tag=01353235a9"),
    ],
)
def test_an_honest_telephone_is_not_taken_for_a_scanner(box: Box, agent: str, caller: str) -> None:
    reload(box, tables(REMOTE))
    with wire(box, "carrier", box.newcomer("carrier")) as phone:
        for _ in range(2):
            assert phone.ask(phone.request("REGISTER", "200", f"From: {caller}", agent=agent)) == 401


def ban(box: Box) -> int:
    """An address of the carrier's side, banned."""
    host = box.newcomer("carrier")
    with wire(box, "carrier", host) as stranger:
        stranger.send(stranger.request("OPTIONS", agent="friendly-scanner"))
    until(lambda: is_banned(box, host), 2)
    return host


def test_a_ban_outlives_a_kill(box: Box) -> None:
    host = ban(box)
    until(lambda: box.redis().exists(f"live:ban:{OUTSIDE}.{host}") == 1, 3)
    before = json.loads(box.program("bans").stdout)
    box.kill("kamailio")
    box.restart("kamailio")
    until(box.answers)
    assert json.loads(box.program("bans").stdout) == before


def test_a_lifted_ban_is_lifted_for_good(box: Box) -> None:
    host = ban(box)
    key = f"live:ban:{OUTSIDE}.{host}"
    until(lambda: box.redis().exists(key) == 1, 3)
    assert box.program("lift", f"{OUTSIDE}.{host}").returncode == 0
    assert not is_banned(box, host)
    until(lambda: box.redis().exists(key) == 0, 3)
    assert box.program("lift", f"{OUTSIDE}.{host}").stdout.strip() == "it is not banned"


def test_a_ban_is_lifted_by_the_tables_unless_it_is_newer(box: Box) -> None:
    host = ban(box)
    now = int(time.time())
    box.redis().hset("sbc:lifts", f"{OUTSIDE}.{host}", now - 10)
    time.sleep(1.5)
    assert is_banned(box, host)
    box.redis().hset("sbc:lifts", f"{OUTSIDE}.{host}", now + 1)
    until(lambda: not is_banned(box, host), 2)


def test_a_banned_address_that_becomes_a_trunks_is_heard_within_a_second(box: Box) -> None:
    host = ban(box)
    with wire(box, "carrier", host) as source:
        assert source.ask(source.request("OPTIONS"), 0.2) is None
        new = Trunk("new", (f"{OUTSIDE}.{host}/32",), side="outside")
        box.load(tables(new), carried() | {"new": CALLS["carrier"]})
        time.sleep(1.0)
        assert source.ask(source.request("OPTIONS")) == 200
    assert not is_banned(box, host)


# --- passwords ------------------------------------------------------------------------------


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


def credentials(user: str, password: str, nonce: str, method: str, uri: str) -> str:
    """The answer to a challenge (RFC 2617)."""
    response = md5(md5(user, "sbc.example", password), nonce, "00000001", "0a", "auth", md5(method, uri))
    fields = f'username="{user}", realm="sbc.example", nonce="{nonce}", uri="{uri}", response="{response}"'
    return f'Digest {fields}, qop=auth, nc=00000001, cnonce="0a"'


def invite(caller: Wire, user: str, password: str, number: str = "+4940222") -> int | None:
    """What comes of a call with this password, once it was asked for."""
    call_id = f"Call-ID: {secrets.token_hex(8)}"
    caller.send(caller.request("INVITE", number, call_id))
    # What answers another call is repeated for a while: nobody acknowledges here.
    challenge = next(answer for answer in caller.heard(1.0) if call_id.encode() in answer).decode()
    assert challenge.startswith("SIP/2.0 407"), challenge
    [nonce] = re.findall(r'nonce="([^"]+)"', challenge)
    uri = f"sip:{number}@{caller.sbc}"
    header = f"Proxy-Authorization: {credentials(user, password, nonce, 'INVITE', uri)}"
    caller.send(caller.request("INVITE", number, header, call_id, "CSeq: 2 INVITE"))
    mine = (answer for answer in caller.heard(0.5) if call_id.encode() in answer and b"\r\nCSeq: 2 " in answer)
    return next((found for found in map(code, mine) if found != 100), None)


def test_who_has_the_password_may_call_and_who_guesses_is_banned(box: Box) -> None:
    reload(box, tables(REMOTE, routes=()))
    host, nine = box.newcomer("carrier"), box.newcomer("carrier")
    with wire(box, "carrier", nine) as owner, wire(box, "carrier", host) as guesser:
        assert invite(owner, "remote", PASSWORD) == 404  # there is no route: it was let in
        assert invite(guesser, "remote", "guess") == 407
        for _ in range(4):
            assert invite(guesser, "nobody", "guess") == 407, "a user who is none is answered alike"
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "password", 2)
        assert invite(owner, "remote", PASSWORD) == 404


def test_who_only_ever_asks_is_banned_in_the_end(box: Box) -> None:
    reload(box, tables(REMOTE))
    host = box.newcomer("carrier")
    with limits(box, rate=1000, burst=1000):  # so that it is not the rate
        with wire(box, "carrier", host) as enumerator:
            for user in range(101):
                enumerator.send(enumerator.request("INVITE", str(user)))
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "unproved", 2)


def test_who_has_the_password_and_dials_numbers_that_are_none_is_banned_late(box: Box) -> None:
    reload(box, tables(REMOTE, routes=()))
    host = box.newcomer("carrier")
    with limits(box, failures=1):
        with wire(box, "carrier", host) as caller:
            for _ in range(19):
                assert invite(caller, "remote", PASSWORD) == 404
            assert not is_banned(box, host)
            invite(caller, "remote", PASSWORD)
        until(lambda: bans(box).get(f"{OUTSIDE}.{host}") == "nowhere", 2)


def test_many_who_guess_one_password_lock_out_strangers_and_not_its_owner(box: Box) -> None:
    reload(box, tables(REMOTE, routes=()))
    with wire(box, "carrier", box.newcomer("carrier")) as owner:
        assert invite(owner, "remote", PASSWORD) == 404
        box.rpc("htable.seti", "wrong", "remote", 20)  # as after 20 wrong ones from as many addresses
        with wire(box, "carrier", box.newcomer("carrier")) as other:
            assert invite(other, "remote", PASSWORD) == 407
        assert invite(owner, "remote", PASSWORD) == 404
        with wire(box, "carrier", box.newcomer("carrier")) as other:
            assert invite(other, "remote", PASSWORD) == 404, "its success ends the lock-out"


# --- IPv6: a site has a whole /64, and speaks from any of its addresses ---------------------

#: A /64 of the carrier's side where no trunk is.
SITE = "2001:db8:78:1:"


def six(box: Box, address: str) -> str:
    """An IPv6 address of the carrier's side, and the way to it."""
    run("ip", "-n", box.namespace("carrier"), "addr", "replace", f"{address}/64", "dev", "sbc0", "nodad")
    there = run("docker", "inspect", "-f", "{{.State.Pid}}", box.name).strip()
    run("nsenter", f"--net=/proc/{there}/ns/net", "ip", "-6", "route", "replace", f"{SITE}:/64", "dev", "outside")
    return address


def test_a_ban_is_of_the_whole_64_and_not_of_a_trunk_in_it(box: Box) -> None:
    reload(box, tables(REMOTE))
    scanner, neighbour, trunk = (six(box, f"{OUTSIDE6}:{last}") for last in ("a1", "a2", "2"))
    with (
        wire(box, "carrier", scanner) as one,
        wire(box, "carrier", neighbour) as other,
        wire(box, "carrier", trunk) as own,
    ):
        assert own.ask(own.request("OPTIONS")) == 200
        one.send(one.request("OPTIONS", agent="friendly-scanner"))
        until(lambda: bans(box) == {f"{OUTSIDE6}:/64": "scanner"}, 2)
        assert other.ask(other.request("OPTIONS"), 0.3) is None
        assert own.ask(own.request("OPTIONS")) == 200
        until(lambda: box.redis().exists(f"live:ban:{OUTSIDE6}:/64") == 1, 3)
        box.kill("kamailio")
        box.restart("kamailio")
        until(box.answers)
        for _ in range(30):
            other.send(other.request("OPTIONS"))
        assert own.ask(own.request("OPTIONS")) == 200, "whatever its neighbours do"
        assert list(other.heard(0.3)) == []
        assert box.program("lift", neighbour).returncode == 0
        until(lambda: other.ask(other.request("OPTIONS")) == 407, 2)
    assert bans(box) == {}


def test_the_addresses_of_a_64_share_one_limit(box: Box) -> None:
    """It is 20 a second, and 40 at once."""
    reload(box, tables(REMOTE))
    hosts = [six(box, f"{SITE}:{last:x}") for last in range(1, 13)]
    answered: list[int] = []
    with limits(box, failures=1000):
        started = time.monotonic()
        for host in hosts:
            with wire(box, "carrier", host) as source:
                answered += source.codes([source.request("OPTIONS") for _ in range(10)], 0.02)
        took = time.monotonic() - started
        until(lambda: bans(box) == {f"{SITE}:/64": "rate"}, 2)
    assert 30 <= len(answered) <= 41 + 20 * took


def test_who_has_proved_himself_is_heard_whatever_his_neighbours_do(box: Box) -> None:
    reload(box, tables(REMOTE, routes=()))
    owner, guesser = six(box, f"{SITE}:b1"), six(box, f"{SITE}:b2")
    with wire(box, "carrier", owner) as one, wire(box, "carrier", guesser) as other:
        assert invite(one, "remote", PASSWORD) == 404
        for _ in range(5):
            assert invite(other, "remote", "guess") == 407
        until(lambda: bans(box) == {f"{SITE}:/64": "password"}, 2)
        assert other.ask(other.request("OPTIONS"), 0.3) is None
        assert invite(one, "remote", PASSWORD) == 404


# --- trunks notice nothing ------------------------------------------------------------------


def test_a_call_passes_while_strangers_shout(box: Box) -> None:
    hosts = [box.newcomer("carrier") for _ in range(2)]
    with wire(box, "carrier", hosts[0]) as one, wire(box, "carrier", hosts[1]) as other:
        for stranger in (one, other):
            for _ in range(500):
                stranger.send(stranger.request("INVITE", agent="friendly-scanner"))
        call(box, "pbx", "carrier", "call", "answer")
