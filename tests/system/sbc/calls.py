"""Calls between the sides of a box, and the tables by which they are routed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from typing import Any

from sbc.kind.entries import Calls
from sbc.policy import Address, NumberPlan, Route, Tables, Target, Trunk
from tests.system.sbc.box import INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, SIDES, Box

#: What caller and callee play in each kind of call.
CALL = {
    "call": ("call", "answer"),
    "cancel": ("cancel", "ring"),
    "busy": ("refused-486", "busy"),
    "early": ("call", "early"),
    "cleared": ("cleared", "clears"),
    "transfer": ("transfer", "answer"),
    "moved": ("refused-480", "moved"),
    "hold": ("hold", "held"),
    "late": ("late", "offer"),
}

PBX = Trunk(
    "pbx",
    (f"{INSIDE}.0/24", f"{INSIDE6}:/64"),
    (Address(f"sip:{INSIDE}.2:5060"),),
    plan=NumberPlan("49"),
    side="inside",
)
CARRIER = Trunk(
    "carrier", (f"{OUTSIDE}.2/32", f"{OUTSIDE6}:2/128"), (Address(f"sip:{OUTSIDE}.2:5060"),), side="outside"
)
CALLS = {
    "pbx": Calls(f"udp:{INSIDE}.1:5060", f"{INSIDE}.1", f"{INSIDE}.2", "inside"),
    "carrier": Calls(f"udp:{OUTSIDE}.1:5060", f"{OUTSIDE}.1", f"{OUTSIDE}.2", "outside"),
}
OUT = Route("out", (Target("carrier"),), trunk="pbx")
IN = Route("in", (Target("pbx"),), trunk="carrier")


def tables(*trunks: Trunk, routes: tuple[Route, ...] = (OUT, IN), emergency: tuple[str, ...] = ()) -> Tables:
    """These trunks besides the PBX and the carrier, to whom the emergency numbers lead."""
    known = {trunk.id: trunk for trunk in (PBX, CARRIER, *trunks)}
    return Tables(known, routes, dict.fromkeys(emergency, (Target("carrier"),)))


def carried(**changes: dict[str, Any]) -> dict[str, Calls]:
    """How calls are carried, but for these changes by trunk."""
    return {id: dataclasses.replace(calls, **changes.get(id, {})) for id, calls in CALLS.items()}


def call(
    box: Box,
    caller: str,
    callee: str,
    calling: str,
    answering: str,
    *,
    number: str = "+4940222",
    calls: int = 1,
    options: tuple[str, ...] = (),
    seconds: float = 30,
) -> None:
    """One call (or several at once) played to its end by both sides."""
    target = f"{SIDES[caller][1]}.1:5060"
    count = ("-m", str(calls))
    callee_sipp = box.sipp(callee, answering, "-p", "5060", "-mp", "30000", *count)
    names = ("-cid_str", "secretcall-%u-%p@%s", "-s", number, "-d", "300")
    caller_sipp = box.sipp(caller, calling, "-p", "5060", "-mp", "31000", *names, *count, *options, target)
    try:
        status = [process.wait(seconds) for process in (caller_sipp, callee_sipp)]
    except subprocess.TimeoutExpired:
        status = [1]
    finally:
        for process in (caller_sipp, callee_sipp):
            process.kill()
            process.wait()
    assert not any(status), f"{status}\n{box.said()}"


def failed_calls(box: Box) -> int:
    """How many calls of the PBX's plain-call at its first address failed, as its sipp said when it ended."""
    screen = (box.dir / f"pbx-plain-call-{INSIDE}.2.out").read_text(errors="replace")
    return int(re.findall(r"Failed call +\| +\d+ +\| +(\d+)", screen)[-1])
