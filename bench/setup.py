"""Whether calls are set up as soon with large tables as with next to none: 100,000 routes and 10,000 trunks.

Two SBCs take turns with the same calls, one after the other, from the same telephones; the clock runs from the INVITE
to the answer, which the callee gives at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from bench.measure import Comparison, compare
from sbc.kind.entries import Calls
from sbc.policy import Address, Route, Tables, Target, Trunk
from tests.system.sbc.box import Box
from tests.system.sbc.calls import CALLS, CARRIER, OUT, PBX, carried, tables
from tests.system.sbc.phone import Phone, hang_up

ROUTES, TRUNKS = 100_000, 10_000
#: Calls of one run.
CALLED = 100
TARGET = 1.2


def measure(*, rounds: int) -> Iterator[Comparison]:
    with standing(tables(), carried()) as few, standing(*large()) as many:
        title = f"a call's set-up with {ROUTES:,} routes and {TRUNKS:,} trunks, to two"
        yardstick, product = partial(time_setup, few), partial(time_setup, many)
        yield compare(title, yardstick=yardstick, product=product, rounds=rounds, target=TARGET, unit="ms")


def large() -> tuple[Tables, Mapping[str, Calls]]:
    """Besides the PBX and the carrier trunks with addresses of their own, and a route for each of many prefixes."""
    others = [_trunk(number) for number in range(TRUNKS)]
    routes = [
        Route(f"r{number}", (Target(others[number % TRUNKS].id),), trunk="pbx", prefix=f"+{10_000_000 + number}")
        for number in range(ROUTES)
    ]
    known = {trunk.id: trunk for trunk in (PBX, CARRIER, *others)}
    return Tables(known, (OUT, *routes), {}), dict.fromkeys(known, CALLS["carrier"]) | CALLS


def _trunk(number: int) -> Trunk:
    host = f"203.{number // 2500}.{number // 250 % 10}.{number % 250 + 1}"
    return Trunk(f"t{number}", (f"{host}/32",), (Address(f"sip:{host}:5060"),), side="outside")


@contextmanager
def standing(wanted: Tables, calls: Mapping[str, Calls]) -> Iterator[Box]:
    box = Box()
    try:
        box.start()
        box.load(wanted, calls)
        yield box
    finally:
        box.close()


def time_setup(box: Box) -> float:
    """The median time of a run of calls, in ms."""
    return statistics.median(_time_call(box) for _ in range(CALLED)) * 1000


def _time_call(box: Box) -> float:
    caller, callee = Phone(box, "pbx", media=31000), Phone(box, "carrier")
    try:
        offer, answer = caller.describe(), callee.describe()
        began = time.perf_counter()
        caller.invite(body=offer)
        callee.reply(callee.asked("INVITE"), 200, answer)
        answered = caller.answer_to("INVITE")
        taken = time.perf_counter() - began
        if answered.code != 200:
            raise RuntimeError(f"a call was answered {answered.start}\n{box.said()}")
        caller.acknowledge()
        callee.asked("ACK")
        hang_up(caller, callee)
    finally:
        caller.close()
        callee.close()
    return taken
