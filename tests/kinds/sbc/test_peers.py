"""Which addresses of trunks answer: as it is written down, and the engine's functions, which must agree with it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbc import peers
from sbc.kind.entries import QUESTION_FIELDS, Calls, Check, Entry, Registration, trunk_entries
from sbc.peers import SILENCE, Answers, Health, Reply, after, pause
from sbc.policy import Address, Trunk

FIRST, SECOND = "sip:192.0.2.7:5060", "sip:192.0.2.8:5060;transport=tcp"
CARRIER = Trunk("carrier", ("192.0.2.7/32",), (Address(FIRST), Address(SECOND)), side="outside")
CALLS = Calls("udp:192.0.2.1:5060", "192.0.2.1", "carrier.example", "outside", check=Check(30, 3))
NOW = 1_700_000_000_000


def load(store: Any, *trunks: Trunk, check: Check | None = CALLS.check, calls: Calls | None = None) -> None:
    """Make the tables those of these trunks, and keep what the engine has found out."""
    store.delete(*(store.keys("sbc:*") or ["none"]))
    calls = calls or dataclasses.replace(CALLS, check=check)
    for trunk in trunks:
        write(store, *trunk_entries(trunk, calls))


def write(store: Any, *entries: Entry) -> None:
    for entry in entries:
        if entry.value is not None:
            store.hset(entry.key, entry.field, entry.value)


@pytest.fixture
def fresh(store: Any) -> Any:
    store.flushdb()
    load(store, CARRIER)
    return store


def asked(store: Any, now: int, cursor: str = "0", most: int = 50) -> list[dict[str, str]]:
    """What the engine would ask now, field by field."""
    _, *found = store.execute_command("FCALL", "questions", 0, cursor, most, now)
    return [dict(zip(QUESTION_FIELDS, question.split("\t"), strict=True)) for question in found]


def answer(store: Any, uri: str, code: int, now: int, trunk: str = "carrier") -> None:
    store.execute_command("FCALL", "answered", 0, f"OPTIONS {trunk} {uri}", code, "", now)


def state(store: Any, now: int = NOW) -> dict[str, Any]:
    _, _, encoded = store.execute_command("FCALL_RO", "peers", 0, "", "0", "carrier", now)
    return dict(json.loads(encoded))


def known(store: Any) -> dict[str, Answers]:
    """What the engine says of the carrier's addresses."""
    return {
        address["uri"]: Answers(
            Health(address["state"]),
            address["failures"],
            address["since"] or 0,
            address["code"] or SILENCE,
            address["answered"] or 0,
        )
        for address in state(store)["addresses"]
    }


# --- what answers mean ---


def test_an_address_is_down_after_so_many_failures_and_up_with_the_first_success() -> None:
    known = Answers()
    for second, (code, health) in enumerate(
        [(SILENCE, "unknown"), (SILENCE, "unknown"), (503, "down"), (SILENCE, "down"), (200, "up"), (SILENCE, "up")]
    ):
        known = after(known, code, 3, second)
        assert known.health == health, second
    assert known == Answers(Health.UP, 1, 4, SILENCE, 4)


@pytest.mark.parametrize("code", [200, 401, 403, 404, 405, 481, 500, 501])
def test_a_refusal_is_a_sign_of_life(code: int) -> None:
    assert after(Answers(), code, 1, 5) == Answers(Health.UP, 0, 5, code, 5)


@pytest.mark.parametrize("code", [SILENCE, 408, 503])
def test_silence_and_being_unable_are_failures(code: int) -> None:
    assert after(Answers(), code, 1, 5).health is Health.DOWN


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codes=st.lists(st.tuples(st.sampled_from([FIRST, SECOND]), st.sampled_from([0, 0, 0, 200, 404, 408, 503]))),
    failures=st.integers(1, 4),
)
def test_the_engine_finds_what_is_written_down(store: Any, codes: list[tuple[str, int]], failures: int) -> None:
    store.flushdb()
    load(store, CARRIER, check=Check(30, failures))
    expected = {FIRST: Answers(), SECOND: Answers()}
    for second, (uri, code) in enumerate(codes, start=1):
        answer(store, uri, code, second)
        expected[uri] = after(expected[uri], code, failures, second)
    assert known(store) == expected
    down = {f"carrier {uri}" for uri, answers in expected.items() if answers.health is Health.DOWN}
    assert store.smembers("live:down") == down
    assert set(store.execute_command("FCALL_RO", "down", 0)) == down


# --- who is asked when ---


