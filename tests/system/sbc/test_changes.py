"""Changes of trunks, routes, source rules and certificates are in force within a second and cost no call."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from sbc.kind import entries
from sbc.policy import Action, Route, SourceRule, Target, Trunk
from tests.system.sbc.box import INSIDE, OUTSIDE, Box, until
from tests.system.sbc.calls import CALLS, OUT, carried, failed_calls, tables
from tests.system.sbc.test_programs import lies_in, served
from tests.system.sbc.wire import Wire, wire

pytestmark = pytest.mark.system

#: Calls a second, and how many stand.
RATE, STANDING = 50, 500
#: Changes of each kind. One of a trunk or rule waits for the SBC to ask again who somebody is: so there are several.
CHANGES = {"trunks": 52, "rules": 52, "routes": 56, "certificates": 40}


def trunk_at(host: int) -> Trunk:
    return Trunk(f"at-{host}", (f"{OUTSIDE}.{host}/32",), side="outside")


#: Trunks that come and go, and trunks that a rule shuts out and lets in, by their hosts.
COMING = {host: trunk_at(host) for host in range(3, 7)}
RULED = {host: trunk_at(host) for host in range(7, 11)}
#: A trunk without an address: a call to it is answered 503, and one that no route takes 404.
NOWHERE = Trunk("nowhere", (), side="outside")
TRUNKS = (NOWHERE, *COMING.values(), *RULED.values())
#: Only calls to this country are routed, so that other numbers are free to be.
ROUTE = dataclasses.replace(OUT, prefix="+49")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    made = Box(tls=True)
    try:
        made.start()
        made.load(tables(*TRUNKS, routes=(ROUTE,)), carried() | {trunk.id: CALLS["carrier"] for trunk in TRUNKS})
        until(made.is_ready)
        yield made
    finally:
        made.close()


def trunks(box: Box, host: int) -> Iterator[float]:
    """The trunk is disabled, and so a stranger whom nobody answers, then enabled, and so on."""
    calls = CALLS["carrier"]
    with wire(box, "carrier", host) as source:
        for number in range(CHANGES["trunks"] // len(COMING)):
            before = dataclasses.replace(COMING[host], enabled=number % 2 == 0)
            after = dataclasses.replace(before, enabled=not before.enabled)
            box.put(entries.trunk_entries(after, calls), instead_of=entries.trunk_entries(before, calls))
            yield seconds_until(source, answered=after.enabled)


def rules(box: Box, host: int) -> Iterator[float]:
    with wire(box, "carrier", host) as source:
        for number in range(CHANGES["rules"] // len(RULED)):
            action = (Action.DENY, Action.ALLOW)[number % 2]
            box.put(entries.rule_entries(SourceRule(f"{OUTSIDE}.{host}/32", action)))
            yield seconds_until(source, answered=action is Action.ALLOW)


def seconds_until(source: Wire, *, answered: bool) -> float:
    """Until the first request that is answered, or is not."""
    started = time.monotonic()
    while True:
        sent = time.monotonic()
        if any(code == 200 for code in source.answers(source.request("OPTIONS"), 0.3)) is answered:
            return sent - started
        assert sent - started < 5, f"{source.here} is {'not ' if answered else ''}answered"
        time.sleep(0.02)


def routes(box: Box) -> Iterator[float]:
    """Half of the changes are a new route, the other half its removal."""
    with wire(box, "pbx", 4) as caller:
        for number in range(CHANGES["routes"] // 2):
            dialled = f"+4477{number:04}"
            route = Route(dialled, (Target(NOWHERE.id),), prefix=dialled)
            entry = entries.place_entry(entries.route_place(route), [route])
            assert refusal(caller, dialled) == 404
            for code in (503, 404):
                new, old = ([entry], []) if code == 503 else ([], [entry])
                box.put(new, instead_of=old)
                started = time.monotonic()
                until(partial(is_refused, caller, dialled, code), 5)
                yield time.monotonic() - started


def is_refused(caller: Wire, number: str, code: int) -> bool:
    return refusal(caller, number) == code


def refusal(caller: Wire, number: str) -> int | None:
    """The final answer to a call, acknowledged so that it comes once."""
    request = caller.request("INVITE", number)
    code = next(caller.answers(request, 0.5), None)
    caller.send(request.replace(b"INVITE", b"ACK"))
    return code


def certificates(box: Box) -> Iterator[float]:
    for _ in range(CHANGES["certificates"]):
        box.issue("tls", trusted=False)
        started = time.monotonic()
        done = box.program("reload")
        assert done.returncode == 0, done.stdout
        assert served(box) == lies_in(box)
        yield time.monotonic() - started


@pytest.mark.alone
def test_two_hundred_changes_under_load_cost_no_call(box: Box) -> None:
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000")
    options = ("-p", "5060", "-r", str(RATE), "-l", "2000", "-d", str(STANDING // RATE * 1000), "-s", "+4940222")
    calling = box.sipp("pbx", "plain-call", *options, f"{INSIDE}.1:5060")
    until(lambda: box.counter("*") >= STANDING - RATE, 20)
    took = carried_out(
        {
            "trunks": [trunks(box, host) for host in COMING],
            "rules": [rules(box, host) for host in RULED],
            "routes": [routes(box)],
            "certificates": [certificates(box)],
        }
    )
    assert calling.poll() is answering.poll() is None, "calls were made all the while"
    assert box.counter("*") >= STANDING - RATE, "and as many stood"
    calling.send_signal(signal.SIGUSR1)  # no new calls, and an end when all are over
    assert calling.wait(30) == 0, box.said()
    answering.send_signal(signal.SIGUSR1)
    assert answering.wait(10) == 0, box.said()
    assert {kind: len(each) for kind, each in took.items()} == CHANGES
    slowest = {kind: round(max(each), 2) for kind, each in took.items()}
    print("seconds until a change was in force, at most:", slowest)
    assert max(slowest.values()) < 1.0, slowest
    assert failed_calls(box) == 0
    assert box.rpc("core.uptime")["uptime"] >= STANDING // RATE, "nothing was restarted"


def carried_out(changes: Mapping[str, Sequence[Iterator[float]]]) -> dict[str, list[float]]:
    """All of them at once: how long each took, by kind."""
    with ThreadPoolExecutor(sum(map(len, changes.values()))) as pool:
        running = {kind: [pool.submit(list, one) for one in of_kind] for kind, of_kind in changes.items()}
        return {kind: [each for one in of_kind for each in one.result()] for kind, of_kind in running.items()}
