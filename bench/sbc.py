"""What a call costs the SBC in signalling, everything switched on, next to a bare Kamailio with topoh and rtpengine.

Both carry the same calls from the same sipp; what is measured is the processor's time of their containers for 1,000
calls, so that what else the machine does hardly counts. All calls must succeed.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import docker

from bench.bare import Bare
from bench.measure import Comparison, compare
from tests.system.sbc.box import INSIDE, Box
from tests.system.sbc.calls import carried, tables

#: Calls a second, and for how many seconds.
RATE, SECONDS = 100, 10
TARGET = 2.6
NANOSECONDS = 1e9


def measure(_platform: Any, *, rounds: int) -> list[Comparison]:
    with Side(Bare()) as bare, Side(Box(most_calls=100_000, most_per_second=100_000)) as whole:
        whole.box.load(tables(), carried())
        compared = partial(compare, yardstick=bare.time_calls, product=whole.time_calls, rounds=max(1, rounds // 2))
        return [compared(f"signalling, CPU of 1,000 calls at {RATE}/s", target=TARGET)]


class Side:
    """One of the two that are compared, for as long as the context lasts."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._engine = docker.APIClient()

    def __enter__(self) -> Side:
        try:
            self.box.start()
        except BaseException:
            self.box.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.box.close()
        self._engine.close()

    def time_calls(self) -> float:
        """Seconds of processor that 1,000 calls took."""
        count = RATE * SECONDS
        before = self._used()
        self.carry(RATE, count)
        return (self._used() - before) / count * 1000

    def carry(self, rate: int, count: int) -> None:
        """Calls from the PBX to the carrier, half a second each. Raises `RuntimeError` when one fails."""
        answering = self.box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", str(count))
        options = ("-p", "5060", "-m", str(count), "-r", str(rate), "-l", str(rate * 4), "-d", "500", "-s", "+4940222")
        calling = self.box.sipp("pbx", "plain-call", *options, f"{INSIDE}.1:5060")
        try:
            calling.wait(count / rate + 60)
        finally:
            for process in (calling, answering):
                process.kill()
                process.wait()
        if (done := self._successful()) != count:
            raise RuntimeError(f"{done} of {count} calls at {rate} a second succeeded\n{self.box.said()}")

    def _successful(self) -> int:
        screen = (self.box.dir / f"pbx-plain-call-{INSIDE}.2.out").read_text(errors="replace")
        return int(re.findall(r"Successful call +\| +\d+ +\| +(\d+)", screen)[-1])

    def _used(self) -> float:
        """Seconds of processor that its containers have had."""
        return sum(map(self._used_by, ("kamailio", "rtpengine", "redis")))

    def _used_by(self, container: str) -> float:
        try:
            found = self._engine.stats(f"{self.box.name}-{container}", stream=False, one_shot=True)
        except docker.errors.NotFound:
            return 0.0
        used: int = found["cpu_stats"]["cpu_usage"]["total_usage"]
        return used / NANOSECONDS