def test_each_address_is_asked_at_once_and_then_at_the_interval(fresh: Any) -> None:
    questions = asked(fresh, NOW)
    assert [question["uri"] for question in questions] == [FIRST, SECOND]
    assert questions[0] == {
        "method": "OPTIONS",
        "uri": FIRST,
        "socket": "udp:192.0.2.1:5060",
        "request": "sip:carrier.example",
        "sender": "sip:192.0.2.1",
        "target": "sip:carrier.example",
        "about": f"OPTIONS carrier {FIRST}",
        "headers": "",
        "user": "",
        "password": "",
    }
    assert asked(fresh, NOW + 29_999) == []
    assert len(asked(fresh, NOW + 30_000)) == 2


def test_a_changed_trunk_is_asked_at_once_as_it_is_now(fresh: Any) -> None:
    asked(fresh, NOW)
    for uri in (FIRST, SECOND):
        answer(fresh, uri, 200, NOW)
    moved = dataclasses.replace(CARRIER, addresses=(Address(SECOND), Address("sip:192.0.2.9")))
    load(fresh, moved)
    assert [question["uri"] for question in asked(fresh, NOW + 100)] == [SECOND, "sip:192.0.2.9"]
    assert {uri: answers.health for uri, answers in known(fresh).items()} == {SECOND: "up", "sip:192.0.2.9": "unknown"}
    assert len(asked(fresh, NOW + 30_000)) == 0, "the way it was is not asked any more"
    assert len(asked(fresh, NOW + 30_100)) == 2


@pytest.mark.parametrize("trunks", [(), (dataclasses.replace(CARRIER, enabled=False),)], ids=["gone", "off"])
def test_a_trunk_that_is_gone_or_off_is_not_asked_and_forgotten(fresh: Any, trunks: tuple[Trunk, ...]) -> None:
    asked(fresh, NOW)
    for _ in range(3):
        answer(fresh, FIRST, SILENCE, NOW)
    assert fresh.smembers("live:down") == {f"carrier {FIRST}"}
    load(fresh, *trunks)
    assert fresh.execute_command("FCALL_RO", "down", 0) == []
    answer(fresh, FIRST, SILENCE, NOW + 1)
    assert asked(fresh, NOW + 30_000) == []
    assert fresh.keys("live:*") == []


def test_many_trunks_are_asked_a_few_at_a_time_and_all_within_the_interval(store: Any) -> None:
    store.flushdb()
    load(store, *(dataclasses.replace(CARRIER, id=f"t{n}", addresses=(Address(f"sip:{n}"),)) for n in range(1000)))
    found, cursor = [], "0"
    for tick in range(300):
        cursor, *questions = store.execute_command("FCALL", "questions", 0, cursor, 50, NOW + 100 * tick)
        assert len(questions) <= 50
        found += questions
    assert len(found) == len(set(found)) == 1000


# --- registration ---

PROXIES = ("sip:192.0.2.7:5060", "sip:192.0.2.8:5060")
CONTACT = "sip:line-1@192.0.2.1:5060"
REGISTRATION = Registration("sip:registrar.example", "sip:line-1@carrier.example", CONTACT, 3600, PROXIES)
REGISTERING = dataclasses.replace(
    CALLS, check=None, registration=REGISTRATION, user="line-1", password="correct horse", realm="carrier.example"
)
OK = f"<{CONTACT}>;expires=1800"


@pytest.fixture
def registering(store: Any) -> Any:
    store.flushdb()
    load(store, CARRIER, calls=REGISTERING)
    return store


def reply(store: Any, code: int, now: int, *, expires: str = "", least: str = "", contacts: str = "") -> None:
    store.execute_command("FCALL", "answered", 0, "REGISTER carrier", code, f"{expires}\t{least}\t{contacts}", now)


def test_the_sbc_registers_by_one_address_after_the_other_and_asks_less_often_in_vain(registering: Any) -> None:
    now, found = NOW, []
    for _ in range(6):
        (question,) = asked(registering, now)
        later = next(later for later in range(1, 1000) if asked_at(registering, now + 1000 * later))
        found.append((question["uri"], later))
        now += 1000 * later
    assert [uri for uri, _ in found] == [*PROXIES, *PROXIES, *PROXIES]
    assert [later for _, later in found] == [10, 10, 20, 20, 40, 40]


def asked_at(store: Any, now: int) -> bool:
    """Whether something would be due, without asking."""
    return bool(store.zcount("live:due", "-inf", now))


def test_what_is_asked_of_a_registrar(registering: Any) -> None:
    assert asked(registering, NOW) == [
        {
            "method": "REGISTER",
            "uri": PROXIES[0],
            "socket": "udp:192.0.2.1:5060",
            "request": "sip:registrar.example",
            "sender": "sip:line-1@carrier.example",
            "target": "sip:line-1@carrier.example",
            "about": "REGISTER carrier",
            "headers": f"Contact: <{CONTACT}>;expires=3600\r\nExpires: 3600\r\nhide-realm: carrier.example\r\n",
            "user": "line-1",
            "password": "correct horse",
        }
    ]


