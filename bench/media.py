"""What the SBC's media relay bears on one core: 1,000 standing G.711 calls, and how much later their packets come.

The calls are set up through the SBC by sipp; then every end sends 50 packets a second, and all of them are counted
where they arrive. The yardstick is the wire: the same packets on the same way, forwarded by the SBC's kernel.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench import load
from bench.measure import Figure, Found, compare
from bench.packets import Address, Side, exchange, forget
from tests.system.sbc.box import INSIDE, OUTSIDE, SIDES, Box, run, until
from tests.system.sbc.calls import carried, tables

CALLS, FEWER = 1_000, 500
#: Processors: of the relay, and of this process.
RELAY, OURS = 0, 1
#: Calls are set up at so many a second, and stand longer than anything takes here.
RATE, STAND = 100, 600
#: For so long the relay settles on where media come from; then they are counted.
SETTLING, COUNTED = 4.0, 5.0
#: Where the packets of all calls leave and arrive on either side.
ENDS: dict[str, Address] = {"pbx": (f"{INSIDE}.2", 31000), "carrier": (f"{OUTSIDE}.2", 30000)}
#: What the relay may add, in ms, so that nobody hears it.
MOST_ADDED = 5.0


def measure(*, rounds: int) -> Iterator[Found]:
    box = Box(most_calls=100_000, most_per_second=100_000, media_timeout=STAND)
    with load.on_core(OURS), load.Side(box) as whole:
        whole.keep_to(RELAY, "rtpengine")
        box.load(tables(), carried())
        open_wire(box)
        share_out(box)
        set_up(box, CALLS)
        whole.put_first("rtpengine")
        os.setpriority(os.PRIO_PROCESS, 0, load.FIRST)
        with speaking(whole) as bench:
            yield from bench.figures()
            yield from bench.delays(max(1, rounds // 2))


class _Bench:
    """The two ends of all calls, which stand."""

    def __init__(self, whole: load.Side) -> None:
        self._whole = whole
        self._ways = ways(whole.box)
        self._pbx, self._carrier = (Side(whole.box.namespace(side), ENDS[side]) for side in SIDES)
        self._sides = (self._pbx, self._carrier)

    def close(self) -> None:
        for side in self._sides:
            side.close()

    def figures(self) -> Iterator[Figure]:
        self._relay(CALLS)
        before = self._whole.used("rtpengine")
        self._count()
        used = self._whole.used("rtpengine") - before
        sent = sum(side.sent.total() for side in self._sides)
        yield Figure(f"{CALLS} calls: packets lost of {sent}", self._lost(), "", 0)
        yield Figure(f"{CALLS} calls: processor of the relay", used / COUNTED, "cores")
        yield Figure(f"{CALLS} calls: delay, p99", self._delay(), "ms")

    def delays(self, rounds: int) -> Iterator[Found]:
        title = f"{FEWER} calls: delay of packets, p99, to the wire"
        found = compare(title, yardstick=self._time_wire, product=self._time_relay, rounds=rounds, unit="ms")
        added = statistics.median(found.product) - statistics.median(found.yardstick)
        yield found
        yield Figure(f"{FEWER} calls: delay added, p99", added, "ms", MOST_ADDED)

    def _time_relay(self) -> float:
        self._relay(FEWER)
        return self._count()

    def _time_wire(self) -> float:
        self._pbx.towards([ENDS["carrier"]] * FEWER)
        self._carrier.towards([ENDS["pbx"]] * FEWER)
        exchange(self._sides, 0.5)
        return self._count()

    def _relay(self, calls: int) -> None:
        """So many calls speak through the relay, which has settled on it."""
        self._pbx.towards([way.inside for way in self._ways[:calls]])
        self._carrier.towards([way.outside for way in self._ways[:calls]])
        exchange(self._sides, SETTLING)

    def _count(self) -> float:
        """Let them speak and count; the delay that 99 of 100 packets do not exceed, in ms."""
        forget(self._sides)
        exchange(self._sides, COUNTED)
        return self._delay()

    def _delay(self) -> float:
        return max(statistics.quantiles(side.heard.delays, n=100)[98] for side in self._sides) / 1e6

    def _lost(self) -> int:
        """Of every stream, what one side sent and the other did not hear."""
        both = (self._sides, self._sides[::-1])
        return sum((one.sent - other.heard.packets).total() for one, other in both)


@contextmanager
def speaking(whole: load.Side) -> Iterator[_Bench]:
    bench = _Bench(whole)
    try:
        yield bench
    finally:
        bench.close()


# --- the calls ---


@dataclass(frozen=True)
class Way:
    """Where either side of one call sends to."""

    inside: Address
    outside: Address


def ways(box: Box) -> list[Way]:
    """The relay's ports for every call that stands, as it keeps them in the store."""
    store = box.redis(2)
    return [_way(json.loads(store.get(call))) for call in store.scan_iter(count=1000)]


def _way(call: dict[str, Any]) -> Way:
    streams = (value for name, value in call.items() if name.startswith("stream-") and value["component"] == "1")
    ports = {str(sfd["logical_intf"]): int(sfd["localport"]) for sfd in (call[f"sfd-{s['sfd']}"] for s in streams)}
    return Way((f"{INSIDE}.1", ports["inside"]), (f"{OUTSIDE}.1", ports["outside"]))


def set_up(box: Box, count: int) -> None:
    """So many calls between the sides, established. Those who called have left: their places are for the media."""
    each = ("-p", "5060", "-m", str(count))
    options = ("-r", str(RATE), "-l", str(count), "-d", str(STAND * 1000), "-s", "+4940222")
    answering = box.sipp("carrier", "plain-answer", *each, "-mp", str(ENDS["carrier"][1]))
    calling = box.sipp("pbx", "plain-call", *each, "-mp", str(ENDS["pbx"][1]), *options, f"{INSIDE}.1:5060")
    try:
        until(lambda: box.rpc("dlg.stats_active")["ongoing"] == count, count / RATE + 30)
    finally:
        for process in (calling, answering):
            process.kill()
            process.wait()


def share_out(box: Box) -> None:
    """Take in packets where they are read: the kernel's part of the SBC's work is done on the SBC's processor."""
    pid = run("docker", "inspect", "-f", "{{.State.Pid}}", box.name).strip()
    for side, (port, _, _) in SIDES.items():
        _take_in(f"/proc/{pid}/ns/net", port, RELAY)
        _take_in(f"/run/netns/{box.namespace(side)}", "sbc0", OURS)


def _take_in(namespace: str, interface: str, core: int) -> None:
    write = f"echo {1 << core:x} > /sys/class/net/{interface}/queues/rx-0/rps_cpus"
    # Docker mounts this file system read-only, for all who mount it.
    steer = f"mount -t sysfs none /sys && mount -o remount,rw /sys && {write} && mount -o remount,ro /sys"
    run("nsenter", f"--net={namespace}", "unshare", "--mount", "sh", "-c", steer)


def open_wire(box: Box) -> None:
    """Let the SBC's kernel forward between its sides, past the SBC."""
    pid = run("docker", "inspect", "-f", "{{.State.Pid}}", box.name).strip()
    run("nsenter", f"--net=/proc/{pid}/ns/net", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for side, here, there in (("pbx", INSIDE, OUTSIDE), ("carrier", OUTSIDE, INSIDE)):
        run("ip", "-n", box.namespace(side), "route", "add", f"{there}.0/24", "via", f"{here}.1")
