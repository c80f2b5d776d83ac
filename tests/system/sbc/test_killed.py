"""What is killed comes back, and calls that stand go on: their media as they were, and new calls with their own."""

from __future__ import annotations

import dataclasses
import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise

import pytest

from sbc.kind.entries import Srtp
from sbc.policy import Address, Route, Tables, Target, Trunk
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, until
from tests.system.sbc.calls import CALLS
from tests.system.sbc.phone import Phone, connect, hang_up
from tests.system.sbc.rtp import INTERVAL, SAMPLES, Stream

pytestmark = pytest.mark.system

#: Seconds for which media may be away when the relay is killed and started at once.
SHORT = 2.0

Pair = tuple[Phone, Phone]
#: How the media of caller and callee are encrypted.
SIDES = [(inside, outside) for inside in (Srtp.OFF, Srtp.REQUIRED) for outside in (Srtp.OFF, Srtp.REQUIRED)]


@pytest.fixture
def routed(box: Box) -> Box:
    """With a caller and a callee for each of SIDES, each a trunk of its own."""
    trunks, calls, routes = {}, {}, []
    for host, (inside, outside) in enumerate(SIDES, 2):
        pbx, carrier = f"pbx-{host}", f"carrier-{host}"
        trunks[pbx] = Trunk(pbx, (f"{INSIDE}.{host}/32",), side="inside")
        address = Address(f"sip:{OUTSIDE}.{host}:5060")
        trunks[carrier] = Trunk(carrier, (f"{OUTSIDE}.{host}/32",), (address,), side="outside")
        calls[pbx] = dataclasses.replace(CALLS["pbx"], srtp=inside)
        calls[carrier] = dataclasses.replace(CALLS["carrier"], srtp=outside)
        routes.append(Route(f"out-{host}", (Target(carrier),), trunk=pbx))
    box.load(Tables(trunks, tuple(routes)), calls)
    return box


@contextmanager
def pairs(box: Box) -> Iterator[list[Pair]]:
    """A telephone at each end of each of SIDES."""
    with ExitStack() as closing:

        def phone(side: str, host: int) -> Phone:
            made = Phone(box, side, host)
            closing.callback(made.close)
            return made

        yield [(phone("pbx", host), phone("carrier", host)) for host in range(2, 2 + len(SIDES))]


def connect_all(pairs: Sequence[Pair]) -> None:
    for (caller, callee), (inside, outside) in zip(pairs, SIDES, strict=True):
        offer = caller.describe(srtp=inside is Srtp.REQUIRED)
        connect(caller, callee, offer, partial(callee.describe, srtp=outside is Srtp.REQUIRED))


def talk(streams: Sequence[Stream], seconds: float, said: dict[Stream, set[bytes]]) -> None:
    """Each sends at the pace of speech, and what arrives is taken in at once. `said` gets what each sent."""
    start, sent = time.monotonic(), 0
    while (now := time.monotonic() - start) < seconds:
        if now >= sent * INTERVAL:
            for stream in streams:
                body = os.urandom(SAMPLES)
                said[stream].add(body)
                stream.send(body)
            sent += 1
        wait = max(0.0, start + sent * INTERVAL - time.monotonic())
        ready, _, _ = select.select([stream.rtp for stream in streams], [], [], wait)
        for stream in streams:
            if stream.rtp in ready:
                stream.listen()


def longest_gap(stream: Stream) -> int:
    """In ms, between two packets that arrived."""
    return round(1000 * max(after - before for before, after in pairwise(stream.arrivals)))


def assert_nobody_hears_others(pairs: Sequence[Pair], said: Mapping[Stream, set[bytes]]) -> None:
    for pair in pairs:
        for ear, mouth in (pair, pair[::-1]):
            assert ear.media.bodies
            assert set(ear.media.bodies) <= said[mouth.media], "everybody hears his peer, as he spoke"
            assert ear.media.spoiled == 0, "and nothing that is not encrypted as agreed"


@pytest.mark.alone
def test_media_of_standing_calls_go_on_when_the_relay_is_killed(routed: Box) -> None:
    with pairs(routed) as standing, ThreadPoolExecutor(1) as other:
        connect_all(standing)
        streams = [phone.media for pair in standing for phone in pair]
        said: dict[Stream, set[bytes]] = {stream: set() for stream in streams}
        talk(streams, 1.5, said)
        before = list(map(longest_gap, streams))
        killing = other.submit(kill_and_start, routed)
        talk(streams, 3.0, said)
        killing.result()
        heard_at_last = [time.monotonic() - stream.arrivals[-1] for stream in streams]
        gaps = list(map(longest_gap, streams))
        print(f"longest gap of each stream in ms: {gaps}; before: {before}")
        assert max(heard_at_last) < 0.5
        assert max(gaps) < SHORT * 1000
        assert_nobody_hears_others(standing, said)
        for pair in standing:
            hang_up(*pair)
    until(lambda: routed.counter("*") == 0)


def kill_and_start(box: Box) -> None:
    box.kill("rtpengine")
    box.restart("rtpengine")


def test_calls_after_a_kill_of_signalling_have_their_own_media(routed: Box) -> None:
    """The relay remembers questions for half a minute: those of a new Kamailio must not look like the old one's."""
    for killed in (False, True):
        if killed:
            routed.kill("kamailio")
            routed.restart("kamailio")
            until(routed.answers)
        for _ in range(3):
            call_and_talk(routed)


def call_and_talk(box: Box) -> None:
    with pairs(box) as standing:
        connect_all(standing)
        streams = [phone.media for pair in standing for phone in pair]
        said: dict[Stream, set[bytes]] = {stream: set() for stream in streams}
        talk(streams, 0.2, said)
        time.sleep(0.05)
        for stream in streams:
            stream.listen()
        assert_nobody_hears_others(standing, said)
        for pair in standing:
            hang_up(*pair)
