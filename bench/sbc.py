"""What a call costs the SBC in signalling, everything switched on, next to two yardsticks, and how many it bears.

All carry the same calls from the same sipp; what is measured is their processor time, so that what else the machine
does hardly counts. All calls must succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.b2bua import Sippy
from bench.bare import Bare
from bench.load import Side, on_core
from bench.measure import Figure, Found, compare
from tests.system.sbc.box import Box
from tests.system.sbc.calls import carried, tables

#: Calls a second, and how many.
RATE, CALLS = 100, 1_000
#: Times a bare proxy's processor time that everything may take, and times a Python B2BUA's.
TO_BARE, TO_SIPPY = 2.6, 1 / 1.4
#: Calls a second that an SBC on one core carries without losing one, and for how many seconds that is tried.
MOST, SECONDS = 450, 20
#: Processors: of the SBC, and of what calls and answers.
ITS, OURS = 0, 1


def measure(*, rounds: int) -> Iterator[Found]:
    with Side(Box(most_calls=100_000, most_per_second=100_000)) as whole:
        whole.box.load(tables(), carried())
        yield from _ratios(whole, max(1, rounds // 2))
        yield _most(whole)


def _ratios(whole: Side, rounds: int) -> Iterator[Found]:
    title = f"a call's signalling at {RATE}/s, processor, to"
    product = partial(whole.time_calls, RATE, CALLS)
    for name, side, target in (
        ("a bare proxy with topoh and rtpengine", Side(Bare()), TO_BARE),
        ("sippy without media", Sippy(), TO_SIPPY),
    ):
        with side as yardstick:
            time_yardstick = partial(yardstick.time_calls, RATE, CALLS)
            yield compare(
                f"{title} {name}", yardstick=time_yardstick, product=product, rounds=rounds, target=target, unit="ms"
            )


def _most(whole: Side) -> Figure:
    whole.keep_to(ITS)
    with on_core(OURS):
        done = whole.carry(MOST, MOST * SECONDS)
    return Figure(f"calls of {done.calls} that failed at {MOST}/s, one core", done.calls - done.successful, "", 0)
