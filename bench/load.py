"""Calls from a PBX to a carrier through a box, and what they cost it in processor time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.system.sbc.box import INSIDE, Box, run

#: The containers of an SBC.
ALL = ("kamailio", "rtpengine", "redis")
#: Milliseconds for which each call stands, and what is waited for the last one, in seconds.
STAND, PATIENCE = 500, 60
NANOSECONDS = 1e9
#: The highest of the ordinary priorities.
FIRST = -20


@dataclass(frozen=True)
class Carried:
    """What became of calls: how many there were, how many came to their proper end."""

    calls: int
    successful: int


class Side:
    """One of the two that are compared, for as long as the context lasts: a box, started and closed here.

    Calls go to `at`, which is the box's inner address.
    """

    at = f"{INSIDE}.1"
    #: Of so many calls one may fail in a measurement.
    one_of = 0

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

    def time_calls(self, rate: int, count: int) -> float:
        """Milliseconds of processor that a call took. Raises `RuntimeError` when too many failed."""
        before = self.used()
        carried = self.carry(rate, count)
        if count - carried.successful > (count / self.one_of if self.one_of else 0):
            raise RuntimeError(f"{carried} at {rate} a second\n{self.box.said()}")
        return (self.used() - before) / count * 1000

    def carry(self, rate: int, count: int) -> Carried:
        answering = self.box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", str(count))
        options = ("-p", "5060", "-m", str(count), "-r", str(rate), "-l", str(rate * 4), "-d", str(STAND))
        calling = self.box.sipp("pbx", "plain-call", *options, "-s", "+4940222", f"{self.at}:5060")
        try:
            calling.wait(count / rate + PATIENCE)
        finally:
            for process in (calling, answering):
                process.kill()
                process.wait()
        return Carried(count, self._successful())

    def _successful(self) -> int:
        screen = (self.box.dir / f"pbx-plain-call-{INSIDE}.2.out").read_text(errors="replace")
        return int(re.findall(r"Successful call +\| +\d+ +\| +(\d+)", screen)[-1])

    def used(self, *containers: str) -> float:
        """Seconds of processor that these, or all, have had since they were started."""
        return sum(map(self._used_by, containers or ALL))

    def _used_by(self, container: str) -> float:
        try:
            found = self._engine.stats(f"{self.box.name}-{container}", stream=False, one_shot=True)
        except docker.errors.NotFound:
            return 0.0
        used: int = found["cpu_stats"]["cpu_usage"]["total_usage"]
        return used / NANOSECONDS

    def keep_to(self, core: int, *containers: str) -> None:
        """Give these containers one processor, and no other."""
        run("docker", "update", f"--cpuset-cpus={core}", *(f"{self.box.name}-{name}" for name in containers or ALL))

    def put_first(self, container: str) -> None:
        """Let the container's threads go before whatever else the machine does, whose delays are not the SBC's."""
        for process in self._engine.top(f"{self.box.name}-{container}")["Processes"]:
            for thread in Path(f"/proc/{process[1]}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), FIRST)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, to one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