@pytest.mark.parametrize(
    ("expires", "contacts", "seconds"),
    [
        ("", OK, 1800),
        ("900", f"<{CONTACT}>", 900),
        ("900", f"<sip:line-1@192.0.2.99>;expires=60, {OK}", 1800),
        ("900", "<sip:line-1@192.0.2.1:50600>;expires=60", 900),
        ("", f'"Line" <{CONTACT.upper()}> ;q=0.5 ; Expires = "120"', 120),
        ("", "", 3600),
        ("<null>", "<null>", 3600),
        ("1", "", 10),
    ],
)
def test_a_registration_lasts_as_long_as_the_registrar_says_of_our_contact(
    registering: Any, expires: str, contacts: str, seconds: int
) -> None:
    asked(registering, NOW)
    reply(registering, 200, NOW, expires=expires, contacts=contacts)
    shown = state(registering)["registration"]
    assert (shown["state"], shown["until"], shown["since"]) == ("registered", NOW + 1000 * seconds, NOW)
    assert not asked_at(registering, NOW + 800 * seconds - 1)
    assert asked_at(registering, NOW + 800 * seconds)
    assert registering.execute_command("FCALL_RO", "unregistered", 0, NOW + 1000 * seconds - 1) == []
    assert registering.execute_command("FCALL_RO", "unregistered", 0, NOW + 1000 * seconds) == ["carrier", "200"]


def test_who_had_no_time_to_answer_is_not_said_to_be_silent(registering: Any) -> None:
    def unregistered(now: int) -> list[str]:
        return list(registering.execute_command("FCALL_RO", "unregistered", 0, now))

    assert unregistered(NOW) == []
    asked(registering, NOW)
    assert (unregistered(NOW + 4_999), unregistered(NOW + 5_000)) == ([], ["carrier", "0"])


def test_a_changed_password_is_tried_at_once_and_what_was_is_forgotten(registering: Any) -> None:
    asked(registering, NOW)
    reply(registering, 403, NOW + 5)
    assert state(registering)["registration"] == {
        "state": "refused", "until": None, "since": None, "code": 403, "answered": NOW + 5, "tries": 1
    }  # fmt: skip
    load(registering, CARRIER, calls=dataclasses.replace(REGISTERING, password="another horse"))
    (question,) = asked(registering, NOW + 100)
    assert question["password"] == "another horse"
    assert state(registering)["registration"]["code"] is None
    assert "another horse" not in json.dumps(state(registering))


def test_a_trunk_that_is_gone_is_not_registered_with_any_more(registering: Any) -> None:
    asked(registering, NOW)
    reply(registering, 200, NOW, contacts=OK)
    load(registering)
    reply(registering, 200, NOW, contacts=OK)
    assert registering.execute_command("FCALL_RO", "unregistered", 0, NOW) == []
    assert asked(registering, NOW + 10_000_000) == []
    assert registering.keys("live:*") == []


REPLIES = st.builds(
    Reply, st.sampled_from([0, 0, 200, 401, 403, 423, 503]), st.sampled_from([0, 5, 60, 3600]), st.integers(0, 7200)
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(REPLIES, max_size=12))
def test_the_engine_registers_as_it_is_written_down(store: Any, steps: list[Reply]) -> None:
    store.flushdb()
    load(store, CARRIER, calls=REGISTERING)
    now, expected = NOW, peers.Registration(3600)
    for step in steps:
        (question,) = asked(store, now)
        assert f"expires={expected.expires}\r" in question["headers"]
        expected = peers.asked(expected, len(PROXIES), now)
        now += 7
        least, expires = (str(value) if value else "<null>" for value in (step.least, step.expires))
        reply(store, step.code, now, expires=expires, least=least)
        expected = peers.answered(expected, step, now)
        shown = state(store, now)["registration"]
        holds = expected.until > now
        assert (shown["until"], shown["since"]) == ((expected.until, expected.since) if holds else (None, None))
        assert (shown["code"] or 0, shown["answered"] or 0) == (expected.code, expected.answered)
        assert shown["tries"] == expected.tries
        ((_, due),) = store.zrange("live:due", 0, -1, withscores=True)
        assert int(due) == expected.due
        now = max(now, expected.due)


def test_pauses_double_to_ten_minutes() -> None:
    assert [pause(tries, 1) for tries in (0, 1, 2, 3, 7, 8, 100)] == [10, 10, 20, 40, 600, 600, 600]
