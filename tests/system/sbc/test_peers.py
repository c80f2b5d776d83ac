"""Trunks are asked by OPTIONS whether they are there; one that is not gets no calls, and is named."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sbc.kind.entries import Calls, Check, Entry, trunk_entries
from sbc.policy import Address, Target, Trunk
from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, OUTSIDE6, Box, until
from tests.system.sbc.calls import CALLS, OUT, call, carried, tables
from tests.system.sbc.peer import peer
from tests.system.sbc.phone import Phone

pytestmark = pytest.mark.system

THERE, GONE = f"sip:{OUTSIDE}.7:5060", f"sip:{OUTSIDE}.8:5060"
#: A carrier with two addresses, the first of which is to be called first.
TWICE = Trunk("twice", (), (Address(GONE, 1), Address(THERE, 2)), side="outside")
TO_TWICE = dataclasses.replace(OUT, targets=(Target("twice"),))
#: A question is lost after five seconds, so one that failed is enough for most tests.
CHECKED = dataclasses.replace(CALLS["carrier"], host="carrier.example", check=Check(every=1, failures=1))


def load(box: Box, trunk: Trunk = TWICE, calls: Calls = CHECKED) -> None:
    box.load(tables(trunk, routes=(TO_TWICE,)), carried() | {trunk.id: calls})


@pytest.fixture
def caller(box: Box) -> Iterator[Phone]:
    phone = Phone(box, "pbx", media=31000)
    yield phone
    phone.close()


def state(box: Box, trunk: str = "twice") -> dict[str, Any]:
    done = box.program("trunks", "--trunk", trunk)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["trunks"]
    return dict(found)


def is_(box: Box, **states: str) -> bool:
    """Whether the addresses of the trunk are in these states."""
    known = {address["uri"]: address["state"] for address in state(box)["addresses"]}
    return known == {{"there": THERE, "gone": GONE}[name]: health for name, health in states.items()}


def condition(box: Box) -> tuple[str, str]:
    (found,) = [item for item in json.loads(box.program("health").stdout) if item["type"] == "TrunksAnswer"]
    return found["status"], found["message"]


def test_an_address_that_does_not_answer_gets_no_calls_until_it_does(box: Box, caller: Phone) -> None:
    with peer(box, "carrier", 7, OPTIONS=404, INVITE=486) as there:
        load(box)
        until(lambda: is_(box, there="up", gone="down"))
        assert state(box)["state"] == "degraded"
        assert condition(box) == ("false", f"{GONE} of trunk twice without an answer to OPTIONS")
        began = time.monotonic()
        caller.invite()
        assert caller.answer_to("INVITE").code == 486
        caller.acknowledge()
        assert time.monotonic() - began < 1.0, "nobody was waited for"
        assert [attempt["uri"] for attempt in box.record()["attempts"]] == [THERE]

        with peer(box, "carrier", 8, OPTIONS=200, INVITE=486) as back:
            until(lambda: is_(box, there="up", gone="up"))
            assert condition(box) == ("true", "")
            again = Phone(box, "pbx", port=5070, media=31100)
            again.invite()
            assert again.answer_to("INVITE").code == 486
            again.acknowledge()
            again.close()
            assert len(back.asked("INVITE")) == 1
        assert there.asked("OPTIONS")[0].start == "OPTIONS sip:carrier.example SIP/2.0"


def test_over_tcp_and_ipv6_it_is_the_same(box: Box) -> None:
    over_tcp, over_ipv6 = f"sip:{OUTSIDE}.9:5060;transport=tcp", f"sip:[{OUTSIDE6}:2]:5070"
    first = dataclasses.replace(TWICE, addresses=(Address(over_tcp),))
    second = dataclasses.replace(TWICE, id="six", addresses=(Address(over_ipv6),))
    load(box, first, dataclasses.replace(CHECKED, socket=f"tcp:{OUTSIDE}.1:5060"))
    by_six = dataclasses.replace(CHECKED, socket=f"udp:[{OUTSIDE6}:1]:5060", me=f"[{OUTSIDE6}:1]", family=6)
    box.put(trunk_entries(second, by_six))
    until(lambda: state(box)["state"] == "down", 10)
    answering = [
        box.sipp("carrier", "options", "-p", "5060", "-t", "t1", at=f"{OUTSIDE}.9"),
        box.sipp("carrier", "options", "-p", "5070", at=f"{OUTSIDE6}:2"),
    ]
    try:
        until(lambda: state(box)["state"] == "up" and state(box, "six")["state"] == "up")
    finally:
        for process in answering:
            process.kill()
            process.wait()


@pytest.mark.alone
def test_when_every_address_is_down_the_caller_hears_so_at_once(box: Box, caller: Phone) -> None:
    with peer(box, "carrier", 7, OPTIONS=503) as there:
        load(box)
        until(lambda: is_(box, there="down", gone="down"))
        assert state(box)["state"] == "down"
        began = time.monotonic()
        caller.invite()
        assert caller.answer_to("INVITE").code == 503
        caller.acknowledge()
        assert time.monotonic() - began < 0.5
        assert there.asked("INVITE") == []


def test_an_emergency_call_is_tried_all_the_same(box: Box, caller: Phone) -> None:
    with peer(box, "carrier", 7, OPTIONS=503, INVITE=486) as there:
        only = dataclasses.replace(TWICE, addresses=(Address(THERE),))
        world = dataclasses.replace(tables(only), emergency={"112": (Target("twice"),)})
        box.load(world, carried() | {"twice": CHECKED})
        until(lambda: is_(box, there="down"))
        caller.invite("112")
        assert caller.answer_to("INVITE").code == 486
        caller.acknowledge()
        assert len(there.asked("INVITE")) == 1


def test_a_trunk_that_is_changed_or_removed_is_asked_as_it_is_now(box: Box) -> None:
    # Addresses of their own: questions of other tests may still be repeated elsewhere.
    with peer(box, "carrier", 5, OPTIONS=200) as first, peer(box, "carrier", 6, OPTIONS=200) as second:
        alone = dataclasses.replace(TWICE, addresses=(Address(first.uri),))
        before = tuple(trunk_entries(alone, CHECKED))
        load(box, alone)
        first.wait_for("OPTIONS")
        after = tuple(trunk_entries(dataclasses.replace(TWICE, addresses=(Address(second.uri),)), CHECKED))
        changed = time.monotonic()
        box.put(after, instead_of=before)
        second.wait_for("OPTIONS", seconds=1)
        assert first.asked("OPTIONS", changed + 0.3) == []
        removed = time.monotonic()
        box.put((), instead_of=after)
        time.sleep(1.5)
        assert second.asked("OPTIONS", removed + 0.3) == []
        assert json.loads(box.program("trunks").stdout) == {"count": 0, "trunks": []}


def test_killed_signalling_knows_who_is_down_and_goes_on_asking(box: Box) -> None:
    with peer(box, "carrier", 7, OPTIONS=200) as there:
        load(box)
        until(lambda: is_(box, there="up", gone="down"))
        box.kill("kamailio")
        box.restart("kamailio")
        until(box.answers)
        assert is_(box, there="up", gone="down")
        there.wait_for("OPTIONS")


def test_questions_say_nothing_of_the_other_side_or_of_what_asks(box: Box) -> None:
    box.capture()
    with peer(box, "carrier", 7, OPTIONS=200) as there, peer(box, "pbx", 7, OPTIONS=200) as inside:
        load(box)
        pbx = dataclasses.replace(TWICE, id="inner", addresses=(Address(inside.uri),), side="inside")
        box.put(trunk_entries(pbx, dataclasses.replace(CALLS["pbx"], check=CHECKED.check)))
        there.wait_for("OPTIONS", 2)
        inside.wait_for("OPTIONS", 2)
    files = box.captured()
    outside, within = (leaks.messages(files[side]) for side in ("carrier", "pbx"))
    assert outside and within
    assert leaks.leaks(outside, (f"{INSIDE}.", f"{INSIDE}.1", "kamailio", "inner")) == set()
    others = (f"{OUTSIDE}.", f"{OUTSIDE}.1", "kamailio", "twice", "carrier.example")
    assert leaks.leaks(within, others) == set()


def many(count: int, uri: str) -> Iterable[Entry]:
    check = dataclasses.replace(CHECKED, check=Check(every=30, failures=3))
    for number in range(count):
        yield from trunk_entries(Trunk(f"t{number}", (), (Address(f"sip:{number}@{uri}"),), side="outside"), check)


def test_many_trunks_are_asked_beside_calls_and_never_all_at_once(box: Box) -> None:
    count = 1500
    with peer(box, "carrier", 7, OPTIONS=200) as there:
        began = time.monotonic()
        box.put(many(count, f"{OUTSIDE}.7:5060"))
        call(box, "pbx", "carrier", "plain-call", "plain-answer", calls=20)
        until(lambda: len(there.asked("OPTIONS", began)) >= count)
        moments = [heard.at for heard in there.heard]
        busiest = max(sum(1 for at in moments if start <= at < start + 1) for start in moments[::50])
        assert busiest <= 600
        assert len({message.headers["call-id"] for message in there.asked("OPTIONS")}) == count, "none was asked twice"
