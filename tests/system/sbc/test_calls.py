"""Calls find their way, are counted exactly, and survive what is killed beneath them."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sbc.kind.render import Engine
from sbc.policy import Address, NumberRule, Route, Target, Trunk
from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, Sipp, until
from tests.system.sbc.calls import CALLS, CARRIER, OUT, call, carried, tables
from tests.system.sbc.hiding import hiding

pytestmark = pytest.mark.system

#: A trunk at an address where nobody listens.
DEAF = Trunk("deaf", (), (Address(f"sip:{OUTSIDE}.99:5060"),))
SECOND = Trunk("second", (f"{OUTSIDE}.3/32",), (Address(f"sip:{OUTSIDE}.3:5060"),), side="outside")
MORE = carried() | {"deaf": CALLS["carrier"], "second": CALLS["carrier"]}


def first_then(*trunks: str, **others: object) -> Route:
    targets = tuple(Target(trunk, priority) for priority, trunk in enumerate(trunks))
    return dataclasses.replace(OUT, targets=targets, **others)  # type: ignore[arg-type]


def idle(box: Box) -> bool:
    return box.counter("*") == 0


def successful(box: Box, scenario: str, host: str) -> int:
    """Calls that a sipp brought to their end."""
    screen = (box.dir / f"pbx-{scenario}-{host}.out").read_text(errors="replace")
    return int(re.findall(r"Successful call +\| +\d+ +\| +(\d+)", screen)[-1])


def test_a_call_goes_to_the_next_target_when_nobody_answers(box: Box) -> None:
    box.load(tables(DEAF, routes=(first_then("deaf", "carrier", timeout=1),)), MORE)
    with hiding(box):
        call(box, "pbx", "carrier", "call", "answer")


@pytest.mark.parametrize("refusal", ["unavailable", "moved"])
def test_a_call_goes_to_the_next_target_on_a_chosen_code(box: Box, refusal: str) -> None:
    """A redirection is a refusal: where it leads is not told to the caller, nor is it followed."""
    box.load(tables(SECOND, routes=(first_then("second", "carrier"),)), MORE)
    with hiding(box):
        refusing = box.sipp("carrier", refusal, "-p", "5060", "-m", "1", at=f"{OUTSIDE}.3")
        call(box, "pbx", "carrier", "call", "answer")
        assert refusing.wait(5) == 0
    assert [attempt["trunk"] for attempt in box.record()["attempts"]] == ["second", "carrier"]


def test_busy_is_busy_and_tries_nobody_else(box: Box) -> None:
    box.load(tables(SECOND, routes=(first_then("carrier", "second"),)), MORE)
    with hiding(box):
        call(box, "pbx", "carrier", "refused-486", "busy")


def test_numbers_are_rewritten_on_the_way(box: Box) -> None:
    carrier = dataclasses.replace(CARRIER, outward=NumberRule(strip=3, prefix="99"))
    box.load(tables(carrier), carried())
    with hiding(box):
        call(box, "pbx", "carrier", "call", "answer", number="040222")
    outside = leaks.messages(box.captured()["carrier"])
    assert outside[0].startswith(f"INVITE sip:9940222@{OUTSIDE}.2 ".encode())
    assert f"To: <sip:9940222@{OUTSIDE}.2>".encode() in outside[0]


def test_a_change_of_one_entry_is_in_force_for_the_next_call(box: Box) -> None:
    box.load(tables(DEAF, routes=()), MORE)
    alone = refused(box, "refused-404")
    assert alone.wait(10) == 0
    box.load(tables(), carried())
    call(box, "pbx", "carrier", "call", "answer")


def refused(box: Box, scenario: str) -> Sipp:
    return box.sipp("pbx", scenario, "-p", "5060", "-m", "1", "-s", "+4940222", f"{INSIDE}.1:5060")


def test_without_media_relay_a_call_is_refused_and_nothing_described(box: Box) -> None:
    box.capture()
    box.kill("rtpengine")
    try:
        assert refused(box, "refused-503").wait(20) == 0
    finally:
        box.restart("rtpengine")
    assert not any(b"m=audio" in text for text in leaks.messages(box.captured()["carrier"]))
    call(box, "pbx", "carrier", "call", "answer")


@pytest.mark.alone
def test_the_limit_of_a_trunk_is_exact_under_concurrency(box: Box) -> None:
    until(lambda: idle(box))
    box.load(tables(), carried(pbx={"most_calls": 100}))
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "100")
    hosts = [f"{INSIDE}.{host}" for host in range(2, 10)]
    callers = [
        box.sipp(
            "pbx",
            "plain-call",
            "-p",
            "5060",
            "-m",
            "38",
            "-r",
            "200",
            "-s",
            "+4940222",
            "-d",
            "6000",
            f"{INSIDE}.1:5060",
            at=host,
        )
        for host in hosts
    ]
    time.sleep(4)
    standing = (box.counter("*"), box.counter("pbx"), box.counter("carrier"))
    for process in (*callers, answering):
        process.wait(30)
    assert standing == (100, 100, 100), box.said()
    assert sum(successful(box, "plain-call", host) for host in hosts) == 100
    until(lambda: idle(box))
    assert (box.counter("pbx"), box.counter("carrier")) == (0, 0)
    recorded = Counter((record["code"], record["cause"]) for record in box.records())
    assert recorded == {(200, "caller-hung-up"): 100, (503, "limit"): 38 * len(hosts) - 100}


def test_an_emergency_call_passes_a_full_trunk(box: Box) -> None:
    until(lambda: idle(box))
    box.load(tables(emergency=("112",)), carried(pbx={"most_calls": 1}, carrier={"most_calls": 1}))
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "2")
    options = ("-m", "1", "-d", "3000")
    with hiding(box):
        first = box.sipp("pbx", "plain-call", "-p", "5060", "-s", "+4940222", *options, f"{INSIDE}.1:5060")
        until(lambda: box.counter("pbx") == 1)
        at = ("-p", "5060", "-s")
        second = box.sipp("pbx", "refused-503", *at, "+4940222", *options, f"{INSIDE}.1:5060", at=f"{INSIDE}.3")
        rescue = box.sipp("pbx", "plain-call", *at, "112", *options, f"{INSIDE}.1:5060", at=f"{INSIDE}.4")
        assert [process.wait(15) for process in (first, second, rescue, answering)] == [0, 0, 0, 0], box.said()


@contextmanager
def limited(box: Box, **limits: int) -> Iterator[None]:
    """The SBC with other limits for a while."""
    was = box.engine
    try:
        take_over(box, dataclasses.replace(was, **limits))  # type: ignore[arg-type]
        yield
    finally:
        take_over(box, was)


def take_over(box: Box, engine: Engine) -> None:
    box.engine = engine
    box.write_files()
    assert box.program("reload").returncode == 0


@pytest.mark.parametrize("limits", [{"most_calls": 1}, {"most_per_second": 0}], ids=["calls", "calls-per-second"])
def test_an_emergency_call_passes_a_full_sbc(box: Box, limits: dict[str, int]) -> None:
    until(lambda: idle(box))
    box.load(tables(emergency=("112",)), carried(pbx={"most_calls": 1}, carrier={"most_calls": 1}))
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "2")
    options = ("-m", "1", "-d", "3000")
    first = box.sipp("pbx", "plain-call", "-p", "5060", "-s", "+4940222", *options, f"{INSIDE}.1:5060")
    until(lambda: box.counter("carrier") == 1)
    box.load(tables(emergency=("112",)), carried(carrier={"most_calls": 1}))
    with limited(box, **limits):
        second = box.sipp(
            "pbx", "refused-503", "-p", "5060", "-s", "+4940222", *options, f"{INSIDE}.1:5060", at=f"{INSIDE}.3"
        )
        assert second.wait(10) == 0, box.said()
        rescue = box.sipp(
            "pbx", "plain-call", "-p", "5060", "-s", "112", *options, f"{INSIDE}.1:5060", at=f"{INSIDE}.4"
        )
        assert [process.wait(15) for process in (first, rescue, answering)] == [0, 0, 0], box.said()
    assert [record["emergency"] for record in box.records() if record["code"] == 200] == [False, True]
    assert [record["cause"] for record in box.records() if record["code"] == 503] == ["limit"]


@pytest.mark.alone
def test_killed_signalling_comes_back_knowing_its_calls_and_limits(box: Box) -> None:
    until(lambda: idle(box))
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "20")
    caller = box.sipp("pbx", "plain-call", "-p", "5060", "-m", "20", "-r", "50", "-s", "+4940222", "-d", "7000",
                      f"{INSIDE}.1:5060")  # fmt: skip
    time.sleep(3)
    killed = time.monotonic()
    box.kill("kamailio")
    box.restart("kamailio")
    until(box.answers)
    assert time.monotonic() - killed < 1.0
    until(lambda: box.counter("pbx") == 20)
    assert box.rpc("dlg.stats_active")["ongoing"] == 20
    assert [caller.wait(20), answering.wait(20)] == [0, 0], box.said()
    until(lambda: idle(box))
    assert box.counter("pbx") == 0
    assert Counter(record["cause"] for record in box.records()) == {"caller-hung-up": 20}
    assert len({record["id"] for record in box.records()}) == 20
